//! The trace waterfall: collapse, zoom, search and keys over any number of spans, of which only those in view are drawn.

mod rows;
mod ticks;

pub(crate) use rows::{Row, flags};
#[cfg(feature = "ssr")]
pub(crate) use ticks::labels as time_labels;

use super::browser;
use crate::format;
use crate::palette::SERVICE_COLOURS;
use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::html;
use leptos::prelude::*;
use rows::{end_of_subtree, in_view, shown};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// The height of a row, as the style sheet has it.
const ROW_HEIGHT: i32 = 24;
/// The height of the window onto the rows, as the style sheet has it.
const WINDOW_HEIGHT: i32 = 624;

/// The spans in the order shown, with the words they share.
struct Spans {
    rows: Vec<Row>,
    names: Vec<String>,
    services: Vec<String>,
    colours: Vec<u64>,
    total_ns: i64,
    base: String,
}

impl Spans {
    /// The number of the colour of a row's service.
    fn colour(&self, row: &Row) -> u64 {
        self.colours.get(row.service as usize).copied().unwrap_or_default() % SERVICE_COLOURS
    }
}

/// What the reader has done to the picture.
#[derive(Clone, Copy)]
struct State {
    collapsed: RwSignal<BTreeSet<usize>>,
    search: RwSignal<String>,
    // The part of the trace's time in view, as shares.
    zoom: RwSignal<(f64, f64)>,
    scroll: RwSignal<i32>,
    cursor: RwSignal<usize>,
}

/// Takes the place of the static rows (its children) once it is alive.
#[island]
pub(crate) fn TraceWaterfall(
    /// The spans, parents before children.
    rows: Vec<Row>,
    /// Span names.
    names: Vec<String>,
    /// Service names.
    services: Vec<String>,
    /// The numbers of their colours.
    colours: Vec<u64>,
    /// How long the trace took.
    total_ns: i64,
    /// The address of a span, without its id.
    base: String,
    /// The span that is open.
    selected: String,
    /// What it says: how the keys move, search, how many are shown, expand, collapse, whole time, drag, children.
    words: Vec<String>,
    /// The rows for those without scripts.
    children: Children,
) -> impl IntoView {
    let cursor = rows.iter().position(|row| row.id == selected).unwrap_or(0);
    let spans = Arc::new(Spans { rows, names, services, colours, total_ns: total_ns.max(1), base });
    let state = State {
        collapsed: RwSignal::new(BTreeSet::new()),
        search: RwSignal::new(String::new()),
        zoom: RwSignal::new((0.0, 1.0)),
        scroll: RwSignal::new(0),
        cursor: RwSignal::new(cursor),
    };
    let words = Said(StoredValue::new(words));
    let is_alive = RwSignal::new(false);
    Effect::new(move |_| is_alive.set(true));
    view! {
        <div class="waterfall">
            <div class:hidden=move || is_alive.get()>{children()}</div>
            {move || is_alive.get().then(|| picture(&spans, state, selected.clone(), words))}
        </div>
    }
}

/// What the waterfall says, by place.
#[derive(Clone, Copy)]
struct Said(StoredValue<Vec<String>>);

impl Said {
    fn at(self, place: usize) -> String {
        self.0.with_value(|words| words.get(place).cloned().unwrap_or_default())
    }
}

fn picture(spans: &Arc<Spans>, state: State, selected: String, words: Said) -> AnyView {
    let visible = {
        let spans = Arc::clone(spans);
        Memo::new(move |_| {
            state
                .collapsed
                .with(|collapsed| shown(&spans.rows, &spans.names, &spans.services, collapsed, &state.search.get()))
        })
    };
    let window: NodeRef<html::Div> = NodeRef::new();
    Effect::new(move |was: Option<()>| {
        // Once, when the window is there: bring the open span into view.
        if let (Some(window), None) = (window.get(), was) {
            let at = visible
                .with_untracked(|visible| visible.iter().position(|index| *index == state.cursor.get_untracked()));
            window.set_scroll_top((at.unwrap_or(0) as i32 * ROW_HEIGHT - WINDOW_HEIGHT / 2).max(0));
        }
    });
    let lines = {
        let spans = Arc::clone(spans);
        move || {
            visible.with(|visible| {
                let (first, last) = in_view(visible.len(), state.scroll.get(), ROW_HEIGHT, WINDOW_HEIGHT);
                let above = (first as i32 * ROW_HEIGHT).to_string();
                let below = ((visible.len() - last) as i32 * ROW_HEIGHT).to_string();
                let rows: Vec<_> =
                    visible[first..last].iter().map(|index| line(&spans, *index, state, &selected, words)).collect();
                view! {
                    <svg class="spacer" width="1" height=above aria-hidden="true"></svg>
                    {rows}
                    <svg class="spacer" width="1" height=below aria-hidden="true"></svg>
                }
            })
        }
    };
    let on_key = {
        let spans = Arc::clone(spans);
        move |event: KeyboardEvent| press(&spans, state, visible, window, &event)
    };
    view! {
        {toolbar(spans, state, visible, words)}
        {minimap(spans, state, words)}
        {scale(spans, state)}
        <div class="wf-window" node_ref=window tabindex="0" role="region"
            aria-label=words.at(0)
            on:scroll=move |_| if let Some(window) = window.get_untracked() { state.scroll.set(window.scroll_top()) }
            on:keydown=on_key>
            {lines}
        </div>
    }
    .into_any()
}

fn toolbar(spans: &Arc<Spans>, state: State, visible: Memo<Vec<usize>>, words: Said) -> AnyView {
    let parents: Vec<usize> =
        (0..spans.rows.len()).filter(|index| end_of_subtree(&spans.rows, *index) > index + 1).collect();
    let is_zoomed = move || state.zoom.get() != (0.0, 1.0);
    view! {
        <p class="wf-bar">
            <label>{words.at(1)}" "<input type="search" on:input=move |event| state.search.set(event_target_value(&event)) /></label>
            <span class="quiet" role="status">
                {move || words.at(2).replace("{0}", &format::count(visible.with(Vec::len) as u64))}
            </span>
            <button type="button" on:click=move |_| state.collapsed.set(BTreeSet::new())>{words.at(3)}</button>
            <button type="button" on:click=move |_| state.collapsed.set(parents.iter().copied().filter(|index| *index > 0).collect())>{words.at(4)}</button>
            <button type="button" disabled=move || !is_zoomed() on:click=move |_| state.zoom.set((0.0, 1.0))>{words.at(5)}</button>
        </p>
    }
    .into_any()
}

/// The whole trace in small; dragging over it chooses the time in view.
fn minimap(spans: &Arc<Spans>, state: State, words: Said) -> AnyView {
    let mut shapes = vec![String::new(); SERVICE_COLOURS as usize];
    let total = spans.total_ns as f64;
    let step = 60.0 / spans.rows.len().max(1) as f64;
    for (index, row) in spans.rows.iter().enumerate() {
        let x = row.offset_ns as f64 / total * 1000.0;
        let width = (row.duration_ns as f64 / total * 1000.0).max(1.0);
        let colour = spans.colour(row) as usize;
        // Writing to a String cannot fail.
        let _ = write!(shapes[colour], "M{x:.1} {:.1}h{width:.1}", step * (index as f64 + 0.5));
    }
    let paths: Vec<_> = shapes
        .into_iter()
        .enumerate()
        .filter(|(_, shape)| !shape.is_empty())
        .map(|(colour, shape)| {
            let class = format!("mini svc-{colour}");
            view! { <path class=class d=shape></path> }
        })
        .collect();
    let area: NodeRef<html::Div> = NodeRef::new();
    let dragged = RwSignal::new(None::<(f64, f64)>);
    let share_at = move |event: &PointerEvent| {
        let area = area.get_untracked()?.get_bounding_client_rect();
        Some(((f64::from(event.client_x()) - area.left()) / area.width().max(1.0)).clamp(0.0, 1.0))
    };
    let on_down = move |event: PointerEvent| {
        event.prevent_default();
        dragged.set(share_at(&event).map(|share| (share, share)));
    };
    let on_move = move |event: PointerEvent| {
        if let (Some((from, _)), Some(share)) = (dragged.get_untracked(), share_at(&event)) {
            dragged.set(Some((from, share)));
        }
    };
    let on_up = move |_: PointerEvent| {
        if let Some((from, to)) = dragged.get_untracked() {
            dragged.set(None);
            let (from, to) = (from.min(to), from.max(to));
            state.zoom.set(if to - from < 0.002 { (0.0, 1.0) } else { (from, to) });
        }
    };
    let marked = move || dragged.get().map_or_else(|| state.zoom.get(), |(from, to)| (from.min(to), from.max(to)));
    view! {
        <div class="wf-minimap" node_ref=area on:pointerdown=on_down on:pointermove=on_move on:pointerup=on_up
            on:pointerleave=move |_| dragged.set(None) title=words.at(6)>
            <svg viewBox="0 0 1000 60" preserveAspectRatio="none" aria-hidden="true">
                {paths}
                <rect class="outside" x="0" y="0" height="60" width=move || (marked().0 * 1000.0).to_string()></rect>
                <rect class="outside" y="0" height="60" x=move || (marked().1 * 1000.0).to_string()
                    width=move || ((1.0 - marked().1) * 1000.0).to_string()></rect>
            </svg>
        </div>
    }
    .into_any()
}

/// Round times over the bars.
fn scale(spans: &Arc<Spans>, state: State) -> AnyView {
    let total = spans.total_ns as f64;
    let marks = move || {
        let (from, to) = state.zoom.get();
        ticks::labels(from * total, to * total)
    };
    view! { <div class="wf-scale" aria-hidden="true"><span class="wf-name"></span><svg class="wf-axis">{marks}</svg></div> }.into_any()
}

/// One span: its name with the toggle of its children, and its bar.
fn line(spans: &Arc<Spans>, index: usize, state: State, selected: &str, words: Said) -> AnyView {
    let row = &spans.rows[index];
    let service = spans.services[row.service as usize].clone();
    let name = spans.names[row.name as usize].clone();
    let has_children = end_of_subtree(&spans.rows, index) > index + 1;
    let is_collapsed = move || state.collapsed.with(|collapsed| collapsed.contains(&index));
    let toggle = move |_| {
        state.collapsed.update(|collapsed| {
            if !collapsed.remove(&index) {
                collapsed.insert(index);
            }
        });
    };
    let toggle_view = if has_children {
        view! {
            <button type="button" class="toggle" tabindex="-1" aria-expanded=move || (!is_collapsed()).to_string()
                aria-label=words.at(7) on:click=toggle>{move || if is_collapsed() { "▸" } else { "▾" }}</button>
        }
        .into_any()
    } else {
        view! { <span class="toggle"></span> }.into_any()
    };
    let address = format!("{}{}", spans.base, row.id);
    let class = format!("wf-row d{}{}", row.depth.min(24), if row.id == selected { " is-selected" } else { "" });
    let colour = format!("svc-{}", spans.colour(row));
    let bar_class = format!("wf-bar-shape {colour}");
    let service_class = format!("service {colour}");
    let total = spans.total_ns as f64;
    let (offset, duration) = (row.offset_ns as f64 / total, row.duration_ns as f64 / total);
    let x = move || {
        let (from, to) = state.zoom.get();
        ((offset - from) / (to - from) * 1000.0).clamp(-10.0, 1010.0)
    };
    let width = move || {
        let (from, to) = state.zoom.get();
        let end = ((offset + duration - from) / (to - from) * 1000.0).clamp(-10.0, 1010.0);
        (end - x()).max(2.0)
    };
    let critical = row.has(flags::CRITICAL).then(|| {
        view! { <rect class="critical" x=move || x().to_string() y="18" width=move || width().to_string() height="2"></rect> }
    });
    view! {
        <div class=class class:is-cursor=move || state.cursor.get() == index>
            <span class="wf-name">
                {toggle_view}
                <a href=address data-row="">{row.marks()}<span class=service_class>{service}</span>" "{name}</a>
            </span>
            <svg class="wf-track" viewBox="0 0 1000 24" preserveAspectRatio="none" aria-hidden="true">
                <rect class=bar_class class:error=row.has(flags::ERROR) x=move || x().to_string() y="5" width=move || width().to_string() height="12"></rect>
                {critical}
            </svg>
            <span class="wf-time num">{format::duration(row.duration_ns)}</span>
        </div>
    }
    .into_any()
}

fn press(
    spans: &Arc<Spans>,
    state: State,
    visible: Memo<Vec<usize>>,
    window: NodeRef<html::Div>,
    event: &KeyboardEvent,
) {
    let cursor = state.cursor.get_untracked();
    let at = visible.with_untracked(|visible| visible.partition_point(|index| *index < cursor));
    let last = visible.with_untracked(Vec::len).saturating_sub(1);
    let next = match event.key().as_str() {
        "ArrowDown" => Some((at + 1).min(last)),
        "ArrowUp" => Some(at.saturating_sub(1)),
        "ArrowLeft" => {
            if end_of_subtree(&spans.rows, cursor) > cursor + 1 {
                state.collapsed.update(|collapsed| {
                    collapsed.insert(cursor);
                });
            }
            None
        }
        "ArrowRight" => {
            state.collapsed.update(|collapsed| {
                collapsed.remove(&cursor);
            });
            None
        }
        "Enter" => {
            if let Some(row) = spans.rows.get(cursor) {
                browser::go(&format!("{}{}", spans.base, row.id));
            }
            None
        }
        _ => return,
    };
    event.prevent_default();
    let Some(next) = next else { return };
    if let Some(index) = visible.with_untracked(|visible| visible.get(next).copied()) {
        state.cursor.set(index);
    }
    if let Some(window) = window.get_untracked() {
        let top = next as i32 * ROW_HEIGHT;
        let scroll = window.scroll_top();
        if top < scroll {
            window.set_scroll_top(top);
        } else if top + ROW_HEIGHT > scroll + WINDOW_HEIGHT {
            window.set_scroll_top(top + ROW_HEIGHT - WINDOW_HEIGHT);
        }
    }
}
