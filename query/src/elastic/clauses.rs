//! Clauses of Elasticsearch's query language as the tree of searches.

use super::time::{self, Rounding};
use super::{TIME, lucene, unsupported};
use crate::language::{self, Bound, Expr, FieldRef, Literal, Matcher, TextPattern};
use crate::{QueryError, now_ns};
use mangru_store::{ELASTIC_ID, ELASTIC_INDEX, Signal, TimeRange};
use serde_json::{Map, Value as Json};

/// Clauses may nest this deep.
const MAX_DEPTH: usize = 32;

fn wrong(clause: &str, message: impl std::fmt::Display) -> QueryError {
    QueryError::invalid("query", format!("[{clause}] {message}"))
}

/// A field's name as the search language reads it.
pub(super) fn name(field: &str) -> String {
    let is_plain = field.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    if is_plain { field.to_owned() } else { format!("\"{}\"", field.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// What a field's name in Elasticsearch stands for.
pub(super) fn field(name: &str, signal: Signal) -> FieldRef {
    let name = name.strip_suffix(".keyword").unwrap_or(name);
    match name {
        "message" if signal == Signal::Logs => FieldRef::Column("body"),
        "log.level" | "level" if signal == Signal::Logs => FieldRef::Severity,
        "trace.id" | "trace_id" => FieldRef::Id("trace_id"),
        "span.id" | "span_id" => FieldRef::Id("span_id"),
        "_index" => FieldRef::Resource(ELASTIC_INDEX.to_owned()),
        "_id" => FieldRef::Attribute(ELASTIC_ID.to_owned()),
        TIME => FieldRef::Column("time"),
        _ => FieldRef::of(name, signal),
    }
}

/// A pattern with `*` and `?` for the whole of a value.
pub(super) fn wildcard(pattern: &str, ignores_case: bool) -> Result<Matcher, QueryError> {
    if !pattern.contains(['*', '?']) && !ignores_case {
        return Ok(Matcher::Equals(Literal::new(pattern.to_owned(), true)));
    }
    if pattern == "*" {
        return Ok(Matcher::Exists);
    }
    let prefix = if ignores_case { "" } else { pattern.split(['*', '?']).next().unwrap_or_default() };
    let regex = regex::RegexBuilder::new(&format!("^{}$", wildcard_expression(pattern)))
        .case_insensitive(ignores_case)
        .dot_matches_new_line(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| wrong("wildcard", error))?;
    Ok(Matcher::Glob(prefix.to_owned(), regex))
}

fn wildcard_expression(pattern: &str) -> String {
    let mut expression = String::new();
    for c in pattern.chars() {
        match c {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads clauses, and keeps the range of time that all documents must lie in.
pub(super) struct Clauses {
    signal: Signal,
    pub(super) range: TimeRange,
}

/// Whether a clause must hold for every document: only there a range of time narrows the scan.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Required,
    Other,
}

impl Clauses {
    pub(super) const fn new(signal: Signal) -> Self {
        Self { signal, range: TimeRange::ALL }
    }

    /// A clause that all documents must fit.
    pub(super) fn required(&mut self, query: &Json) -> Result<Expr, QueryError> {
        self.clause(query, Place::Required, 0)
    }

    /// A clause of an aggregation, where a range of time cannot be asked for.
    pub(super) fn other(signal: Signal, query: &Json) -> Result<Expr, QueryError> {
        Self::new(signal).clause(query, Place::Other, 0)
    }

    fn clause(&mut self, query: &Json, place: Place, depth: usize) -> Result<Expr, QueryError> {
        if depth > MAX_DEPTH {
            return Err(wrong("bool", format!("clauses nest deeper than {MAX_DEPTH}")));
        }
        let members = query.as_object().ok_or_else(|| wrong("query", "is not an object"))?;
        let mut each = members.iter();
        let (Some((kind, body)), None) = (each.next(), each.next()) else {
            return Err(wrong("query", "must be one clause"));
        };
        match kind.as_str() {
            "match_all" => Ok(Expr::All),
            "match_none" => Ok(Expr::Not(Box::new(Expr::All))),
            "bool" => self.boolean(body, place, depth),
            "constant_score" => self.clause(&body["filter"], place, depth + 1),
            "range" => self.range(body, place),
            "exists" => {
                let field = body["field"].as_str().ok_or_else(|| wrong("exists", "must be provided with a [field]"))?;
                Ok(if field == TIME { Expr::All } else { Expr::Field(self.field(field), Matcher::Exists) })
            }
            "ids" => {
                let values = body["values"].as_array().ok_or_else(|| wrong("ids", "must be provided with [values]"))?;
                let any = values.iter().map(|value| self.equals("_id", value)).collect::<Result<_, _>>()?;
                Ok(Expr::Or(any))
            }
            "query_string" | "simple_query_string" => self.query_string(body),
            "multi_match" => self.multi_match(body),
            "term"
            | "terms"
            | "match"
            | "match_phrase"
            | "match_phrase_prefix"
            | "match_bool_prefix"
            | "prefix"
            | "wildcard"
            | "regexp" => self.on_field(kind, body),
            other => Err(unsupported(format!("unknown query [{other}]: it"))),
        }
    }

    fn field(&self, name: &str) -> FieldRef {
        field(name, self.signal)
    }

    fn is_text(&self, name: &str) -> bool {
        self.signal == Signal::Logs && name == "message"
    }

    fn list(&mut self, body: &Json, place: Place, depth: usize) -> Result<Vec<Expr>, QueryError> {
        match body {
            Json::Null => Ok(Vec::new()),
            Json::Array(all) => all.iter().map(|clause| self.clause(clause, place, depth + 1)).collect(),
            one => Ok(vec![self.clause(one, place, depth + 1)?]),
        }
    }

    fn boolean(&mut self, body: &Json, place: Place, depth: usize) -> Result<Expr, QueryError> {
        const KNOWN: [&str; 6] = ["must", "filter", "should", "must_not", "minimum_should_match", "boost"];
        let members = body.as_object().ok_or_else(|| wrong("bool", "is not an object"))?;
        if let Some(name) = members.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            return Err(wrong("bool", format!("query does not support [{name}]")));
        }
        let mut all = self.list(&body["must"], place, depth)?;
        all.extend(self.list(&body["filter"], place, depth)?);
        for clause in self.list(&body["must_not"], Place::Other, depth)? {
            all.push(Expr::Not(Box::new(clause)));
        }
        // A single thing that should be and has nothing beside it must be.
        let has_others = ["must", "filter"].iter().any(|name| match &body[*name] {
            Json::Null => false,
            Json::Array(clauses) => !clauses.is_empty(),
            _ => true,
        });
        let least = match &body["minimum_should_match"] {
            Json::Null => u64::from(!has_others),
            Json::Number(number) => number.as_u64().unwrap_or(2),
            Json::String(text) => text.parse().unwrap_or(2),
            _ => 2,
        };
        let should = self.list(&body["should"], Place::Other, depth)?;
        match least {
            _ if should.is_empty() => {}
            0 => {}
            1 => all.push(Expr::Or(should)),
            count if count as usize == should.len() => all.extend(should),
            _ => return Err(unsupported("[minimum_should_match] other than 0, 1 or the number of clauses")),
        }
        Ok(all.into_iter().fold(Expr::All, Expr::and))
    }

    /// The field and what is asked of it.
    fn one_field<'a>(kind: &str, body: &'a Json) -> Result<(&'a String, &'a Json), QueryError> {
        let members = body.as_object().ok_or_else(|| wrong(kind, "is not an object"))?;
        let mut fields = members.iter().filter(|(name, _)| !matches!(name.as_str(), "boost" | "_name"));
        match (fields.next(), fields.next()) {
            (Some(field), None) => Ok(field),
            _ => Err(wrong(kind, "query doesn't support multiple fields")),
        }
    }

    fn equals(&self, name: &str, value: &Json) -> Result<Expr, QueryError> {
        let literal = Literal::new(text(value), value.is_string());
        let (field, matcher) = self
            .field(name)
            .adapt(Matcher::Equals(literal))
            .map_err(|why| wrong("term", format!("on [{name}]: {why}")))?;
        Ok(Expr::Field(field, matcher))
    }

    fn on_field(&mut self, kind: &str, body: &Json) -> Result<Expr, QueryError> {
        let (name, asked) = Self::one_field(kind, body)?;
        let option = |option: &str| asked.get(option);
        let value = |names: &[&str]| -> Result<Json, QueryError> {
            match asked {
                Json::Object(_) => names
                    .iter()
                    .find_map(|name| asked.get(*name))
                    .cloned()
                    .ok_or_else(|| wrong(kind, format!("on [{name}] has no value"))),
                plain => Ok(plain.clone()),
            }
        };
        let ignores_case = option("case_insensitive") == Some(&Json::Bool(true));
        match kind {
            "term" => {
                let value = value(&["value"])?;
                if ignores_case {
                    return Ok(Expr::Field(self.field(name), wildcard(&text(&value), true)?));
                }
                self.equals(name, &value)
            }
            "terms" => {
                let values =
                    asked.as_array().ok_or_else(|| wrong(kind, format!("on [{name}] needs a list of values")))?;
                Ok(Expr::Or(values.iter().map(|value| self.equals(name, value)).collect::<Result<_, _>>()?))
            }
            "prefix" => {
                let prefix = text(&value(&["value"])?);
                if self.is_text(name) {
                    return Ok(TextPattern::prefix(&prefix).map_or(Expr::All, Expr::Text));
                }
                let escaped: String = prefix.chars().filter(|c| !matches!(c, '*' | '?')).collect();
                if escaped != prefix {
                    return Err(unsupported("a prefix with * or ?"));
                }
                Ok(Expr::Field(self.field(name), wildcard(&format!("{prefix}*"), ignores_case)?))
            }
            "wildcard" => {
                let pattern = text(&value(&["value", "wildcard"])?);
                if self.is_text(name) {
                    return Ok(Expr::Text(TextPattern::Regex(word_regex(
                        &wildcard_expression(&pattern).replace(".*", "\\w*"),
                    )?)));
                }
                Ok(Expr::Field(self.field(name), wildcard(&pattern, ignores_case)?))
            }
            "regexp" => {
                let expression = text(&value(&["value"])?);
                if self.is_text(name) {
                    return Ok(Expr::Text(TextPattern::Regex(word_regex(&format!("(?:{expression})"))?)));
                }
                let regex = regex::RegexBuilder::new(&format!("^(?:{expression})$"))
                    .case_insensitive(ignores_case)
                    .size_limit(1 << 20)
                    .build()
                    .map_err(|error| wrong(kind, error))?;
                Ok(Expr::Field(self.field(name), Matcher::Regex(regex)))
            }
            _ => {
                let is_and =
                    option("operator").and_then(Json::as_str).is_some_and(|word| word.eq_ignore_ascii_case("and"));
                if option("fuzziness")
                    .is_some_and(|fuzziness| !matches!(fuzziness, Json::Null) && text(fuzziness) != "0")
                {
                    return Err(unsupported("[fuzziness]"));
                }
                self.matches(kind, name, &value(&["query"])?, is_and)
            }
        }
    }

    /// `match` and its kin: by words in the text, by the whole value elsewhere.
    fn matches(&self, kind: &str, name: &str, value: &Json, is_and: bool) -> Result<Expr, QueryError> {
        if !self.is_text(name) {
            if kind == "match_phrase_prefix" {
                return Ok(Expr::Field(self.field(name), wildcard(&format!("{}*", text(value)), false)?));
            }
            return self.equals(name, value);
        }
        let asked = text(value);
        let phrase = |text: &str| TextPattern::phrase(text).map(Expr::Text);
        match kind {
            "match_phrase" => Ok(phrase(&asked).unwrap_or(Expr::Not(Box::new(Expr::All)))),
            "match_phrase_prefix" | "match_bool_prefix" => {
                let (head, last) = asked.trim().rsplit_once(char::is_whitespace).unwrap_or(("", asked.trim()));
                let last = TextPattern::prefix(last).map_or(Expr::All, Expr::Text);
                Ok(phrase(head).unwrap_or(Expr::All).and(last))
            }
            _ => {
                let words: Vec<Expr> = asked.split_whitespace().filter_map(phrase).collect();
                Ok(match words.len() {
                    0 => Expr::Not(Box::new(Expr::All)),
                    _ if is_and => words.into_iter().fold(Expr::All, Expr::and),
                    _ => Expr::Or(words),
                })
            }
        }
    }

    fn multi_match(&mut self, body: &Json) -> Result<Expr, QueryError> {
        let fields = body["fields"].as_array().cloned().unwrap_or_else(|| vec!["message".into()]);
        let kind = match body["type"].as_str().unwrap_or("best_fields") {
            "phrase" => "match_phrase",
            "phrase_prefix" => "match_phrase_prefix",
            "best_fields" | "most_fields" | "cross_fields" => "match",
            other => return Err(unsupported(format!("[multi_match] of type [{other}]"))),
        };
        let is_and = body["operator"].as_str().is_some_and(|word| word.eq_ignore_ascii_case("and"));
        let mut any = Vec::new();
        for field in fields.iter().filter_map(Json::as_str) {
            let name = field.split('^').next().unwrap_or_default();
            if name.contains('*') {
                if name != "*" {
                    return Err(unsupported("[multi_match] over a pattern of fields"));
                }
                any.push(self.matches(kind, "message", &body["query"], is_and)?);
            } else {
                any.push(self.matches(kind, name, &body["query"], is_and)?);
            }
        }
        Ok(Expr::Or(any))
    }

    fn query_string(&self, body: &Json) -> Result<Expr, QueryError> {
        let text = body["query"].as_str().ok_or_else(|| wrong("query_string", "must be provided with a [query]"))?;
        let is_and = body["default_operator"].as_str().is_some_and(|word| word.eq_ignore_ascii_case("and"));
        let search = lucene::search(text, is_and)?;
        language::parse(&search, self.signal)
            .map_err(|error| wrong("query_string", format!("Failed to parse query [{text}]: {error}")))
    }

    fn range(&mut self, body: &Json, place: Place) -> Result<Expr, QueryError> {
        let (name, asked) = Self::one_field("range", body)?;
        let asked = asked.as_object().ok_or_else(|| wrong("range", format!("on [{name}] is not an object")))?;
        if matches!(name.as_str(), TIME | "time") {
            return self.time_range(asked, place);
        }
        let bound = |value: &Json, inclusive: bool| {
            let text = text(value);
            // A number in quotes is compared as a number all the same.
            let is_number = text.parse::<f64>().is_ok();
            Bound { value: Literal::new(text, !is_number), inclusive }
        };
        let (mut low, mut high) = (None, None);
        for (key, value) in asked.iter().filter(|(_, value)| !value.is_null()) {
            match key.as_str() {
                "gte" | "from" => low = Some(bound(value, true)),
                "gt" => low = Some(bound(value, false)),
                "lte" | "to" => high = Some(bound(value, true)),
                "lt" => high = Some(bound(value, false)),
                "format" | "boost" | "time_zone" | "include_lower" | "include_upper" => {}
                other => return Err(wrong("range", format!("query does not support [{other}]"))),
            }
        }
        let (field, matcher) = self
            .field(name)
            .adapt(Matcher::Range(low, high))
            .map_err(|why| wrong("range", format!("on [{name}]: {why}")))?;
        Ok(Expr::Field(field, matcher))
    }

    fn time_range(&mut self, asked: &Map<String, Json>, place: Place) -> Result<Expr, QueryError> {
        if place != Place::Required {
            return Err(unsupported(format!("a range of {TIME} that not all documents must lie in")));
        }
        if asked.get("time_zone").and_then(Json::as_str).is_some_and(|zone| !matches!(zone, "UTC" | "Z" | "+00:00")) {
            return Err(unsupported("[time_zone] other than UTC"));
        }
        let is_seconds = asked.get("format").and_then(Json::as_str) == Some("epoch_second");
        for (key, value) in asked.iter().filter(|(_, value)| !value.is_null()) {
            let rounding = if matches!(key.as_str(), "gt" | "lte" | "to") { Rounding::Up } else { Rounding::Down };
            let moment = || {
                let written = if is_seconds { format!("{}000", text(value)) } else { text(value) };
                let time = time::moment(&written, now_ns(), rounding);
                // A bound in milliseconds holds all of its last millisecond.
                let is_coarse = written.parse::<i64>().is_ok() || written.contains('.') && written.len() == 24;
                let whole = if rounding == Rounding::Up && is_coarse { 999_999 } else { 0 };
                time.map(|time| time.saturating_add(whole))
                    .ok_or_else(|| wrong("range", format!("failed to parse date field [{written}]")))
            };
            match key.as_str() {
                "gte" | "from" => self.range.start = self.range.start.max(moment()?),
                "gt" => self.range.start = self.range.start.max(moment()?.saturating_add(1)),
                "lte" | "to" => self.range.end = self.range.end.min(moment()?.saturating_add(1)),
                "lt" => self.range.end = self.range.end.min(moment()?),
                "format" | "boost" | "time_zone" => {}
                other => return Err(wrong("range", format!("query does not support [{other}]"))),
            }
        }
        self.range.end = self.range.end.max(self.range.start);
        Ok(Expr::All)
    }
}

/// An expression for one word of a text, in any case.
fn word_regex(expression: &str) -> Result<regex::Regex, QueryError> {
    regex::RegexBuilder::new(&format!(r"\b{expression}\b"))
        .case_insensitive(true)
        .size_limit(1 << 20)
        .build()
        .map_err(|error| wrong("regexp", error))
}
