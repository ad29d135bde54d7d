//! Alerts.

mod ask;
mod db;
pub mod duration;
pub mod machine;
pub mod notify;
mod rows;
pub mod rules;
pub mod template;

/// Milliseconds since the Unix epoch, now.
pub fn now_ms() -> i64 {
    mangru_query::now_ns().div_euclid(1_000_000)
}
