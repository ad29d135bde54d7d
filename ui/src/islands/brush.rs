//! Choosing a region of a plot of durations over time by dragging.

use super::browser;
use crate::format;
use leptos::ev::PointerEvent;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

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
    let plot: NodeRef<html::Div> = NodeRef::new();
    // Two corners as shares from the left and from the top.
    let dragged = RwSignal::new(None::<((f64, f64), (f64, f64))>);
    let corner = move |event: &PointerEvent| {
        let area = plot.get_untracked()?.get_bounding_client_rect();
        let x = (f64::from(event.client_x()) - area.left()) / area.width().max(1.0);
        let y = (f64::from(event.client_y()) - area.top()) / area.height().max(1.0);
        Some((x.clamp(0.0, 1.0), y.clamp(0.0, 1.0)))
    };
    let time = move |x: f64| from_ns + (x * (to_ns - from_ns) as f64) as i64;
    let duration = move |y: f64| {
        let (low, high) = ((low_ns.max(1) as f64).log10(), (high_ns.max(2) as f64).log10());
        10_f64.powf(low + (1.0 - y) * (high - low)) as i64
    };
    let on_down = move |event: PointerEvent| {
        if event.button() != 0 {
            return;
        }
        // Without this the browser would begin to drag the link of a point.
        let is_link =
            event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok()).is_some_and(|target| {
                target
                    .closest("a")
                    .ok()
                    .flatten()
                    .is_some_and(|link| link.query_selector(".ts-dot").ok().flatten().is_some())
            });
        if !is_link {
            event.prevent_default();
            dragged.set(corner(&event).map(|at| (at, at)));
        }
    };
    let on_move = move |event: PointerEvent| {
        if let (Some((from, _)), Some(to)) = (dragged.get_untracked(), corner(&event)) {
            dragged.set(Some((from, to)));
        }
    };
    let area =
        move || dragged.get().map(|((x0, y0), (x1, y1))| (x0.min(x1), y0.min(y1), (x1 - x0).abs(), (y1 - y0).abs()));
    let on_up = move |_: PointerEvent| {
        let Some((x, y, width, height)) = area() else { return };
        dragged.set(None);
        if width < 0.005 && height < 0.02 {
            return;
        }
        let joint = if base.contains('?') { '&' } else { '?' };
        browser::go(&format!(
            "{base}{joint}r_start={}&r_end={}&r_min={}ns&r_max={}ns#different",
            time(x),
            time(x + width),
            duration(y + height),
            duration(y)
        ));
    };
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let words = move || {
        let (x, y, width, height) = area()?;
        let utc = browser::wants_utc();
        let (from, to) = (browser::moment(time(x), "clock", utc), browser::moment(time(x + width), "clock", utc));
        Some(format!("{from} – {to}   {} – {}", format::duration(duration(y + height)), format::duration(duration(y))))
    };
    view! {
        <div class="ts-window">
            <div class="ts-live" node_ref=plot on:pointerdown=on_down on:pointermove=on_move on:pointerup=on_up
                on:pointerleave=move |_| dragged.set(None) on:dragstart=move |event| event.prevent_default()>
                {children()}
                <svg class="ts-over" aria-hidden="true">
                    <rect class="marked" x=move || percent(area().map_or(0.0, |area| area.0)) y=move || percent(area().map_or(0.0, |area| area.1))
                        width=move || percent(area().map_or(0.0, |area| area.2)) height=move || percent(area().map_or(0.0, |area| area.3))></rect>
                </svg>
                <div class="read-out" aria-hidden="true" class:is-shown=move || area().is_some()>{words}</div>
            </div>
        </div>
    }
}
