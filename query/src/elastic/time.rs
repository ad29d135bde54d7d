//! Times as Elasticsearch reads them: dates, numbers, and arithmetic with `now`; and intervals.

/// The rounding of a time that says a whole minute, hour or day: to its beginning, or to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    Down,
    Up,
}

const SECOND: i64 = 1_000_000_000;

/// The length of a unit that always has the same, in nanoseconds.
pub(super) fn unit_ns(unit: &str) -> Option<i64> {
    Some(match unit {
        "ms" => 1_000_000,
        "s" | "second" | "1s" => SECOND,
        "m" | "minute" | "1m" => 60 * SECOND,
        "h" | "H" | "hour" | "1h" => 3_600 * SECOND,
        "d" | "day" | "1d" => 86_400 * SECOND,
        "w" | "week" | "1w" => 7 * 86_400 * SECOND,
        _ => return None,
    })
}

/// The length of an interval such as `30s`, in nanoseconds.
pub(super) fn interval_ns(text: &str) -> Option<i64> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let count: i64 = text[..unit].parse().ok()?;
    count.checked_mul(unit_ns(&text[unit..])?).filter(|interval| *interval > 0)
}

/// The beginning of the day a number of months from another; months differ in length.
fn months_later(time: i64, months: i64) -> Option<i64> {
    use chrono::{DateTime, Months};
    let time = DateTime::from_timestamp_nanos(time);
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let later = if months < 0 { time.checked_sub_months(count) } else { time.checked_add_months(count) };
    later?.timestamp_nanos_opt()
}

/// Reads a time of a range, in nanoseconds since the Unix epoch.
pub(super) fn moment(text: &str, now: i64, rounding: Rounding) -> Option<i64> {
    let (mut time, mut rest) = match text.strip_prefix("now") {
        Some(rest) => (now, rest),
        None => {
            let (date, rest) = text.split_once("||").unwrap_or((text, ""));
            (date_ns(date, rounding)?, rest)
        }
    };
    while let Some(operator) = rest.chars().next() {
        rest = &rest[operator.len_utf8()..];
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let count: i64 = if digits == 0 { 1 } else { rest[..digits].parse().ok()? };
        rest = &rest[digits..];
        let unit = rest.chars().next()?.to_string();
        rest = &rest[unit.len()..];
        match operator {
            '+' | '-' => {
                let signed = if operator == '-' { -count } else { count };
                time = match unit.as_str() {
                    "M" => months_later(time, signed)?,
                    "y" => months_later(time, signed.checked_mul(12)?)?,
                    _ => time.checked_add(unit_ns(&unit)?.checked_mul(signed)?)?,
                };
            }
            '/' => {
                let length = unit_ns(&unit)?;
                // Weeks begin on Mondays, and the epoch on a Thursday.
                let shift = if unit == "w" { 4 * 86_400 * SECOND } else { 0 };
                let start = (time - shift).div_euclid(length) * length + shift;
                time = if rounding == Rounding::Up { start + length - 1 } else { start };
            }
            _ => return None,
        }
    }
    Some(time)
}

fn date_ns(text: &str, rounding: Rounding) -> Option<i64> {
    use chrono::{NaiveDate, NaiveDateTime};
    if let Ok(milliseconds) = text.parse::<i64>() {
        return milliseconds.checked_mul(1_000_000);
    }
    if let Ok(milliseconds) = text.parse::<f64>() {
        return milliseconds.is_finite().then_some((milliseconds * 1e6) as i64);
    }
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return time.timestamp_nanos_opt();
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return time.and_utc().timestamp_nanos_opt();
        }
    }
    let day =
        NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0)?.and_utc().timestamp_nanos_opt()?;
    Some(if rounding == Rounding::Up { day + 86_400 * SECOND - 1 } else { day })
}

/// A time as a document's date: with as many digits as it has.
pub(super) fn shown(nanoseconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(nanoseconds);
    if nanoseconds % 1_000_000 == 0 {
        time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    } else {
        time.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_numbers_and_arithmetic() {
        let now = 1_700_000_000 * SECOND;
        let of = |text: &str| moment(text, now, Rounding::Down).map(|time| time / SECOND);
        assert_eq!(of("now"), Some(1_700_000_000));
        assert_eq!(of("now-15m"), Some(1_699_999_100));
        assert_eq!(of("now-1d/d"), Some(1_699_833_600));
        assert_eq!(of("1700000000000"), Some(1_700_000_000));
        assert_eq!(of("2023-11-14T22:13:20Z"), Some(1_700_000_000));
        assert_eq!(of("2023-11-14"), Some(1_699_920_000));
        assert_eq!(of("2023-11-14||+1M"), Some(1_702_512_000));
        assert_eq!(moment("2023-11-14", now, Rounding::Up).map(|time| time / SECOND), Some(1_700_006_399));
        for wrong in ["soon", "now-", "now*1d", "now-1x", ""] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert_eq!(interval_ns("30s"), Some(30 * SECOND));
        assert_eq!(interval_ns("0s"), None);
        assert_eq!(shown(1_500_000_000), "1970-01-01T00:00:01.500Z");
        assert_eq!(shown(1), "1970-01-01T00:00:00.000000001Z");
    }
}
