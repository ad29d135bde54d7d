//! Matchers of labels, as Alertmanager writes them: `severity="page"`, `team=~"a|b"`, `env!="test"`.

use crate::machine::Labels;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A test of one label.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label.
    pub name: String,
    /// What it is compared with.
    pub value: String,
    /// Whether it must be so, or must not.
    pub is_equal: bool,
    /// The value as an expression that must fit the whole label.
    pub regex: Option<regex::Regex>,
}

/// A matcher as the API and files of silences have it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatcherFields {
    /// The label.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Whether the value is an expression.
    #[serde(default)]
    pub is_regex: bool,
    /// Whether it must match, or must not.
    #[serde(default = "yes")]
    pub is_equal: bool,
}

const fn yes() -> bool {
    true
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.value, self.is_equal, self.regex.is_some())
            == (&other.name, &other.value, other.is_equal, other.regex.is_some())
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match (self.is_equal, self.regex.is_some()) {
            (true, false) => "=",
            (false, false) => "!=",
            (true, true) => "=~",
            (false, true) => "!~",
        };
        write!(f, "{}{sign}{:?}", self.name, self.value)
    }
}

impl Matcher {
    /// A matcher of these parts.
    ///
    /// # Errors
    /// When the expression cannot be read.
    pub fn new(name: &str, value: &str, is_equal: bool, is_regex: bool) -> Result<Self, String> {
        let regex = if is_regex {
            let built = regex::RegexBuilder::new(&format!("^(?:{value})$")).size_limit(crate::MAX_REGEX).build();
            Some(built.map_err(|_| format!("`{value}` is not an expression"))?)
        } else {
            None
        };
        if name.is_empty() {
            return Err("a matcher has no label".to_owned());
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned(), is_equal, regex })
    }

    /// Reads one matcher.
    ///
    /// # Errors
    /// A sentence about the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a matcher such as severity=\"page\"");
        let at = text.find(['=', '!']).ok_or_else(wrong)?;
        let name = text[..at].trim().trim_matches('"');
        let signs = [("=~", true, true), ("!~", false, true), ("!=", false, false), ("=", true, false)];
        let (sign, is_equal, is_regex) =
            signs.into_iter().find(|(sign, ..)| text[at..].starts_with(sign)).ok_or_else(wrong)?;
        let value = text[at + sign.len()..].trim();
        let value = match value.strip_prefix('"') {
            None if value.contains('"') => return Err(wrong()),
            None => value.to_owned(),
            Some(inner) => {
                let inner = inner.strip_suffix('"').ok_or_else(wrong)?;
                unescaped(inner)
            }
        };
        let is_name = |c: char| c.is_alphanumeric() || "_.:-/".contains(c);
        if name.is_empty() || !name.chars().all(is_name) {
            return Err(wrong());
        }
        Self::new(name, &value, is_equal, is_regex)
    }

    /// Reads one matcher, or several in braces or between commas.
    ///
    /// # Errors
    /// A sentence about the text.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text);
        let (mut all, mut start, mut in_quotes, mut is_escaped) = (Vec::new(), 0, false, false);
        for (at, c) in text.char_indices() {
            match c {
                '"' if !is_escaped => in_quotes = !in_quotes,
                ',' if !in_quotes => {
                    all.push(&text[start..at]);
                    start = at + 1;
                }
                _ => {}
            }
            is_escaped = c == '\\' && !is_escaped;
        }
        all.push(&text[start..]);
        all.into_iter().filter(|one| !one.trim().is_empty()).map(|one| Self::parse(one.trim())).collect()
    }

    /// Whether the labels fulfil it; a label that is not there is empty.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.fits(labels.get(&self.name).map_or("", String::as_str))
    }

    /// Whether a value fulfils it.
    pub fn fits(&self, value: &str) -> bool {
        let fits = self.regex.as_ref().map_or_else(|| value == self.value, |regex| regex.is_match(value));
        fits == self.is_equal
    }

    /// As the API has it.
    pub fn fields(&self) -> MatcherFields {
        MatcherFields {
            name: self.name.clone(),
            value: self.value.clone(),
            is_regex: self.regex.is_some(),
            is_equal: self.is_equal,
        }
    }
}

impl TryFrom<&MatcherFields> for Matcher {
    type Error = String;

    fn try_from(fields: &MatcherFields) -> Result<Self, String> {
        Self::new(&fields.name, &fields.value, fields.is_equal, fields.is_regex)
    }
}

/// A text without its escapes, each taken from left to right: `\\n` is a backslash and an `n`.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.as_str().chars().next()) {
            ('\\', Some(next @ ('"' | '\\' | 'n'))) => {
                out.push(if next == 'n' { '\n' } else { next });
                letters.next();
            }
            _ => out.push(letter),
        }
    }
    out
}

/// Whether labels fulfil all matchers.
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_read_as_alertmanager_reads_them() {
        let labels = Labels::from([("severity".to_owned(), "page".to_owned()), ("team".to_owned(), "a,b".to_owned())]);
        for (text, matches) in [
            ("severity=\"page\"", true),
            ("severity = page", true),
            ("severity!=\"page\"", false),
            ("severity=~\"pa.*|ticket\"", true),
            ("severity=~\"pa\"", false),
            ("severity!~\"pa.*\"", false),
            ("{severity=\"page\", team=\"a,b\"}", true),
            ("severity=\"page\",team=\"x\"", false),
            ("missing=\"\"", true),
            ("missing!=\"\"", false),
        ] {
            assert_eq!(all_match(&Matcher::parse_all(text).expect(text), &labels), matches, "{text}");
        }
        let value = |text: &str| Matcher::parse_all(text).expect(text)[0].value.clone();
        assert_eq!(value(r#"path="C:\\new""#), r"C:\new");
        assert_eq!(value(r#"path="a\nb\"c\d\\",b="c""#), "a\nb\"c\\d\\");
        let long = Matcher::parse(r#"name=~"[\\w-]{1,253}""#).expect("an expression");
        assert!(long.fits("a-b") && !long.fits("a.b"));
        for wrong in ["severity", "=\"x\"", "a=\"x", "a=~\"(\"", "a b=\"c\""] {
            assert!(Matcher::parse(wrong).is_err(), "{wrong}");
        }
    }
}
