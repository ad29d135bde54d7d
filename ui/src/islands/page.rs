//! What is alive on every page: times in the reader's zone, short cuts, copy buttons.

use super::{browser, clipboard};
use leptos::html;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{Document, Element, HtmlElement, KeyboardEvent};

/// Listens for the short cuts of every page and shows them on `?`.
#[island]
pub(crate) fn PageKeys(
    /// What the list says: its head, `or`, what each key does, its button; what a button says that copied, or could not.
    words: Vec<String>,
) -> impl IntoView {
    let said = move |place: usize| words.get(place).cloned().unwrap_or_default();
    let (copied, refused) = (said(8), said(9));
    let dialog: NodeRef<html::Dialog> = NodeRef::new();
    Effect::new(move |_| {
        let Some(document) = web_sys::window().and_then(|window| window.document()) else { return };
        show_times(&document);
        listen(&document, dialog, [copied.clone(), refused.clone()]);
        reload_every_so_often(&document);
        return_to_row(&document);
        if let Some(root) = browser::root() {
            // The class tells the style sheet that what needs scripts may be shown; it cannot be refused.
            let _ = root.class_list().add_1("alive");
        }
    });
    view! {
        <dialog class="keys" node_ref=dialog aria-label=said(0)>
            <h2>{said(0)}</h2>
            <dl>
                <dt><kbd>"/"</kbd>" "{said(1)}" "<kbd>"Ctrl"</kbd>" "<kbd>"K"</kbd></dt><dd>{said(2)}</dd>
                <dt><kbd>"j"</kbd>" "<kbd>"k"</kbd></dt><dd>{said(3)}</dd>
                <dt><kbd>"Enter"</kbd></dt><dd>{said(4)}</dd>
                <dt><kbd>"Esc"</kbd></dt><dd>{said(5)}</dd>
                <dt><kbd>"?"</kbd></dt><dd>{said(6)}</dd>
            </dl>
            <form method="dialog"><button>{said(7)}</button></form>
        </dialog>
    }
}

/// Turns every `<time>` and every time on a chart from UTC to the reader's zone, unless UTC was chosen.
pub(super) fn show_times(document: &Document) {
    if browser::wants_utc() {
        return;
    }
    for element in all(document, "time[data-show]") {
        let exact = element.get_attribute("datetime").unwrap_or_default();
        let show = element.get_attribute("data-show").unwrap_or_default();
        if let Some(ns) = browser::parse_moment(&exact) {
            element.set_text_content(Some(&browser::moment(ns, &show, false)));
        }
    }
    for element in all(document, "text[data-time]") {
        let exact = element.get_attribute("data-time").unwrap_or_default();
        let show = element.get_attribute("data-show").unwrap_or_default();
        if let Some(ns) = browser::parse_moment(&exact) {
            element.set_text_content(Some(&browser::moment(ns, &show, false)));
        }
    }
    // Once: parts of a page may come anew, its foot does not.
    for element in all(document, "[data-zone-name='']") {
        // A name of an attribute that is there already is a valid one.
        let _ = element.set_attribute("data-zone-name", "told");
        let named = element.text_content().unwrap_or_default();
        element.set_text_content(Some(&format!("{named} ({})", browser::zone_name())));
    }
}

fn listen(document: &Document, dialog: NodeRef<html::Dialog>, copy_words: [String; 2]) {
    let page = document.clone();
    let on_key = Closure::<dyn FnMut(KeyboardEvent)>::new(move |event: KeyboardEvent| press(&page, dialog, &event));
    let on_click = Closure::<dyn FnMut(web_sys::MouseEvent)>::new(move |event: web_sys::MouseEvent| {
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let within = |selector: &str| target.as_ref().and_then(|target| target.closest(selector).ok().flatten());
        // A value that narrows the search excludes with Alt.
        if let Some(address) =
            within("a[data-alt]").filter(|_| event.alt_key()).and_then(|link| link.get_attribute("data-alt"))
        {
            event.prevent_default();
            browser::go(&address);
            return;
        }
        if let Some(button) = within("[data-copy]") {
            clipboard::copy(button, copy_words.clone());
        }
    });
    // A choice that needs no button takes effect at once.
    let on_change = Closure::<dyn FnMut(web_sys::Event)>::new(|event: web_sys::Event| {
        let chosen = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let form =
            chosen.and_then(|chosen| chosen.closest("[data-submit]").ok().flatten()?.closest("form").ok().flatten());
        if let Some(form) = form.and_then(|form| form.dyn_into::<web_sys::HtmlFormElement>().ok()) {
            // What the browser finds wrong with the form it shows itself.
            let _ = form.request_submit();
        }
    });
    // Listening on a document cannot fail.
    let _ = document.add_event_listener_with_callback("change", on_change.as_ref().unchecked_ref());
    let _ = document.add_event_listener_with_callback("keydown", on_key.as_ref().unchecked_ref());
    let _ = document.add_event_listener_with_callback("click", on_click.as_ref().unchecked_ref());
    // They live as long as the page.
    on_key.forget();
    on_click.forget();
    on_change.forget();
}

/// Asks for the page anew at the interval it was asked with, while nobody is at work on it.
fn reload_every_so_often(document: &Document) {
    let every = browser::root().and_then(|root| root.get_attribute("data-refresh")?.parse::<u64>().ok());
    let Some(every) = every else { return };
    let document = document.clone();
    let tick = move || {
        if document.hidden() || browser::is_at_work(&document) {
            return;
        }
        if let Some(window) = web_sys::window() {
            // A page that cannot be had anew stays as it is.
            let _ = window.location().reload();
        }
    };
    set_interval(tick, Duration::from_secs(every));
}

/// Gives the focus to the row that was just closed, which the address names, so that the next key goes on from there.
fn return_to_row(document: &Document) {
    let hash = web_sys::window().and_then(|window| window.location().hash().ok()).unwrap_or_default();
    let Some(closed) = hash.strip_prefix("#closed-").filter(|closed| !closed.is_empty()) else { return };
    let names_it = |row: &Element| {
        let address = row.get_attribute("href").unwrap_or_default();
        let pairs = address.split('#').next().unwrap_or_default().split(['?', '&']);
        pairs.filter_map(|pair| pair.strip_prefix("row=")).any(|row| row == closed)
    };
    let row = all(document, "[data-row]").into_iter().find(names_it).and_then(|row| row.dyn_into::<HtmlElement>().ok());
    if let Some(row) = row {
        // Rows are links, which take the focus.
        let _ = row.focus();
    }
}

fn press(document: &Document, dialog: NodeRef<html::Dialog>, event: &KeyboardEvent) {
    // What lies behind a dialog is left alone; the browser itself closes it.
    if first(document, "dialog[open]").is_some() {
        return;
    }
    let is_find = (event.ctrl_key() || event.meta_key()) && event.key().eq_ignore_ascii_case("k");
    let is_typing = document
        .active_element()
        .is_some_and(|element| matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT"));
    if event.alt_key() || (!is_find && (event.ctrl_key() || event.meta_key())) {
        return;
    }
    match event.key().as_str() {
        "Escape" if is_typing => {
            if let Some(element) = focused(document) {
                // An element that keeps its focus does no harm.
                let _ = element.blur();
            }
        }
        "Escape" => {
            if let Some(close) = first(document, "[data-close]") {
                close.click();
            }
        }
        _ if is_find => find(document, event),
        _ if is_typing => {}
        "/" => find(document, event),
        "?" => {
            if let Some(dialog) = dialog.get_untracked() {
                // Already open is as good.
                let _ = dialog.show_modal();
            }
        }
        "j" => step(document, 1),
        "k" => step(document, -1),
        _ => {}
    }
}

fn find(document: &Document, event: &KeyboardEvent) {
    if let Some(input) = first(document, "#find-id") {
        event.prevent_default();
        // The box is always focusable.
        let _ = input.focus();
    }
}

/// Moves the focus through the rows of the page.
fn step(document: &Document, by: i64) {
    let rows = all(document, "[data-row]");
    let at = focused(document).and_then(|now| rows.iter().position(|row| row.is_same_node(Some(&now))));
    // A page that shows a row in detail goes on from that row.
    let at = at.or_else(|| rows.iter().position(|row| row.closest(".is-open").ok().flatten().is_some()));
    let next = match at {
        Some(at) => (at as i64 + by).clamp(0, rows.len() as i64 - 1) as usize,
        None => 0,
    };
    if let Some(row) = rows.get(next).and_then(|row| row.dyn_ref::<HtmlElement>()) {
        // Rows are links, which take the focus.
        let _ = row.focus();
    }
}

fn focused(document: &Document) -> Option<HtmlElement> {
    document.active_element()?.dyn_into().ok()
}

fn first(document: &Document, selector: &str) -> Option<HtmlElement> {
    document.query_selector(selector).ok().flatten()?.dyn_into().ok()
}

fn all(document: &Document, selector: &str) -> Vec<Element> {
    let Ok(found) = document.query_selector_all(selector) else { return Vec::new() };
    (0..found.length()).filter_map(|index| found.item(index)?.dyn_into().ok()).collect()
}
