//! The histogram's read-out on hover, and its zoom by dragging.

use super::browser;
use crate::format;
use leptos::ev::PointerEvent;
use leptos::html;
use leptos::prelude::*;
use std::fmt::Write as _;

/// Lays a read-out and a selection over a histogram drawn by the server. Dragging leads to `base` with the range chosen.
#[island]
pub(crate) fn HistogramZoom(
    /// Where the first bucket starts, nanoseconds since the Unix epoch.
    start_ns: i64,
    /// The width of a bucket in nanoseconds.
    step_ns: i64,
    /// How many buckets.
    buckets: usize,
    /// The names of the series.
    labels: Vec<String>,
    /// A count per series and bucket.
    counts: Vec<Vec<u64>>,
    /// The address to zoom on, without a range.
    base: String,
    /// What is said where there is nothing.
    nothing: String,
    /// The chart.
    children: Children,
) -> impl IntoView {
    let plot: NodeRef<html::Div> = NodeRef::new();
    let hovered = RwSignal::new(None::<usize>);
    // Where the drag began, and where it is.
    let dragged = RwSignal::new(None::<(usize, usize)>);

    let bucket_at = move |event: &PointerEvent| {
        let area = plot.get_untracked()?.get_bounding_client_rect();
        let share = (f64::from(event.client_x()) - area.left()) / area.width().max(1.0);
        Some(((share * buckets as f64).floor().max(0.0) as usize).min(buckets.saturating_sub(1)))
    };
    let on_move = move |event: PointerEvent| {
        let bucket = bucket_at(&event);
        hovered.set(bucket);
        if let (Some(bucket), Some((from, _))) = (bucket, dragged.get_untracked()) {
            dragged.set(Some((from, bucket)));
        }
    };
    let on_down = move |event: PointerEvent| {
        if event.button() == 0
            && let Some(bucket) = bucket_at(&event)
        {
            event.prevent_default();
            dragged.set(Some((bucket, bucket)));
        }
    };
    let on_up = move |_: PointerEvent| {
        let Some((from, to)) = dragged.get_untracked() else { return };
        dragged.set(None);
        let (first, last) = (from.min(to) as i64, from.max(to) as i64);
        let start = start_ns + step_ns * first;
        let end = start_ns + step_ns * (last + 1);
        browser::go_to_range(&base, start, end);
    };
    let on_leave = move |_: PointerEvent| {
        hovered.set(None);
        dragged.set(None);
    };

    let marked = move || match (dragged.get(), hovered.get()) {
        (Some((from, to)), _) => Some((from.min(to), from.max(to))),
        (None, Some(bucket)) => Some((bucket, bucket)),
        (None, None) => None,
    };
    let mark_x = move || marked().map_or(0, |(first, _)| first * 10).to_string();
    let mark_width = move || marked().map_or(0, |(first, last)| (last - first + 1) * 10).to_string();
    let read_out = move || {
        let Some((first, last)) = marked() else { return String::new() };
        let start = start_ns + step_ns * first as i64;
        let end = start_ns + step_ns * (last as i64 + 1);
        let mut text = browser::stretch(start, end);
        let mut sum = 0;
        for (label, counts) in labels.iter().zip(&counts) {
            let count = counts.get(first..=last).unwrap_or(&[]).iter().sum::<u64>();
            sum += count;
            if count > 0 {
                // Writing to a String cannot fail.
                let _ = write!(text, "   {label} {}", format::count(count));
            }
        }
        if sum == 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "   {nothing}");
        }
        text
    };
    let view_box = format!("0 0 {} 100", buckets * 10);

    view! {
        <div class="zoomable" node_ref=plot on:pointermove=on_move on:pointerdown=on_down on:pointerup=on_up on:pointerleave=on_leave>
            {children()}
            <svg class="overlay" viewBox=view_box preserveAspectRatio="none" aria-hidden="true">
                <rect class="marked" x=mark_x y="0" width=mark_width height="100"></rect>
            </svg>
            <div class="read-out" aria-hidden="true" class:is-shown=move || marked().is_some()>{read_out}</div>
        </div>
    }
}
