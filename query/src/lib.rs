//! The query service: answers searches, counts, traces, stories and SQL over what the store holds.
//!
//! In come requests in the search language, SQL or ids, always with a time range, a limit and a deadline. Out go rows
//! with an honest [`Coverage`]: how many rows were looked at, whether the answer is complete, how long it took. The
//! HTTP APIs (`/api/v1`, Jaeger) and the UI's pages call the same functions of [`QueryService`].
//!
//! It never writes to the store, but to delete what a query finds, and never knows a receiver.

mod api;
mod cells;
mod check;
mod columns;
mod compare;
mod comparison;
mod context;
mod counts;
mod delete;
mod elastic;
mod error;
mod exceptions;
mod explain;
mod export;
mod fields;
mod heat;
mod known;
mod language;
mod logql;
mod logs;
mod map;
mod metrics;
mod otlp_json;
mod otlp_protobuf;
mod patterns;
mod promql;
mod request;
mod scan;
mod service;
mod services;
mod slow;
mod spans;
mod sql;
mod stats;
mod story;
mod tail;
mod traceql;
mod traces;

pub use api::router;
pub use check::{check_promql, check_search};
pub use compare::{CompareRequest, ComparedField, ComparedKind, ComparedValue, Comparison};
pub use context::{Context, ContextRequest, SameSource};
pub use counts::{CountRequest, CountSeries, Counts};
pub use delete::{DeleteRequest, Deleted};
pub use error::{ErrorCode, QueryError};
pub use exceptions::{ExceptionGroup, Exceptions, ExceptionsRequest};
pub use explain::Explanation;
pub use export::{ExportFormat, ExportRequest};
pub use fields::{Field, FieldValue, FieldValuesRequest};
pub use heat::{Heat, HeatCell, HeatPoint, HeatRequest};
pub use language::{KINDS as SPAN_KINDS, quoted};
pub use logs::LogRow;
pub use map::{CallFigures, CallKind, MapEdge, MapNode, MapRequest, NodeKind, ServiceCalls, ServiceMap};
pub use metrics::MetricSummary;
pub use patterns::{Pattern, Patterns, PatternsRequest};
pub use promql::{
    ExtraSeries, PromQl, PromQlAnswer, PromQlHistograms, PromQlRequest, PromQlSample, PromQlSeries, PromQlValue,
    number_text,
};
pub use request::{Coverage, Page, RowsRequest, now_ns, parse_duration, parse_range, parse_time};
pub use scan::PartExplained;
pub use service::{QueryService, QuerySettings};
pub use services::{Operation, PreviousWindow, ServiceSummary};
pub use slow::SlowQuery;
pub use spans::SpanRow;
pub use sql::{SqlColumn, SqlFormat, SqlRequest, SqlResult, check_sql};
pub use stats::{Figures, GroupFigures, GroupsRequest, Stats, StatsRequest, StatsSeries};
pub use story::{ExemplarRow, Story, StoryEntry, StoryItem};
pub use tail::{Tail, TailEvent};
pub use traces::{
    HeldTrace, Outline, OutlineRequest, OutlineRow, ServiceShare, Trace, TraceOrder, TraceSummary, TracesRequest,
};
