//! Live tail: new log records as they are acknowledged.

use super::browser;
use crate::palette::{Severity, service_colour};
use leptos::prelude::*;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;
use web_sys::{EventSource, MessageEvent};

/// How many rows stay on the screen.
const ROWS_SHOWN: usize = 300;
/// How often arrived rows are drawn.
const DRAW_EVERY: Duration = Duration::from_millis(150);

#[derive(Clone, serde::Deserialize)]
struct TailRow {
    time_unix_nano: String,
    #[serde(default)]
    level: String,
    #[serde(default)]
    service_name: String,
    #[serde(default)]
    body: serde_json::Value,
    #[serde(default)]
    trace_id: String,
    #[serde(default)]
    span_id: String,
    #[serde(skip)]
    number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Connecting,
    Open,
    Lost,
}

/// Shows rows that match a search as they come, newest first; it can be paused without losing its place.
#[island]
pub(crate) fn LiveTail(
    /// The address of the stream of events.
    stream: String,
    /// What it says: pause, resume, paused, connecting, live, lost, rows since the start, rows left out, trace, its name.
    words: Vec<String>,
    /// The services that are known.
    services: Vec<String>,
    /// The numbers of their colours.
    colours: Vec<u64>,
) -> impl IntoView {
    let colours: HashMap<String, u64> = services.into_iter().zip(colours).collect();
    let colours = StoredValue::new(colours);
    let colour = move |name: &str| {
        colours.with_value(|colours| colours.get(name).copied()).unwrap_or_else(|| service_colour(name))
    };
    let words = StoredValue::new(words);
    let said = move |place: usize| words.with_value(|words| words.get(place).cloned().unwrap_or_default());
    let rows = RwSignal::new(VecDeque::<TailRow>::new());
    let seen = RwSignal::new(0_u64);
    let dropped = RwSignal::new(0_u64);
    let is_paused = RwSignal::new(false);
    let line = RwSignal::new(Line::Connecting);
    Effect::new(move |_| follow(&stream, rows, seen, dropped, is_paused, line));

    let state = move || match (line.get(), is_paused.get()) {
        (_, true) => said(2),
        (Line::Connecting, _) => said(3),
        (Line::Open, _) => said(4),
        (Line::Lost, _) => said(5),
    };
    let covers = move || {
        let dropped = dropped.get();
        let mut text = said(6).replace("{0}", &seen.get().to_string()).replace("{1}", &ROWS_SHOWN.to_string());
        if dropped > 0 {
            text.push_str(&said(7).replace("{0}", &dropped.to_string()));
        }
        text
    };
    view! {
        <section class="tail" aria-label=said(9)>
            <p class="tail-bar">
                <button type="button" class="needs-script" on:click=move |_| is_paused.update(|paused| *paused = !*paused)>
                    {move || said(usize::from(is_paused.get()))}
                </button>
                <span class="tail-state" role="status">{state}</span>
                <span class="quiet">{covers}</span>
            </p>
            <ol class="log-lines">
                <For each=move || rows.get() key=|row| row.number let:row>{tail_row(&row, colour(&row.service_name), said(8))}</For>
            </ol>
        </section>
    }
}

fn tail_row(row: &TailRow, colour: u64, trace: String) -> impl IntoView + use<> {
    let severity = Severity::of_level(&row.level);
    let time = row
        .time_unix_nano
        .parse()
        .map_or_else(|_| row.time_unix_nano.clone(), |ns| browser::moment(ns, "row", browser::wants_utc()));
    let body = row.body.as_str().map_or_else(|| row.body.to_string(), str::to_owned);
    let class = format!("log-line {}", severity.class());
    let service_class = format!("service svc-{colour}");
    let trace = (!row.trace_id.is_empty()).then(|| {
        let address = format!("/traces/{}?span={}", row.trace_id, row.span_id);
        view! { <a class="to-trace" href=address>{trace}</a> }
    });
    view! {
        <li class=class>
            <span class="time">{time}</span>
            <span class="mark">{severity.mark()}</span>
            <span class=service_class>{row.service_name.clone()}</span>
            <span class="body">{body}</span>
            {trace}
        </li>
    }
}

fn follow(
    stream: &str,
    rows: RwSignal<VecDeque<TailRow>>,
    seen: RwSignal<u64>,
    dropped: RwSignal<u64>,
    is_paused: RwSignal<bool>,
    line: RwSignal<Line>,
) {
    let Ok(source) = EventSource::new(stream) else {
        line.set(Line::Lost);
        return;
    };
    let arrived = Rc::new(RefCell::new(VecDeque::<TailRow>::new()));
    let number = Rc::new(RefCell::new(0_u64));
    let waiting = Rc::clone(&arrived);
    let on_row = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let Some(text) = event.data().as_string() else { return };
        let Ok(mut row) = serde_json::from_str::<TailRow>(&text) else { return };
        *number.borrow_mut() += 1;
        row.number = *number.borrow();
        let mut waiting = waiting.borrow_mut();
        waiting.push_front(row);
        waiting.truncate(ROWS_SHOWN);
        seen.update(|count| *count += 1);
    });
    let on_dropped = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        let text = event.data().as_string().unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        dropped.update(|count| *count += digits.parse::<u64>().unwrap_or(0));
    });
    let on_open = Closure::<dyn FnMut(web_sys::Event)>::new(move |_: web_sys::Event| line.set(Line::Open));
    let on_error = Closure::<dyn FnMut(web_sys::Event)>::new(move |_: web_sys::Event| line.set(Line::Lost));
    // Listening on an open source cannot fail.
    let _ = source.add_event_listener_with_callback("log", on_row.as_ref().unchecked_ref());
    let _ = source.add_event_listener_with_callback("dropped", on_dropped.as_ref().unchecked_ref());
    source.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    source.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    // They live as long as the page.
    on_row.forget();
    on_dropped.forget();
    on_open.forget();
    on_error.forget();
    set_interval(
        move || {
            if is_paused.get_untracked() || arrived.borrow().is_empty() {
                return;
            }
            let mut fresh = std::mem::take(&mut *arrived.borrow_mut());
            // What comes together comes by sender: it is shown by time.
            fresh.make_contiguous().sort_by_key(|row| Reverse(row.time_unix_nano.parse::<u64>().unwrap_or(u64::MAX)));
            rows.update(|rows| {
                fresh.append(rows);
                fresh.truncate(ROWS_SHOWN);
                *rows = fresh;
            });
        },
        DRAW_EVERY,
    );
}
