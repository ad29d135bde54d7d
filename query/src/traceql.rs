//! TraceQL, as Grafana sends it to Tempo (<https://grafana.com/docs/tempo/latest/traceql/>): what of it becomes a search for traces by
//! how their spans stand to each other, and metrics over the spans that match.
//!
//! ```text
//! query    = set { operator set } { "|" stage }
//! set      = "{" [ condition ] "}"
//! operator = ">>" | ">" | "<<" | "<" | "~" | "&&" | "||"
//! stage    = "count()" comparison number | "select(" fields ")" | function "(" … ")" [ "by" "(" fields ")" ]
//! ```

mod metrics;
mod read;
mod whole;

use crate::comparison::Comparison;
use crate::language::{Expr, FieldRef};
use crate::traces::Structure;
pub(crate) use metrics::{MetricsRequest, Sampled};
pub(crate) use read::parse;
pub(crate) use whole::TraceTest;

/// A query.
#[derive(Clone, Debug)]
pub(crate) struct TraceQl {
    /// The sets of spans and how they stand to each other.
    pub(crate) structure: Structure,
    /// What the trace as a whole must be.
    pub(crate) of_trace: Vec<TraceTest>,
    /// How many spans of a trace must match.
    pub(crate) count: Option<(Comparison, f64)>,
    /// Fields that are shown of each span, by their names.
    pub(crate) selected: Vec<(String, FieldRef)>,
    /// What is computed of the spans.
    pub(crate) metrics: Option<Metrics>,
}

/// A metric over spans, by the values of fields.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    function: Function,
    by: Vec<(String, FieldRef)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Function {
    Rate,
    Count,
    /// Figures of a number that spans carry.
    Of(FieldRef, Figure),
}

#[derive(Clone, Debug, PartialEq)]
enum Figure {
    Sum,
    Average,
    Least,
    Most,
    Quantiles(Vec<f64>),
    Histogram,
}

impl TraceQl {
    /// The spans that match, when it is a single set.
    pub(crate) fn single(&self) -> Option<&Expr> {
        self.structure.single()
    }
}
