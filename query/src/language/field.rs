//! Names in queries and what they stand for.

use super::matcher::{Literal, Matcher};
use mangru_store::{PROMOTED, PROMOTED_RESOURCE, Signal, id};

/// What a name in a query stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FieldRef {
    /// A column of the table, its values as they are.
    Column(&'static str),
    /// A column of trace or span ids, in hex.
    Id(&'static str),
    /// The severity: its number, else the number its text stands for, and the text.
    Severity,
    /// A record attribute.
    Attribute(String),
    /// Any record attribute, and any attribute of a span's events.
    AnyAttribute,
    /// A resource attribute.
    Resource(String),
    /// A record attribute or a resource attribute.
    Either(String),
    /// A scope attribute.
    Scope(String),
    /// The name of any of a span's events.
    EventName,
    /// An attribute of any of a span's events.
    EventAttribute(String),
    /// An attribute of any of a span's links.
    LinkAttribute(String),
    /// The trace of any of a metric point's exemplars, in hex.
    ExemplarTrace,
}

/// The severities of OpenTelemetry's data model by name, with the first of their four numbers.
const SEVERITIES: &[(&str, i64)] = &[
    ("trace", 1),
    ("debug", 5),
    ("info", 9),
    ("information", 9),
    ("notice", 10),
    ("warn", 13),
    ("warning", 13),
    ("error", 17),
    ("err", 17),
    ("fatal", 21),
    ("critical", 21),
    ("emergency", 21),
];

/// The first number and the last of a severity's name, in any case; `warn2` is the number 14 alone, `unset` is 0.
pub(crate) fn severity_numbers(name: &str) -> Option<(i64, i64)> {
    let name = name.to_ascii_lowercase();
    if name == "unset" {
        return Some((0, 0));
    }
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let (_, first) = *SEVERITIES.iter().find(|(known, _)| *known == stem)?;
    match name[stem.len()..].parse::<i64>() {
        Ok(step @ 1..=4) => Some((first + step - 1, first + step - 1)),
        Ok(_) => None,
        Err(_) if stem == "notice" => Some((10, 10)),
        // There are numbers beyond the last that has a name.
        Err(_) if first == 21 => Some((first, i64::from(i32::MAX))),
        Err(_) => Some((first, first + 3)),
    }
}

/// The names of span kinds, by number.
pub const KINDS: &[&str] = &["unspecified", "internal", "server", "client", "producer", "consumer"];
/// The names of status codes, by number.
pub(crate) const STATUSES: &[&str] = &["unset", "ok", "error"];

impl FieldRef {
    /// What a name stands for in a signal's table.
    pub(crate) fn of(name: &str, signal: Signal) -> Self {
        if name == "attributes.*" {
            return Self::AnyAttribute;
        }
        if let Some(key) = name.strip_prefix("attributes.") {
            return Self::Attribute(key.to_owned());
        }
        if let Some(key) = name.strip_prefix("resource.attributes.").or_else(|| name.strip_prefix("resource.")) {
            return Self::resource(key);
        }
        match name {
            "scope.name" => return Self::Column("scope_name"),
            "scope.version" => return Self::Column("scope_version"),
            _ => {}
        }
        if let Some(key) = name.strip_prefix("scope.attributes.").or_else(|| name.strip_prefix("scope.")) {
            return Self::Scope(key.to_owned());
        }
        if let Some(column) = Self::short(name, signal) {
            return column;
        }
        if signal == Signal::Spans {
            if matches!(name, "event.name" | "event") {
                return Self::EventName;
            }
            if let Some(key) = name.strip_prefix("event.attributes.").or_else(|| name.strip_prefix("event.")) {
                return Self::EventAttribute(key.to_owned());
            }
            if let Some(key) = name.strip_prefix("link.attributes.").or_else(|| name.strip_prefix("link.")) {
                return Self::LinkAttribute(key.to_owned());
            }
        }
        if let Some(promoted) =
            PROMOTED_RESOURCE.iter().find(|promoted| promoted.key == name || promoted.column == name)
        {
            return Self::Column(promoted.column);
        }
        if let Some(promoted) = PROMOTED.iter().find(|promoted| promoted.column == name) {
            return Self::Attribute(promoted.key.to_owned());
        }
        Self::Either(name.to_owned())
    }

    fn resource(key: &str) -> Self {
        Self::Resource(key.to_owned())
    }

    /// Columns and short forms.
    fn short(name: &str, signal: Signal) -> Option<Self> {
        let common = match name {
            "service" => Self::Column("service_name"),
            "host" => Self::resource("host.name"),
            "pod" => Self::resource("k8s.pod.name"),
            "namespace" => Self::Column("k8s_namespace_name"),
            "version" => Self::resource("service.version"),
            "env" | "environment" => Self::Column("deployment_environment_name"),
            "scope_name" | "logger" => Self::Column("scope_name"),
            "route" => Self::Attribute("http.route".to_owned()),
            "method" => Self::Attribute("http.request.method".to_owned()),
            _ => return Self::of_signal(name, signal),
        };
        Some(common)
    }

    fn of_signal(name: &str, signal: Signal) -> Option<Self> {
        let http_status = || Self::Attribute("http.response.status_code".to_owned());
        Some(match (signal, name) {
            (Signal::Logs | Signal::Spans, "trace_id" | "trace" | "trace.id" | "traceId") => Self::Id("trace_id"),
            (Signal::Logs | Signal::Spans, "span_id" | "span" | "span.id" | "spanId") => Self::Id("span_id"),
            (Signal::Logs | Signal::Spans, "correlation_id" | "correlation") => Self::Column("correlation_id"),
            (Signal::Logs, "level" | "severity" | "severity_number" | "severity_text") => Self::Severity,
            (Signal::Logs, "event.name" | "event_name" | "event") => Self::Column("event_name"),
            (Signal::Logs, "status") => http_status(),
            (Signal::Logs, "body" | "message" | "msg") => Self::Column("body"),
            (Signal::Spans, "parent_span_id" | "parent") => Self::Id("parent_span_id"),
            (Signal::Spans, "name" | "operation") => Self::Column("name"),
            (Signal::Spans, "kind") => Self::Column("kind"),
            (Signal::Spans, "status" | "status_code" | "status.code") => Self::Column("status_code"),
            (Signal::Spans, "status_message" | "status.message") => Self::Column("status_message"),
            (Signal::Spans, "duration" | "duration_ns") => Self::Column("duration_ns"),
            (Signal::Spans, "trace_state") => Self::Column("trace_state"),
            (Signal::MetricPoints, "name" | "metric" | "metric_name") => Self::Column("metric_name"),
            (Signal::MetricPoints, "trace_id" | "trace") => Self::ExemplarTrace,
            (Signal::MetricPoints, "type" | "metric_type") => Self::Column("metric_type"),
            (Signal::MetricPoints, "unit" | "metric_unit") => Self::Column("metric_unit"),
            _ => return None,
        })
    }

    /// The columns that hold the field's values.
    pub(crate) fn columns(&self, signal: Signal) -> Vec<&'static str> {
        let attribute = |key: &str, columns: &mut Vec<&'static str>| {
            columns.push("attributes");
            if signal != Signal::MetricPoints {
                columns.extend(PROMOTED.iter().find(|promoted| promoted.key == key).map(|promoted| promoted.column));
            }
        };
        let mut columns = Vec::new();
        match self {
            Self::Column(column) | Self::Id(column) => columns.push(*column),
            Self::Severity => columns.extend(["severity_number", "severity_text"]),
            Self::Attribute(key) => attribute(key, &mut columns),
            Self::AnyAttribute => {
                columns.push("attributes");
                if signal != Signal::MetricPoints {
                    columns.extend(PROMOTED.iter().map(|promoted| promoted.column));
                }
                columns.extend((signal == Signal::Spans).then_some("events"));
            }
            Self::Resource(_) => columns.push("resource_attributes"),
            Self::Either(key) => {
                attribute(key, &mut columns);
                columns.push("resource_attributes");
            }
            Self::Scope(_) => columns.push("scope_attributes"),
            Self::EventName | Self::EventAttribute(_) => columns.push("events"),
            Self::LinkAttribute(_) => columns.push("links"),
            Self::ExemplarTrace => columns.push("exemplars"),
        }
        columns
    }

    /// Brings the literals of a test into the form the field's values have.
    pub(crate) fn adapt(self, matcher: Matcher) -> Result<(Self, Matcher), String> {
        match &self {
            Self::Severity => {
                let by_name = |regex: &regex::Regex| -> Result<Vec<Matcher>, String> {
                    let regex = without_case(regex)?;
                    let fitting = SEVERITIES.iter().filter(|(name, _)| regex.is_match(name));
                    Ok(fitting.filter_map(|(name, _)| severity_numbers(name)).map(|(a, z)| numbers(a, z)).collect())
                };
                if let Matcher::Glob(_, regex) | Matcher::Regex(regex) = &matcher {
                    let mut any = by_name(regex)?;
                    any.push(matcher);
                    return Ok((self, Matcher::Any(any)));
                }
                let matcher = matcher.map_literals(
                    &|literal| {
                        Ok(match severity_numbers(&literal.text) {
                            Some((first, last)) => numbers(first, last),
                            None => Matcher::Equals(literal),
                        })
                    },
                    &|literal| match (severity_numbers(&literal.text), literal.number) {
                        (Some((first, _)), _) => Ok(whole(first)),
                        (None, Some(_)) => Ok(literal),
                        _ => Err(format!(
                            "`{}` is not a severity: trace, debug, info, warn, error, fatal or a number",
                            literal.text
                        )),
                    },
                )?;
                // `level>warn` means above all four numbers of the name.
                Ok((self, matcher))
            }
            Self::Column("kind") => named(self, matcher, KINDS, "a span kind"),
            Self::Column("status_code") => {
                let is_http = match &matcher {
                    Matcher::Equals(literal) => literal.number.is_some_and(|number| number >= 100.0),
                    Matcher::Glob(_, regex) | Matcher::Regex(regex) => fitting(regex, STATUSES)?.is_empty(),
                    Matcher::Range(low, high) => {
                        if let Some(end) = [low, high].into_iter().flatten().find(|end| end.value.number.is_none()) {
                            return Err(format!("`{}` is not an HTTP status code", end.value.text));
                        }
                        true
                    }
                    _ => false,
                };
                if is_http {
                    return Ok((Self::Attribute("http.response.status_code".to_owned()), matcher));
                }
                named(self, matcher, STATUSES, "a status")
            }
            Self::Column("duration_ns") => {
                let duration = |literal: Literal| {
                    if literal.number.is_some() {
                        // Nanoseconds, compared as they were written.
                        return Ok(literal);
                    }
                    duration_ns(&literal.text)
                        .map(whole)
                        .ok_or_else(|| format!("`{}` is not a duration such as 250ms, 1.5s or 2m", literal.text))
                };
                let matcher = matcher.map_literals(&|literal| duration(literal).map(Matcher::Equals), &duration)?;
                Ok((self, matcher))
            }
            Self::Id(_) => {
                let lower = |literal: Literal| Literal::new(literal.text.to_ascii_lowercase(), true);
                let matcher = match matcher {
                    Matcher::Glob(prefix, regex) => Matcher::Glob(prefix.to_ascii_lowercase(), without_case(&regex)?),
                    Matcher::Regex(regex) => Matcher::Regex(without_case(&regex)?),
                    other => other
                        .map_literals(&|literal| Ok(Matcher::Equals(lower(literal))), &|literal| Ok(lower(literal)))?,
                };
                Ok((self, matcher))
            }
            Self::Column("correlation_id") => {
                let normal = |literal: Literal| Literal::new(id::normal_correlation_id(&literal.text), true);
                let matcher = matcher
                    .map_literals(&|literal| Ok(Matcher::Equals(normal(literal))), &|literal| Ok(normal(literal)))?;
                Ok((self, matcher))
            }
            _ => Ok((self, matcher)),
        }
    }
}

fn whole(number: i64) -> Literal {
    Literal::new(number.to_string(), false)
}

fn without_case(regex: &regex::Regex) -> Result<regex::Regex, String> {
    regex::Regex::new(&format!("(?i){}", regex.as_str())).map_err(|error| error.to_string())
}

/// The numbers of the names that fit a pattern, in any case.
fn fitting(regex: &regex::Regex, names: &[&str]) -> Result<Vec<Matcher>, String> {
    let regex = without_case(regex)?;
    let fitting = names.iter().enumerate().filter(|(_, name)| regex.is_match(name));
    Ok(fitting.map(|(number, _)| Matcher::Equals(whole(number as i64))).collect())
}

fn numbers(first: i64, last: i64) -> Matcher {
    if first == last {
        return Matcher::Equals(whole(first));
    }
    let end = |number| Some(super::matcher::Bound { value: whole(number), inclusive: true });
    Matcher::Range(end(first), end(last))
}

fn named(field: FieldRef, matcher: Matcher, names: &[&str], what: &str) -> Result<(FieldRef, Matcher), String> {
    let find = |literal: Literal| {
        if literal.number.is_some() {
            return Ok(literal);
        }
        let lower = literal.text.to_ascii_lowercase();
        names
            .iter()
            .position(|name| *name == lower)
            .map(|number| whole(number as i64))
            .ok_or_else(|| format!("`{}` is not {what}: {}", literal.text, names.join(", ")))
    };
    let matcher = match &matcher {
        Matcher::Glob(_, regex) | Matcher::Regex(regex) => Matcher::Any(fitting(regex, names)?),
        _ => matcher.map_literals(&|literal| find(literal).map(Matcher::Equals), &find)?,
    };
    Ok((field, matcher))
}

/// A duration with a unit (`ns`, `us`, `µs`, `ms`, `s`, `m`, `h`); without one it is nanoseconds.
pub(crate) fn duration_ns(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-'))).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: i64 = match unit {
        "" | "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    // Whole numbers exactly: doubles have 53 bits.
    if let Some(whole) = digits.parse::<i64>().ok().and_then(|whole| whole.checked_mul(factor)) {
        return Some(whole);
    }
    let value: f64 = digits.parse().ok()?;
    Some((value * factor as f64).round() as i64)
}
