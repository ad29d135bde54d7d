//! Moments and lengths of time in templates, as Go's `time` has them.

use super::Value;
use chrono::{DateTime, Datelike as _, Offset as _, TimeDelta, TimeZone as _, Timelike as _};
use chrono_tz::{OffsetName as _, Tz};
use std::fmt::Write as _;

/// A moment in a time zone.
pub(crate) type Moment = DateTime<Tz>;

/// A moment in UTC, of nanoseconds since the Unix epoch.
pub(super) fn of_ns(ns: i64) -> Moment {
    chrono_tz::UTC.timestamp_nanos(ns)
}

/// The zero of Go's clock: the first moment of year 1.
pub(super) fn zero() -> Moment {
    chrono_tz::UTC.with_ymd_and_hms(1, 1, 1, 0, 0, 0).single().unwrap_or_else(|| of_ns(0))
}

/// A moment as Go's `Time.String` writes it.
pub(super) fn text(time: &Moment) -> String {
    format(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

fn month(time: &Moment) -> &'static str {
    MONTHS[time.month0() as usize % 12]
}

fn weekday(time: &Moment) -> &'static str {
    WEEKDAYS[time.weekday().num_days_from_sunday() as usize % 7]
}

fn zone(time: &Moment, between: &str, with_z: bool, parts: usize) -> String {
    let seconds = time.offset().fix().local_minus_utc();
    if with_z && seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.abs();
    let all = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(|part| format!("{part:02}"));
    format!("{sign}{}", all[..parts].join(between))
}

/// Zones as layouts write them: what stands between their parts, whether UTC is `Z`, and how many parts there are.
const ZONES: [(&str, &str, bool, usize); 10] = [
    ("Z07:00:00", ":", true, 3),
    ("-07:00:00", ":", false, 3),
    ("Z070000", "", true, 3),
    ("-070000", "", false, 3),
    ("Z07:00", ":", true, 2),
    ("-07:00", ":", false, 2),
    ("Z0700", "", true, 2),
    ("-0700", "", false, 2),
    ("Z07", "", true, 1),
    ("-07", "", false, 1),
];

/// The beginning of a layout that stands for a part of a moment: how long it is, and the part.
fn part(layout: &str, time: &Moment) -> Option<(usize, String)> {
    let is_word = |word: &str| {
        let rest = layout.strip_prefix(word)?;
        (!rest.starts_with(|c: char| c.is_ascii_lowercase())).then_some(())
    };
    let hour_12 = match time.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let is_morning = time.hour() < 12;
    // The longer ones go first.
    let found: Option<(&str, String)> = [
        ("January", month(time).to_owned()),
        ("Monday", weekday(time).to_owned()),
        ("MST", time.offset().abbreviation().map_or_else(|| zone(time, "", false, 2), str::to_owned)),
        ("2006", format!("{:04}", time.year())),
        ("__2", format!("{:>3}", time.ordinal())),
        ("002", format!("{:03}", time.ordinal())),
        ("01", format!("{:02}", time.month())),
        ("02", format!("{:02}", time.day())),
        ("03", format!("{hour_12:02}")),
        ("04", format!("{:02}", time.minute())),
        ("05", format!("{:02}", time.second())),
        ("06", format!("{:02}", time.year().rem_euclid(100))),
        ("15", format!("{:02}", time.hour())),
        ("PM", if is_morning { "AM" } else { "PM" }.to_owned()),
        ("pm", if is_morning { "am" } else { "pm" }.to_owned()),
        ("_2006", format!("_{:04}", time.year())),
        ("_2", format!("{:>2}", time.day())),
        ("1", time.month().to_string()),
        ("2", time.day().to_string()),
        ("3", hour_12.to_string()),
        ("4", time.minute().to_string()),
        ("5", time.second().to_string()),
    ]
    .into_iter()
    .find(|(sign, _)| layout.starts_with(sign));
    if let Some((sign, text)) = found {
        return Some((sign.len(), text));
    }
    if is_word("Jan").is_some() {
        return Some((3, month(time)[..3].to_owned()));
    }
    if is_word("Mon").is_some() {
        return Some((3, weekday(time)[..3].to_owned()));
    }
    if let Some((sign, between, with_z, parts)) = ZONES.iter().find(|(sign, ..)| layout.starts_with(sign)) {
        return Some((sign.len(), zone(time, between, *with_z, *parts)));
    }
    // Fractions of a second: `.000` always, `.999` without zeros at the end.
    let digits = layout.strip_prefix(['.', ','])?;
    let first = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|c| *c == first).count();
    if digits[count..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let fraction = format!("{:09}", time.nanosecond() % 1_000_000_000);
    let fraction = &fraction[..count.min(9)];
    let fraction = if first == '9' { fraction.trim_end_matches('0') } else { fraction };
    let text = if fraction.is_empty() { String::new() } else { format!("{}{fraction}", &layout[..1]) };
    Some((count + 1, text))
}

/// A moment by a layout, which shows how `Mon Jan 2 15:04:05 MST 2006` would be written.
pub(super) fn format(time: &Moment, layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some((length, text)) = part(rest, time) {
            out.push_str(&text);
            rest = &rest[length..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// A length of time as Go's `Duration.String` writes it.
pub(super) fn duration_text(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let all = ns.unsigned_abs();
    let with_fraction = |unit: u64| {
        let (whole, part) = (all / unit, all % unit);
        let digits = unit.ilog10() as usize;
        let fraction = if digits == 0 { String::new() } else { format!(".{part:0digits$}") };
        format!("{whole}{}", fraction.trim_end_matches('0').trim_end_matches('.'))
    };
    if all == 0 {
        return "0s".to_owned();
    }
    if all < 1_000_000_000 {
        let (unit, name) = [(1_000_000, "ms"), (1_000, "µs")].into_iter().find(|one| all >= one.0).unwrap_or((1, "ns"));
        return format!("{sign}{}{name}", with_fraction(unit));
    }
    let minutes = all / 60_000_000_000;
    let mut out = sign.to_owned();
    // Writing to a String cannot fail.
    if minutes >= 60 {
        let _ = write!(out, "{}h", minutes / 60);
    }
    if minutes > 0 {
        let _ = write!(out, "{}m", minutes % 60);
    }
    let rest = all % 60_000_000_000;
    let seconds = format!("{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000);
    let _ = write!(out, "{}s", seconds.trim_end_matches('0').trim_end_matches('.'));
    out
}

/// A moment in another zone.
pub(super) fn in_zone(time: &Moment, name: &str) -> Result<Moment, String> {
    let zone: Tz = match name {
        "" | "UTC" => chrono_tz::UTC,
        name => name.parse().map_err(|_| format!("unknown time zone {name}"))?,
    };
    Ok(time.with_timezone(&zone))
}

/// The nanoseconds between two moments; what is too long is as long as can be said.
pub(super) fn between(left: &Moment, right: &Moment) -> i64 {
    let apart = left.signed_duration_since(right);
    apart.num_nanoseconds().unwrap_or(if apart < TimeDelta::zero() { i64::MIN } else { i64::MAX })
}

/// What a method of a moment gives; none when there is no such method of so many arguments.
pub(super) fn of_moment(time: &Moment, method: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let number = |number: i64| Value::Integer(number);
    Some(Ok(match (method, arguments) {
        ("UTC", []) => Value::Time(time.with_timezone(&chrono_tz::UTC)),
        ("Local", []) => Value::Time(*time),
        ("String", []) => text(time).into(),
        ("IsZero", []) => Value::Bool(*time == zero()),
        ("Unix", []) => number(time.timestamp()),
        ("UnixMilli", []) => number(time.timestamp_millis()),
        ("UnixMicro", []) => number(time.timestamp_micros()),
        ("UnixNano", []) => number(time.timestamp_nanos_opt().unwrap_or_default()),
        ("Year", []) => number(i64::from(time.year())),
        ("Month", []) => month(time).into(),
        ("Day", []) => number(i64::from(time.day())),
        ("YearDay", []) => number(i64::from(time.ordinal())),
        ("Weekday", []) => weekday(time).into(),
        ("Hour", []) => number(i64::from(time.hour())),
        ("Minute", []) => number(i64::from(time.minute())),
        ("Second", []) => number(i64::from(time.second())),
        ("Nanosecond", []) => number(i64::from(time.nanosecond() % 1_000_000_000)),
        ("Format", [Value::Text(layout)]) => format(time, layout).into(),
        ("Sub", [Value::Time(other)]) => Value::Duration(between(time, other)),
        ("Add", [Value::Duration(ns)]) => {
            let Some(sum) = time.checked_add_signed(TimeDelta::nanoseconds(*ns)) else {
                return Some(Err("the moment cannot be said".to_owned()));
            };
            Value::Time(sum)
        }
        ("After", [Value::Time(other)]) => Value::Bool(time > other),
        ("Before", [Value::Time(other)]) => Value::Bool(time < other),
        ("Equal", [Value::Time(other)]) => Value::Bool(time == other),
        ("Compare", [Value::Time(other)]) => number(time.cmp(other) as i64),
        _ => return None,
    }))
}

/// What a method of a length of time gives; none when there is no such method of so many arguments.
pub(super) fn of_duration(ns: i64, method: &str, arguments: &[Value]) -> Option<Value> {
    let unit = |unit: f64| Value::Float(ns as f64 / unit);
    Some(match (method, arguments) {
        ("String", []) => duration_text(ns).into(),
        ("Hours", []) => unit(3.6e12),
        ("Minutes", []) => unit(6e10),
        ("Seconds", []) => unit(1e9),
        ("Milliseconds", []) => Value::Integer(ns / 1_000_000),
        ("Microseconds", []) => Value::Integer(ns / 1_000),
        ("Nanoseconds", []) => Value::Integer(ns),
        ("Abs", []) => Value::Duration(ns.saturating_abs()),
        ("Truncate", [Value::Duration(to)]) if *to > 0 => Value::Duration(ns - ns % to),
        ("Round", [Value::Duration(to)]) if *to > 0 => {
            let rest = ns.rem_euclid(*to);
            let down = ns.saturating_sub(rest);
            Value::Duration(if rest >= to - rest { down.saturating_add(*to) } else { down })
        }
        ("Truncate" | "Round", [Value::Duration(_)]) => Value::Duration(ns),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_by_go_s_layouts() {
        // 2026-03-09 is a Monday.
        let time = of_ns(1_773_065_045_067_800_000);
        for (layout, text) in [
            ("15:04", "14:04"),
            ("2006-01-02T15:04:05Z07:00", "2026-03-09T14:04:05Z"),
            ("2006-01-02T15:04:05.000-07:00", "2026-03-09T14:04:05.067+00:00"),
            ("Mon, 02 Jan 2006 15:04:05 MST", "Mon, 09 Mar 2026 14:04:05 UTC"),
            ("Monday January _2 3:04PM 06", "Monday March  9 2:04PM 26"),
            ("1/2 3:4:5.999 pm", "3/9 2:4:5.067 pm"),
            ("at 15h, day 002", "at 14h, day 068"),
        ] {
            assert_eq!(format(&time, layout), text, "{layout}");
        }
        let berlin = in_zone(&time, "Europe/Berlin").expect("a zone");
        assert_eq!(text(&berlin), "2026-03-09 15:04:05.0678 +0100 CET");
        assert_eq!(text(&zero()), "0001-01-01 00:00:00 +0000 UTC");
        assert!(in_zone(&time, "Nowhere/Land").is_err());
    }

    #[test]
    fn lengths_of_time_are_written_as_go_writes_them() {
        for (ns, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (250_000_000, "250ms"),
            (1_000_000_000, "1s"),
            (-90_500_000_000, "-1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (90_061_000_000_000, "25h1m1s"),
        ] {
            assert_eq!(duration_text(ns), text);
        }
    }
}
