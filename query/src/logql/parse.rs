//! From text to a query. A metric query gives PromQL with a name for each range aggregation.

mod stages;

use super::cursor::{Cursor, MAX_DEPTH};
use super::filter::Matcher;
use super::{
    Function, Grouping, LineQuery, MetricQuery, Query, RangeAggregation, Unwrap, range_name, unsupported, wrong_at,
};
use crate::QueryError;

/// Operators of metric queries by how tightly they bind, the loosest first.
const OPERATORS: [&[&str]; 6] =
    [&["or"], &["and", "unless"], &["==", "!=", ">=", "<=", ">", "<"], &["+", "-"], &["*", "/", "%"], &["^"]];

const AGGREGATIONS: [&str; 12] =
    ["sum", "avg", "min", "max", "count", "stddev", "stdvar", "topk", "bottomk", "sort", "sort_desc", "approx_topk"];

/// Reads a query.
pub(super) fn query(text: &str) -> Result<Query, QueryError> {
    let mut parser = Parser { cursor: Cursor::new(text), ranges: Vec::new() };
    if parser.cursor.is_end() {
        return Err(wrong_at(0, "syntax error: unexpected end, the query is empty"));
    }
    let query = match parser.lines_in_parentheses()? {
        Some(query) => Query::Lines(query),
        None => {
            let promql = parser.metric(0, 0)?;
            Query::Metric(MetricQuery { promql, ranges: parser.ranges.clone() })
        }
    };
    if !parser.cursor.is_end() {
        return Err(parser.cursor.unexpected("the end"));
    }
    Ok(query)
}

struct Parser {
    cursor: Cursor,
    ranges: Vec<RangeAggregation>,
}

/// The function of a range aggregation; quantiles have their parameter to come.
fn function(name: &str) -> Option<Function> {
    Some(match name {
        "rate" => Function::Rate,
        "rate_counter" => Function::RateCounter,
        "count_over_time" => Function::CountOverTime,
        "bytes_rate" => Function::BytesRate,
        "bytes_over_time" => Function::BytesOverTime,
        "absent_over_time" => Function::AbsentOverTime,
        "sum_over_time" => Function::SumOverTime,
        "avg_over_time" => Function::AvgOverTime,
        "min_over_time" => Function::MinOverTime,
        "max_over_time" => Function::MaxOverTime,
        "stddev_over_time" => Function::StddevOverTime,
        "stdvar_over_time" => Function::StdvarOverTime,
        "quantile_over_time" => Function::QuantileOverTime(0.0),
        "first_over_time" => Function::FirstOverTime,
        "last_over_time" => Function::LastOverTime,
        _ => return None,
    })
}

impl Function {
    /// Whether it needs a number out of each line.
    fn needs_number(self) -> Option<bool> {
        match self {
            Self::Rate | Self::AbsentOverTime => None,
            Self::CountOverTime | Self::BytesRate | Self::BytesOverTime => Some(false),
            _ => Some(true),
        }
    }

    /// Whether its labels may be grouped.
    fn can_group(self) -> bool {
        matches!(
            self,
            Self::AvgOverTime
                | Self::MinOverTime
                | Self::MaxOverTime
                | Self::StddevOverTime
                | Self::StdvarOverTime
                | Self::QuantileOverTime(_)
                | Self::FirstOverTime
                | Self::LastOverTime
        )
    }

    /// Whether values of groups add up to the value of all.
    fn adds_up(self) -> bool {
        matches!(self, Self::Rate | Self::CountOverTime | Self::BytesRate | Self::BytesOverTime | Self::SumOverTime)
    }
}

impl Parser {
    /// A query for lines, in parentheses or not; `None`, with nothing taken, when it is one for numbers.
    fn lines_in_parentheses(&mut self) -> Result<Option<LineQuery>, QueryError> {
        let start = self.cursor.at;
        let mut open = 0;
        while self.cursor.takes("(") {
            open += 1;
        }
        if self.cursor.peek() != Some('{') {
            self.cursor.at = start;
            return Ok(None);
        }
        let matchers = self.selector()?;
        let stages = self.stages(&mut None)?;
        for _ in 0..open {
            self.cursor.expect(")")?;
        }
        checked(&matchers, start)?;
        Ok(Some(LineQuery { matchers, stages }))
    }

    /// An expression whose operators bind at least so tightly.
    fn metric(&mut self, level: usize, depth: usize) -> Result<String, QueryError> {
        if depth > MAX_DEPTH {
            return Err(wrong_at(self.cursor.at, format!("expressions nest deeper than {MAX_DEPTH}")));
        }
        let Some(operators) = OPERATORS.get(level) else { return self.operand(depth) };
        let mut left = self.metric(level + 1, depth)?;
        while let Some(operator) = self.operator(operators) {
            let modifier = self.modifier(operator)?;
            // Powers are taken from right to left.
            let right = self.metric(if operator == "^" { level } else { level + 1 }, depth + 1)?;
            left = format!("({left}) {operator}{modifier} ({right})");
        }
        Ok(left)
    }

    fn operator(&mut self, operators: &[&'static str]) -> Option<&'static str> {
        operators.iter().copied().find(|operator| {
            if operator.chars().all(char::is_alphabetic) {
                self.cursor.takes_word(operator)
            } else {
                self.cursor.takes(operator)
            }
        })
    }

    /// `bool`, `on (…)`, `ignoring (…)`, `group_left (…)` behind an operator.
    fn modifier(&mut self, operator: &str) -> Result<String, QueryError> {
        let mut out = String::new();
        if self.cursor.takes_word("bool") {
            if !OPERATORS[2].contains(&operator) {
                return Err(wrong_at(self.cursor.at, format!("unexpected `bool` behind `{operator}`")));
            }
            out.push_str(" bool");
        }
        for word in ["on", "ignoring"] {
            if self.cursor.takes_word(word) {
                out.extend([" ", word, " (", &self.names()?.join(", "), ")"]);
                for side in ["group_left", "group_right"] {
                    if self.cursor.takes_word(side) {
                        let names = if self.cursor.peek() == Some('(') { self.names()? } else { Vec::new() };
                        out.extend([" ", side, " (", &names.join(", "), ")"]);
                    }
                }
            }
        }
        Ok(out)
    }

    /// Names in parentheses.
    fn names(&mut self) -> Result<Vec<String>, QueryError> {
        self.cursor.expect("(")?;
        let mut names = Vec::new();
        while !self.cursor.takes(")") {
            names.push(self.cursor.name()?);
            if !self.cursor.takes(",") && self.cursor.peek() != Some(')') {
                return Err(self.cursor.unexpected("`,` or `)`"));
            }
        }
        Ok(names)
    }

    fn operand(&mut self, depth: usize) -> Result<String, QueryError> {
        if depth > MAX_DEPTH {
            return Err(wrong_at(self.cursor.at, format!("expressions nest deeper than {MAX_DEPTH}")));
        }
        if self.cursor.takes("(") {
            let inner = self.metric(0, depth + 1)?;
            self.cursor.expect(")")?;
            return Ok(format!("({inner})"));
        }
        let at = self.cursor.at;
        match self.cursor.peek() {
            Some('{') => {
                return Err(wrong_at(at, "a log query has no number: put it into count_over_time(…[5m]) or the like"));
            }
            Some(sign @ ('-' | '+')) => {
                self.cursor.at += 1;
                return Ok(format!("{sign}{}", self.operand(depth + 1)?));
            }
            Some(c) if c.is_ascii_digit() || c == '.' => {
                let text = self.cursor.literal();
                return match text.parse::<f64>() {
                    Ok(_) => Ok(text),
                    Err(_) => Err(wrong_at(at, format!("`{text}` is not a number"))),
                };
            }
            _ => {}
        }
        let at = self.cursor.at;
        let name = self.cursor.name()?;
        if let Some(function) = function(&name) {
            return self.range_aggregation(function, &name);
        }
        if AGGREGATIONS.contains(&name.as_str()) {
            return self.aggregation(&name, depth);
        }
        match name.as_str() {
            "vector" => {
                self.cursor.expect("(")?;
                let inner = self.operand(depth + 1)?;
                self.cursor.expect(")")?;
                Ok(format!("vector({inner})"))
            }
            "label_replace" => {
                self.cursor.expect("(")?;
                let inner = self.metric(0, depth + 1)?;
                let mut texts = Vec::new();
                for _ in 0..4 {
                    self.cursor.expect(",")?;
                    // Rust's form of a quoted text is one of PromQL for all that labels hold but other escapes.
                    texts.push(promql_text(&self.cursor.quoted()?));
                }
                self.cursor.expect(")")?;
                Ok(format!("label_replace({inner}, {})", texts.join(", ")))
            }
            "variants" => Err(unsupported("`variants` is an experiment of Loki and not supported")),
            _ => {
                Err(wrong_at(at, format!("syntax error: unexpected `{name}`, expecting a function or an aggregation")))
            }
        }
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, QueryError> {
        let without = match self.cursor.word().as_str() {
            "by" => false,
            "without" => true,
            _ => return Ok(None),
        };
        self.cursor.name()?;
        Ok(Some(Grouping { without, labels: self.names()? }))
    }

    fn aggregation(&mut self, name: &str, depth: usize) -> Result<String, QueryError> {
        let before = self.grouping()?;
        self.cursor.expect("(")?;
        let mut parameter = String::new();
        if matches!(name, "topk" | "bottomk" | "approx_topk") {
            let at = self.cursor.at;
            let text = self.cursor.literal();
            text.parse::<u32>().map_err(|_| wrong_at(at, format!("{name} needs a number of series first")))?;
            self.cursor.expect(",")?;
            parameter = format!("{text}, ");
        }
        let ranges_before = self.ranges.len();
        let inner = self.metric(0, depth + 1)?;
        self.cursor.expect(")")?;
        let grouping = match before {
            Some(before) => Some(before),
            None => self.grouping()?,
        };
        if matches!(name, "sort" | "sort_desc") && grouping.is_some() {
            return Err(wrong_at(self.cursor.at, format!("{name} has no grouping")));
        }
        // Adding up is the same before and after other labels are dropped, and then there are fewer series.
        let is_direct = inner.trim_matches(['(', ')']) == range_name(ranges_before);
        if name == "sum" && is_direct && self.ranges.len() == ranges_before + 1 {
            let range = &mut self.ranges[ranges_before];
            if range.function.adds_up() && range.grouping.is_none() {
                range.kept = Some(grouping.clone().unwrap_or(Grouping { without: false, labels: Vec::new() }));
            }
        }
        let grouping = grouping.map_or_else(String::new, |grouping| {
            format!(" {} ({})", if grouping.without { "without" } else { "by" }, grouping.labels.join(", "))
        });
        // The series of LogQL are all there, so that nothing need be approximate.
        let name = if name == "approx_topk" { "topk" } else { name };
        Ok(format!("{name}{grouping} ({parameter}{inner})"))
    }

    fn range_aggregation(&mut self, mut function: Function, name: &str) -> Result<String, QueryError> {
        let at = self.cursor.at;
        let before = self.grouping()?;
        self.cursor.expect("(")?;
        if let Function::QuantileOverTime(quantile) = &mut function {
            let text = self.cursor.literal();
            *quantile = text.parse().map_err(|_| wrong_at(at, "quantile_over_time needs a quantile first"))?;
            self.cursor.expect(",")?;
        }
        let mut found = RangeParts::default();
        let mut open = 0;
        while self.cursor.takes("(") {
            open += 1;
        }
        let matchers = self.selector()?;
        let mut stages = self.stages(&mut Some(&mut found))?;
        while self.cursor.takes(")") {
            if open == 0 {
                self.cursor.at -= 1;
                break;
            }
            open -= 1;
            stages.extend(self.stages(&mut Some(&mut found))?);
        }
        self.cursor.expect(")")?;
        checked(&matchers, at)?;
        let grouping = match before {
            Some(before) => Some(before),
            None => self.grouping()?,
        };
        let range =
            found.range.ok_or_else(|| wrong_at(self.cursor.at, format!("{name} needs a range such as [5m]")))?;
        if range <= 0 {
            return Err(wrong_at(at, "a range must be longer than nothing"));
        }
        match (function.needs_number(), &found.unwrap) {
            (Some(true), None) => return Err(wrong_at(at, format!("invalid aggregation {name} without unwrap"))),
            (Some(false), Some(_)) => return Err(wrong_at(at, format!("invalid aggregation {name} with unwrap"))),
            _ => {}
        }
        if grouping.is_some() && !function.can_group() {
            return Err(wrong_at(at, format!("grouping not allowed for {name} aggregation")));
        }
        self.ranges.push(RangeAggregation {
            function,
            query: LineQuery { matchers, stages },
            range,
            offset: found.offset,
            unwrap: found.unwrap,
            grouping,
            kept: None,
        });
        Ok(range_name(self.ranges.len() - 1))
    }
}

/// What stands in a range aggregation beside its pipeline.
#[derive(Default)]
struct RangeParts {
    range: Option<i64>,
    offset: i64,
    unwrap: Option<Unwrap>,
}

/// A selector must ask for something that is there.
fn checked(matchers: &[Matcher], at: usize) -> Result<(), QueryError> {
    if matchers.iter().any(|matcher| !matcher.test.passes("")) {
        return Ok(());
    }
    Err(wrong_at(
        at,
        "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For \
         instance, app=~\".*\" does not meet this requirement, but app=~\".+\" will",
    ))
}

/// A text as PromQL writes it.
fn promql_text(text: &str) -> String {
    let escaped =
        text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
    format!("\"{escaped}\"")
}
