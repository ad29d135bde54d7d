//! Alerts: rules over logs, spans and metrics, evaluated on time, remembered, and told to people for sure.
//!
//! In come files: rules ([`rules`]), routes and receivers ([`notify::config`]), silences. On a clock, conditions are asked of the query
//! service, what they give becomes the state of alerts ([`machine`]), transitions become notifications ([`notify::dispatch`]), and these
//! wait in a durable outbox until their receivers have them ([`notify::deliver`]). The same evaluator runs in production, in tests of
//! rules and over the past.
//!
//! It never receives telemetry, and writes to the store nothing but the series that rules make.

mod api;
mod ask;
mod db;
pub mod draw;
pub mod duration;
mod evaluate;
pub mod incidents;
pub mod machine;
pub mod notify;
mod rows;
pub mod rules;
mod schedule;
mod service;
pub mod template;
pub mod trial;

pub use api::{from_here, router};
pub use db::{DbError, Parcel};
pub use evaluate::{GroupHealth, Health};
pub use service::{AlertError, AlertService, AlertSettings, AlertView, GroupView, PostError, RuleView};

/// How large an expression of a matcher or a template may become, in bytes: 253 letters of any alphabet need some of them.
pub(crate) const MAX_REGEX: usize = 32 << 20;

/// A moment in RFC 3339.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(time_ms).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Milliseconds since the Unix epoch, now.
pub fn now_ms() -> i64 {
    mangru_query::now_ns().div_euclid(1_000_000)
}
