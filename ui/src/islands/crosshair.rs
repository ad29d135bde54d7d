//! A chart's cross-hair, read-out, legend and zoom. The cross-hair stands at the same time on every chart of the page.

use super::browser;
use crate::measure::Measure;
use leptos::ev::PointerEvent;
use leptos::html;
use leptos::prelude::*;
use std::collections::BTreeSet;
use wasm_bindgen::JsCast;

/// A series of a plot, with its name and the class of its colour.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct PlotSeries {
    /// Its name.
    #[serde(rename = "l")]
    pub(crate) label: String,
    /// Its colour's class.
    #[serde(rename = "c")]
    pub(crate) class: String,
    /// A value per bucket.
    #[serde(rename = "v")]
    pub(crate) values: Vec<Option<f64>>,
}

thread_local! {
    /// The moment under the pointer, on whichever chart it is.
    static MOMENT: ArcRwSignal<Option<i64>> = ArcRwSignal::new(None);
}

/// The moment under the pointer, for charts of any kind.
fn moment() -> ArcRwSignal<Option<i64>> {
    MOMENT.with(Clone::clone)
}

/// What a plot shows, and what the reader does with it.
#[derive(Clone, Copy)]
struct State {
    start_ns: i64,
    step_ns: i64,
    from_ns: i64,
    to_ns: i64,
    unit: Measure,
    plot: NodeRef<html::Div>,
    tip: NodeRef<html::Div>,
    // Whether the pointer is over this plot.
    is_here: RwSignal<bool>,
    // Where a drag began, and where it is.
    dragged: RwSignal<Option<(i64, i64)>>,
    // The series that are hidden.
    hidden: RwSignal<BTreeSet<usize>>,
}

impl State {
    fn length(self) -> f64 {
        (self.to_ns - self.from_ns).max(1) as f64
    }

    fn share(self, ns: i64) -> f64 {
        (ns - self.from_ns) as f64 / self.length()
    }

    fn percent(self, ns: i64) -> String {
        format!("{:.2}%", (self.share(ns) * 100.0).clamp(0.0, 100.0))
    }

    fn time_at(self, event: &PointerEvent) -> Option<i64> {
        let area = self.plot.get_untracked()?.get_bounding_client_rect();
        let share = ((f64::from(event.client_x()) - area.left()) / area.width().max(1.0)).clamp(0.0, 1.0);
        Some(self.from_ns + (share * self.length()) as i64)
    }

    /// The moment under the pointer, when this plot shows it.
    fn moment(self) -> Option<i64> {
        moment().get().filter(|at| (self.from_ns..=self.to_ns).contains(at))
    }

    fn follow(self, event: &PointerEvent) {
        let at = self.time_at(event);
        self.is_here.set(true);
        moment().set(at);
        if let (Some(at), Some((from, _))) = (at, self.dragged.get_untracked()) {
            self.dragged.set(Some((from, at)));
        }
    }

    fn press(self, event: &PointerEvent) {
        // A dot is a link: pressing it does not begin a drag.
        let is_link = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
            .is_some_and(|target| target.closest("a").ok().flatten().is_some());
        if event.button() == 0
            && !is_link
            && let Some(at) = self.time_at(event)
        {
            event.prevent_default();
            self.dragged.set(Some((at, at)));
        }
    }

    fn release(self, base: &str) {
        let Some((from, to)) = self.dragged.get_untracked() else { return };
        self.dragged.set(None);
        let (from, to) = (from.min(to), from.max(to));
        if base.is_empty() || self.share(to) - self.share(from) < 0.005 {
            return;
        }
        let joint = if base.contains('?') { '&' } else { '?' };
        browser::go(&format!("{base}{joint}start={from}&end={to}"));
    }

    fn leave(self) {
        self.is_here.set(false);
        moment().set(None);
        self.dragged.set(None);
    }

    /// Puts the read-out on the side of the pointer where there is room.
    fn place_tip(self) {
        let (Some(tip), Some(at)) = (self.tip.get(), self.moment()) else { return };
        let style = web_sys::HtmlElement::style(&tip);
        let share = self.share(at);
        let (near, far, value) = if share < 0.5 { ("left", "right", share) } else { ("right", "left", 1.0 - share) };
        // A style that is refused leaves the read-out where it is.
        let _ = style.set_property(near, &format!("calc({:.2}% + 12px)", value * 100.0));
        let _ = style.set_property(far, "auto");
    }

    /// Hides and shows what the server drew of each series.
    fn hide_series(self) {
        let (Some(plot), hidden) = (self.plot.get(), self.hidden.get()) else { return };
        let Ok(found) = plot.query_selector_all("[data-series]") else { return };
        for index in 0..found.length() {
            let Some(element) = found.item(index).and_then(|node| node.dyn_into::<web_sys::Element>().ok()) else {
                continue;
            };
            let number = element.get_attribute("data-series").and_then(|number| number.parse::<usize>().ok());
            let is_off = number.is_some_and(|number| hidden.contains(&number));
            // Adding or removing a class cannot fail for such a name.
            let _ = element.class_list().toggle_with_force("is-off", is_off);
        }
    }

    /// The values at the moment, or the stretch of time that is being chosen.
    fn reading(self, series: &[PlotSeries]) -> Option<AnyView> {
        let at = self.moment()?;
        let utc = browser::wants_utc();
        if let Some((from, to)) = self.dragged.get().filter(|(from, to)| from != to) {
            let (from, to) = (from.min(to), from.max(to));
            let words = format!("{} – {}", browser::moment(from, "row", utc), browser::moment(to, "clock", utc));
            return Some(view! { <b>{words}</b> }.into_any());
        }
        let bucket = usize::try_from((at - self.start_ns).div_euclid(self.step_ns.max(1))).unwrap_or(0);
        let begin = self.start_ns + self.step_ns * bucket as i64;
        let lines: Vec<_> = series
            .iter()
            .enumerate()
            .filter(|(number, _)| self.hidden.with(|hidden| !hidden.contains(number)))
            .map(|(_, series)| {
                let value = series.values.get(bucket).copied().flatten();
                let text = value.map_or_else(|| "–".to_owned(), |value| self.unit.show(value));
                let class = format!("swatch {}", series.class);
                view! { <li><span class=class></span>{series.label.clone()}<b>{text}</b></li> }
            })
            .collect();
        Some(view! { <b>{browser::moment(begin, "row", utc)}</b><ul>{lines}</ul> }.into_any())
    }

    /// The names of the series; a click hides one or shows it again. One series needs none.
    fn legend(self, series: &[PlotSeries]) -> Option<AnyView> {
        let items: Vec<_> = series
            .iter()
            .enumerate()
            .map(|(number, one)| {
                let class = format!("swatch {}", one.class);
                let is_off = move || self.hidden.with(|hidden| hidden.contains(&number));
                let toggle = move |_| {
                    self.hidden.update(|hidden| {
                        if !hidden.remove(&number) {
                            hidden.insert(number);
                        }
                    });
                };
                view! {
                    <li><button type="button" class="legend-item" aria-pressed=move || (!is_off()).to_string() on:click=toggle>
                        <span class=class></span>{one.label.clone()}
                    </button></li>
                }
            })
            .collect();
        (series.len() > 1).then(|| view! { <ul class="ts-legend">{items}</ul> }.into_any())
    }
}

/// Lays cross-hair, read-out and selection over a plot drawn by the server, and its legend below.
#[island]
pub(crate) fn SeriesPlot(
    /// Where the first bucket starts, nanoseconds since the Unix epoch.
    start_ns: i64,
    /// The width of a bucket in nanoseconds.
    step_ns: i64,
    /// Where the plot starts.
    from_ns: i64,
    /// Where the plot ends.
    to_ns: i64,
    /// The series.
    series: Vec<PlotSeries>,
    /// What the values are.
    unit: Measure,
    /// The address to zoom on, without a range; empty for none.
    base: String,
    /// The plot.
    children: Children,
) -> impl IntoView {
    let state = State {
        start_ns,
        step_ns,
        from_ns,
        to_ns,
        unit,
        plot: NodeRef::new(),
        tip: NodeRef::new(),
        is_here: RwSignal::new(false),
        dragged: RwSignal::new(None),
        hidden: RwSignal::new(BTreeSet::new()),
    };
    Effect::new(move |_| state.place_tip());
    Effect::new(move |_| state.hide_series());
    let hair = move || state.moment().map_or_else(|| "0".to_owned(), |at| state.percent(at));
    let marked = move || state.dragged.get().map(|(from, to)| (from.min(to), from.max(to)));
    let mark_x = move || marked().map_or_else(|| "0".to_owned(), |(from, _)| state.percent(from));
    let mark_width = move || {
        let width = marked().map_or(0.0, |(from, to)| (state.share(to) - state.share(from)) * 100.0);
        format!("{width:.2}%")
    };
    let legend = state.legend(&series);
    view! {
        <div class="ts-window">
            <div class="ts-live" node_ref=state.plot on:pointermove=move |event| state.follow(&event) on:pointerdown=move |event| state.press(&event)
                on:pointerup=move |_| state.release(&base) on:pointerleave=move |_| state.leave()>
                {children()}
                <svg class="ts-over" aria-hidden="true">
                    <rect class="marked" x=mark_x y="0" width=mark_width height="100%"></rect>
                    <line class="hair" class:is-shown=move || state.moment().is_some() x1=hair x2=hair y1="0" y2="100%"></line>
                </svg>
                <div class="ts-tip" aria-hidden="true" node_ref=state.tip class:is-shown=move || state.is_here.get()>{move || state.reading(&series)}</div>
            </div>
            {legend}
        </div>
    }
}
