//! Refreshing parts of a page in place, as long as nobody is reading or working in them.

use super::page::show_times;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Document, Element, XmlHttpRequest, XmlHttpRequestResponseType};

/// Asks for the page again every so often, and puts its parts marked with `data-live` in the place of those shown.
#[island]
pub(crate) fn LiveParts(
    /// Seconds between two.
    every: u32,
    /// What it says: paused, not reached, live, go on, pause.
    words: Vec<String>,
) -> impl IntoView {
    let words = StoredValue::new(words);
    let said = move |place: usize| words.with_value(|words| words.get(place).cloned().unwrap_or_default());
    let is_paused = RwSignal::new(false);
    let has_failed = RwSignal::new(false);
    let is_alive = RwSignal::new(false);
    Effect::new(move |was: Option<()>| {
        is_alive.set(true);
        if was.is_some() {
            return;
        }
        let tick = Closure::<dyn FnMut()>::new(move || {
            let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
            if !is_paused.get_untracked() && !document.hidden() && !is_in_use(&document) {
                ask(has_failed);
            }
        });
        if let Some(window) = web_sys::window() {
            // Without an interval the page stays as it is.
            let _ = window.set_interval_with_callback_and_timeout_and_arguments_0(
                tick.as_ref().unchecked_ref(),
                i32::try_from(every.saturating_mul(1000)).unwrap_or(i32::MAX),
            );
        }
        // It lives as long as the page.
        tick.forget();
    });
    let state = move || match (is_paused.get(), has_failed.get()) {
        (true, _) => said(0),
        (false, true) => said(1),
        (false, false) => said(2),
    };
    view! {
        <span class="live-state" class:hidden=move || !is_alive.get()>
            <span class="live-dot" class:is-off=move || is_paused.get() || has_failed.get() aria-hidden="true"></span>
            <span>{state}</span>
            <button type="button" class="link" on:click=move |_| is_paused.update(|paused| *paused = !*paused)>
                {move || said(if is_paused.get() { 3 } else { 4 })}
            </button>
        </span>
    }
}

/// Whether the focus is in a part, or text of the page is selected: replacing it would take that away.
fn is_in_use(document: &Document) -> bool {
    let has_focus =
        document.active_element().is_some_and(|element| element.closest("[data-live]").ok().flatten().is_some());
    let has_selection = web_sys::window()
        .and_then(|window| window.get_selection().ok().flatten())
        .is_some_and(|selection| !selection.is_collapsed());
    has_focus || has_selection
}

/// Asks for this page, and replaces its parts when it is there.
fn ask(has_failed: RwSignal<bool>) {
    let (Some(window), Ok(request)) = (web_sys::window(), XmlHttpRequest::new()) else { return };
    let Ok(address) = window.location().href() else { return };
    if request.open("GET", &address).is_err() {
        return;
    }
    request.set_response_type(XmlHttpRequestResponseType::Document);
    let answered = request.clone();
    let done = Closure::once_into_js(move || {
        let fresh = answered.response_xml().ok().flatten().filter(|_| answered.status() == Ok(200));
        has_failed.set(fresh.is_none());
        if let (Some(fresh), Some(document)) = (fresh, web_sys::window().and_then(|window| window.document()))
            && !is_in_use(&document)
        {
            replace(&document, &fresh);
        }
    });
    request.set_onloadend(Some(done.unchecked_ref()));
    // A request that cannot be sent ends at once, which the handler tells.
    let _ = request.send();
}

fn replace(document: &Document, fresh: &Document) {
    let Ok(parts) = document.query_selector_all("[data-live]") else { return };
    for index in 0..parts.length() {
        let Some(part) = parts.item(index).and_then(|node| node.dyn_into::<Element>().ok()) else { continue };
        let Some(next) = fresh.get_element_by_id(&part.id()) else { continue };
        if let Ok(next) = document.import_node_with_deep(&next, true) {
            // A part that cannot be replaced stays.
            let _ = part.replace_with_with_node_1(&next);
        }
    }
    show_times(document);
}
