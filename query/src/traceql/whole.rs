//! Conditions on the whole trace: its root span and its duration.

use crate::comparison::Comparison;
use crate::language::duration_ns;
use crate::{QueryError, TraceSummary};
use regex::Regex;

/// What of a trace is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    RootName,
    RootService,
    Duration,
}

/// A condition that a trace as a whole fulfils or not.
#[derive(Clone, Debug)]
pub(crate) struct TraceTest {
    of: Of,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Text(String, bool),
    Matches(Regex, bool),
    Nanoseconds(Comparison, i64),
}

fn of(name: &str) -> Option<Of> {
    Some(match name {
        "rootName" | "trace:rootName" => Of::RootName,
        "rootServiceName" | "trace:rootService" => Of::RootService,
        "traceDuration" | "trace:duration" => Of::Duration,
        _ => return None,
    })
}

impl TraceTest {
    /// Reads a comparison; `None` when the name is not of a whole trace.
    pub(super) fn read(name: &str, operator: &str, value: &str) -> Result<Option<Self>, QueryError> {
        let Some(of) = of(name) else { return Ok(None) };
        let wrong = |what: &str| QueryError::invalid("q", format!("{name} {operator}: {what}"));
        let test = match (of, operator) {
            (Of::Duration, _) => {
                let compared = Comparison::of(operator).ok_or_else(|| wrong("a duration is no text"))?;
                let length = duration_ns(value).ok_or_else(|| wrong("a duration such as 100ms is expected"))?;
                Test::Nanoseconds(compared, length)
            }
            (_, "=" | "!=") => Test::Text(value.to_owned(), operator == "="),
            (_, "=~" | "!~") => {
                let regex = regex::RegexBuilder::new(&format!("^(?:{value})$")).size_limit(1 << 20).build();
                Test::Matches(regex.map_err(|error| wrong(&error.to_string()))?, operator == "=~")
            }
            _ => return Err(wrong("a text is neither more nor less than another")),
        };
        Ok(Some(Self { of, test }))
    }

    /// Whether a trace is so.
    pub(crate) fn passes(&self, trace: &TraceSummary) -> bool {
        let text = match self.of {
            Of::RootName => trace.root_name.as_str(),
            Of::RootService => trace.root_service.as_str(),
            Of::Duration => "",
        };
        // A trace whose root is not there has neither its name nor its service.
        let has_text = self.of != Of::Duration && !trace.root_is_missing;
        match &self.test {
            Test::Text(wanted, is_equal) => has_text && (text == wanted) == *is_equal,
            Test::Matches(regex, is_match) => has_text && regex.is_match(text) == *is_match,
            Test::Nanoseconds(compared, length) => compared.holds(trace.duration_ns as f64, *length as f64),
        }
    }
}
