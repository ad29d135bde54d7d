//! Choosing a region of a plot of durations over time by dragging.

use super::{browser, plot};
use crate::format;
use leptos::ev::PointerEvent;
use leptos::html;
use leptos::prelude::*;

/// Lays a selection over a plot drawn by the server. Dragging leads to `base` with `r_start`, `r_end`, `r_min` and `r_max`.
#[island]
pub(crate) fn RegionBrush(
    /// Where the plot starts, nanoseconds since the Unix epoch.
    from_ns: i64,
    /// Where the plot ends.
    to_ns: i64,
    /// The duration at the bottom, in nanoseconds.
    low_ns: i64,
    /// The duration at the top, in nanoseconds.
    high_ns: i64,
    /// The address that a region is added to.
    base: String,
    /// The plot.
    children: Children,
) -> impl IntoView {
    let window: NodeRef<html::Div> = NodeRef::new();
    // The moment under the pointer is marked on the other charts of the page, and theirs here.
    let shared = plot::moment_under_pointer();
    // Two corners as shares from the left and from the top.
    let dragged = RwSignal::new(None::<((f64, f64), (f64, f64))>);
    let corner = move |event: &PointerEvent| {
        let area = window.get_untracked()?.get_bounding_client_rect();
        let x = (f64::from(event.client_x()) - area.left()) / area.width().max(1.0);
        let y = (f64::from(event.client_y()) - area.top()) / area.height().max(1.0);
        Some((x.clamp(0.0, 1.0), y.clamp(0.0, 1.0)))
    };
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let time = move |x: f64| from_ns + (x * (to_ns - from_ns) as f64) as i64;
    let duration = move |y: f64| {
        let (low, high) = ((low_ns.max(1) as f64).log10(), (high_ns.max(2) as f64).log10());
        10_f64.powf(low + (1.0 - y) * (high - low)) as i64
    };
    let on_down = move |event: PointerEvent| {
        if event.button() != 0 {
            return;
        }
        // A press on a point opens it; the cells of a heat map are too many to keep free of.
        if !browser::is_within(&event, "a.dot-link") {
            event.prevent_default();
            dragged.set(corner(&event).map(|at| (at, at)));
        }
    };
    let on_move = {
        let shared = shared.clone();
        move |event: PointerEvent| {
            let at = corner(&event);
            shared.set(at.map(|(x, _)| time(x)));
            if let (Some((from, _)), Some(to)) = (dragged.get_untracked(), at) {
                dragged.set(Some((from, to)));
            }
        }
    };
    let on_leave = {
        let shared = shared.clone();
        move |_: PointerEvent| {
            shared.set(None);
            dragged.set(None);
        }
    };
    let hair = move || {
        let at = shared.get().filter(|at| (from_ns..=to_ns).contains(at))?;
        let x = percent((at - from_ns) as f64 / (to_ns - from_ns).max(1) as f64);
        Some(view! { <line class="cross" x1=x.clone() x2=x y1="0" y2="100%"></line> })
    };
    let area =
        move || dragged.get().map(|((x0, y0), (x1, y1))| (x0.min(x1), y0.min(y1), (x1 - x0).abs(), (y1 - y0).abs()));
    let on_up = move |_: PointerEvent| {
        let Some((x, y, width, height)) = area() else { return };
        dragged.set(None);
        if width < 0.005 && height < 0.02 {
            return;
        }
        let (from, to, low, high) = (time(x), time(x + width), duration(y + height), duration(y));
        browser::go_with(&base, &format!("r_start={from}&r_end={to}&r_min={low}ns&r_max={high}ns#different"));
    };
    let words = move || {
        let (x, y, width, height) = area()?;
        let utc = browser::wants_utc();
        let (from, to) = (browser::moment(time(x), "clock", utc), browser::moment(time(x + width), "clock", utc));
        Some(format!("{from} – {to}   {} – {}", format::duration(duration(y + height)), format::duration(duration(y))))
    };
    view! {
        <div class="plot-alive">
            <div class="plot-canvas" node_ref=window on:pointerdown=on_down on:pointermove=on_move on:pointerup=on_up
                on:pointerleave=on_leave on:dragstart=move |event| event.prevent_default()>
                {children()}
                <svg class="plot-over" aria-hidden="true">
                    <rect class="marked" x=move || percent(area().map_or(0.0, |area| area.0)) y=move || percent(area().map_or(0.0, |area| area.1))
                        width=move || percent(area().map_or(0.0, |area| area.2)) height=move || percent(area().map_or(0.0, |area| area.3))></rect>
                    {hair}
                </svg>
                <div class="read-out" aria-hidden="true" class:is-shown=move || area().is_some()>{words}</div>
            </div>
        </div>
    }
}
