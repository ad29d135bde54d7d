//! Pieces that several screens share: what an answer covers, errors with a caret, services, field values, empty states.

use crate::context::Endpoints;
use crate::format;
use crate::nouns::counted;
use crate::palette::service_class;
use crate::params::{Params, encoded};
use crate::request::PageRequest;
use crate::text::{told, tr, trf};
use leptos::prelude::*;
use mangru_query::{Coverage, Figures, QueryError};
use serde_json::Value;

/// What an answer covers, in one line: how many of how many, out of what, in what time, and what cut it.
pub(crate) fn coverage(shown: usize, noun: &'static str, coverage: &Coverage) -> AnyView {
    let named = translated(noun);
    // A language without plurals has one word for both.
    let noun = if named == noun && coverage.matched != 1 { format!("{noun}s") } else { named.to_owned() };
    let matched = format::count(coverage.matched);
    let matched = if coverage.matched_is_exact { matched } else { trf("at least {0}", &[&matched]) };
    let text = trf(
        "{0} of {1} {2}, {3} in range, {4} ms",
        &[
            &format::count(shown as u64),
            &matched,
            &noun,
            &counted(coverage.rows_in_range, "row"),
            &format!("{:.0}", coverage.elapsed_ms),
        ],
    );
    view! { <p class="covers">{text}{incomplete(coverage)}</p> }.into_any()
}

/// The nouns of coverage lines.
fn translated(noun: &'static str) -> &'static str {
    match noun {
        "row" => tr("row"),
        "matching row" => tr("matching row"),
        "matching trace" => tr("matching trace"),
        "service" => tr("service"),
        other => other,
    }
}

/// The warning of an answer that is not whole.
pub(crate) fn incomplete(coverage: &Coverage) -> Option<AnyView> {
    if coverage.complete {
        return None;
    }
    let why = coverage.limit_hit.as_deref().map_or_else(|| tr("a limit was hit").to_owned(), told);
    let shown = trf("⚠ not complete: {0}", &[&format::clipped(&why, 200)]);
    Some(view! { " "<strong class="warning" title=why>{shown}</strong> }.into_any())
}

/// An error of a query: its message, and the place in the query where it lies.
pub(crate) fn error(query: &str, error: &QueryError) -> AnyView {
    let at = error.position.filter(|_| !query.is_empty()).map(|position| {
        view! { <pre class="caret">{pointed(query, position)}</pre> }
    });
    view! { <div class="error" role="alert"><p><strong>"✖ "</strong>{told(&error.message)}</p>{at}</div> }.into_any()
}

/// A text with a caret below one of its characters, in a line of its own.
fn pointed(text: &str, position: usize) -> String {
    let at = text.char_indices().nth(position).map_or(text.len(), |(at, _)| at);
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    let column = text[line..at].chars().count();
    format!("{}\n{}^{}", &text[..end], " ".repeat(display_width(&text[line..], column)), &text[end..])
}

/// How wide the first characters of a text stand in a monospaced font; wide scripts and pictures take two cells.
fn display_width(text: &str, chars: usize) -> usize {
    let width = |c: char| match u32::from(c) {
        // What joins or varies the character before it.
        0x0300..=0x036F | 0x200D | 0xFE00..=0xFE0F => 0,
        0x1100..=0x115F
        | 0x2E80..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60
        | 0x1F300..=0x1FAFF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    };
    text.chars().take(chars).map(width).sum()
}

/// Errors among all, 0 to 1.
pub(crate) fn error_ratio(figures: &Figures) -> f64 {
    if figures.rows == 0 { 0.0 } else { figures.errors as f64 / figures.rows as f64 }
}

/// Errors among all in words, with a sign where there are some.
pub(crate) fn error_words(errors: u64, ratio: f64) -> String {
    if errors > 0 { format!("✖ {}", format::percent(ratio)) } else { "0 %".to_owned() }
}

/// The cell of errors among all: red, and the way to those that failed, where there are some.
pub(crate) fn error_cell(errors: u64, ratio: f64, failing: String) -> AnyView {
    let words = error_words(errors, ratio);
    if errors > 0 {
        view! { <td class="num bad"><a href=failing>{words}</a></td> }.into_any()
    } else {
        view! { <td class="num">{words}</td> }.into_any()
    }
}

/// A figure's move against the window before; where more is worse, more is marked.
pub(crate) fn moved(now: f64, before: Option<f64>, is_bad_up: bool) -> AnyView {
    let text = before.map(|before| format::change(now, before)).unwrap_or_default();
    let is_up = text.starts_with(['+', '×']) || text == "new";
    let class = if is_bad_up && is_up { "change worse" } else { "change" };
    let title = (!text.is_empty()).then(|| tr("Against the window of the same length before"));
    let text = if text == "new" { tr("new").to_owned() } else { text };
    view! { <span class=class title=title>{text}</span> }.into_any()
}

/// A service's name in its colour.
pub(crate) fn service(name: &str) -> AnyView {
    let class = format!("service {}", service_class(name));
    view! { <span class=class title=whole_if_clipped(name)>{format::clipped(name, NAME_CHARS)}</span> }.into_any()
}

/// Characters of a name on a screen; the rest is in its title.
pub(crate) const NAME_CHARS: usize = 120;

/// The title of a name that is not shown whole.
pub(crate) fn whole_if_clipped(name: &str) -> Option<String> {
    name.chars().nth(NAME_CHARS).map(|_| format::clipped(name, 2000))
}

/// What is written just so in a config, a query or a span.
pub(crate) fn code(text: &'static str) -> AnyView {
    view! { <code>{text}</code> }.into_any()
}

/// Hidden inputs that carry parameters through a form.
pub(crate) fn hidden_inputs(params: &Params) -> Vec<AnyView> {
    params
        .pairs()
        .iter()
        .map(|(name, value)| view! { <input type="hidden" name=name.clone() value=value.clone() /> }.into_any())
        .collect()
}

/// A JSON value as one line of text; text itself without quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `field:"value"` in the search language.
pub(crate) fn field_term(field: &str, value: &str) -> String {
    let name = if field.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')) {
        field.to_owned()
    } else {
        format!("\"{}\"", escaped(field))
    };
    let is_simple = !value.is_empty()
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if is_simple { format!("{name}:{value}") } else { format!("{name}:\"{}\"", escaped(value)) }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// A search with one more term.
pub(crate) fn narrowed(query: &str, term: &str) -> String {
    let query = query.trim();
    if query.is_empty() || query == "*" {
        term.to_owned()
    } else if query.contains(" OR ") {
        format!("({query}) {term}")
    } else {
        format!("{query} {term}")
    }
}

/// The text of a `<textarea>`, which the renderer leaves as it is.
pub(crate) fn escaped_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The address of a story.
pub(crate) fn story_link(request: &PageRequest, id: &str) -> String {
    request.there(&format!("/story/{}", encoded(id)))
}

/// A text to copy, with its button.
pub(crate) fn copyable(text: &str) -> AnyView {
    let (shown, copied) = (text.to_owned(), text.to_owned());
    view! { <div class="copyable"><pre>{shown}</pre><button type="button" class="needs-script" data-copy=copied>{tr("copy")}</button></div> }.into_any()
}

/// How to send data: shown where there is none.
pub(crate) fn how_to_send(endpoints: &Endpoints) -> AnyView {
    let grpc = format!(
        "export OTEL_EXPORTER_OTLP_ENDPOINT=http://{}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        endpoints.otlp_grpc
    );
    let http = format!(
        "export OTEL_EXPORTER_OTLP_ENDPOINT=http://{}\nexport OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        endpoints.otlp_http
    );
    let curl = format!(
        "curl -s http://{}/v1/logs -H 'content-type: application/json' -d '{{\"resourceLogs\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"service.name\",\"value\":{{\"stringValue\":\"hello\"}}}}]}},\"scopeLogs\":[{{\"logRecords\":[{{\"severityNumber\":9,\"body\":{{\"stringValue\":\"first light\"}}}}]}}]}}]}}'",
        endpoints.otlp_http
    );
    view! {
        <section class="empty" aria-labelledby="how-to-send">
            <h2 id="how-to-send">{tr("Nothing has come in yet")}</h2>
            <p>{tr("Any OpenTelemetry SDK or collector can send here. Set this in a service's environment, and restart it:")}</p>
            {copyable(&grpc)}
            <p>{tr("or, over HTTP:")}</p>
            {copyable(&http)}
            <p>{tr("A first log line by hand:")}</p>
            {copyable(&curl)}
            <p>{tr("For a whole shop of services to look at, run this. What comes in, and what is refused and why, is on the screen Status.")}" "<code>"mangru demo"</code>" "<a href="/status">{tr("Status")}</a></p>
        </section>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_quoted_where_they_must_be() {
        assert_eq!(field_term("service.name", "checkout"), "service.name:checkout");
        assert_eq!(field_term("url.path", "/a b"), "url.path:\"/a b\"");
        assert_eq!(field_term("note", "say \"hi\"\\"), "note:\"say \\\"hi\\\"\\\\\"");
        assert_eq!(field_term("a key", "5*"), "\"a key\":\"5*\"");
        assert_eq!(field_term("x", ""), "x:\"\"");
    }

    #[test]
    fn narrowing_keeps_the_meaning_of_or() {
        assert_eq!(narrowed("", "a:1"), "a:1");
        assert_eq!(narrowed("x y", "-a:1"), "x y -a:1");
        assert_eq!(narrowed("x OR y", "a:1"), "(x OR y) a:1");
    }

    #[test]
    fn the_caret_stands_below_wide_letters() {
        assert_eq!(display_width("결제 x", 3), 5);
        assert_eq!(display_width("abc", 2), 2);
        assert_eq!(display_width("🚀🚀 x", 3), 5);
        assert_eq!(pointed("🚀 (", 2), "🚀 (\n   ^");
        assert_eq!(pointed("SELECT *\nFORM logs\nLIMIT 1", 9), "SELECT *\nFORM logs\n^\nLIMIT 1");
        assert_eq!(pointed("ab\ncd", 5), "ab\ncd\n  ^");
    }
}
