//! Completion below a box for queries: fields and values, metrics and labels, tables and columns, as the server knows them.

use super::browser;
use crate::completion::Completions;
use leptos::ev::{FocusEvent, KeyboardEvent};
use leptos::html;
use leptos::prelude::*;
use std::time::Duration;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Element, HtmlElement, HtmlFormElement, HtmlInputElement, HtmlTextAreaElement, Response};

/// How long typing rests before completions are asked for.
const REST: Duration = Duration::from_millis(120);

/// The box that a person types in.
enum Typed {
    Line(HtmlInputElement),
    Text(HtmlTextAreaElement),
}

impl Typed {
    fn within(area: &Element) -> Option<Self> {
        let found = area.query_selector("textarea, input[type=search], input[type=text]").ok().flatten()?;
        match found.dyn_into::<HtmlInputElement>() {
            Ok(line) => Some(Self::Line(line)),
            Err(found) => found.dyn_into().ok().map(Self::Text),
        }
    }

    fn element(&self) -> &HtmlElement {
        match self {
            Self::Line(line) => line,
            Self::Text(text) => text,
        }
    }

    /// What stands before the caret and behind it, in UTF-16 as the browser counts.
    fn parts(&self) -> (Vec<u16>, Vec<u16>) {
        let (value, caret) = match self {
            Self::Line(line) => (line.value(), line.selection_start()),
            Self::Text(text) => (text.value(), text.selection_start()),
        };
        let mut before: Vec<u16> = value.encode_utf16().collect();
        let caret = caret.ok().flatten().map_or(before.len(), |caret| caret as usize).min(before.len());
        let after = before.split_off(caret);
        (before, after)
    }

    fn put(&self, before: &[u16], after: &[u16]) {
        let caret = before.len() as u32;
        let value = String::from_utf16_lossy(before) + &String::from_utf16_lossy(after);
        // A box that is shown takes any value and any caret within it.
        match self {
            Self::Line(line) => {
                line.set_value(&value);
                let _ = line.set_selection_range(caret, caret);
            }
            Self::Text(text) => {
                text.set_value(&value);
                let _ = text.set_selection_range(caret, caret);
            }
        }
    }
}

/// What is offered.
#[derive(Clone, Copy)]
struct Offer {
    found: RwSignal<Completions>,
    active: RwSignal<Option<usize>>,
    /// Counts what was typed, so that a late answer is not shown.
    turn: RwSignal<u32>,
}

impl Offer {
    fn close(self) {
        self.turn.update(|turn| *turn += 1);
        self.active.set(None);
        self.found.set(Completions::default());
    }
}

/// Offers completions for the box within it. `address` is where they are asked for, but for what was typed.
#[island]
pub(crate) fn Assist(
    /// The address, ending before the text.
    address: String,
    /// The id of the list, once on a page.
    id: String,
    /// What the list is called.
    label: String,
    /// The box.
    children: Children,
) -> impl IntoView {
    let area: NodeRef<html::Div> = NodeRef::new();
    let offer =
        Offer { found: RwSignal::new(Completions::default()), active: RwSignal::new(None), turn: RwSignal::new(0) };
    let address = StoredValue::new(address);
    let list = StoredValue::new(id.clone());
    let ask = move || {
        let Some(typed) = area.get_untracked().and_then(|area| Typed::within(&area)) else { return };
        offer.turn.update(|turn| *turn += 1);
        let turn = offer.turn.get_untracked();
        set_timeout(
            move || {
                if offer.turn.get_untracked() == turn {
                    let before = String::from_utf16_lossy(&typed.parts().0);
                    let text = String::from(js_sys::encode_uri_component(&before));
                    let address = address.with_value(|address| format!("{address}{text}"));
                    wasm_bindgen_futures::spawn_local(async move {
                        let found = fetch(&address).await.unwrap_or_default();
                        if offer.turn.get_untracked() == turn {
                            offer.active.set(None);
                            offer.found.set(found);
                        }
                    });
                }
            },
            REST,
        );
    };
    let take = move |place: usize| {
        let Some(typed) = area.get_untracked().and_then(|area| Typed::within(&area)) else { return };
        let Some((text, replace)) =
            offer.found.with_untracked(|found| Some((found.items.get(place)?.text.clone(), found.replace)))
        else {
            return;
        };
        let (mut before, after) = typed.parts();
        before.truncate(before.len().saturating_sub(replace));
        before.extend(text.encode_utf16());
        typed.put(&before, &after);
        // The box is on the page, so it can be focused.
        let _ = typed.element().focus();
        offer.close();
        ask();
    };
    Effect::new(move |_| {
        let Some(typed) = area.get().and_then(|area| Typed::within(&area)) else { return };
        let element = typed.element();
        let active =
            offer.active.get().map(|place| list.with_value(|list| format!("{list}-{place}"))).unwrap_or_default();
        // The box keeps its own role: a text or a search box may have an active descendant.
        for (name, value) in
            [("aria-autocomplete", "list"), ("aria-controls", &list.get_value()), ("aria-activedescendant", &active)]
        {
            // These are valid names of attributes.
            let _ = element.set_attribute(name, value);
        }
    });
    let on_key = move |event: KeyboardEvent| {
        let count = offer.found.with_untracked(|found| found.items.len());
        match (event.key().as_str(), count) {
            ("Enter", _) if event.ctrl_key() || event.meta_key() => submit(area),
            ("ArrowDown", 0) => ask(),
            (_, 0) => return,
            ("ArrowDown", _) => offer.active.update(|active| *active = Some(active.map_or(0, |at| (at + 1) % count))),
            ("ArrowUp", _) => {
                offer.active.update(|active| *active = Some(active.map_or(count - 1, |at| (at + count - 1) % count)));
            }
            ("Tab", _) if !event.shift_key() => take(offer.active.get_untracked().unwrap_or(0)),
            ("Enter", _) => match offer.active.get_untracked() {
                Some(place) => take(place),
                None => return,
            },
            ("Escape", _) => offer.close(),
            _ => return,
        }
        event.prevent_default();
        event.stop_propagation();
    };
    let on_leave = move |event: FocusEvent| {
        let goes_to = event.related_target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
        let stays = area.get_untracked().is_some_and(|area| area.contains(goes_to.as_ref()));
        if !stays {
            offer.close();
        }
    };
    let options = move || {
        let items = offer.found.with(|found| found.items.clone());
        items
            .into_iter()
            .enumerate()
            .map(|(place, item)| {
                let id = list.with_value(|list| format!("{list}-{place}"));
                view! {
                    <li role="option" id=id aria-selected=move || (offer.active.get() == Some(place)).to_string()
                        on:mousedown=move |event| { event.prevent_default(); take(place); }>
                        <span class="mono">{item.shown}</span><span class="quiet">{item.detail}</span>
                    </li>
                }
            })
            .collect::<Vec<_>>()
    };
    view! {
        <div class="assist" node_ref=area on:input=move |_| ask() on:keydown=on_key on:focusout=on_leave>
            {children()}
            <ul class="assist-list" role="listbox" id=id aria-label=label
                class:hidden=move || offer.found.with(|found| found.items.is_empty())>{options}</ul>
        </div>
    }
}

fn submit(area: NodeRef<html::Div>) {
    let form = area.get_untracked().and_then(|area| area.closest("form").ok().flatten());
    if let Some(form) = form.and_then(|form| form.dyn_into::<HtmlFormElement>().ok()) {
        // What the browser finds wrong with the form it shows itself.
        let _ = form.request_submit();
    }
}

async fn fetch(address: &str) -> Result<Completions, JsValue> {
    let window = web_sys::window().ok_or(JsValue::NULL)?;
    let response: Response = JsFuture::from(window.fetch_with_str(address)).await?.dyn_into()?;
    let text = JsFuture::from(response.text()?).await?.as_string().unwrap_or_default();
    browser::read_json(&text).ok_or(JsValue::NULL)
}
