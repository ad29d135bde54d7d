//! The one time range of all screens: relative or absolute, taken from and written to the address.

use crate::clock;
use crate::params::Params;
use crate::text::{tr, trf};
use chrono::{DateTime, NaiveDateTime};
use mangru_store::TimeRange;

const DEFAULT_START: &str = "-15m";
const MINUTE: i64 = 60_000_000_000;

/// The relative ranges that the control offers: parameter and words.
pub(crate) const RELATIVE: [(&str, &str); 8] = [
    ("-5m", "last 5 minutes"),
    ("-15m", "last 15 minutes"),
    ("-1h", "last hour"),
    ("-3h", "last 3 hours"),
    ("-12h", "last 12 hours"),
    ("-24h", "last 24 hours"),
    ("-7d", "last 7 days"),
    ("-30d", "last 30 days"),
];

/// The words of a range in the reader's language.
pub(crate) fn words(english: &'static str) -> &'static str {
    match english {
        "last 5 minutes" => tr("last 5 minutes"),
        "last 15 minutes" => tr("last 15 minutes"),
        "last hour" => tr("last hour"),
        "last 3 hours" => tr("last 3 hours"),
        "last 12 hours" => tr("last 12 hours"),
        "last 24 hours" => tr("last 24 hours"),
        "last 7 days" => tr("last 7 days"),
        "last 30 days" => tr("last 30 days"),
        other => other,
    }
}

/// The range that a page was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeChoice {
    /// The start as it stands in the address: `-15m`, RFC 3339 or nanoseconds.
    pub(crate) start: String,
    /// The end as it stands in the address.
    pub(crate) end: String,
    /// What they come to.
    pub(crate) range: TimeRange,
    /// Why the range of the address could not be used, when it could not.
    pub(crate) error: Option<RangeFault>,
}

/// Why the range of an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RangeFault {
    /// The start is no moment.
    Start(String),
    /// The end is no moment.
    End(String),
    /// The end is not after the start.
    Order,
}

impl RangeFault {
    /// The fault in words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Start(start) => trf("cannot read the start \"{0}\"", &[start]),
            Self::End(end) => trf("cannot read the end \"{0}\"", &[end]),
            Self::Order => tr("the end is not after the start").to_owned(),
        }
    }
}

impl TimeChoice {
    /// Reads `start` and `end`; without them the last 15 minutes.
    pub(crate) fn read(params: &Params, now: i64) -> Self {
        let start = params.get("start").unwrap_or(DEFAULT_START).to_owned();
        let end = params.get("end").unwrap_or("now").to_owned();
        match (parse(&start, now), parse(&end, now)) {
            (Some(from), Some(to)) if from < to => {
                Self { start, end, range: TimeRange { start: from, end: to }, error: None }
            }
            (from, to) => {
                let fault = match (from, to) {
                    (None, _) => RangeFault::Start(start.clone()),
                    (_, None) => RangeFault::End(end.clone()),
                    _ => RangeFault::Order,
                };
                let range = TimeRange { start: now - 15 * MINUTE, end: now };
                Self { start, end, range, error: Some(fault) }
            }
        }
    }

    /// Whether the range moves with the clock.
    pub(crate) fn is_relative(&self) -> bool {
        self.error.is_some() || (self.start.starts_with('-') && self.end == "now")
    }

    /// The range in words, for the control's button.
    pub(crate) fn label(&self) -> Option<String> {
        if !self.is_relative() {
            return None;
        }
        if self.error.is_some() {
            return Some(words("last 15 minutes").to_owned());
        }
        let known = RELATIVE.iter().find(|(start, _)| *start == self.start).map(|(_, label)| words(label).to_owned());
        Some(known.unwrap_or_else(|| trf("last {0}", &[&self.start[1..]])))
    }

    /// Its length in nanoseconds.
    pub(crate) const fn length(&self) -> i64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// Twice as long, around the same middle, never beyond now.
    pub(crate) fn zoomed_out(&self, now: i64) -> (String, String) {
        let half = self.length() / 2;
        let end = self.range.end.saturating_add(half).min(now.max(self.range.end));
        (
            clock::rfc3339(self.range.start.saturating_sub(half.saturating_mul(2) - (end - self.range.end))),
            clock::rfc3339(end),
        )
    }

    /// Half its length earlier or later.
    pub(crate) fn stepped(&self, later: bool) -> (String, String) {
        let step = self.length() / 2;
        let by = if later { step } else { -step };
        (clock::rfc3339(self.range.start.saturating_add(by)), clock::rfc3339(self.range.end.saturating_add(by)))
    }

    /// The parameters to carry to another screen.
    pub(crate) fn params(&self) -> Params {
        let mut params = Params::default();
        if self.start != DEFAULT_START || self.end != "now" {
            params = params.with("start", &self.start);
            if self.end != "now" {
                params = params.with("end", &self.end);
            }
        }
        params
    }
}

/// Whether a text is a start relative to now, such as `-15m`.
pub(crate) fn is_relative_start(text: &str) -> bool {
    text.starts_with('-') && parse(text, 0).is_some()
}

/// A moment: `now`, `-15m`, RFC 3339 (the zone may be left out: UTC), Unix nanoseconds.
fn parse(text: &str, now: i64) -> Option<i64> {
    let text = text.trim();
    if text == "now" {
        return Some(now);
    }
    if let Some(back) = text.strip_prefix('-') {
        let digits = back.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = back[..digits].parse().ok()?;
        let unit = match &back[digits..] {
            "s" => 1_000_000_000,
            "m" => MINUTE,
            "h" => 60 * MINUTE,
            "d" => 24 * 60 * MINUTE,
            "w" => 7 * 24 * 60 * MINUTE,
            _ => return None,
        };
        return now.checked_sub(number.checked_mul(unit)?);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return moment.timestamp_nanos_opt();
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(text, pattern).ok())
        .and_then(|moment| moment.and_utc().timestamp_nanos_opt())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000_000;

    #[test]
    fn ranges_are_read_in_every_form() {
        let read = |query: &str| TimeChoice::read(&Params::parse(query), NOW);
        assert_eq!(read("").range, TimeRange { start: NOW - 15 * MINUTE, end: NOW });
        assert_eq!(read("start=-2h").range.start, NOW - 120 * MINUTE);
        assert_eq!(read("start=2023-11-14T22:00:00Z&end=2023-11-14T22:10:00%2B00:00").length(), 10 * MINUTE);
        assert_eq!(read("start=2023-11-14+22:00&end=2023-11-14T22:01").length(), MINUTE);
        assert_eq!(read("start=1600000000000000000").range.start, 1_600_000_000_000_000_000);
    }

    #[test]
    fn a_bad_range_is_told_and_replaced() {
        for query in ["start=yesterday", "start=-5x", "start=now&end=-5m", "start=-99999999999999999d", "end=%00"] {
            let choice = TimeChoice::read(&Params::parse(query), NOW);
            assert!(choice.error.is_some(), "{query}");
            assert_eq!(choice.range, TimeRange { start: NOW - 15 * MINUTE, end: NOW }, "{query}");
        }
    }

    #[test]
    fn zooming_out_doubles_and_stays_before_now() {
        let choice = TimeChoice::read(&Params::parse("start=-10m"), NOW);
        let (start, end) = choice.zoomed_out(NOW);
        let wider = TimeChoice::read(&Params::default().with("start", &start).with("end", &end), NOW);
        assert_eq!(wider.length(), 20 * MINUTE);
        assert_eq!(wider.range.end, NOW);
    }
}
