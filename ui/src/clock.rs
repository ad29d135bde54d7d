//! Moments as the server writes them: UTC text inside `<time>`, which the browser may turn to its own zone.

use chrono::{DateTime, TimeZone as _, Utc};
use leptos::prelude::*;

/// How much of a moment is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// `2026-11-20 22:41:11.123`
    Full,
    /// `11-20 22:41:11.123`
    Row,
    /// `22:41:11`
    Clock,
    /// `11-20 22:41`
    Minute,
    /// `2026-11-20 22:41`
    Date,
    /// `22:41`
    HourMinute,
    /// `11-20`
    Day,
    /// `41:11.123`
    Fine,
}

impl Show {
    const fn pattern(self) -> &'static str {
        match self {
            Self::Full => "%Y-%m-%d %H:%M:%S%.3f",
            Self::Row => "%m-%d %H:%M:%S%.3f",
            Self::Clock => "%H:%M:%S",
            Self::Minute => "%m-%d %H:%M",
            Self::Date => "%Y-%m-%d %H:%M",
            Self::HourMinute => "%H:%M",
            Self::Day => "%m-%d",
            Self::Fine => "%M:%S%.3f",
        }
    }

    /// The name by which the browser's half knows the form.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Row => "row",
            Self::Clock => "clock",
            Self::Minute => "minute",
            Self::Date => "date",
            Self::HourMinute => "hm",
            Self::Day => "day",
            Self::Fine => "fine",
        }
    }
}

/// Now, in nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    Utc::now().timestamp_nanos_opt().unwrap_or(i64::MAX)
}

fn moment(ns: i64) -> DateTime<Utc> {
    Utc.timestamp_nanos(ns)
}

/// The moment in RFC 3339 with nanoseconds.
pub(crate) fn rfc3339(ns: i64) -> String {
    moment(ns).to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
}

/// The moment as text in UTC.
pub(crate) fn text(ns: i64, show: Show) -> String {
    moment(ns).format(show.pattern()).to_string()
}

/// The moment as a `<time>` element.
pub(crate) fn time_view(ns: i64, show: Show) -> AnyView {
    let exact = rfc3339(ns);
    view! { <time datetime=exact.clone() title=exact data-show=show.name()>{text(ns, show)}</time> }.into_any()
}

/// The moment as a label in an SVG, at a place across.
pub(crate) fn label_view(ns: i64, show: Show, x: String) -> AnyView {
    view! { <text x=x y="12" text-anchor="middle" data-show=show.name() data-time=rfc3339(ns)>{text(ns, show)}</text> }
        .into_any()
}

/// The moment of a row, whose nanoseconds come as text.
pub(crate) fn row_time(ns: &str, show: Show) -> AnyView {
    match ns.parse() {
        Ok(ns) => time_view(ns, show),
        Err(_) => view! { <span>{ns.to_owned()}</span> }.into_any(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_utc() {
        let ns = 1_700_000_000_123_456_789;
        assert_eq!(text(ns, Show::Full), "2023-11-14 22:13:20.123");
        assert_eq!(rfc3339(ns), "2023-11-14T22:13:20.123456789Z");
        assert_eq!(text(i64::MAX, Show::Clock), "23:47:16");
        assert_eq!(text(-1, Show::Full), "1969-12-31 23:59:59.999");
    }
}
