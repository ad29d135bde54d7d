//! A graph that is alive: its size, panning by dragging, and the neighbours of what is under the pointer.

use super::browser;
use leptos::ev::PointerEvent;
use leptos::html;
use leptos::prelude::*;
use std::collections::BTreeSet;
use wasm_bindgen::JsCast;
use web_sys::Element;

/// How far the pointer may move before a press is a drag.
const STILL: i32 = 4;

/// Wraps a graph drawn by the server.
#[island]
pub(crate) fn GraphView(
    /// What it says: the size of the graph, smaller, fit, larger, the graph.
    words: Vec<String>,
    /// The graph: an `<svg class="graph">` whose nodes carry `data-node` and whose edges `data-from` and `data-to`.
    children: Children,
) -> impl IntoView {
    let said = move |place: usize| words.get(place).cloned().unwrap_or_default();
    let window: NodeRef<html::Div> = NodeRef::new();
    // None fits the graph into the window, as the style sheet does.
    let scale = RwSignal::new(None::<f64>);
    let dragged = RwSignal::new(None::<(i32, i32, i32, i32)>);
    let graph = move || window.get_untracked()?.query_selector("svg.graph").ok().flatten();
    Effect::new(move |_| {
        let (scale, Some(graph)) = (scale.get(), graph()) else { return };
        let size = || {
            let numbers = graph.get_attribute("viewBox")?;
            let mut numbers = numbers.split(' ').skip(2).filter_map(|number| number.parse::<f64>().ok());
            Some((numbers.next()?, numbers.next()?))
        };
        let Some((width, height)) = size() else { return };
        // Setting an attribute or a class of a known name cannot fail.
        let _ = graph.class_list().toggle_with_force("is-sized", scale.is_some());
        let scale = scale.unwrap_or(1.0);
        let _ = graph.set_attribute("width", &format!("{:.0}", width * scale));
        let _ = graph.set_attribute("height", &format!("{:.0}", height * scale));
    });
    let shown = move || {
        let graph = graph()?;
        let natural = graph.get_attribute("viewBox")?.split(' ').nth(2)?.parse::<f64>().ok()?;
        Some(graph.get_bounding_client_rect().width() / natural.max(1.0))
    };
    let zoom = move |by: f64| {
        let now = scale.get_untracked().or_else(shown).unwrap_or(1.0);
        scale.set(Some((now * by).clamp(0.2, 4.0)));
    };
    let on_over = move |event: PointerEvent| {
        let under = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        if let Some(graph) = graph() {
            mark(&graph, under.as_ref());
        }
    };
    let on_down = move |event: PointerEvent| {
        if let Some(window) = window.get_untracked().filter(|_| event.button() == 0) {
            dragged.set(Some((event.client_x(), event.client_y(), window.scroll_left(), window.scroll_top())));
        }
    };
    let on_move = move |event: PointerEvent| {
        let (Some((x, y, left, top)), Some(window)) = (dragged.get_untracked(), window.get_untracked()) else { return };
        if event.buttons() == 0 {
            dragged.set(None);
            return;
        }
        if (event.client_x() - x).abs() + (event.client_y() - y).abs() > STILL {
            window.set_scroll_left(left - (event.client_x() - x));
            window.set_scroll_top(top - (event.client_y() - y));
        }
    };
    view! {
        <div class="graph-view">
            <div class="graph-tools needs-script" role="group" aria-label=said(0)>
                <button type="button" aria-label=said(1) title=said(1) on:click=move |_| zoom(0.8)>"−"</button>
                <button type="button" on:click=move |_| scale.set(None)>{said(2)}</button>
                <button type="button" on:click=move |_| scale.set(Some(1.0))>"100 %"</button>
                <button type="button" aria-label=said(3) title=said(3) on:click=move |_| zoom(1.25)>"+"</button>
            </div>
            <div class="graph-window" node_ref=window tabindex="0" role="region" aria-label=said(4)
                on:pointerover=on_over on:pointerdown=on_down on:pointermove=on_move on:pointerup=move |_| dragged.set(None)
                on:dragstart=move |event| event.prevent_default()>
                {children()}
            </div>
        </div>
    }
}

/// Marks the edge or the node under the pointer, and what it is connected to; the rest steps back.
fn mark(graph: &Element, under: Option<&Element>) {
    let closest = |selector: &str| under.and_then(|element| element.closest(selector).ok().flatten());
    let number =
        |element: &Element, name: &str| element.get_attribute(name).and_then(|number| number.parse::<usize>().ok());
    let edges = browser::all_within(graph, "[data-from]");
    let ends = |edge: &Element| Some((number(edge, "data-from")?, number(edge, "data-to")?));
    let chosen: BTreeSet<(usize, usize)> = match (closest("[data-from]"), closest("[data-node]")) {
        (Some(edge), _) => ends(&edge).into_iter().collect(),
        (None, Some(node)) => {
            let node = number(&node, "data-node");
            edges.iter().filter_map(&ends).filter(|(from, to)| Some(*from) == node || Some(*to) == node).collect()
        }
        (None, None) => BTreeSet::new(),
    };
    let mut near: BTreeSet<usize> = chosen.iter().flat_map(|(from, to)| [*from, *to]).collect();
    near.extend(closest("[data-node]").and_then(|node| number(&node, "data-node")));
    // Toggling a class of a known name cannot fail.
    let _ = graph.class_list().toggle_with_force("has-near", !near.is_empty());
    for edge in &edges {
        let is_near = ends(edge).is_some_and(|ends| chosen.contains(&ends));
        let _ = edge.class_list().toggle_with_force("is-near", is_near);
    }
    for node in browser::all_within(graph, "[data-node]") {
        let is_near = number(&node, "data-node").is_some_and(|number| near.contains(&number));
        let _ = node.class_list().toggle_with_force("is-near", is_near);
    }
}
