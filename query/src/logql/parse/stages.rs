//! Selectors and the stages of a pipeline.

use super::super::cursor::MAX_DEPTH;
use super::super::extract::{self, Pattern};
use super::super::filter::{Addresses, LabelFilter, Matcher, TextTest, Unit};
use super::super::template::Template;
use super::super::{Conversion, LabelSource, LinePattern, NamedLabel, Stage, Unwrap, unsupported, wrong_at};
use super::{Parser, RangeParts};
use crate::QueryError;
use crate::comparison::Comparison;
use regex::Regex;

impl Parser {
    fn comparison(&mut self) -> Option<&'static str> {
        self.cursor.takes_any(&["=~", "!~", "!=", "="])
    }

    fn text_test(&mut self, operator: &str) -> Result<TextTest, QueryError> {
        let at = self.cursor.at;
        let value = self.cursor.quoted()?;
        let regex = |value: &str| anchored(value).map_err(|error| wrong_at(at, error));
        Ok(match operator {
            "=" => TextTest::Equal(value),
            "!=" => TextTest::NotEqual(value),
            "=~" => TextTest::Fits(regex(&value)?),
            _ => TextTest::FitsNot(regex(&value)?),
        })
    }

    pub(super) fn selector(&mut self) -> Result<Vec<Matcher>, QueryError> {
        self.cursor.expect("{")?;
        let mut matchers = Vec::new();
        while !self.cursor.takes("}") {
            let name = self.cursor.name()?;
            let Some(operator) = self.comparison() else {
                return Err(self.cursor.unexpected("`=`, `!=`, `=~` or `!~`"));
            };
            matchers.push(Matcher { name, test: self.text_test(operator)? });
            if !self.cursor.takes(",") && self.cursor.peek() != Some('}') {
                return Err(self.cursor.unexpected("`,` or `}`"));
            }
        }
        Ok(matchers)
    }

    /// The pipeline, and within a range aggregation its range, offset and unwrap.
    pub(super) fn stages(&mut self, range: &mut Option<&mut RangeParts>) -> Result<Vec<Stage>, QueryError> {
        let mut stages = Vec::new();
        loop {
            if let Some(parts) = range.as_deref_mut() {
                if self.cursor.takes("[") {
                    parts.range = Some(self.cursor.duration()?);
                    self.cursor.expect("]")?;
                    continue;
                }
                if self.cursor.takes_word("offset") {
                    parts.offset = self.cursor.duration()?;
                    continue;
                }
            }
            let Some(operator) = self.cursor.takes_any(&["|=", "|~", "|>", "!=", "!~", "!>", "|"]) else {
                return Ok(stages);
            };
            if operator != "|" {
                stages.push(self.line_filter(operator)?);
                continue;
            }
            if self.cursor.word() == "unwrap" {
                let at = self.cursor.at;
                let Some(parts) = range.as_deref_mut() else {
                    return Err(wrong_at(at, "unwrap stands in range aggregations only"));
                };
                parts.unwrap = Some(self.unwrap()?);
                continue;
            }
            match range.as_deref_mut().and_then(|parts| parts.unwrap.as_mut()) {
                Some(unwrap) => unwrap.filters.push(self.label_filter(0)?),
                None => stages.push(self.stage()?),
            }
        }
    }

    fn unwrap(&mut self) -> Result<Unwrap, QueryError> {
        self.cursor.name()?;
        let at = self.cursor.at;
        let mut label = self.cursor.name()?;
        let mut conversion = Conversion::None;
        if self.cursor.takes("(") {
            conversion = match label.as_str() {
                "duration" | "duration_seconds" => Conversion::Duration,
                "bytes" => Conversion::Bytes,
                other => return Err(wrong_at(at, format!("`{other}` is not duration, duration_seconds or bytes"))),
            };
            label = self.cursor.name()?;
            self.cursor.expect(")")?;
        }
        Ok(Unwrap { label, conversion, filters: Vec::new() })
    }

    fn line_filter(&mut self, operator: &str) -> Result<Stage, QueryError> {
        let mut patterns = Vec::new();
        loop {
            let at = self.cursor.at;
            if self.cursor.takes_word("ip") {
                if !matches!(operator, "|=" | "!=") {
                    return Err(wrong_at(at, format!("ip() stands behind |= and != only, not {operator}")));
                }
                self.cursor.expect("(")?;
                patterns.push(LinePattern::Ip(self.addresses()?));
                self.cursor.expect(")")?;
            } else {
                let text = self.cursor.quoted()?;
                patterns.push(match operator {
                    "|=" | "!=" => LinePattern::Text(text),
                    "|~" | "!~" => LinePattern::Regex(regex(&text).map_err(|error| wrong_at(at, error))?),
                    _ => LinePattern::Regex(extract::line_pattern(&text).map_err(|error| wrong_at(at, error))?),
                });
            }
            if !self.cursor.takes_word("or") {
                break;
            }
        }
        Ok(Stage::Line { is_wanted: operator.starts_with('|'), patterns })
    }

    fn addresses(&mut self) -> Result<Addresses, QueryError> {
        let at = self.cursor.at;
        let text = self.cursor.quoted()?;
        Addresses::read(&text).ok_or_else(|| wrong_at(at, format!("ip: invalid pattern {text:?}")))
    }

    fn stage(&mut self) -> Result<Stage, QueryError> {
        let at = self.cursor.at;
        let word = self.cursor.word();
        let is_parser = matches!(
            word.as_str(),
            "json"
                | "logfmt"
                | "pattern"
                | "regexp"
                | "unpack"
                | "decolorize"
                | "line_format"
                | "label_format"
                | "drop"
                | "keep"
                | "distinct"
        );
        if !is_parser {
            return Ok(Stage::Filter(self.label_filter(0)?));
        }
        self.cursor.name()?;
        Ok(match word.as_str() {
            "json" => {
                let of = |(name, path): (String, String)| {
                    Ok((name, extract::path(&path).map_err(|error| wrong_at(at, error))?))
                };
                Stage::Json(self.extractions()?.into_iter().map(of).collect::<Result<_, QueryError>>()?)
            }
            "logfmt" => {
                let (mut strict, mut keep_empty) = (false, false);
                while let Some(flag) = self.cursor.takes_any(&["--strict", "--keep-empty"]) {
                    if flag == "--strict" { strict = true } else { keep_empty = true }
                }
                Stage::Logfmt { labels: self.extractions()?, strict, keep_empty }
            }
            "pattern" => Stage::Pattern(Pattern::read(&self.cursor.quoted()?).map_err(|error| wrong_at(at, error))?),
            "regexp" => {
                let regex = regex(&self.cursor.quoted()?).map_err(|error| wrong_at(at, error))?;
                if regex.capture_names().flatten().next().is_none() {
                    return Err(wrong_at(at, "at least one named capture must be supplied"));
                }
                Stage::Regexp(regex)
            }
            "unpack" => Stage::Unpack,
            "decolorize" => Stage::Decolorize,
            "line_format" => {
                Stage::LineFormat(Template::read(&self.cursor.quoted()?).map_err(|error| wrong_at(at, error))?)
            }
            "label_format" => Stage::LabelFormat(self.label_formats()?),
            "drop" => Stage::Drop(self.named_labels()?),
            "keep" => Stage::Keep(self.named_labels()?),
            other => return Err(unsupported(format!("the stage `{other}` is not supported"))),
        })
    }

    /// `name`, or `name="expression"`, separated by commas; none is all.
    fn extractions(&mut self) -> Result<Vec<(String, String)>, QueryError> {
        let mut all = Vec::new();
        if !self.cursor.peek().is_some_and(|c| c.is_alphabetic() || c == '_') || self.is_behind_stages() {
            return Ok(all);
        }
        loop {
            let name = self.cursor.name()?;
            let expression = if self.cursor.takes("=") { self.cursor.quoted()? } else { name.clone() };
            all.push((name, expression));
            if !self.cursor.takes(",") {
                return Ok(all);
            }
        }
    }

    /// Whether a word of what follows a pipeline stands here.
    fn is_behind_stages(&mut self) -> bool {
        matches!(self.cursor.word().as_str(), "offset" | "by" | "without" | "or" | "and" | "unless")
    }

    fn label_formats(&mut self) -> Result<Vec<(String, LabelSource)>, QueryError> {
        let mut all = Vec::new();
        loop {
            let name = self.cursor.name()?;
            self.cursor.expect("=")?;
            let at = self.cursor.at;
            let source = if matches!(self.cursor.peek(), Some('"' | '`')) {
                LabelSource::Template(Template::read(&self.cursor.quoted()?).map_err(|error| wrong_at(at, error))?)
            } else {
                LabelSource::Label(self.cursor.name()?)
            };
            all.push((name, source));
            if !self.cursor.takes(",") {
                return Ok(all);
            }
        }
    }

    fn named_labels(&mut self) -> Result<Vec<NamedLabel>, QueryError> {
        let mut all = Vec::new();
        loop {
            let name = self.cursor.name()?;
            all.push(match self.comparison() {
                None => NamedLabel::Name(name),
                Some(operator) => NamedLabel::Matching(Matcher { name, test: self.text_test(operator)? }),
            });
            if !self.cursor.takes(",") {
                return Ok(all);
            }
        }
    }

    /// Conditions joined by `or`, and those joined by `and`, by commas or by nothing, which bind tighter.
    fn label_filter(&mut self, depth: usize) -> Result<LabelFilter, QueryError> {
        if depth > MAX_DEPTH {
            return Err(wrong_at(self.cursor.at, format!("conditions nest deeper than {MAX_DEPTH}")));
        }
        let mut any = self.label_filters(depth)?;
        while self.cursor.takes_word("or") {
            any = LabelFilter::Or(Box::new(any), Box::new(self.label_filters(depth)?));
        }
        Ok(any)
    }

    fn label_filters(&mut self, depth: usize) -> Result<LabelFilter, QueryError> {
        let mut all = self.condition(depth)?;
        loop {
            let is_next = self.cursor.takes_word("and")
                || self.cursor.takes(",")
                || (!self.is_behind_stages()
                    && self.cursor.peek().is_some_and(|c| c == '(' || c == '_' || c.is_alphabetic()));
            if !is_next {
                return Ok(all);
            }
            all = LabelFilter::And(Box::new(all), Box::new(self.condition(depth)?));
        }
    }

    fn condition(&mut self, depth: usize) -> Result<LabelFilter, QueryError> {
        if self.cursor.takes("(") {
            let inner = self.label_filter(depth + 1)?;
            self.cursor.expect(")")?;
            return Ok(inner);
        }
        let name = self.cursor.name()?;
        let operator = self.cursor.takes_any(&["=~", "!~", "==", "!=", ">=", "<=", ">", "<", "="]);
        let Some(operator) = operator else { return Err(self.cursor.unexpected("a comparison")) };
        let at = self.cursor.at;
        if matches!(operator, "=" | "!=") && self.cursor.takes_word("ip") {
            self.cursor.expect("(")?;
            let addresses = self.addresses()?;
            self.cursor.expect(")")?;
            return Ok(LabelFilter::Ip { name, is_wanted: operator == "=", addresses });
        }
        if matches!(self.cursor.peek(), Some('"' | '`')) {
            if !matches!(operator, "=" | "!=" | "=~" | "!~") {
                return Err(wrong_at(at, format!("`{operator}` compares numbers, not texts")));
            }
            return Ok(LabelFilter::Text(Matcher { name, test: self.text_test(operator)? }));
        }
        let comparison = Comparison::of(operator).ok_or_else(|| self.cursor.unexpected("a text in quotes"))?;
        let text = self.cursor.literal();
        let units = [Unit::None, Unit::Duration, Unit::Bytes];
        let read = units.into_iter().find_map(|unit| unit.read(&text).map(|value| (unit, value)));
        let (unit, value) =
            read.ok_or_else(|| wrong_at(at, format!("`{text}` is not a number, a duration or a size")))?;
        Ok(LabelFilter::Number { name, unit, comparison, value })
    }
}

fn regex(text: &str) -> Result<Regex, String> {
    // Named groups as in Go.
    let text = text.replace("(?P<", "(?<");
    regex::RegexBuilder::new(&text)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| format!("error parsing regexp: {error}"))
}

/// An expression that the whole text must fit.
fn anchored(text: &str) -> Result<Regex, String> {
    regex(&format!("^(?s:{text})$"))
}
