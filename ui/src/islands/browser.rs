//! What the islands need of the browser: its clock zone, its address bar.

use js_sys::Date;
use wasm_bindgen::{JsCast as _, JsValue};

const MILLISECOND: i64 = 1_000_000;

/// Whether the reader chose UTC; the server writes the choice on the root element.
pub(super) fn wants_utc() -> bool {
    root().is_some_and(|root| root.get_attribute("data-zone").as_deref() == Some("utc"))
}

/// The root element of the page.
pub(super) fn root() -> Option<web_sys::Element> {
    web_sys::window()?.document()?.document_element()
}

/// Reads what the server answered as JSON.
pub(super) fn read_json<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// Whether the reader is at work on the page: in a field or a dialog, with an open menu, with selected text, or with words
/// that were not sent yet. Loading it anew would take that away.
pub(super) fn is_at_work(document: &web_sys::Document) -> bool {
    let is_typing = document
        .active_element()
        .is_some_and(|element| matches!(element.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT"));
    let has_open = document.query_selector("dialog[open], details.menu[open]").ok().flatten().is_some();
    let has_selection = web_sys::window()
        .and_then(|window| window.get_selection().ok().flatten())
        .is_some_and(|selection| !selection.is_collapsed());
    let is_changed = |element: &web_sys::Element| {
        let input = element.dyn_ref::<web_sys::HtmlInputElement>();
        let area = element.dyn_ref::<web_sys::HtmlTextAreaElement>();
        input.is_some_and(|input| input.value() != input.default_value())
            || area.is_some_and(|area| area.default_value().is_ok_and(|sent| area.value() != sent))
    };
    let has_unsent =
        || document.document_element().is_some_and(|root| all_within(&root, "input, textarea").iter().any(is_changed));
    is_typing || has_open || has_selection || has_unsent()
}

/// Goes to another page of ours.
pub(super) fn go(address: &str) {
    if let Some(window) = web_sys::window() {
        // A refused navigation leaves the page as it is, which is all that can be done.
        let _ = window.location().set_href(address);
    }
}

/// Whether what an event is about lies within an element of this selector.
pub(super) fn is_within(event: &web_sys::Event, selector: &str) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    target.is_some_and(|target| target.closest(selector).ok().flatten().is_some())
}

/// All elements within one that a selector names.
pub(super) fn all_within(element: &web_sys::Element, selector: &str) -> Vec<web_sys::Element> {
    let Ok(found) = element.query_selector_all(selector) else { return Vec::new() };
    (0..found.length()).filter_map(|index| found.item(index)?.dyn_into().ok()).collect()
}

/// Goes to an address with this range, nanoseconds since the Unix epoch.
pub(super) fn go_to_range(base: &str, start: i64, end: i64) {
    go_with(base, &format!("start={start}&end={end}"));
}

/// Goes to an address with further parameters.
pub(super) fn go_with(base: &str, params: &str) {
    let joint = if base.contains('?') { '&' } else { '?' };
    go(&format!("{base}{joint}{params}"));
}

/// A stretch of time in the reader's zone.
pub(super) fn stretch(from: i64, to: i64) -> String {
    let utc = wants_utc();
    format!("{} – {}", moment(from, "row", utc), moment(to, "clock", utc))
}

/// The moment in the reader's zone, in one of the forms of `<time data-show>`.
pub(super) fn moment(ns: i64, show: &str, utc: bool) -> String {
    let date = Date::new(&JsValue::from_f64(ns.div_euclid(MILLISECOND) as f64));
    let millis = ns.div_euclid(MILLISECOND).rem_euclid(1000);
    let (year, month, day, hour, minute, second) = if utc {
        (
            date.get_utc_full_year(),
            date.get_utc_month(),
            date.get_utc_date(),
            date.get_utc_hours(),
            date.get_utc_minutes(),
            date.get_utc_seconds(),
        )
    } else {
        (
            date.get_full_year(),
            date.get_month(),
            date.get_date(),
            date.get_hours(),
            date.get_minutes(),
            date.get_seconds(),
        )
    };
    let month = month + 1;
    match show {
        "clock" => format!("{hour:02}:{minute:02}:{second:02}"),
        "hm" => format!("{hour:02}:{minute:02}"),
        "day" => format!("{month:02}-{day:02}"),
        "date" => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}"),
        "minute" => format!("{month:02}-{day:02} {hour:02}:{minute:02}"),
        "fine" => format!("{minute:02}:{second:02}.{millis:03}"),
        "row" => format!("{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}"),
        _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}"),
    }
}

/// The moment of an RFC 3339 text, in nanoseconds to the millisecond.
pub(super) fn parse_moment(text: &str) -> Option<i64> {
    let millis = Date::parse(text);
    millis.is_finite().then_some(millis as i64 * MILLISECOND)
}

/// The name of the reader's zone as an offset: `UTC+1`, `UTC-3:30`.
pub(super) fn zone_name() -> String {
    let minutes = -(Date::new_0().get_timezone_offset() as i64);
    if minutes == 0 {
        return "UTC".to_owned();
    }
    let sign = if minutes < 0 { '-' } else { '+' };
    match (minutes.abs() / 60, minutes.abs() % 60) {
        (hours, 0) => format!("UTC{sign}{hours}"),
        (hours, rest) => format!("UTC{sign}{hours}:{rest:02}"),
    }
}
