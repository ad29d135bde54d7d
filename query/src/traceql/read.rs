//! From text to a query.

use super::{Figure, Function, Metrics, TraceQl, TraceTest};
use crate::comparison::Comparison;
use crate::language::{Bound, Expr, FieldRef, Literal, Matcher};
use crate::traces::{Relation, Structure};
use crate::{ErrorCode, QueryError};

/// Queries longer than this are refused.
const MAX_BYTES: usize = 16 << 10;
/// Sets of one query.
const MAX_SETS: usize = 8;
/// Conditions may nest this deep.
const MAX_DEPTH: usize = 32;

fn unsupported(what: impl std::fmt::Display) -> QueryError {
    QueryError::unsupported("q", format!("{what} is not supported"))
}

/// Reads a query; an empty one is of all spans.
pub(crate) fn parse(text: &str) -> Result<TraceQl, QueryError> {
    if text.len() > MAX_BYTES {
        return Err(QueryError::invalid("q", format!("the query is longer than {MAX_BYTES} bytes")));
    }
    let mut reader = Reader { rest: text.trim(), whole: text, of_trace: Vec::new() };
    let mut query = TraceQl {
        structure: Structure::new(Expr::All, Vec::new()),
        of_trace: Vec::new(),
        count: None,
        selected: Vec::new(),
        metrics: None,
    };
    if reader.rest.is_empty() {
        return Ok(query);
    }
    query.structure = reader.sets()?;
    query.of_trace = std::mem::take(&mut reader.of_trace);
    while reader.takes("|") {
        reader.stage(&mut query)?;
    }
    if reader.word() == "with" {
        // Hints to Tempo on how to look, which change no answer.
        reader.name();
        reader.expect("(")?;
        let (_, behind) = reader.rest.split_once(')').ok_or_else(|| reader.wrong("`)`"))?;
        reader.rest = behind.trim_start();
    }
    if reader.rest.is_empty() { Ok(query) } else { Err(reader.wrong("the end")) }
}

/// What the name of a field stands for.
fn field(name: &str) -> Result<FieldRef, QueryError> {
    let unquoted = |key: &str| key.trim_matches('"').to_owned();
    let attribute = |key: &str, of: fn(String) -> FieldRef| match unquoted(key).as_str() {
        "service.name" => FieldRef::Column("service_name"),
        key => of(key.to_owned()),
    };
    if let Some(key) = name.strip_prefix('.') {
        return Ok(attribute(key, FieldRef::Either));
    }
    for (scope, of) in [
        ("span.", FieldRef::Attribute as fn(String) -> FieldRef),
        ("event.", FieldRef::EventAttribute),
        ("link.", FieldRef::LinkAttribute),
        ("instrumentation.", FieldRef::Scope),
    ] {
        if let Some(key) = name.strip_prefix(scope) {
            return Ok(of(unquoted(key)));
        }
    }
    if let Some(key) = name.strip_prefix("resource.") {
        return Ok(attribute(key, FieldRef::Resource));
    }
    Ok(match name.strip_prefix("span:").unwrap_or(name) {
        "name" => FieldRef::Column("name"),
        "duration" => FieldRef::Column("duration_ns"),
        "status" => FieldRef::Column("status_code"),
        "statusMessage" => FieldRef::Column("status_message"),
        "kind" => FieldRef::Column("kind"),
        "id" => FieldRef::Id("span_id"),
        "parentID" => FieldRef::Id("parent_span_id"),
        "trace:id" => FieldRef::Id("trace_id"),
        "event:name" => FieldRef::EventName,
        "instrumentation:name" => FieldRef::Column("scope_name"),
        "instrumentation:version" => FieldRef::Column("scope_version"),
        other => return Err(unsupported(format!("the field `{other}`"))),
    })
}

/// Whether a word where a value stands is the name of a field.
fn is_field(word: &str) -> bool {
    const INTRINSICS: [&str; 10] = [
        "name",
        "duration",
        "status",
        "statusMessage",
        "kind",
        "childCount",
        "rootName",
        "rootServiceName",
        "traceDuration",
        "parent",
    ];
    const SCOPES: [&str; 7] = ["span", "resource", "event", "link", "instrumentation", "trace", "parent"];
    let has_scope = |scope: &&str| word.strip_prefix(scope).is_some_and(|rest| rest.starts_with(['.', ':']));
    // A number may begin with a dot.
    (word.starts_with('.') && word.parse::<f64>().is_err())
        || INTRINSICS.contains(&word)
        || SCOPES.iter().any(has_scope)
}

struct Reader<'a> {
    rest: &'a str,
    whole: &'a str,
    /// Conditions on the whole trace so far.
    of_trace: Vec<TraceTest>,
}

fn checked(depth: usize) -> Result<(), QueryError> {
    if depth > MAX_DEPTH {
        return Err(QueryError::invalid("q", format!("conditions nest deeper than {MAX_DEPTH}")));
    }
    Ok(())
}

/// A value that a field is compared with.
enum Value {
    Literal(Literal),
    Nil,
}

impl<'a> Reader<'a> {
    fn wrong(&self, wanted: &str) -> QueryError {
        let position = self.whole.chars().count().saturating_sub(self.rest.chars().count());
        let found = self.rest.chars().next().map_or_else(|| "the end".to_owned(), |c| format!("`{c}`"));
        let message = format!("parse error at line 1, col {}: expected {wanted}, found {found}", position + 1);
        QueryError {
            field: Some("q"),
            position: Some(position),
            ..QueryError::new(ErrorCode::InvalidArgument, message)
        }
    }

    fn takes(&mut self, wanted: &str) -> bool {
        let Some(behind) = self.rest.strip_prefix(wanted) else { return false };
        self.rest = behind.trim_start();
        true
    }

    fn expect(&mut self, wanted: &str) -> Result<(), QueryError> {
        if self.takes(wanted) { Ok(()) } else { Err(self.wrong(&format!("`{wanted}`"))) }
    }

    /// The name of a field, a function or a value that stands here; quotes in it hold what else there is.
    fn word(&self) -> &'a str {
        let mut is_quoted = false;
        let end = self.rest.find(|c: char| {
            if c == '"' {
                is_quoted = !is_quoted;
            }
            !(is_quoted
                || c.is_alphanumeric()
                || matches!(c, '"' | '.' | '_' | '-' | ':' | '/' | '@' | '$' | '%' | 'µ'))
        });
        &self.rest[..end.unwrap_or(self.rest.len())]
    }

    fn name(&mut self) -> &'a str {
        let word = self.word();
        self.rest = self.rest[word.len()..].trim_start();
        word
    }

    /// Conditions on whole traces hold beside all others: they can be neither negated nor one of several.
    fn no_more_of_trace(&self, before: usize, what: &str) -> Result<(), QueryError> {
        if self.of_trace.len() == before {
            return Ok(());
        }
        Err(unsupported(format!("a condition on the root span or the duration of a trace {what}")))
    }

    fn sets(&mut self) -> Result<Structure, QueryError> {
        let mut first = self.set(0)?;
        let mut then: Vec<(Relation, Expr)> = Vec::new();
        loop {
            let operators = [
                (">>", Some(Relation::Descendant)),
                ("<<", Some(Relation::Ancestor)),
                ("&&", Some(Relation::SameTrace)),
                ("||", None),
                (">", Some(Relation::Child)),
                ("<", Some(Relation::Parent)),
                ("~", Some(Relation::Sibling)),
            ];
            if self.rest.starts_with(['!', '&']) && !self.rest.starts_with("&&") {
                return Err(unsupported("a negated or union structural operator"));
            }
            let Some((_, relation)) = operators.into_iter().find(|(text, _)| self.takes(text)) else {
                return Ok(Structure::new(first, then));
            };
            let next = self.set(0)?;
            match relation {
                Some(_) if then.len() + 1 >= MAX_SETS => {
                    return Err(QueryError::invalid("q", format!("there are more than {MAX_SETS} sets of spans")));
                }
                Some(relation) => then.push((relation, next)),
                // Traces of either set are the traces of a set of both, as long as nothing else stands between them.
                None if then.is_empty() => {
                    self.no_more_of_trace(0, "in a set beside `||`")?;
                    first = Expr::Or(vec![first, next]);
                }
                None => return Err(unsupported("`||` behind another operator between sets")),
            }
        }
    }

    fn set(&mut self, depth: usize) -> Result<Expr, QueryError> {
        checked(depth)?;
        if self.takes("(") {
            let inner = self.set(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.expect("{")?;
        if self.takes("}") {
            return Ok(Expr::All);
        }
        let condition = self.any(0)?;
        self.expect("}")?;
        Ok(condition)
    }

    fn any(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let before = self.of_trace.len();
        let mut any = vec![self.all(depth)?];
        while self.takes("||") {
            any.push(self.all(depth)?);
            self.no_more_of_trace(before, "beside `||`")?;
        }
        Ok(if any.len() == 1 { any.remove(0) } else { Expr::Or(any) })
    }

    fn all(&mut self, depth: usize) -> Result<Expr, QueryError> {
        let mut all = self.one(depth)?;
        while self.takes("&&") {
            all = all.and(self.one(depth)?);
        }
        Ok(all)
    }

    fn one(&mut self, depth: usize) -> Result<Expr, QueryError> {
        checked(depth)?;
        if self.takes("(") {
            let inner = self.any(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.rest.starts_with('!') {
            self.takes("!");
            let before = self.of_trace.len();
            let inner = self.one(depth + 1)?;
            self.no_more_of_trace(before, "behind `!`")?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        match self.word() {
            "true" => {
                self.name();
                return Ok(Expr::All);
            }
            "false" => {
                self.name();
                return Ok(Expr::Not(Box::new(Expr::All)));
            }
            "" => return Err(self.wrong("a field")),
            _ => {}
        }
        let name = self.name();
        let Some(operator) =
            ["=~", "!~", "!=", ">=", "<=", "=", ">", "<"].into_iter().find(|operator| self.takes(operator))
        else {
            // An attribute alone is one that is true.
            return compare(name, "=", Value::Literal(Literal::new("true".to_owned(), true)));
        };
        let value = self.value()?;
        if let Value::Literal(literal) = &value
            && let Some(test) = TraceTest::read(name, operator, &literal.text)?
        {
            self.of_trace.push(test);
            return Ok(Expr::All);
        }
        compare(name, operator, value)
    }

    fn quoted(&mut self) -> Result<Option<String>, QueryError> {
        let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '`')) else { return Ok(None) };
        let mut text = String::new();
        let mut is_escaped = false;
        for (place, c) in self.rest.char_indices().skip(1) {
            match c {
                _ if is_escaped => {
                    text.push(match c {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                    is_escaped = false;
                }
                '\\' if quote == '"' => is_escaped = true,
                c if c == quote => {
                    self.rest = self.rest[place + 1..].trim_start();
                    return Ok(Some(text));
                }
                c => text.push(c),
            }
        }
        Err(self.wrong("the end of a text in quotes"))
    }

    fn value(&mut self) -> Result<Value, QueryError> {
        if let Some(text) = self.quoted()? {
            return Ok(Value::Literal(Literal::new(text, true)));
        }
        let word = self.name();
        if word.is_empty() {
            return Err(self.wrong("a value"));
        }
        if word == "nil" {
            return Ok(Value::Nil);
        }
        if is_field(word) {
            return Err(unsupported(format!("a comparison with the field `{word}`")));
        }
        let is_number = word.parse::<f64>().is_ok();
        Ok(Value::Literal(Literal::new(word.to_owned(), !is_number)))
    }

    /// Fields separated by commas, up to the closing parenthesis.
    fn fields(&mut self) -> Result<Vec<(String, FieldRef)>, QueryError> {
        let mut fields = Vec::new();
        loop {
            let name = self.name();
            if name.is_empty() {
                return Err(self.wrong("a field"));
            }
            fields.push((name.to_owned(), field(name)?));
            if !self.takes(",") {
                self.expect(")")?;
                return Ok(fields);
            }
        }
    }

    fn stage(&mut self, query: &mut TraceQl) -> Result<(), QueryError> {
        let name = self.name();
        self.expect("(")?;
        match name {
            "select" => query.selected = self.fields()?,
            "count" => {
                self.expect(")")?;
                let operator = ["!=", ">=", "<=", "=", ">", "<"].into_iter().find(|text| self.takes(text));
                let compared = operator.and_then(Comparison::of).ok_or_else(|| self.wrong("a comparison"))?;
                let number = self.name().parse().map_err(|_| self.wrong("a number"))?;
                query.count = Some((compared, number));
            }
            "rate" | "count_over_time" => {
                self.expect(")")?;
                let function = if name == "rate" { Function::Rate } else { Function::Count };
                query.metrics = Some(self.metrics(function)?);
            }
            "sum_over_time"
            | "avg_over_time"
            | "min_over_time"
            | "max_over_time"
            | "histogram_over_time"
            | "quantile_over_time" => {
                let of = field(self.name())?;
                let figure = match name {
                    "sum_over_time" => Figure::Sum,
                    "avg_over_time" => Figure::Average,
                    "min_over_time" => Figure::Least,
                    "max_over_time" => Figure::Most,
                    "histogram_over_time" => Figure::Histogram,
                    _ => {
                        let mut quantiles = Vec::new();
                        while self.takes(",") {
                            quantiles.push(self.name().parse().map_err(|_| self.wrong("a quantile"))?);
                        }
                        Figure::Quantiles(quantiles)
                    }
                };
                self.expect(")")?;
                query.metrics = Some(self.metrics(Function::Of(of, figure))?);
            }
            other => return Err(unsupported(format!("the stage `{other}()`"))),
        }
        Ok(())
    }

    fn metrics(&mut self, function: Function) -> Result<Metrics, QueryError> {
        let mut by = Vec::new();
        if self.word() == "by" {
            self.name();
            self.expect("(")?;
            by = self.fields()?;
        }
        Ok(Metrics { function, by })
    }
}

/// A field compared with a value. As in Tempo, what a span has not is neither equal to a value nor different from it.
fn compare(name: &str, operator: &str, value: Value) -> Result<Expr, QueryError> {
    if matches!(name, "nestedSetParent" | "span:nestedSetParent") {
        // Grafana asks so for spans without parent.
        let is_root = matches!((operator, &value), ("<", Value::Literal(zero)) if zero.text == "0")
            || matches!((operator, &value), ("=", Value::Literal(one)) if one.text == "-1");
        return if is_root {
            Ok(Expr::Not(Box::new(Expr::Field(FieldRef::Id("parent_span_id"), Matcher::Exists))))
        } else {
            Err(unsupported("nestedSetParent other than `nestedSetParent<0`"))
        };
    }
    let field = field(name)?;
    let literal = match value {
        Value::Literal(literal) => literal,
        Value::Nil => {
            let exists = Expr::Field(field, Matcher::Exists);
            return match operator {
                "=" => Ok(Expr::Not(Box::new(exists))),
                "!=" => Ok(exists),
                other => Err(QueryError::invalid("q", format!("nil cannot be compared by `{other}`"))),
            };
        }
    };
    let bound = |inclusive: bool| Some(Bound { value: literal.clone(), inclusive });
    let matcher = match operator {
        "=~" | "!~" => {
            let regex = regex::RegexBuilder::new(&format!("^(?:{})$", literal.text)).size_limit(1 << 20).build();
            Matcher::Regex(regex.map_err(|error| QueryError::invalid("q", error.to_string()))?)
        }
        ">" => Matcher::Range(bound(false), None),
        ">=" => Matcher::Range(bound(true), None),
        "<" => Matcher::Range(None, bound(false)),
        "<=" => Matcher::Range(None, bound(true)),
        _ => Matcher::Equals(literal.clone()),
    };
    let exists = Expr::Field(field.clone(), Matcher::Exists);
    let (field, matcher) =
        field.adapt(matcher).map_err(|why| QueryError::invalid("q", format!("{name} {operator}: {why}")))?;
    let test = Expr::Field(field, matcher);
    Ok(if matches!(operator, "!=" | "!~") { exists.and(Expr::Not(Box::new(test))) } else { test })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn queries_of_grafana_are_read() {
        for query in [
            "",
            "{}",
            "{ }",
            "{resource.service.name=\"web\" && name=\"GET /\"}",
            "{ .http.status_code >= 500 || status = error }",
            "{ span.\"odd name\" =~ \"a.*\" && duration > 1.5s }",
            "{kind=server} >> {status=error} | count() > 2",
            "{nestedSetParent<0 && true && .a != nil}",
            "{ span.http.method != \"GET\" } | select(span.http.url, resource.service.name)",
            "{ status = error } | rate() by (resource.service.name) with(sample=true)",
            "{} | quantile_over_time(duration, 0.5, .99) by (name)",
            "({name=`a`}) && {name=\"b\"}",
            "{!(.a = 1)} || {.b}",
            "{rootServiceName = \"a\" && (traceDuration >= 1.5s) && .a = .5} >> {trace:rootName !~ \"b.*\"}",
        ] {
            parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        }
        for (query, named) in [
            ("{", "col 2"),
            ("{name=}", "a value"),
            ("{name \"a\"}", "`}`"),
            ("{rootName}", "rootName"),
            ("{rootName=\"a\" || name=\"b\"}", "beside `||`"),
            ("{rootName=\"a\"} || {}", "beside `||`"),
            ("{!(rootName=\"a\")}", "behind `!`"),
            ("{traceDuration > soon}", "such as 100ms"),
            ("{rootName > \"a\"}", "rootName >"),
            ("{} | by(name)", "by()"),
            ("{} !>> {}", "negated"),
            ("{name=\"a}", "quotes"),
            ("{} x", "the end"),
            ("{duration > soon}", "duration"),
            ("{span.a = span.b}", "the field `span.b`"),
            ("{.a != .b && name = \"x\"}", "the field `.b`"),
            ("{name = rootName}", "the field `rootName`"),
        ] {
            let error = parse(query).expect_err(query).to_string();
            assert!(error.contains(named), "{query}: {error}");
        }
    }
}
