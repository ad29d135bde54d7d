//! Traces as points: when they started, how long they took.

use super::axis::{spoken, time_axis};
use crate::format;
use leptos::prelude::*;
use mangru_store::TimeRange;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 140.0;

/// One trace.
pub(crate) struct Point {
    /// When it started.
    pub(crate) time_ns: i64,
    /// How long it took.
    pub(crate) duration_ns: i64,
    /// Whether it holds an error.
    pub(crate) is_error: bool,
    /// Where it leads.
    pub(crate) href: String,
    /// Its name for people.
    pub(crate) label: String,
}

/// The chart; durations on a logarithmic scale, so that slow and fast traces are both seen.
pub(crate) fn scatter(points: &[Point], range: TimeRange) -> AnyView {
    if points.is_empty() {
        return ().into_any();
    }
    let slowest = points.iter().map(|point| point.duration_ns).max().unwrap_or(1).max(1_000);
    let fastest = points.iter().map(|point| point.duration_ns).min().unwrap_or(1).max(1_000);
    let (low, high) = ((fastest as f64 / 1.5).log10(), (slowest as f64 * 1.5).log10());
    let length = range.end.saturating_sub(range.start).max(1) as f64;
    let errors = points.iter().filter(|point| point.is_error).count();
    let marks: Vec<_> = points
        .iter()
        .map(|point| {
            let x = (point.time_ns.saturating_sub(range.start) as f64 / length * WIDTH).clamp(4.0, WIDTH - 4.0);
            let share = ((point.duration_ns.max(1) as f64).log10() - low) / (high - low);
            let y = (HEIGHT - share * HEIGHT).clamp(5.0, HEIGHT - 5.0);
            let name = format!(
                "{}, {}{}",
                point.label,
                format::duration(point.duration_ns),
                if point.is_error { ", with errors" } else { "" }
            );
            let (x, y) = (format!("{x:.1}"), format!("{y:.1}"));
            let shape = if point.is_error {
                let diamond = format!("M{x} {y}m-5 0l5 -5l5 5l-5 5z");
                view! { <path class="point error" d=diamond></path> }.into_any()
            } else {
                view! { <circle class="point" cx=x cy=y r="3.5"></circle> }.into_any()
            };
            // The list below holds the same links for the keyboard.
            let spoken = name.clone();
            view! { <a href=point.href.clone() tabindex="-1" aria-label=spoken>{shape}<title>{name}</title></a> }
        })
        .collect();
    let summary = format!(
        "Durations of {} {}, {} to {}, {} with errors",
        format::counted(points.len() as u64, "trace"),
        spoken(range),
        format::duration(fastest),
        format::duration(slowest),
        format::count(errors as u64)
    );
    view! {
        <figure class="chart scatter">
            <div class="chart-top" aria-hidden="true">{format::duration(slowest)}</div>
            <svg class="plot" viewBox="0 0 1000 140" role="group" aria-label=summary>
                <path class="grid" d="M0 0H1000M0 35H1000M0 70H1000M0 105H1000M0 140H1000"></path>
                {marks}
            </svg>
            <div class="chart-bottom" aria-hidden="true">{format::duration(fastest)}</div>
            {time_axis(range)}
            <figcaption class="quiet">"Duration (logarithmic) over start time of the traces listed. ◆ with errors."</figcaption>
        </figure>
    }
    .into_any()
}
