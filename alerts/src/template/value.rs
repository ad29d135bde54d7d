//! Values of templates, and how they are written.

use super::time::{self, Moment};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// A value of a template.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    None,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// A moment.
    Time(Moment),
    /// A length of time, in nanoseconds.
    Duration(i64),
    /// Values in order.
    List(Arc<Vec<Value>>),
    /// Texts by name: a name that is not there is empty text.
    Texts(Arc<BTreeMap<String, String>>),
    /// Fields by name: a field that is not there is an error.
    Record(Arc<BTreeMap<&'static str, Value>>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Vec<Value>> for Value {
    fn from(all: Vec<Value>) -> Self {
        Self::List(Arc::new(all))
    }
}

impl Value {
    /// Labels or annotations.
    pub fn texts(all: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::Texts(Arc::new(all.into_iter().collect()))
    }

    /// Named fields.
    pub fn record(all: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self::Record(Arc::new(all.into_iter().collect()))
    }

    /// A moment in nanoseconds since the Unix epoch.
    pub fn time(ns: i64) -> Self {
        Self::Time(time::of_ns(ns))
    }

    /// The moment that stands for none, as Go has it: the first of year 1.
    pub fn no_time() -> Self {
        Self::Time(time::zero())
    }

    /// How much it holds, in bytes; none when that is more than `left`, or when it nests too deep.
    pub(super) fn weight(&self, left: usize) -> Option<usize> {
        /// How deep values may nest.
        const MAX_NESTING: usize = 20;
        fn weigh(value: &Value, depth: usize, left: &mut usize) -> Option<()> {
            let mut take = |bytes: usize| left.checked_sub(bytes).map(|rest| *left = rest);
            take(16)?;
            match value {
                Value::Text(text) => take(text.len()),
                Value::Texts(all) => all.iter().try_for_each(|(name, text)| take(name.len() + text.len() + 16)),
                Value::List(_) | Value::Record(_) if depth >= MAX_NESTING => None,
                Value::List(all) => all.iter().try_for_each(|one| weigh(one, depth + 1, left)),
                Value::Record(all) => all.values().try_for_each(|one| weigh(one, depth + 1, left)),
                _ => Some(()),
            }
        }
        let mut rest = left;
        weigh(self, 0, &mut rest)?;
        Some(left - rest)
    }

    /// Whether `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(flag) => *flag,
            Self::Integer(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(all) => !all.is_empty(),
            Self::Texts(all) => !all.is_empty(),
            Self::Duration(ns) => *ns != 0,
            Self::Time(_) | Self::Record(_) => true,
        }
    }

    /// As text, as Go's `fmt` writes it.
    pub fn text(&self) -> String {
        match self {
            Self::None => "<no value>".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => shortest(*number),
            Self::Text(text) => text.to_string(),
            Self::Time(moment) => time::text(moment),
            Self::Duration(ns) => time::duration_text(*ns),
            Self::List(all) => {
                let all: Vec<String> = all.iter().map(Self::text).collect();
                format!("[{}]", all.join(" "))
            }
            Self::Texts(all) => {
                let all: Vec<String> = all.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("map[{}]", all.join(" "))
            }
            Self::Record(all) => {
                let all: Vec<String> = all.values().map(Self::text).collect();
                format!("{{{}}}", all.join(" "))
            }
        }
    }

    /// As a number; text is read as one.
    pub(super) fn number(&self) -> Result<f64, String> {
        match self {
            Self::Integer(number) => Ok(*number as f64),
            Self::Float(number) => Ok(*number),
            Self::Duration(ns) => Ok(*ns as f64 / 1e9),
            Self::Text(text) => read_number(text).ok_or_else(|| format!("`{text}` is not a number")),
            other => Err(format!("{} is not a number", other.text())),
        }
    }
}

/// Reads a number as Prometheus writes it.
fn read_number(text: &str) -> Option<f64> {
    match text.trim() {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        text => text.parse().ok(),
    }
}

fn special(number: f64) -> Option<&'static str> {
    if number.is_nan() {
        return Some("NaN");
    }
    number.is_infinite().then_some(if number > 0.0 { "+Inf" } else { "-Inf" })
}

/// A number in Go's form with an exponent of two digits at least.
pub(crate) fn with_exponent(number: f64, digits: Option<usize>) -> String {
    let text = match digits {
        None => format!("{number:e}"),
        Some(digits) => format!("{number:.digits$e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{mantissa}e{sign}{exponent:0>2}")
}

fn exponent(number: f64, digits: usize) -> i32 {
    format!("{number:.digits$e}").split_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0)
}

/// The shortest text that reads back as the same number, with an exponent from a million on, as Go's `%v`.
pub(super) fn shortest(number: f64) -> String {
    if let Some(text) = special(number) {
        return text.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let text = format!("{number:e}");
    let digits = text.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok()).unwrap_or(0);
    if (-4..=5).contains(&digits) { number.to_string() } else { with_exponent(number, None) }
}

/// So many significant digits without trailing zeros, as C's and Go's `%.4g`.
pub(super) fn significant(number: f64, digits: usize) -> String {
    if let Some(text) = special(number) {
        return text.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    let digits = digits.max(1);
    let power = exponent(number, digits - 1);
    let trim = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    if power < -4 || power >= digits as i32 {
        let text = with_exponent(number, Some(digits - 1));
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{exponent}", trim(mantissa));
    }
    trim(&format!("{number:.*}", (digits as i32 - 1 - power).max(0) as usize))
}

/// A text by Go's verbs: `%s`, `%v`, `%d`, `%q`, `%x`, `%t`, `%f`, `%e`, `%g`, with flags, width and precision.
pub(super) fn printf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    let mut next = arguments.iter();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = chars.next_if(|c| "-+# 0".contains(*c)) {
            flags.push(flag);
        }
        let digits = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
            let mut text = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                text.push(digit);
            }
            text.parse::<usize>().ok().map(|number| number.min(1000))
        };
        let width = digits(&mut chars).unwrap_or(0);
        let precision = chars.next_if_eq(&'.').map(|_| digits(&mut chars).unwrap_or(0));
        let Some(verb) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        let Some(argument) = next.next() else {
            let _ = write!(out, "%!{verb}(MISSING)"); // writing to a String cannot fail
            continue;
        };
        let text = one(verb, precision, argument);
        let text = if flags.contains('+') && !text.starts_with(['-', '+']) && argument.number().is_ok() && verb != 's' {
            format!("+{text}")
        } else {
            text
        };
        let missing = width.saturating_sub(text.chars().count());
        if flags.contains('-') {
            out.push_str(&text);
            out.push_str(&" ".repeat(missing));
        } else if flags.contains('0') && verb != 's' {
            let (sign, digits) = match text.strip_prefix(['-', '+']) {
                Some(digits) => (&text[..1], digits),
                None => ("", text.as_str()),
            };
            let _ = write!(out, "{sign}{}{digits}", "0".repeat(missing)); // writing to a String cannot fail
        } else {
            out.push_str(&" ".repeat(missing));
            out.push_str(&text);
        }
    }
    let rest: Vec<String> = next.map(Value::text).collect();
    if !rest.is_empty() {
        let _ = write!(out, "%!(EXTRA {})", rest.join(", ")); // writing to a String cannot fail
    }
    out
}

fn one(verb: char, precision: Option<usize>, argument: &Value) -> String {
    let wrong = || format!("%!{verb}({})", argument.text());
    match (verb, argument) {
        ('s' | 'v', Value::Float(number)) if verb == 's' => format!("%!s(float64={})", shortest(*number)),
        ('s' | 'v', other) => match precision {
            Some(most) if verb == 's' => other.text().chars().take(most).collect(),
            Some(digits) => argument.number().map_or_else(|_| other.text(), |number| significant(number, digits)),
            None => other.text(),
        },
        ('q', other) => format!("{:?}", other.text()),
        ('t', Value::Bool(flag)) => flag.to_string(),
        ('d', Value::Integer(number)) => number.to_string(),
        ('x', Value::Integer(number)) => format!("{number:x}"),
        ('x', Value::Text(text)) => text.bytes().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}"); // writing to a String cannot fail
            out
        }),
        ('f' | 'F', Value::Float(number)) => {
            special(*number).map_or_else(|| format!("{number:.*}", precision.unwrap_or(6)), str::to_owned)
        }
        ('e', Value::Float(number)) => with_exponent(*number, Some(precision.unwrap_or(6))),
        ('g', Value::Float(number)) => {
            precision.map_or_else(|| shortest(*number), |digits| significant(*number, digits))
        }
        ('d', Value::Float(number)) => format!("%!d(float64={})", shortest(*number)),
        _ => wrong(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_go_writes_them() {
        assert_eq!(shortest(0.1), "0.1");
        assert_eq!(shortest(100_000.0), "100000");
        assert_eq!(shortest(1_234_567.0), "1.234567e+06");
        assert_eq!(shortest(f64::INFINITY), "+Inf");
        assert_eq!(significant(1234.5678, 4), "1235");
        assert_eq!(significant(0.000_012_345, 4), "1.234e-05");
        assert_eq!(significant(123_456.0, 4), "1.235e+05");
        assert_eq!(significant(2.0, 4), "2");
        assert_eq!(printf("%.2f%% of %s", &[Value::Float(12.345), "x".into()]), "12.35% of x");
        assert_eq!(printf("%05d|%-4s|", &[Value::Integer(-42), "a".into()]), "-0042|a   |");
        assert_eq!(Value::time(1_500_000_000).text(), "1970-01-01 00:00:01.5 +0000 UTC");
    }
}
