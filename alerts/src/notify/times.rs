//! Intervals of time in which routes are muted or active, as Alertmanager has them.

use chrono::{Datelike as _, TimeZone as _, Timelike as _};
use serde::Deserialize;

/// A named set of intervals.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    pub(super) name: String,
    #[serde(default)]
    pub(super) time_intervals: Vec<IntervalFields>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IntervalFields {
    #[serde(default)]
    times: Vec<TimesFields>,
    #[serde(default)]
    weekdays: Vec<String>,
    #[serde(default)]
    days_of_month: Vec<String>,
    #[serde(default)]
    months: Vec<String>,
    #[serde(default)]
    years: Vec<String>,
    location: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimesFields {
    start_time: String,
    end_time: String,
}

/// An interval: a moment lies in it that lies in one range of each kind that is given.
#[derive(Clone, Debug)]
pub(crate) struct Interval {
    /// Minutes of the day; the end is not in it.
    times: Vec<(i32, i32)>,
    /// 0 is Sunday.
    weekdays: Vec<(i32, i32)>,
    /// Negative ones are counted from the month's end.
    days: Vec<(i32, i32)>,
    months: Vec<(i32, i32)>,
    years: Vec<(i32, i32)>,
    zone: Zone,
}

#[derive(Clone, Debug)]
enum Zone {
    Local,
    Named(chrono_tz::Tz),
}

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl TryFrom<&IntervalFields> for Interval {
    type Error = String;

    fn try_from(fields: &IntervalFields) -> Result<Self, String> {
        let number = |low: i32, high: i32| {
            move |text: &str| {
                text.parse::<i32>().ok().filter(|number| (low..=high).contains(number) && *number != 0 || low == 0)
            }
        };
        let name_of = |names: &'static [&'static str], first: i32| {
            move |text: &str| {
                let named = names.iter().position(|name| *name == text.to_lowercase());
                named
                    .map(|place| place as i32 + first)
                    .or_else(|| text.parse().ok().filter(|number| (first..first + names.len() as i32).contains(number)))
            }
        };
        let zone = match fields.location.as_deref() {
            None | Some("UTC") => Zone::Named(chrono_tz::UTC),
            Some("Local") => Zone::Local,
            Some(name) => Zone::Named(name.parse().map_err(|_| format!("location `{name}` is not a time zone"))?),
        };
        let times = fields.times.iter().map(|times| {
            let (start, end) = (minutes(&times.start_time)?, minutes(&times.end_time)?);
            if start < end {
                Ok((start, end))
            } else {
                Err(format!("start_time {} is not before end_time {}", times.start_time, times.end_time))
            }
        });
        let days = ranges(&fields.days_of_month, "days_of_month", number(-31, 31))?;
        // Days are compared as in a month of thirty days: what is wrong in others is clipped there.
        let from_start = |day: i32| if day < 0 { 30 + day } else { day };
        if let Some((start, end)) =
            days.iter().find(|(start, end)| (*start < 0 && *end > 0) || from_start(*start) > from_start(*end))
        {
            return Err(format!("days_of_month holds `{start}:{end}`, whose end is before its start"));
        }
        Ok(Self {
            times: times.collect::<Result<_, String>>()?,
            weekdays: ranges(&fields.weekdays, "weekdays", name_of(&WEEKDAYS, 0))?,
            days,
            months: ranges(&fields.months, "months", name_of(&MONTHS, 1))?,
            years: ranges(&fields.years, "years", number(1, 9999))?,
            zone,
        })
    }
}

fn minutes(text: &str) -> Result<i32, String> {
    let wrong = || format!("`{text}` is not a time of day such as 09:00, up to 24:00");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let (hours, minutes): (i32, i32) = (hours.parse().map_err(|_| wrong())?, minutes.parse().map_err(|_| wrong())?);
    let all = hours * 60 + minutes;
    if (0..60).contains(&minutes) && (0..=24 * 60).contains(&all) { Ok(all) } else { Err(wrong()) }
}

fn ranges(texts: &[String], key: &str, read: impl Fn(&str) -> Option<i32>) -> Result<Vec<(i32, i32)>, String> {
    let range = |text: &String| {
        let (start, end) = text.split_once(':').unwrap_or((text, text));
        let range = read(start.trim())
            .zip(read(end.trim()))
            .ok_or_else(|| format!("{key} holds `{text}`, which is no range"))?;
        if range.0 > range.1 && (range.0 > 0) == (range.1 > 0) {
            return Err(format!("{key} holds `{text}`, whose end is before its start"));
        }
        Ok(range)
    };
    texts.iter().map(range).collect()
}

impl Interval {
    /// Whether a moment lies in it.
    pub(super) fn contains(&self, now_ms: i64) -> bool {
        let Some(utc) = chrono::DateTime::from_timestamp_millis(now_ms) else { return false };
        match &self.zone {
            Zone::Local => self.contains_local(chrono::Local.from_utc_datetime(&utc.naive_utc()).naive_local()),
            Zone::Named(zone) => self.contains_local(zone.from_utc_datetime(&utc.naive_utc()).naive_local()),
        }
    }

    fn contains_local(&self, time: chrono::NaiveDateTime) -> bool {
        let within = |ranges: &[(i32, i32)], value: i32| {
            ranges.is_empty() || ranges.iter().any(|(low, high)| (*low..=*high).contains(&value))
        };
        let next = if time.month() == 12 { (time.year() + 1, 1) } else { (time.year(), time.month() + 1) };
        let last = chrono::NaiveDate::from_ymd_opt(next.0, next.1, 1)
            .and_then(|first| first.pred_opt())
            .map_or(31, |day| day.day());
        let from_end = |day: i32| if day < 0 { last as i32 + day + 1 } else { day };
        let days: Vec<(i32, i32)> =
            self.days.iter().map(|(low, high)| (from_end(*low).max(1), from_end(*high))).collect();
        let minute = (time.hour() * 60 + time.minute()) as i32;
        (self.times.is_empty() || self.times.iter().any(|(start, end)| (*start..*end).contains(&minute)))
            && within(&self.weekdays, time.weekday().num_days_from_sunday() as i32)
            && within(&days, time.day() as i32)
            && within(&self.months, time.month() as i32)
            && within(&self.years, time.year())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(fields: &str, time: &str) -> bool {
        let fields: IntervalFields = serde_saphyr::from_str(fields).expect("fields");
        let time = chrono::DateTime::parse_from_rfc3339(time).expect("a time").timestamp_millis();
        Interval::try_from(&fields).expect("an interval").contains(time)
    }

    #[test]
    fn moments_lie_in_intervals_as_in_alertmanager() {
        let office =
            "{weekdays: ['monday:friday'], times: [{start_time: '09:00', end_time: '17:00'}], location: Europe/Berlin}";
        assert!(contains(office, "2026-11-20T08:00:00Z")); // Friday, nine in Berlin
        assert!(!contains(office, "2026-11-20T07:59:00Z") && !contains(office, "2026-11-20T16:00:00Z"));
        assert!(!contains(office, "2026-11-21T10:00:00Z"));
        assert!(contains("{days_of_month: ['-3:-1']}", "2026-02-26T00:00:00Z"));
        assert!(!contains("{days_of_month: ['-3:-1']}", "2026-02-25T00:00:00Z"));
        assert!(contains("{months: ['november', '1:2'], years: ['2026:2027']}", "2026-11-01T00:00:00Z"));
        assert!(!contains("{months: ['november']}", "2026-12-01T00:00:00Z"));
    }

    #[test]
    fn intervals_that_are_none_are_refused() {
        for wrong in [
            "{weekdays: [someday]}",
            "{times: [{start_time: '17:00', end_time: '09:00'}]}",
            "{times: [{start_time: '25:00', end_time: '26:00'}]}",
            "{days_of_month: ['0']}",
            "{days_of_month: ['-5:3']}",
            "{days_of_month: ['28:-20']}",
            "{months: ['5:2']}",
            "{location: Nowhere/Land}",
        ] {
            let fields: IntervalFields = serde_saphyr::from_str(wrong).expect("fields");
            assert!(Interval::try_from(&fields).is_err(), "{wrong}");
        }
    }
}
