//! Spans by start and duration: single points while they are few, cells of a heat map when they are many. A region can be
//! chosen by dragging, or in the form below.

use super::axis::spoken;
use super::dot::dot_view;
use super::frame::{grid, place, share_labels, share_of, time_labels};
use super::latency::{Scale, cells};
use crate::format;
use crate::islands::brush::RegionBrush;
use crate::nouns::counted;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{Heat, HeatCell, HeatPoint};
use mangru_store::TimeRange;

const TIME_TICKS: i64 = 8;

/// A part of the plot: a stretch of time and of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// When the spans started.
    pub(crate) time: TimeRange,
    /// The shortest duration, in nanoseconds.
    pub(crate) min_ns: i64,
    /// The longest duration, in nanoseconds.
    pub(crate) max_ns: i64,
}

/// What the points and cells of a plot lead to.
pub(crate) struct ScatterLinks<'a> {
    /// A single span.
    pub(crate) point: &'a dyn Fn(&HeatPoint) -> String,
    /// A cell of many.
    pub(crate) cell: &'a dyn Fn(&HeatCell) -> String,
    /// The address of this page without a region; a chosen one is added to it.
    pub(crate) base: String,
}

/// The plot; durations on a logarithmic scale, so that slow and fast are both seen.
pub(crate) fn scatter(heat: &Heat, range: TimeRange, region: Option<Region>, links: &ScatterLinks<'_>) -> AnyView {
    let scale = Scale::of(heat);
    let labels = scale.labels();
    let total: u64 = heat.cells.iter().map(|cell| cell.count).sum();
    let errors: u64 = heat.cells.iter().map(|cell| cell.errors).sum();
    let shapes = match &heat.points {
        Some(points) => points
            .iter()
            .map(|point| {
                let time = point.time_unix_nano.parse().unwrap_or(range.start);
                let mut label =
                    format!("{}: {}, {}", point.service_name, point.name, format::duration(point.duration_ns));
                if point.is_error {
                    label = trf("{0}, error", &[&label]);
                }
                let (x, y) = (share_of(range, time).clamp(0.002, 0.998), scale.y(point.duration_ns).clamp(0.01, 0.99));
                dot_view(x, y, point.is_error, (links.point)(point), label)
            })
            .collect(),
        None => cells(heat, scale, links.cell),
    };
    let summary = trf(
        "Durations of {0} {1}, {2} with errors",
        &[&counted(total, "span"), &spoken(range), &format::count(errors)],
    );
    let chosen = region.map(|region| {
        let (left, right) = (share_of(range, region.time.start).clamp(0.0, 1.0), share_of(range, region.time.end).clamp(0.0, 1.0));
        let (top, bottom) = (scale.y(region.max_ns).clamp(0.0, 1.0), scale.y(region.min_ns).clamp(0.0, 1.0));
        view! { <rect class="region" x=place(left) y=place(top) width=place(right - left) height=place(bottom - top)></rect> }
    });
    let words = if heat.points.is_some() {
        tr("Each point is a span, ◆ with an error.")
    } else {
        tr("Too many to draw one by one: stronger cells count more spans, ◆ with errors.")
    };
    let shares: Vec<f64> = labels.iter().map(|(share, _)| *share).collect();
    let (low, high) = scale.ends();
    let empty =
        heat.cells.is_empty().then(|| view! { <p class="plot-empty quiet">{tr("No span matches in this range")}</p> });
    view! {
        <figure class="tplot scatter">
            <div class="plot-body">
                {share_labels(labels)}
                <RegionBrush from_ns=range.start to_ns=range.end low_ns=low high_ns=high base=links.base.clone()>
                    <svg class="plot-shapes" role="group" aria-label=summary>
                        {grid(shares, range, TIME_TICKS)}
                        {shapes}
                        {chosen}
                    </svg>
                    {empty}
                </RegionBrush>
            </div>
            {time_labels(range, TIME_TICKS)}
            <figcaption class="quiet">
                {tr("Duration (logarithmic) over start.")}" "{words}" "
                <span class="needs-script">{tr("Drag over a region to ask what is different about it.")}</span>
            </figcaption>
        </figure>
    }
    .into_any()
}
