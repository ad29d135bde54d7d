//! Walking the text of a query.

use super::wrong_at;
use crate::QueryError;

/// Parentheses may nest this deep.
pub(super) const MAX_DEPTH: usize = 64;

pub(super) struct Cursor {
    text: Vec<char>,
    pub(super) at: usize,
}

impl Cursor {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.chars().collect(), at: 0 }
    }

    fn raw_peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    /// Passes over spaces and comments.
    pub(super) fn skip(&mut self) {
        while let Some(c) = self.raw_peek() {
            if c == '#' {
                while self.raw_peek().is_some_and(|c| c != '\n') {
                    self.at += 1;
                }
            } else if c.is_whitespace() {
                self.at += 1;
            } else {
                break;
            }
        }
    }

    pub(super) fn peek(&mut self) -> Option<char> {
        self.skip();
        self.raw_peek()
    }

    pub(super) fn is_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Takes these characters when they stand here.
    pub(super) fn takes(&mut self, wanted: &str) -> bool {
        self.skip();
        let found = wanted.chars().enumerate().all(|(place, c)| self.text.get(self.at + place) == Some(&c));
        if found {
            self.at += wanted.chars().count();
        }
        found
    }

    /// Takes the first of these that stands here; longer ones must come first.
    pub(super) fn takes_any<'a>(&mut self, wanted: &[&'a str]) -> Option<&'a str> {
        wanted.iter().copied().find(|wanted| self.takes(wanted))
    }

    pub(super) fn expect(&mut self, wanted: &str) -> Result<(), QueryError> {
        if self.takes(wanted) { Ok(()) } else { Err(self.unexpected(&format!("`{wanted}`"))) }
    }

    /// An error that says what stands here and what should.
    pub(super) fn unexpected(&mut self, wanted: &str) -> QueryError {
        match self.peek() {
            None => wrong_at(self.at, format!("syntax error: unexpected end, expecting {wanted}")),
            Some(c) => wrong_at(self.at, format!("syntax error: unexpected `{c}`, expecting {wanted}")),
        }
    }

    /// The word that stands here, not taken.
    pub(super) fn word(&mut self) -> String {
        self.skip();
        let is_part =
            |place: usize, c: char| c == '_' || c == ':' || c.is_alphabetic() || (place > 0 && c.is_numeric());
        self.text[self.at..].iter().enumerate().take_while(|(place, c)| is_part(*place, **c)).map(|(_, c)| *c).collect()
    }

    /// Takes a word when it stands here.
    pub(super) fn takes_word(&mut self, wanted: &str) -> bool {
        let found = self.word() == wanted;
        if found {
            self.at += wanted.chars().count();
        }
        found
    }

    /// Takes a name.
    pub(super) fn name(&mut self) -> Result<String, QueryError> {
        let word = self.word();
        if word.is_empty() {
            return Err(self.unexpected("a name"));
        }
        self.at += word.chars().count();
        Ok(word)
    }

    /// Takes a text in quotes or backticks.
    pub(super) fn quoted(&mut self) -> Result<String, QueryError> {
        let quote = self.peek().filter(|c| matches!(c, '"' | '`'));
        let Some(quote) = quote else { return Err(self.unexpected("a text in quotes")) };
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(c) = self.raw_peek() else { return Err(wrong_at(start, "literal not terminated")) };
            self.at += 1;
            match c {
                c if c == quote => return Ok(out),
                '\\' if quote == '"' => out.push(self.escape()?),
                c => out.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, QueryError> {
        let at = self.at;
        let c = self.raw_peek().ok_or_else(|| wrong_at(at, "literal not terminated"))?;
        self.at += 1;
        let digits = match c {
            'n' => return Ok('\n'),
            't' => return Ok('\t'),
            'r' => return Ok('\r'),
            'a' => return Ok('\u{7}'),
            'b' => return Ok('\u{8}'),
            'f' => return Ok('\u{c}'),
            'v' => return Ok('\u{b}'),
            '"' | '\\' | '\'' => return Ok(c),
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => return Err(wrong_at(at, format!("`\\{c}` is not an escape"))),
        };
        let hex: String = self.text[self.at..].iter().take(digits).collect();
        self.at += digits;
        let code = u32::from_str_radix(&hex, 16).ok().filter(|_| hex.chars().count() == digits);
        code.and_then(char::from_u32).ok_or_else(|| wrong_at(at, "an escape is no character"))
    }

    /// Takes what stands here up to a character that ends a value: a number with or without unit.
    pub(super) fn literal(&mut self) -> String {
        self.skip();
        let mut out = String::new();
        while let Some(c) = self.raw_peek() {
            let is_sign = matches!(c, '-' | '+') && (out.is_empty() || out.ends_with(['e', 'E']));
            if !(c.is_alphanumeric() || matches!(c, '.' | '_' | 'µ') || is_sign) {
                break;
            }
            out.push(c);
            self.at += 1;
        }
        out
    }

    /// Takes a duration such as `5m` or `1h30m`, in nanoseconds.
    pub(super) fn duration(&mut self) -> Result<i64, QueryError> {
        let at = self.at;
        let text = self.literal();
        crate::request::compound_duration_ns(&text)
            .map(|duration| duration.round() as i64)
            .ok_or_else(|| wrong_at(at, format!("not a valid duration string: {text:?}")))
    }
}
