//! What a chart does under the pointer: a cross-hair on all charts of the page, a read-out, zoom by dragging, a legend
//! that shows one series alone, or hides it.

use super::browser;
use crate::unit::Unit;
use leptos::ev::{MouseEvent, PointerEvent};
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

/// Values in the read-out; further ones are counted.
const SHOWN: usize = 10;

thread_local! {
    /// The moment under the pointer, for all charts of the page, nanoseconds since the Unix epoch.
    static MOMENT: ArcRwSignal<Option<i64>> = ArcRwSignal::new(None);
}

/// The moment under the pointer, whichever chart it is over.
pub(super) fn moment_under_pointer() -> ArcRwSignal<Option<i64>> {
    MOMENT.with(Clone::clone)
}

/// Lays itself over a chart drawn by the server. Dragging leads to `base` with the range chosen, when it is given.
#[island]
pub(crate) fn PlotHover(
    /// The left edge, nanoseconds since the Unix epoch.
    start_ns: i64,
    /// The right edge.
    end_ns: i64,
    /// The values' unit.
    unit: Unit,
    /// The names of the series.
    labels: Vec<String>,
    /// The classes of their colours.
    classes: Vec<String>,
    /// The moments of values, as shares of the width; without any, the cross-hair stands wherever the pointer is.
    offsets: Vec<f64>,
    /// A value per series and moment.
    values: Vec<Vec<Option<f64>>>,
    /// The address to zoom on, without a range; empty: no zoom.
    base: String,
    /// The chart.
    children: Children,
) -> impl IntoView {
    let area: NodeRef<html::Div> = NodeRef::new();
    let shared = moment_under_pointer();
    let is_here = RwSignal::new(false);
    let dragged = RwSignal::new(None::<(f64, f64)>);
    let hidden = RwSignal::new(Vec::<usize>::new());
    let length = (end_ns - start_ns).max(1) as f64;
    let count = labels.len();
    let at = move |share: f64| start_ns + (share * length) as i64;

    let on_move = {
        let shared = shared.clone();
        move |event: PointerEvent| {
            let share = share_of(area, &event);
            is_here.set(share.is_some());
            shared.set(share.map(at));
            if let (Some((from, _)), Some(share)) = (dragged.get_untracked(), share) {
                dragged.set(Some((from, share)));
            }
        }
    };
    let can_zoom = !base.is_empty();
    let on_down = move |event: PointerEvent| {
        if let Some(share) = share_of(area, &event)
            .filter(|_| can_zoom && event.button() == 0 && !browser::is_within(&event, "a, button"))
        {
            event.prevent_default();
            dragged.set(Some((share, share)));
        }
    };
    let on_up = move |_: PointerEvent| {
        let Some((from, to)) = dragged.get_untracked() else { return };
        dragged.set(None);
        let (from, to) = (from.min(to), from.max(to));
        if to - from > 0.005 {
            browser::go_to_range(&base, at(from), at(to));
        }
    };
    let on_leave = {
        let shared = shared.clone();
        move |_: PointerEvent| {
            is_here.set(false);
            dragged.set(None);
            shared.set(None);
        }
    };
    // A click on a name shows that series alone, another one shows all; with Ctrl or Shift it hides and shows the one.
    let on_click = move |event: MouseEvent| {
        if let Some(chosen) = named_by(&event) {
            let only = event.ctrl_key() || event.meta_key() || event.shift_key();
            hidden.update(|hidden| choose(hidden, chosen, count, only));
        }
    };
    Effect::new(move |_| {
        let Some(area) = area.get() else { return };
        hidden.with(|hidden| hide_series(&area, hidden));
    });

    // The place of the nearest moment that has values.
    let nearest = {
        let (shared, offsets) = (shared.clone(), offsets.clone());
        Memo::new(move |_| {
            let share = shared.get().map(|at| (at - start_ns) as f64 / length)?;
            nearest_to(&offsets, share)
        })
    };
    let cross = {
        let (shared, offsets) = (shared.clone(), offsets.clone());
        move || {
            let at = || shared.get().map(|at| (at - start_ns) as f64 / length).filter(|at| (0.0..=1.0).contains(at));
            let share = if offsets.is_empty() { at() } else { nearest.get().map(|place| offsets[place]) };
            share.map(|share| format!("{:.2}%", share * 100.0))
        }
    };
    let brush = move || dragged.get().map(|(from, to)| (from.min(to), (from - to).abs()));
    let chosen = move || brush().filter(|(_, width)| *width > 0.0).map(|brush| stretch_view(brush, at));
    let read_out = move || {
        let place = nearest.get().filter(|_| is_here.get() && brush().is_none_or(|(_, width)| width == 0.0))?;
        let found = hidden.with(|hidden| values_at(&values, place, hidden));
        let more = found.len().saturating_sub(SHOWN);
        let row = |(series, value): (usize, f64)| (classes[series].clone(), labels[series].clone(), unit.text(value));
        let rows = found.into_iter().take(SHOWN).map(row).collect();
        Some(values_view(offsets[place], at(offsets[place]), rows, more))
    };

    view! {
        <div class="plot-alive" node_ref=area on:pointermove=on_move on:pointerdown=on_down on:pointerup=on_up on:pointerleave=on_leave on:click=on_click>
            {children()}
            <div class="plot-over" aria-hidden="true">
                <svg>
                    {move || brush().map(marked_view)}
                    {move || cross().map(|x| view! { <line class="cross" x1=x.clone() x2=x y1="0" y2="100%"></line> })}
                </svg>
                {chosen}{read_out}
            </div>
        </div>
    }
}

/// The class of a box beside a share of the width: on the side where there is room.
fn box_class(share: f64) -> &'static str {
    if share > 0.5 { "plot-read-out left" } else { "plot-read-out" }
}

/// The stretch that is being chosen, by where it begins and how wide it is.
fn marked_view((from, width): (f64, f64)) -> AnyView {
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    view! { <rect class="marked" x=percent(from) y="0" width=percent(width) height="100%"></rect> }.into_any()
}

/// The same in words.
fn stretch_view((from, width): (f64, f64), at: impl Fn(f64) -> i64) -> AnyView {
    let class = box_class(from + width / 2.0);
    view! { <div class=class><strong>{browser::stretch(at(from), at(from + width))}</strong></div> }.into_any()
}

/// The values at a moment: the class, the name and the value of each series, and how many more there are.
fn values_view(share: f64, moment: i64, rows: Vec<(String, String, String)>, more: usize) -> AnyView {
    let row = |(class, label, value): (String, String, String)| {
        let class = format!("swatch {class}");
        view! { <tr><td><span class=class></span>{label}</td><td class="num">{value}</td></tr> }
    };
    let rows: Vec<_> = rows.into_iter().map(row).collect();
    view! {
        <div class=box_class(share)>
            <strong>{browser::moment(moment, "full", browser::wants_utc())}</strong>
            <table><tbody>{rows}</tbody></table>
            {(more > 0).then(|| format!("+ {more}"))}
        </div>
    }
    .into_any()
}

/// Where the pointer is over the picture, as a share of its width; none beside it.
fn share_of(area: NodeRef<html::Div>, event: &PointerEvent) -> Option<f64> {
    let canvas = area.get_untracked()?.query_selector(".plot-canvas").ok().flatten()?.get_bounding_client_rect();
    let (x, y) = (f64::from(event.client_x()), f64::from(event.client_y()));
    let is_inside = y >= canvas.top() && y <= canvas.bottom() && x >= canvas.left() - 4.0 && x <= canvas.right() + 4.0;
    is_inside.then(|| ((x - canvas.left()) / canvas.width().max(1.0)).clamp(0.0, 1.0))
}

/// Hides what the server drew of the hidden series, and tells so in the legend.
fn hide_series(area: &web_sys::Element, hidden: &[usize]) {
    let is_hidden = |element: &web_sys::Element| {
        element
            .get_attribute("data-series")
            .and_then(|number| number.parse().ok())
            .is_some_and(|number| hidden.contains(&number))
    };
    for shape in browser::all_within(area, "g[data-series]") {
        // Toggling a class of a known name, or setting such an attribute, cannot fail.
        let _ = shape.class_list().toggle_with_force("is-off", is_hidden(&shape));
    }
    for name in browser::all_within(area, "button[data-series]") {
        let _ = name.set_attribute("aria-pressed", if is_hidden(&name) { "false" } else { "true" });
    }
}

/// The series whose name in the legend was clicked.
fn named_by(event: &MouseEvent) -> Option<usize> {
    let target = event.target()?.dyn_into::<web_sys::Element>().ok()?;
    target.closest("button[data-series]").ok().flatten()?.get_attribute("data-series")?.parse().ok()
}

/// What a click on a name hides: all others; nothing when they are hidden already; with `only` just the one, or not.
fn choose(hidden: &mut Vec<usize>, chosen: usize, count: usize, only: bool) {
    if only {
        match hidden.iter().position(|place| *place == chosen) {
            Some(at) => drop(hidden.remove(at)),
            None => hidden.push(chosen),
        }
    } else if hidden.len() + 1 == count && !hidden.contains(&chosen) {
        hidden.clear();
    } else {
        *hidden = (0..count).filter(|place| *place != chosen).collect();
    }
}

/// The place of the moment that lies nearest to a share of the width.
fn nearest_to(offsets: &[f64], share: f64) -> Option<usize> {
    if !(0.0..=1.0).contains(&share) || offsets.is_empty() {
        return None;
    }
    let after = offsets.partition_point(|offset| *offset < share).min(offsets.len() - 1);
    let before = after.saturating_sub(1);
    Some(if (share - offsets[before]).abs() < (offsets[after] - share).abs() { before } else { after })
}

/// The values of the series that are shown, at one moment, the largest first.
fn values_at(values: &[Vec<Option<f64>>], place: usize, hidden: &[usize]) -> Vec<(usize, f64)> {
    let mut found: Vec<(usize, f64)> = values
        .iter()
        .enumerate()
        .filter(|(series, _)| !hidden.contains(series))
        .filter_map(|(series, values)| Some((series, (*values.get(place)?)?)))
        .collect();
    found.sort_by(|left, right| right.1.total_cmp(&left.1));
    found
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    #[test]
    fn a_click_shows_one_series_and_another_shows_all() {
        let mut hidden = Vec::new();
        choose(&mut hidden, 1, 3, false);
        assert_eq!(hidden, [0, 2]);
        choose(&mut hidden, 2, 3, false);
        assert_eq!(hidden, [0, 1]);
        choose(&mut hidden, 2, 3, false);
        assert!(hidden.is_empty());
        choose(&mut hidden, 0, 3, true);
        choose(&mut hidden, 2, 3, true);
        choose(&mut hidden, 0, 3, true);
        assert_eq!(hidden, [2]);
    }

    #[test]
    fn the_nearest_moment_with_values_is_read_out() {
        assert_eq!(nearest_to(&[0.0, 0.5, 1.0], 0.3), Some(1));
        assert_eq!(nearest_to(&[0.0, 0.5, 1.0], 0.2), Some(0));
        assert_eq!(nearest_to(&[0.2], 0.9), Some(0));
        assert_eq!(nearest_to(&[], 0.5), None);
        assert_eq!(nearest_to(&[0.5], 1.2), None);
        assert_eq!(values_at(&[vec![Some(1.0)], vec![None], vec![Some(3.0)]], 0, &[]), [(2, 3.0), (0, 1.0)]);
    }
}
