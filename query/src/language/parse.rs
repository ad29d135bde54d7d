//! From text to the tree.

use super::field::FieldRef;
use super::matcher::{Bound, Literal, Matcher};
use super::text::{TextPattern, glob_regex};
use super::{Expr, MAX_DEPTH, MAX_QUERY_BYTES, MAX_TESTS};
use crate::QueryError;
use mangru_store::Signal;
use regex::Regex;

/// Reads a query; an empty one matches all.
pub(crate) fn parse(query: &str, signal: Signal) -> Result<Expr, QueryError> {
    if query.len() > MAX_QUERY_BYTES {
        return Err(QueryError::at(0, format!("query is longer than {MAX_QUERY_BYTES} bytes")));
    }
    let mut parser = Parser { text: query.chars().collect(), at: 0, signal, tests: 0 };
    parser.skip_space();
    if parser.is_end() {
        return Ok(Expr::All);
    }
    let expr = parser.or(0)?;
    parser.skip_space();
    if !parser.is_end() {
        return Err(QueryError::at(parser.at, "closing parenthesis without an opening one"));
    }
    Ok(expr)
}

struct Parser {
    text: Vec<char>,
    at: usize,
    signal: Signal,
    tests: usize,
}

/// A value as it stands in a query.
struct Value {
    at: usize,
    text: String,
    quoted: bool,
    regex: bool,
}

impl Parser {
    fn is_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn takes(&mut self, character: char) -> bool {
        let found = self.peek() == Some(character);
        self.at += usize::from(found);
        found
    }

    /// Whether a keyword in capitals stands here as a word of its own; takes it.
    fn takes_word(&mut self, word: &str) -> bool {
        let end = self.at + word.len();
        let matches = self.text.get(self.at..end).is_some_and(|found| found.iter().copied().eq(word.chars()))
            && self.text.get(end).is_none_or(|next| next.is_whitespace() || matches!(next, '(' | ')' | '"'));
        if matches {
            self.at = end;
        }
        matches
    }

    fn or(&mut self, depth: usize) -> Result<Expr, QueryError> {
        if depth > MAX_DEPTH {
            return Err(QueryError::at(self.at, format!("parentheses nest deeper than {MAX_DEPTH}")));
        }
        let mut any = vec![self.and(depth)?];
        loop {
            self.skip_space();
            let at = self.at;
            if !self.takes_word("OR") {
                break;
            }
            self.skip_space();
            if self.is_end() || self.peek() == Some(')') {
                return Err(QueryError::at(at, "nothing stands after OR"));
            }
            any.push(self.and(depth)?);
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expr::Or(any) })
    }

    fn and(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let mut all: Option<Expr> = None;
        loop {
            self.skip_space();
            let at = self.at;
            if self.is_end() || self.peek() == Some(')') {
                break;
            }
            if self.takes_word("OR") {
                self.at = at;
                if all.is_none() {
                    return Err(QueryError::at(at, "nothing stands before OR"));
                }
                break;
            }
            if self.takes_word("AND") {
                if all.is_none() {
                    return Err(QueryError::at(at, "nothing stands before AND"));
                }
                self.skip_space();
                if self.is_end() || self.peek() == Some(')') {
                    return Err(QueryError::at(at, "nothing stands after AND"));
                }
                continue;
            }
            let next = self.unary(depth)?;
            all = Some(match all {
                None => next,
                Some(before) => before.and(next),
            });
        }
        all.ok_or_else(|| QueryError::at(self.at, "a search term is missing"))
    }

    fn unary(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let at = self.at;
        if self.takes_word("NOT") || self.takes('-') {
            self.skip_space();
            if self.is_end() || self.peek() == Some(')') {
                return Err(QueryError::at(at, "nothing stands after the negation"));
            }
            if depth > MAX_DEPTH {
                return Err(QueryError::at(at, format!("negations nest deeper than {MAX_DEPTH}")));
            }
            return Ok(Expr::Not(Box::new(self.unary(depth + 1)?)));
        }
        self.primary(depth)
    }

    fn primary(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let at = self.at;
        if self.takes('(') {
            let inner = self.or(depth + 1)?;
            self.skip_space();
            if !self.takes(')') {
                return Err(QueryError::at(at, "opening parenthesis is never closed"));
            }
            return Ok(inner);
        }
        self.tests += 1;
        if self.tests > MAX_TESTS {
            return Err(QueryError::at(at, format!("query holds more than {MAX_TESTS} tests")));
        }
        let value = self.value(true)?;
        let operator = if value.regex { None } else { self.operator() };
        match operator {
            Some(operator) => self.field_test(&value, operator, depth),
            None if value.text == "*" && !value.quoted => Ok(Expr::All),
            None => Self::free_text(&value),
        }
    }

    /// The operator behind a field's name; `:>` is `>`.
    fn operator(&mut self) -> Option<&'static str> {
        let colon = self.takes(':');
        for operator in [">=", "<=", ">", "<"] {
            let end = self.at + operator.len();
            if self.text.get(self.at..end).is_some_and(|found| found.iter().copied().eq(operator.chars())) {
                self.at = end;
                return Some(operator);
            }
        }
        colon.then_some(":")
    }

    /// A word, a quoted text or a regular expression. A name ends before its operator, a value does not.
    fn value(&mut self, is_name: bool) -> Result<Value, QueryError> {
        let at = self.at;
        match self.peek() {
            None => Err(QueryError::at(at, "a value is missing")),
            Some('"') => {
                self.at += 1;
                let text = self.until('"', at, "quotation mark is never closed")?;
                Ok(Value { at, text, quoted: true, regex: false })
            }
            Some('/') if !is_name || self.is_regex() => {
                if !self.is_regex() {
                    return self.bare(is_name);
                }
                self.at += 1;
                let text = self.regex_source(at)?;
                Ok(Value { at, text, quoted: false, regex: true })
            }
            Some(_) => self.bare(is_name),
        }
    }

    /// A slash opens a regular expression when another closes it before white space or the end: `/a b/`, not `/api/x`.
    fn is_regex(&self) -> bool {
        let mut index = self.at + 1;
        while let Some(character) = self.text.get(index) {
            match character {
                '\\' => index += 1,
                '/' => {
                    return index > self.at + 1
                        && self.text.get(index + 1).is_none_or(|next| next.is_whitespace() || *next == ')');
                }
                _ => {}
            }
            index += 1;
        }
        false
    }

    fn regex_source(&mut self, at: usize) -> Result<String, QueryError> {
        let mut source = String::new();
        while let Some(character) = self.peek() {
            self.at += 1;
            match character {
                '/' => return Ok(source),
                '\\' if self.peek() == Some('/') => {
                    source.push('/');
                    self.at += 1;
                }
                '\\' => {
                    source.push('\\');
                    if let Some(next) = self.peek() {
                        source.push(next);
                        self.at += 1;
                    }
                }
                other => source.push(other),
            }
        }
        Err(QueryError::at(at, "regular expression is never closed"))
    }

    fn until(&mut self, end: char, at: usize, open: &str) -> Result<String, QueryError> {
        let mut text = String::new();
        while let Some(character) = self.peek() {
            self.at += 1;
            if character == end {
                return Ok(text);
            }
            if character == '\\' && self.peek().is_some_and(|next| next == end || next == '\\') {
                text.extend(self.peek());
                self.at += 1;
            } else {
                text.push(character);
            }
        }
        Err(QueryError::at(at, open))
    }

    fn bare(&mut self, is_name: bool) -> Result<Value, QueryError> {
        let at = self.at;
        let mut text = String::new();
        while let Some(character) = self.peek() {
            let ends = character.is_whitespace()
                || matches!(character, '(' | ')' | '"')
                || (is_name && matches!(character, ':' | '<' | '>'));
            if ends {
                break;
            }
            self.at += 1;
            if character == '\\'
                && let Some(next) = self.peek()
            {
                text.push(next);
                self.at += 1;
            } else {
                text.push(character);
            }
        }
        if text.is_empty() {
            let found = self.peek().map_or_else(String::new, |found| format!(" before `{found}`"));
            return Err(QueryError::at(at, format!("a word or value is missing{found}")));
        }
        Ok(Value { at, text, quoted: false, regex: false })
    }

    fn free_text(value: &Value) -> Result<Expr, QueryError> {
        if value.regex {
            return Ok(Expr::Text(TextPattern::Regex(compile(value)?)));
        }
        if !value.quoted
            && let Some(stem) = value.text.strip_suffix('*')
            && !stem.contains('*')
        {
            return prefix(stem, value.at);
        }
        if !value.quoted && value.text.contains('*') {
            return glob(&format!("*{}*", value.text.trim_matches('*')), value.at).map(Expr::Text);
        }
        TextPattern::phrase(&value.text)
            .map(Expr::Text)
            .ok_or_else(|| QueryError::at(value.at, format!("`{}` holds no letter or digit to search for", value.text)))
    }

    fn field_test(&mut self, name: &Value, operator: &str, depth: usize) -> Result<Expr, QueryError> {
        let field = FieldRef::of(&name.text, self.signal);
        let is_text = matches!(&field, FieldRef::Column("body" | "status_message"));
        if operator != ":" {
            self.skip_space();
            let value = self.value(false)?;
            let at = value.at;
            let bound = |inclusive| Some(Bound { value: Literal::new(value.text.clone(), value.quoted), inclusive });
            let (low, high) = match operator {
                ">" => (bound(false), None),
                ">=" => (bound(true), None),
                "<" => (None, bound(false)),
                _ => (None, bound(true)),
            };
            return Self::range(field, low, high, at);
        }
        match self.peek() {
            None => Err(QueryError::at(self.at, format!("a value is missing after `{}:`", name.text))),
            Some(space) if space.is_whitespace() => {
                Err(QueryError::at(self.at, format!("a value is missing after `{}:`", name.text)))
            }
            Some('(') => self.value_list(&field, is_text, depth),
            Some('[' | '{') => {
                let at = self.at;
                let (low, high) = self.interval()?;
                Self::range(field, low, high, at)
            }
            Some(_) => {
                let value = self.value(false)?;
                self.one_value(field, is_text, value)
            }
        }
    }

    fn range(field: FieldRef, low: Option<Bound>, high: Option<Bound>, at: usize) -> Result<Expr, QueryError> {
        // Above a severity's name means above all its numbers; up to it means all of them.
        let is_severity = field == FieldRef::Severity;
        let lift = |bound: Option<Bound>, is_low: bool| {
            bound.map(|bound| {
                let whole_name = is_severity && bound.inclusive != is_low;
                match super::field::severity_numbers(&bound.value.text).filter(|_| whole_name) {
                    Some((_, last)) => {
                        Bound { value: Literal::new(last.to_string(), false), inclusive: bound.inclusive }
                    }
                    None => bound,
                }
            })
        };
        let matcher = Matcher::Range(lift(low, true), lift(high, false));
        let (field, matcher) = field.adapt(matcher).map_err(|message| QueryError::at(at, message))?;
        Ok(Expr::Field(field, matcher))
    }

    fn interval(&mut self) -> Result<(Option<Bound>, Option<Bound>), QueryError> {
        let at = self.at;
        let low_inclusive = self.takes('[');
        self.at += usize::from(!low_inclusive);
        let low = self.interval_end()?;
        self.skip_space();
        if !self.takes_word("TO") {
            return Err(QueryError::at(self.at, "a range is written [low TO high]"));
        }
        self.skip_space();
        let high = self.interval_end()?;
        self.skip_space();
        let high_inclusive = self.takes(']');
        if !high_inclusive && !self.takes('}') {
            return Err(QueryError::at(at, "range is never closed by ] or }"));
        }
        let bound = |value: Option<Value>, inclusive| {
            value.map(|value| Bound { value: Literal::new(value.text, value.quoted), inclusive })
        };
        Ok((bound(low, low_inclusive), bound(high, high_inclusive)))
    }

    /// One end of a range; `*` is open.
    fn interval_end(&mut self) -> Result<Option<Value>, QueryError> {
        self.skip_space();
        if self.peek() == Some('"') {
            return self.value(false).map(Some);
        }
        let at = self.at;
        let mut text = String::new();
        while let Some(character) = self.peek()
            && !character.is_whitespace()
            && !matches!(character, ']' | '}')
        {
            text.push(character);
            self.at += 1;
        }
        match text.as_str() {
            "" => Err(QueryError::at(at, "an end of the range is missing")),
            "*" => Ok(None),
            _ => Ok(Some(Value { at, text, quoted: false, regex: false })),
        }
    }

    /// `field:(a OR b "c d")`: any of the values.
    fn value_list(&mut self, field: &FieldRef, is_text: bool, depth: usize) -> Result<Expr, QueryError> {
        let at = self.at;
        self.at += 1;
        let mut any = Vec::new();
        loop {
            self.skip_space();
            if self.takes(')') {
                break;
            }
            if self.is_end() {
                return Err(QueryError::at(at, "list of values is never closed"));
            }
            if self.takes_word("OR") {
                if any.is_empty() {
                    return Err(QueryError::at(self.at - 2, "nothing stands before OR"));
                }
                continue;
            }
            if self.takes_word("AND") || self.takes_word("NOT") {
                return Err(QueryError::at(self.at - 3, "a list of values is joined by OR only"));
            }
            self.tests += 1;
            if self.tests > MAX_TESTS || depth > MAX_DEPTH {
                return Err(QueryError::at(self.at, format!("query holds more than {MAX_TESTS} tests")));
            }
            let value = self.value(false)?;
            any.push(self.one_value(field.clone(), is_text, value)?);
        }
        match any.len() {
            0 => Err(QueryError::at(at, "list of values is empty")),
            1 => Ok(any.remove(0)),
            _ => Ok(Expr::Or(any)),
        }
    }

    fn one_value(&self, field: FieldRef, is_text: bool, value: Value) -> Result<Expr, QueryError> {
        let at = value.at;
        let matcher = if value.regex {
            Matcher::Regex(compile(&value)?)
        } else if value.text == "*" && !value.quoted {
            Matcher::Exists
        } else if is_text && self.signal == Signal::Logs {
            return Self::body_value(&value);
        } else if value.text.contains('*') && !value.quoted {
            let stem = value.text.split('*').next().unwrap_or_default().to_owned();
            let regex = glob_regex(&value.text, false).map_err(|error| QueryError::at(at, error.to_string()))?;
            Matcher::Glob(stem, regex)
        } else {
            Matcher::Equals(Literal::new(value.text, value.quoted))
        };
        let (field, matcher) = field.adapt(matcher).map_err(|message| QueryError::at(at, message))?;
        Ok(Expr::Field(field, matcher))
    }

    /// `body:word`, `body:"a phrase"`, `body:start*`, `body:*part*`.
    fn body_value(value: &Value) -> Result<Expr, QueryError> {
        let inner_star = value.text.trim_end_matches('*').contains('*');
        if !value.quoted && inner_star {
            return glob(&value.text, value.at).map(Expr::Text);
        }
        Self::free_text(value)
    }
}

fn compile(value: &Value) -> Result<Regex, QueryError> {
    regex::RegexBuilder::new(&value.text).size_limit(1 << 20).dfa_size_limit(8 << 20).build().map_err(|error| {
        let reason = error.to_string();
        let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        QueryError::at(value.at, format!("regular expression is not valid: {last}"))
    })
}

fn prefix(stem: &str, at: usize) -> Result<Expr, QueryError> {
    if !stem.chars().any(char::is_alphanumeric) {
        return Err(QueryError::at(at, "a prefix holds at least one letter or digit"));
    }
    match TextPattern::prefix(stem) {
        Some(pattern) => Ok(Expr::Text(pattern)),
        // `foo-ba*`: the text holds it as it stands, without case.
        None => glob(&format!("*{stem}*"), at).map(Expr::Text),
    }
}

fn glob(pattern: &str, at: usize) -> Result<TextPattern, QueryError> {
    let regex = glob_regex(pattern, true).map_err(|error| QueryError::at(at, error.to_string()))?;
    Ok(TextPattern::Glob(regex, pattern.to_owned()))
}
