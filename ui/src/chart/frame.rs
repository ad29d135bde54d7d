//! What every chart of time has around it: grid, ticks with units at the left, round times below.
//!
//! Places are shares of the plot written in percent, so that shapes stretch with the page while words, dots and lines keep
//! their form. Nothing needs a style of its own.

use crate::clock::{Show, label_view};
use leptos::prelude::*;
use mangru_store::TimeRange;

const SECOND: i64 = 1_000_000_000;
/// Distances between time ticks, in seconds.
const ROUND_SECONDS: [i64; 23] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    1_209_600, 2_592_000, 31_536_000,
];

/// A share as a place in percent.
pub(crate) fn place(share: f64) -> String {
    format!("{:.2}%", share.clamp(-0.5, 1.5) * 100.0)
}

/// The share of a range that lies before a moment.
pub(crate) fn share_of(range: TimeRange, ns: i64) -> f64 {
    ns.saturating_sub(range.start) as f64 / range.end.saturating_sub(range.start).max(1) as f64
}

/// Round moments within the range, about `wanted` of them, and the form they are written in.
pub(crate) fn time_ticks(range: TimeRange, wanted: i64) -> (Vec<i64>, Show) {
    let length = range.end.saturating_sub(range.start).max(1);
    let seconds = length / SECOND / wanted.max(1);
    if length < 5 * SECOND {
        let step = (length / wanted.max(1)).max(1);
        return ((1..wanted).map(|n| range.start.saturating_add(step * n)).collect(), Show::Fine);
    }
    let step = ROUND_SECONDS.into_iter().find(|step| *step >= seconds).unwrap_or(31_536_000) * SECOND;
    let show = match step / SECOND {
        86_400.. => Show::Day,
        60.. if length > 26 * 3_600 * SECOND => Show::Minute,
        60.. => Show::HourMinute,
        _ => Show::Clock,
    };
    let first = range.start.div_euclid(step).saturating_add(1).saturating_mul(step);
    let ticks = std::iter::successors(Some(first), |at| at.checked_add(step)).take_while(|at| *at < range.end);
    (ticks.take(50).collect(), show)
}

/// The times below a plot.
pub(crate) fn time_labels(range: TimeRange, wanted: i64) -> AnyView {
    let (ticks, show) = time_ticks(range, wanted);
    let labels: Vec<_> = ticks
        .into_iter()
        .map(|ns| (share_of(range, ns), ns))
        .filter(|(share, _)| (0.02..=0.98).contains(share))
        .map(|(share, ns)| label_view(ns, show, place(share)))
        .collect();
    view! { <svg class="axis-x" aria-hidden="true">{labels}</svg> }.into_any()
}

/// Words at the left of a plot, each with how far below the top it stands.
pub(crate) fn share_labels(labels: Vec<(f64, String)>) -> AnyView {
    let labels: Vec<_> = labels
        .into_iter()
        .map(|(share, words)| {
            // The first and the last stand within the plot's height.
            let dy = if share < 0.04 {
                "0.75em"
            } else if share > 0.96 {
                "-0.05em"
            } else {
                "0.32em"
            };
            view! { <text x="100%" y=place(share) dy=dy text-anchor="end">{words}</text> }
        })
        .collect();
    view! { <svg class="axis-y" aria-hidden="true">{labels}</svg> }.into_any()
}

/// Lines across a plot at shares from its top, and down at the times of the axis.
pub(crate) fn grid(shares: impl IntoIterator<Item = f64>, range: TimeRange, wanted: i64) -> AnyView {
    let across: Vec<_> = shares
        .into_iter()
        .map(|share| view! { <line x1="0" x2="100%" y1=place(share) y2=place(share)></line> })
        .collect();
    let (ticks, _) = time_ticks(range, wanted);
    let down: Vec<_> = ticks
        .into_iter()
        .map(|ns| {
            let x = place(share_of(range, ns));
            view! { <line class="down" x1=x.clone() x2=x y1="0" y2="100%"></line> }
        })
        .collect();
    view! { <g class="grid-lines">{across}{down}</g> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_on_the_axis_are_round() {
        let start = 1_763_678_123 * SECOND;
        let quarter = TimeRange { start, end: start + 900 * SECOND };
        let (ticks, show) = time_ticks(quarter, 6);
        assert_eq!(show, Show::HourMinute);
        assert!(ticks.iter().all(|at| at % (300 * SECOND) == 0) && ticks.len() == 3, "{ticks:?}");
        let (ticks, show) = time_ticks(TimeRange { start, end: start + 7 * 86_400 * SECOND }, 6);
        assert_eq!(show, Show::Day);
        assert!(ticks.len() >= 3 && ticks.iter().all(|at| at % (86_400 * SECOND) == 0));
        let (ticks, show) = time_ticks(TimeRange { start, end: start + SECOND }, 6);
        assert_eq!((ticks.len(), show), (5, Show::Fine));
        let (ticks, show) = time_ticks(TimeRange { start, end: start + 3 * 86_400 * SECOND }, 8);
        assert_eq!(show, Show::Minute, "hours of several days are told with their day");
        assert!((4..=9).contains(&ticks.len()), "{ticks:?}");
        let (ticks, show) = time_ticks(TimeRange { start, end: start + 90 * 86_400 * SECOND }, 8);
        assert!(show == Show::Day && (4..=9).contains(&ticks.len()), "{ticks:?}");
        time_ticks(TimeRange { start: i64::MIN, end: i64::MAX }, 6);
    }
}
