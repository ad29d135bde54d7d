//! Lines of JSON, each a log record, from any program that writes such.

use super::documents::{self, Fields};
use crate::correlate::Correlation;
use crate::otlp::{self, DecodeError, Decoded, check_room};
use crate::write::Request;
use mangru_store::Signal;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// Lines that are named when they are wrong.
const NAMED_ERRORS: usize = 20;

/// Which members are what, when they have other names than the usual.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Parameters {
    /// The member with the time.
    time_field: Option<String>,
    /// The member with the text.
    message_field: Option<String>,
    /// The member with the severity.
    level_field: Option<String>,
    /// The service that all lines are of.
    service: Option<String>,
}

/// What became of the lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    accepted: u64,
    rejected: u64,
    errors: Vec<Json>,
}

impl Lines {
    pub(super) fn json(&self) -> Json {
        json!({ "accepted": self.accepted, "rejected": self.rejected, "errors": self.errors })
    }

    /// Whether not a single line was fit.
    pub(super) const fn is_all_refused(&self) -> bool {
        self.accepted == 0 && self.rejected > 0
    }
}

/// Decodes lines; those that are wrong are refused alone.
pub(super) fn decode(
    text: &[u8],
    parameters: Parameters,
    arrival: u64,
    correlation: &Correlation,
) -> Result<(Decoded, Lines), DecodeError> {
    let usual = Fields::default();
    let or = |own: Option<String>, usual: Vec<String>| own.map_or(usual, |name| vec![name]);
    let fields = Fields {
        time: or(parameters.time_field, usual.time),
        message: or(parameters.message_field, usual.message),
        severity: or(parameters.level_field, usual.severity),
    };
    let service = parameters.service.unwrap_or_default();
    let resource: Vec<(&str, &str)> =
        if service.is_empty() { Vec::new() } else { vec![("service.name", service.as_str())] };
    let mut request = Request::new("");
    let mut lines = Lines::default();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        check_room(request.records)?;
        let read = serde_json::from_slice::<Map<String, Json>>(line)
            .map_err(|error| format!("not a JSON object: {error}"))
            .and_then(|members| documents::read(&members, &fields, &resource));
        match read {
            Ok(document) => {
                request.add(&document.resource, &document.record);
                lines.accepted += 1;
            }
            Err(why) => {
                lines.rejected += 1;
                if lines.errors.len() < NAMED_ERRORS {
                    lines.errors.push(json!({ "line": number + 1, "message": why }));
                }
            }
        }
    }
    let mut decoded = otlp::decode(Signal::Logs, &request.finish(), arrival, correlation)?;
    decoded.rejected = lines.rejected;
    Ok((decoded, lines))
}
