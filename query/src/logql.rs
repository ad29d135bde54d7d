//! LogQL over the logs of the store, as Loki evaluates it (<https://grafana.com/docs/loki/latest/query/>).
//!
//! A stream's labels are the attributes of its resource with dots as underscores, `service_name` among them; structured metadata are the
//! attributes of the record, its ids, its severity (`detected_level`) and its scope. Selectors and line filters become the same tree
//! that searches use, so that indexes serve them; what comes behind a parser is looked at line by line. Metric queries are cut in two: each
//! range aggregation is computed here, at every step, and what stands around them is evaluated as PromQL, whose operators and aggregations
//! are the same. What is not supported is an error.

mod cursor;
mod extract;
mod filter;
mod lines;
mod parse;
mod range;
mod select;
mod stage;
mod tail;
mod template;

use crate::QueryError;
pub(crate) use extract::logfmt_pairs;
pub(crate) use filter::Matcher;
use filter::{LabelFilter, TextTest};
pub(crate) use lines::{Entry, LinesRequest, Parser};
pub(crate) use range::MetricRequest;
use regex::Regex;
pub(crate) use select::Streams;
pub(crate) use stage::{Kind, Label};
pub(crate) use tail::{LinesTail, Tailed};
use template::Template;

/// Queries longer than this are refused.
const MAX_QUERY_BYTES: usize = 32 << 10;

/// A query.
#[derive(Clone, Debug)]
pub(crate) enum Query {
    /// Lines.
    Lines(LineQuery),
    /// Numbers.
    Metric(MetricQuery),
}

/// Which lines, and what is done with each.
#[derive(Clone, Debug)]
pub(crate) struct LineQuery {
    /// What the stream's labels must be.
    pub(crate) matchers: Vec<Matcher>,
    stages: Vec<Stage>,
}

/// A step of a pipeline.
#[derive(Clone, Debug)]
enum Stage {
    /// The line must, or must not, hold any of these.
    Line { is_wanted: bool, patterns: Vec<LinePattern> },
    /// Members of a JSON object become labels: all, or those of these paths under other names.
    Json(Vec<(String, Vec<extract::Step>)>),
    /// Pairs of logfmt become labels: all, or some under other names.
    Logfmt { labels: Vec<(String, String)>, strict: bool, keep_empty: bool },
    /// What stands between the fixed pieces of a line becomes labels.
    Pattern(extract::Pattern),
    /// Named groups become labels.
    Regexp(Regex),
    /// Undoes Promtail's `pack`.
    Unpack,
    /// Takes colours of terminals out.
    Decolorize,
    /// The line becomes this.
    LineFormat(Template),
    /// Labels become others.
    LabelFormat(Vec<(String, LabelSource)>),
    /// Labels must be so.
    Filter(LabelFilter),
    /// Without these labels.
    Drop(Vec<NamedLabel>),
    /// With these labels only.
    Keep(Vec<NamedLabel>),
}

/// A text that a line must hold.
#[derive(Clone, Debug)]
enum LinePattern {
    Text(String),
    Regex(Regex),
    Ip(filter::Addresses),
}

#[derive(Clone, Debug)]
enum LabelSource {
    Label(String),
    Template(Template),
}

/// A label by its name, or by its name and value.
#[derive(Clone, Debug)]
enum NamedLabel {
    Name(String),
    Matching(Matcher),
}

/// An expression around range aggregations.
#[derive(Clone, Debug)]
pub(crate) struct MetricQuery {
    /// The same in PromQL; [`range_name`] stands for each range aggregation.
    promql: String,
    ranges: Vec<RangeAggregation>,
}

/// The name that stands for a range aggregation in PromQL.
fn range_name(number: usize) -> String {
    format!("__range_{number}")
}

/// A function over the lines of a window.
#[derive(Clone, Debug)]
struct RangeAggregation {
    function: Function,
    query: LineQuery,
    /// Nanoseconds.
    range: i64,
    /// Nanoseconds; how far the window lies back.
    offset: i64,
    unwrap: Option<Unwrap>,
    grouping: Option<Grouping>,
    /// What the aggregation around it leaves of the labels, when adding up first and dropping later is the same.
    kept: Option<Grouping>,
}

/// A label whose value is the number, and what must hold after it was read.
#[derive(Clone, Debug)]
struct Unwrap {
    label: String,
    conversion: Conversion,
    filters: Vec<LabelFilter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversion {
    None,
    Duration,
    Bytes,
}

/// Labels that are kept or left out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grouping {
    without: bool,
    labels: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Rate,
    RateCounter,
    CountOverTime,
    BytesRate,
    BytesOverTime,
    AbsentOverTime,
    SumOverTime,
    AvgOverTime,
    MinOverTime,
    MaxOverTime,
    StddevOverTime,
    StdvarOverTime,
    QuantileOverTime(f64),
    FirstOverTime,
    LastOverTime,
}

/// An error at a character of the query.
fn wrong_at(position: usize, message: impl Into<String>) -> QueryError {
    QueryError::at(position, format!("parse error: {}", message.into()))
}

fn unsupported(message: impl Into<String>) -> QueryError {
    QueryError::unsupported("query", message)
}

/// Reads a query.
pub(crate) fn parse(text: &str) -> Result<Query, QueryError> {
    if text.len() > MAX_QUERY_BYTES {
        return Err(QueryError::invalid("query", format!("the query is longer than {MAX_QUERY_BYTES} bytes")));
    }
    parse::query(text)
}

/// Reads a selector such as `{app="web"}`.
pub(crate) fn parse_selector(text: &str) -> Result<Vec<Matcher>, QueryError> {
    match parse(text)? {
        Query::Lines(query) if query.stages.is_empty() => Ok(query.matchers),
        _ => Err(QueryError::invalid("match[]", format!("`{text}` is not a selector"))),
    }
}

impl LineQuery {
    /// Lines of streams with such labels, as they are.
    pub(crate) const fn of_streams(matchers: Vec<Matcher>) -> Self {
        Self { matchers, stages: Vec::new() }
    }
}
