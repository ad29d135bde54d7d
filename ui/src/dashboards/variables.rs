//! What a reader chose, put into the queries of a dashboard: `$name` and `${name}`, as each language writes a value.

use crate::parts::field_term;

/// What is chosen for a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// One value.
    One(String),
    /// All there are.
    All(Vec<String>),
}

/// The names that a dashboard gives itself: the step of its charts, a range that rates are good over, and its whole range.
const GIVEN: [&str; 3] = ["__interval", "__rate_interval", "__range"];

/// Whether a name is given by the dashboard itself.
pub(crate) fn is_given(name: &str) -> bool {
    GIVEN.contains(&name)
}

/// A piece of a query.
enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let behind = &rest[at + 1..];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let found = match behind.strip_prefix('{') {
            Some(inner) => inner.split_once('}').map(|(name, _)| (name, name.len() + 2)),
            None => {
                let length = behind.find(|c| !is_part(c)).unwrap_or(behind.len());
                Some((&behind[..length], length))
            }
        };
        match found.filter(|(name, _)| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_part)
        }) {
            Some((name, length)) => {
                pieces.push(Piece::Text(&rest[..at]));
                pieces.push(Piece::Variable(name));
                rest = &behind[length..];
            }
            None => {
                pieces.push(Piece::Text(&rest[..=at]));
                rest = behind;
            }
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

/// The names of the variables in a query.
pub(crate) fn named_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for piece in pieces(text) {
        if let Piece::Variable(name) = piece
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// The query with what is chosen in place of its variables. What is not known stays as it is.
pub(crate) fn filled(text: &str, language: &str, chosen: &dyn Fn(&str) -> Option<Chosen>, given: Given) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable(name) if is_given(name) => out.push_str(&given.text(name)),
            Piece::Variable(name) => match chosen(name) {
                Some(value) => put(&mut out, &value, language),
                None => {
                    out.push('$');
                    out.push_str(name);
                }
            },
        }
    }
    out
}

/// What the names stand for that a dashboard gives itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given {
    /// The step of its charts, in nanoseconds.
    pub(crate) step_ns: i64,
    /// The length of its range, in nanoseconds.
    pub(crate) range_ns: i64,
}

impl Given {
    /// What checks put in where no dashboard is shown: an hour, a minute at a time.
    pub(crate) const EXAMPLE: Self = Self { step_ns: 60_000_000_000, range_ns: 3_600_000_000_000 };

    fn text(self, name: &str) -> String {
        let seconds = |ns: i64| (ns / 1_000_000_000).max(1);
        match name {
            // Long enough for two points of a metric that comes every minute.
            "__rate_interval" => format!("{}s", (seconds(self.step_ns) * 4).max(150)),
            "__range" => format!("{}s", seconds(self.range_ns)),
            _ => format!("{}s", seconds(self.step_ns)),
        }
    }
}

fn put(out: &mut String, value: &Chosen, language: &str) {
    match language {
        "promql" => {
            // Within quotes of a matcher; a regular expression of all values, or of the one.
            let is_regex = is_behind_regex(out);
            let text = match value {
                Chosen::One(value) if is_regex => regex_escaped(value),
                Chosen::One(value) => value.clone(),
                Chosen::All(_) if is_regex => ".*".to_owned(),
                Chosen::All(values) => values.first().cloned().unwrap_or_default(),
            };
            let is_quoted = out.matches('"').count() % 2 == 1;
            if is_quoted { out.push_str(&text.replace('\\', "\\\\").replace('"', "\\\"")) } else { out.push_str(&text) }
        }
        "sql" => {
            let literal = |value: &str| format!("'{}'", value.replace('\'', "''"));
            match value {
                Chosen::One(value) => out.push_str(&literal(value)),
                Chosen::All(values) => {
                    out.push_str(&values.iter().map(|value| literal(value)).collect::<Vec<_>>().join(", "));
                }
            }
        }
        _ => match value {
            // `field:"value"` without its field is the value as the language writes it.
            Chosen::One(value) => out.push_str(&field_term("x", value)[2..]),
            Chosen::All(_) => out.push('*'),
        },
    }
}

/// Whether what was written ends with `=~"` or `!~"` and the beginning of its expression.
fn is_behind_regex(out: &str) -> bool {
    let Some(open) = out.rfind(['"', '\'', '`']) else { return false };
    let before = out[..open].trim_end();
    before.ends_with("=~") || before.ends_with("!~")
}

fn regex_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> Option<Chosen> {
        (name == "s").then(|| Chosen::One("a.b\"c'd".to_owned()))
    }

    fn all(name: &str) -> Option<Chosen> {
        (name == "s").then(|| Chosen::All(vec!["a'".to_owned(), "b".to_owned()]))
    }

    #[test]
    fn values_are_written_as_each_language_writes_them() {
        let step = Given { step_ns: 30_000_000_000, range_ns: 3_600_000_000_000 };
        assert_eq!(filled("up{job=\"$s\"}", "promql", &one, step), "up{job=\"a.b\\\"c'd\"}");
        assert_eq!(filled("up{job=~\"${s}|x\"}", "promql", &one, step), "up{job=~\"a\\\\.b\\\"c'd|x\"}");
        assert_eq!(filled("up{job=~\"$s\"}", "promql", &all, step), "up{job=~\".*\"}");
        assert_eq!(filled("rate(x[$__rate_interval])", "promql", &one, step), "rate(x[150s])");
        assert_eq!(filled("increase(x[$__range:$__interval])", "promql", &one, step), "increase(x[3600s:30s])");
        assert_eq!(filled("service:$s level:error", "search", &one, step), "service:\"a.b\\\"c'd\" level:error");
        assert_eq!(filled("service:$s", "search", &all, step), "service:*");
        assert_eq!(filled("WHERE s IN ($s)", "sql", &all, step), "WHERE s IN ('a''', 'b')");
        assert_eq!(filled("$5 $ ${} $other", "search", &one, step), "$5 $ ${} $other");
    }

    #[test]
    fn names_are_found_once() {
        assert_eq!(named_in("$a ${b} $a $1 $$c"), ["a", "b", "c"]);
    }
}
