//! The slow questions: logged as they are answered, and the newest of them kept to be looked at.

use crate::{QueryService, now_ns};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// Slow questions that are kept.
const KEPT: usize = 200;
/// Bytes of what was asked that are kept and logged.
const MAX_ASKED: usize = 2_000;

/// A question whose answer took long to make.
#[derive(Clone, Debug, Serialize)]
pub struct SlowQuery {
    /// When it was answered, nanoseconds since the Unix epoch.
    pub time_unix_nano: String,
    /// The path that was asked.
    pub path: String,
    /// What was asked: the query string, and the body where there was one.
    pub asked: String,
    /// The answer's HTTP status.
    pub status: u16,
    /// How long it took.
    pub milliseconds: u64,
}

/// The newest slow questions.
#[derive(Debug, Default)]
pub(crate) struct SlowQueries {
    kept: Mutex<VecDeque<SlowQuery>>,
}

impl QueryService {
    /// Logs and keeps a question, when it took as long as the settings call slow.
    pub fn note_slow(&self, path: &str, query: &str, body: &str, status: u16, took: Duration) {
        if took < self.settings().slow {
            return;
        }
        let cut = |text: &str| text[..text.floor_char_boundary(MAX_ASKED)].to_owned();
        let (query, body) = (cut(query), cut(body));
        let milliseconds = took.as_millis() as u64;
        tracing::warn!(path, query, %body, status, milliseconds, "slow query");
        let asked = if body.is_empty() { query } else { format!("{query} {body}").trim().to_owned() };
        let slow =
            SlowQuery { time_unix_nano: now_ns().to_string(), path: path.to_owned(), asked, status, milliseconds };
        let mut kept = self.slow().kept.lock();
        kept.truncate(KEPT - 1);
        kept.push_front(slow);
    }

    /// The newest slow questions since the start, newest first.
    pub fn slow_queries(&self) -> Vec<SlowQuery> {
        self.slow().kept.lock().iter().cloned().collect()
    }
}
