//! The functions that templates call: those of Go, of Prometheus' rules and of Alertmanager's notifications.

use super::value::{Value, printf, significant};
use super::{Failure, Scope, time};
use std::cmp::Ordering;

fn wrong(message: impl Into<String>) -> Failure {
    Failure::Wrong(message.into())
}

/// Bytes of all that one call is given, and of what it gives.
pub(super) const MAX_VALUE: usize = 8 << 20;

/// The names of the arguments that `args` gives on.
const ARGUMENTS: [&str; 10] = ["arg0", "arg1", "arg2", "arg3", "arg4", "arg5", "arg6", "arg7", "arg8", "arg9"];

fn text(value: &Value) -> String {
    value.text()
}

/// Every name that [`call`] knows beside `and`, `or` and `tmpl`.
pub(super) const NAMES: &[&str] = &[
    "and",
    "or",
    "tmpl",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "slice",
    "print",
    "println",
    "printf",
    "html",
    "js",
    "urlquery",
    "query",
    "first",
    "label",
    "value",
    "sortByLabel",
    "strvalue",
    "args",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "toTime",
    "toDuration",
    "now",
    "title",
    "toUpper",
    "toLower",
    "trimSpace",
    "match",
    "reReplaceAll",
    "safeHtml",
    "safeUrl",
    "urlUnescape",
    "graphLink",
    "tableLink",
    "parseDuration",
    "stripPort",
    "stripDomain",
    "externalURL",
    "pathPrefix",
    "join",
    "stringSlice",
    "toJson",
    "date",
    "tz",
    "since",
    "list",
    "append",
];

/// What a function is given.
struct Given<'a> {
    name: &'a str,
    all: &'a [Value],
}

impl Given<'_> {
    fn one(&self, at: usize) -> Result<&Value, Failure> {
        self.all.get(at).ok_or_else(|| wrong(format!("{} has too few arguments", self.name)))
    }

    fn number(&self, at: usize) -> Result<f64, Failure> {
        self.one(at)?.number().map_err(Failure::Wrong)
    }

    fn string(&self, at: usize) -> Result<String, Failure> {
        self.one(at).map(text)
    }

    fn takes(&self, count: usize) -> Result<(), Failure> {
        if self.all.len() == count {
            return Ok(());
        }
        Err(wrong(format!("{} takes {count} arguments, {} are given", self.name, self.all.len())))
    }
}

/// Calls a function.
pub(super) fn call(name: &str, arguments: &[Value], scope: &Scope<'_>) -> Result<Value, Failure> {
    let given = Given { name, all: arguments };
    for part in [logic, samples, numbers, texts] {
        if let Some(value) = part(&given, scope)? {
            return Ok(value);
        }
    }
    Err(wrong(format!("function {name:?} not defined")))
}

/// Comparisons, and what is done with lists.
fn logic(given: &Given<'_>, _: &Scope<'_>) -> Result<Option<Value>, Failure> {
    Ok(Some(match given.name {
        "not" => Value::Bool(!given.one(0)?.is_true()),
        "eq" => {
            let first = given.one(0)?;
            Value::Bool(given.all[1..].iter().any(|other| compare(first, other) == Some(Ordering::Equal)))
        }
        "ne" => Value::Bool(compare(given.one(0)?, given.one(1)?) != Some(Ordering::Equal)),
        "lt" => Value::Bool(compare(given.one(0)?, given.one(1)?) == Some(Ordering::Less)),
        "le" => Value::Bool(matches!(compare(given.one(0)?, given.one(1)?), Some(Ordering::Less | Ordering::Equal))),
        "gt" => Value::Bool(compare(given.one(0)?, given.one(1)?) == Some(Ordering::Greater)),
        "ge" => Value::Bool(matches!(compare(given.one(0)?, given.one(1)?), Some(Ordering::Greater | Ordering::Equal))),
        "len" => Value::Integer(match given.one(0)? {
            Value::Text(text) => text.len(),
            Value::List(all) => all.len(),
            Value::Texts(all) => all.len(),
            other => return Err(wrong(format!("{} has no length", other.text()))),
        } as i64),
        "index" => index(given.all)?,
        "slice" => slice(given.all)?,
        "print" => printed(given.all).into(),
        "println" => (given.all.iter().map(text).collect::<Vec<_>>().join(" ") + "\n").into(),
        "printf" => printf(&given.string(0)?, &given.all[1..]).into(),
        "stringSlice" | "list" => given.all.to_vec().into(),
        "append" => match given.one(0)? {
            Value::List(all) => all.iter().chain(&given.all[1..]).cloned().collect::<Vec<_>>().into(),
            _ => return Err(wrong("append takes a list")),
        },
        _ => return Ok(None),
    }))
}

/// Samples of queries.
fn samples(given: &Given<'_>, scope: &Scope<'_>) -> Result<Option<Value>, Failure> {
    Ok(Some(match given.name {
        "query" => {
            given.takes(1)?;
            let asked = given.string(0)?;
            scope.answers.get(&asked).cloned().ok_or(Failure::Asks(asked))?
        }
        "first" => match given.one(0)? {
            Value::List(all) => {
                all.first().cloned().ok_or_else(|| wrong("first() called on vector with no elements"))?
            }
            _ => return Err(wrong("first takes the result of query")),
        },
        "label" => field(given.one(1)?, "Labels").map(|labels| match labels {
            Value::Texts(all) => all.get(&text(&given.all[0])).map_or("", String::as_str).into(),
            _ => Value::from(""),
        })?,
        "value" => field(given.one(0)?, "Value")?,
        "strvalue" => match field(given.one(0)?, "Labels")? {
            Value::Texts(all) => all.get("__value__").map_or("", String::as_str).into(),
            _ => "".into(),
        },
        "sortByLabel" => {
            let (label, Value::List(all)) = (given.string(0)?, given.one(1)?) else {
                return Err(wrong("sortByLabel takes a list"));
            };
            let key = |one: &Value| match field(one, "Labels") {
                Ok(Value::Texts(all)) => all.get(&label).cloned().unwrap_or_default(),
                _ => String::new(),
            };
            let mut sorted = all.as_ref().clone();
            sorted.sort_by_key(key);
            sorted.into()
        }
        "args" if given.all.len() > ARGUMENTS.len() => {
            return Err(wrong(format!("args takes {} arguments at most", ARGUMENTS.len())));
        }
        "args" => Value::record(ARGUMENTS.into_iter().zip(given.all.iter().cloned())),
        _ => return Ok(None),
    }))
}

/// Numbers and times.
fn numbers(given: &Given<'_>, scope: &Scope<'_>) -> Result<Option<Value>, Failure> {
    Ok(Some(match given.name {
        "humanize" => humanize(given.number(0)?).into(),
        "humanize1024" => humanize_1024(given.number(0)?).into(),
        "humanizeDuration" => humanize_duration(given.number(0)?).into(),
        "toDuration" => Value::Duration((given.number(0)? * 1e9) as i64),
        "humanizePercentage" => format!("{}%", significant(given.number(0)? * 100.0, 4)).into(),
        "humanizeTimestamp" => Value::time((given.number(0)? * 1e9) as i64).text().into(),
        "toTime" => Value::time((given.number(0)? * 1e9) as i64),
        "parseDuration" => {
            Value::Float(crate::duration::parse(&given.string(0)?).map_err(Failure::Wrong)? as f64 / 1000.0)
        }
        "now" => Value::Float(scope.now_ms as f64 / 1000.0),
        "since" => match given.one(0)? {
            Value::Time(moment) => Value::Duration(time::between(&time::of_ns(scope.now_ms * 1_000_000), moment)),
            _ => return Err(wrong("since takes a time")),
        },
        "date" => match (given.string(0)?, given.one(1)?) {
            (layout, Value::Time(moment)) => time::format(moment, &layout).into(),
            _ => return Err(wrong("date takes a layout and a time")),
        },
        "tz" => match (given.string(0)?, given.one(1)?) {
            (zone, Value::Time(moment)) => Value::Time(time::in_zone(moment, &zone).map_err(Failure::Wrong)?),
            _ => return Err(wrong("tz takes the name of a time zone and a time")),
        },
        _ => return Ok(None),
    }))
}

/// Texts.
fn texts(given: &Given<'_>, scope: &Scope<'_>) -> Result<Option<Value>, Failure> {
    Ok(Some(match given.name {
        "html" => escaped(&given.string(0)?).into(),
        "js" => given
            .string(0)?
            .replace('\\', "\\\\")
            .replace('\'', "\\'")
            .replace('"', "\\\"")
            .replace('<', "\\u003C")
            .into(),
        "urlquery" => url::form_urlencoded::byte_serialize(given.string(0)?.as_bytes()).collect::<String>().into(),
        "title" => title(&given.string(0)?).into(),
        "toUpper" => given.string(0)?.to_uppercase().into(),
        "toLower" => given.string(0)?.to_lowercase().into(),
        "trimSpace" => given.string(0)?.trim().into(),
        "match" => Value::Bool(regex(&given.string(0)?)?.is_match(&given.string(1)?)),
        "reReplaceAll" => replaced(&regex(&given.string(0)?)?, &given.string(1)?, &given.string(2)?)?.into(),
        "safeHtml" | "safeUrl" => given.string(0)?.into(),
        "urlUnescape" => {
            let asked = format!("x={}", given.string(0)?);
            url::form_urlencoded::parse(asked.as_bytes())
                .next()
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
                .into()
        }
        "graphLink" | "tableLink" => {
            let query: String = url::form_urlencoded::byte_serialize(given.string(0)?.as_bytes()).collect();
            format!("/metrics/explore?q={query}").into()
        }
        "stripPort" => {
            let host = given.string(0)?;
            host_and_port(&host).map_or(host.as_str(), |(host, _)| host).into()
        }
        "stripDomain" => {
            let given = given.string(0)?;
            let (host, port) = host_and_port(&given).unwrap_or((&given, ""));
            if host.parse::<std::net::IpAddr>().is_ok() {
                given.into()
            } else {
                let name = host.split('.').next().unwrap_or(host);
                if port.is_empty() { name.into() } else { format!("{name}:{port}").into() }
            }
        }
        "externalURL" => scope.external_url.into(),
        "pathPrefix" => url::Url::parse(scope.external_url)
            .map(|url| url.path().trim_end_matches('/').to_owned())
            .unwrap_or_default()
            .into(),
        "join" => {
            let (between, Value::List(all)) = (given.string(0)?, given.one(1)?) else {
                return Err(wrong("join takes a list"));
            };
            if between.len().saturating_mul(all.len()) > MAX_VALUE {
                return Err(wrong(format!("join gives more than {MAX_VALUE} bytes")));
            }
            all.iter().map(text).collect::<Vec<_>>().join(&between).into()
        }
        "toJson" => json(given.one(0)?).to_string().into(),
        _ => return Ok(None),
    }))
}

fn field(value: &Value, name: &str) -> Result<Value, Failure> {
    match value {
        Value::Record(all) => {
            all.get(name).cloned().ok_or_else(|| Failure::Missing(format!("can't evaluate field {name}")))
        }
        other => Err(wrong(format!("{} is not a sample", other.text()))),
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::None => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => serde_json::json!(number),
        Value::Text(text) => (&**text).into(),
        Value::Time(moment) => time::format(moment, "2006-01-02T15:04:05.999999999Z07:00").into(),
        Value::Duration(ns) => (*ns).into(),
        Value::List(all) => all.iter().map(json).collect(),
        Value::Texts(all) => {
            all.iter().map(|(name, value)| (name.clone(), serde_json::Value::from(value.as_str()))).collect()
        }
        Value::Record(all) => all.iter().map(|(name, value)| ((*name).to_owned(), json(value))).collect(),
    }
}

fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) | (Value::Duration(left), Value::Duration(right)) => {
            Some(left.cmp(right))
        }
        (Value::Time(left), Value::Time(right)) => Some(left.cmp(right)),
        (Value::Integer(_) | Value::Float(_), Value::Integer(_) | Value::Float(_)) => {
            left.number().ok()?.partial_cmp(&right.number().ok()?)
        }
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => (left == right).then_some(Ordering::Equal),
    }
}

fn index(arguments: &[Value]) -> Result<Value, Failure> {
    let (first, rest) = arguments.split_first().ok_or_else(|| wrong("index takes a list or labels"))?;
    rest.iter().try_fold(first.clone(), |value, key| match (&value, key) {
        (Value::List(all), Value::Integer(at)) => usize::try_from(*at)
            .ok()
            .and_then(|at| all.get(at).cloned())
            .ok_or_else(|| wrong(format!("index out of range: {at}"))),
        (Value::Texts(all), key) => Ok(all.get(&text(key)).map_or("", String::as_str).into()),
        (Value::Record(_), key) => field(&value, &text(key)),
        (other, _) => Err(wrong(format!("cannot index {}", other.text()))),
    })
}

fn slice(arguments: &[Value]) -> Result<Value, Failure> {
    let at = |place: usize, default: usize| match arguments.get(place) {
        None => Ok(default),
        Some(Value::Integer(at)) => usize::try_from(*at).map_err(|_| wrong("index out of range")),
        Some(_) => Err(wrong("slice takes whole numbers")),
    };
    let out = || wrong("index out of range");
    match arguments.first() {
        Some(Value::Text(text)) => text.get(at(1, 0)?..at(2, text.len())?).map(Value::from).ok_or_else(out),
        Some(Value::List(all)) => {
            all.get(at(1, 0)?..at(2, all.len())?).map(|part| part.to_vec().into()).ok_or_else(out)
        }
        _ => Err(wrong("slice takes a text or a list")),
    }
}

fn regex(pattern: &str) -> Result<regex::Regex, Failure> {
    let built = regex::RegexBuilder::new(pattern).size_limit(crate::MAX_REGEX).build();
    built.map_err(|_| wrong(format!("`{pattern}` is not an expression")))
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

fn title(text: &str) -> String {
    let mut starts = true;
    let mut out = String::new();
    for c in text.chars() {
        if starts {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        starts = if c.is_ascii() { !c.is_alphanumeric() && c != '_' } else { c.is_whitespace() };
    }
    out
}

/// As Go's `Sprint`: a blank stands between two of which neither is text.
fn printed(all: &[Value]) -> String {
    let mut out = String::new();
    let mut before_is_text = true;
    for one in all {
        let is_text = matches!(one, Value::Text(_));
        if !is_text && !before_is_text {
            out.push(' ');
        }
        out.push_str(&one.text());
        before_is_text = is_text;
    }
    out
}

/// A text with what an expression finds replaced.
fn replaced(regex: &regex::Regex, with: &str, text: &str) -> Result<String, Failure> {
    let mut out = String::new();
    let mut end = 0;
    for found in regex.captures_iter(text) {
        let whole = found.get_match();
        out.push_str(&text[end..whole.start()]);
        found.expand(with, &mut out);
        end = whole.end();
        if out.len() > MAX_VALUE {
            return Err(wrong(format!("reReplaceAll gives more than {MAX_VALUE} bytes")));
        }
    }
    out.push_str(&text[end..]);
    Ok(out)
}

/// The host and the port of `host:port` or `[host]:port`; none of anything else, as in Go.
fn host_and_port(text: &str) -> Option<(&str, &str)> {
    if let Some(inner) = text.strip_prefix('[') {
        return inner
            .split_once("]:")
            .filter(|(host, port)| !host.contains(['[', ']']) && !port.contains([':', '[', ']']));
    }
    text.split_once(':').filter(|(host, port)| !port.contains(':') && !host.contains(['[', ']']))
}

/// A number below one with the prefix that makes it one or more.
fn below_one(mut number: f64) -> (f64, &'static str) {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if number.abs() >= 1.0 {
            break;
        }
        prefix = next;
        number *= 1000.0;
    }
    (number, prefix)
}

fn humanize(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return significant(number, 4);
    }
    let mut number = number;
    let mut prefix = "";
    if number.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if number.abs() < 1000.0 {
                break;
            }
            prefix = next;
            number /= 1000.0;
        }
    } else {
        (number, prefix) = below_one(number);
    }
    format!("{}{prefix}", significant(number, 4))
}

fn humanize_1024(number: f64) -> String {
    if number.abs() <= 1.0 || !number.is_finite() {
        return significant(number, 4);
    }
    let mut number = number;
    let mut prefix = "";
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if number.abs() < 1024.0 {
            break;
        }
        prefix = next;
        number /= 1024.0;
    }
    format!("{}{prefix}", significant(number, 4))
}

fn humanize_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return significant(seconds, 4);
    }
    if seconds == 0.0 {
        return "0s".to_owned();
    }
    if seconds.abs() >= 1.0 {
        let sign = if seconds < 0.0 { "-" } else { "" };
        let whole = seconds.abs() as i64;
        let (s, m, h, d) = (whole % 60, whole / 60 % 60, whole / 3600 % 24, whole / 86400);
        return if d != 0 {
            format!("{sign}{d}d {h}h {m}m {s}s")
        } else if h != 0 {
            format!("{sign}{h}h {m}m {s}s")
        } else if m != 0 {
            format!("{sign}{m}m {s}s")
        } else {
            format!("{sign}{}s", significant(seconds.abs(), 4))
        };
    }
    let (number, prefix) = below_one(seconds);
    format!("{}{prefix}s", significant(number, 4))
}

/// A sample as `query` gives it.
pub(super) fn sample(labels: &std::collections::BTreeMap<String, String>, value: f64) -> Value {
    Value::record([("Labels", Value::texts(labels.clone())), ("Value", Value::Float(value))])
}
