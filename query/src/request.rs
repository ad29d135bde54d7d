//! What queries have in common: time ranges, limits, and what an answer says of itself.

use crate::QueryError;
use mangru_store::TimeRange;
use serde::Serialize;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A request for rows, newest first.
#[derive(Clone, Debug)]
pub struct RowsRequest {
    /// The search; empty matches all.
    pub query: String,
    /// When the rows happened.
    pub range: TimeRange,
    /// How many rows at most.
    pub limit: usize,
    /// Where the page before ended, as that page said.
    pub cursor: Option<String>,
}

/// What an answer covers.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Coverage {
    /// How many rows match in all.
    pub matched: u64,
    /// Whether `matched` is exact; otherwise at least so many match.
    pub matched_is_exact: bool,
    /// Whether nothing was left out.
    pub complete: bool,
    /// The limit that cut the answer, when one did, or the parts that could not be read.
    pub limit_hit: Option<String>,
    /// Rows of the batches and parts that touch the time range.
    pub rows_in_range: u64,
    /// How long it took, in milliseconds.
    pub elapsed_ms: f64,
}

impl Coverage {
    /// The coverage of a scan that looked at everything it could.
    pub(crate) fn of_scan(scan: &crate::scan::ScanCoverage, started: Instant) -> Self {
        let mut coverage = Self {
            matched: scan.matched,
            matched_is_exact: true,
            complete: true,
            limit_hit: None,
            rows_in_range: scan.rows_in_range,
            elapsed_ms: elapsed_ms(started),
        };
        coverage.unreadable(&scan.unreadable_parts);
        coverage
    }

    /// Adds what another scan covers.
    pub(crate) fn add(&mut self, other: &Self) {
        self.matched += other.matched;
        self.matched_is_exact &= other.matched_is_exact;
        self.rows_in_range += other.rows_in_range;
        if let Some(limit) = &other.limit_hit {
            self.cut(limit.clone());
        }
    }

    /// Says that parts could not be read, when there are any.
    pub(crate) fn unreadable(&mut self, parts: &[String]) {
        if !parts.is_empty() {
            self.complete = false;
            self.matched_is_exact = false;
            self.limit_hit = Some(unreadable(parts));
        }
    }

    /// Says that a limit cut the answer.
    pub(crate) fn cut(&mut self, by: impl Into<String>) {
        self.complete = false;
        self.limit_hit.get_or_insert(by.into());
    }
}

/// What is said of parts that could not be read.
pub(crate) fn unreadable(parts: &[String]) -> String {
    format!("{} parts could not be read: {}", parts.len(), parts.join(", "))
}

/// Parts that the scans of one request could not read, each once.
#[derive(Debug, Default)]
pub(crate) struct Unreadable(Vec<String>);

impl Unreadable {
    /// Takes in what a scan could not read.
    pub(crate) fn add(&mut self, parts: &[String]) {
        for part in parts {
            if !self.0.contains(part) {
                self.0.push(part.clone());
            }
        }
    }

    /// Their paths.
    pub(crate) fn parts(&self) -> &[String] {
        &self.0
    }
}

/// Milliseconds since a moment, with microseconds.
pub(crate) fn elapsed_ms(started: Instant) -> f64 {
    (started.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// Rows with what they cover and where the next page starts.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// What they cover.
    #[serde(flatten)]
    pub coverage: Coverage,
    /// Give this back for the next page; none at the end.
    pub cursor: Option<String>,
}

/// Nanoseconds since the Unix epoch, now.
pub fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Reads a moment: Unix nanoseconds, RFC 3339, `now`, or relative to now such as `-15m`.
///
/// Shorter Unix times are taken as seconds (up to 11 digits), milliseconds (up to 14) or microseconds (up to 17).
pub fn parse_time(text: &str, now: i64) -> Option<i64> {
    let text = text.trim();
    if text == "now" {
        return Some(now);
    }
    if let Some(back) = text.strip_prefix("now-").or_else(|| text.strip_prefix('-'))
        && back.ends_with(|c: char| c.is_ascii_alphabetic())
    {
        return parse_duration(back).map(|back| now.saturating_sub(back));
    }
    if let Ok(number) = text.parse::<i64>() {
        let factor = match number.unsigned_abs() {
            0..100_000_000_000 => 1_000_000_000,
            100_000_000_000..100_000_000_000_000 => 1_000_000,
            100_000_000_000_000..100_000_000_000_000_000 => 1_000,
            _ => 1,
        };
        return Some(number.saturating_mul(factor));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then_some((seconds * 1e9) as i64);
    }
    chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_nanos_opt()
}

/// Reads a duration with units, such as `250ms`, `15m`, `7d` or `1h30m`, in nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    // A bare number is seconds, as Prometheus reads it.
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let length = if is_bare { text.parse::<f64>().ok()? * 1e9 } else { compound_duration_ns(text)? };
    // What is longer than time itself is no duration.
    (length.abs() < i64::MAX as f64).then_some(length.round() as i64)
}

/// A duration as Go and Prometheus write them, `1h30m` or `-1.5s`, in nanoseconds; a number without unit is none, but 0.
pub(crate) fn compound_duration_ns(text: &str) -> Option<f64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    if rest.is_empty() {
        return None;
    }
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut all = 0.0;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !is_of_number(c))?;
        let end = rest[unit..].find(is_of_number).map_or(rest.len(), |length| unit + length);
        let number: f64 = rest[..unit].parse().ok()?;
        let factor = match &rest[unit..end] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" | "min" => 60e9,
            "h" => 3_600e9,
            "d" => 86_400e9,
            "w" => 604_800e9,
            "y" => 31_536_000e9,
            _ => return None,
        };
        all += number * factor;
        rest = &rest[end..];
    }
    Some(sign * all)
}

/// Steps of an answer, as Prometheus allows them.
const MAX_STEPS: i64 = 11_000;

/// How many steps there are from one moment to another, both included, in any unit.
pub(crate) fn checked_steps(start: i64, end: i64, step: i64) -> Result<usize, QueryError> {
    if step <= 0 {
        let message = "zero or negative query resolution step widths are not accepted";
        return Err(QueryError::invalid("step", message));
    }
    if end < start {
        return Err(QueryError::invalid("end", "end timestamp must not be before start time"));
    }
    let steps = end.saturating_sub(start) / step;
    if steps > MAX_STEPS {
        let message = format!("exceeded maximum resolution of {MAX_STEPS} points per timeseries: take a longer step");
        return Err(QueryError::invalid("step", message));
    }
    Ok(steps as usize + 1)
}

/// The step of a range when nothing is said, in nanoseconds: 250 steps, of whole seconds, as Loki and Tempo take it.
pub(crate) fn usual_step(range: TimeRange) -> i64 {
    (range.end.saturating_sub(range.start) / 250).div_euclid(1_000_000_000).max(1) * 1_000_000_000
}

/// Reads `start` and `end`; without them the last hour.
pub fn parse_range(start: Option<&str>, end: Option<&str>) -> Result<TimeRange, QueryError> {
    let now = now_ns();
    let read = |name: &'static str, text: Option<&str>, default: i64| match text.filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => parse_time(text, now).ok_or_else(|| {
            QueryError::invalid(
                name,
                format!("`{text}` is not a time: Unix nanoseconds, RFC 3339, or relative such as -15m"),
            )
        }),
    };
    // Records of this very moment are inside.
    let end = read("end", end, now.saturating_add(1))?;
    let start = read("start", start, end.saturating_sub(3_600_000_000_000))?;
    if start > end {
        return Err(QueryError::invalid("start", "start lies after end"));
    }
    Ok(TimeRange { start, end })
}

#[cfg(test)]
mod tests {
    use super::parse_duration;

    #[test]
    fn durations_are_read_with_one_unit_or_several() {
        const SECOND: i64 = 1_000_000_000;
        for (text, expected) in [
            ("15", Some(15 * SECOND)),
            ("0.5", Some(SECOND / 2)),
            ("250ms", Some(SECOND / 4)),
            ("1h30m", Some(5_400 * SECOND)),
            ("1d2h3m4s5ms", Some(93_784 * SECOND + 5_000_000)),
            ("2w", Some(1_209_600 * SECOND)),
            ("-1.5s", Some(-3 * SECOND / 2)),
            ("5x", None),
            ("m", None),
            ("1h30", None),
            ("5 m", None),
            ("inf", None),
            ("", None),
            ("99999999999y", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
