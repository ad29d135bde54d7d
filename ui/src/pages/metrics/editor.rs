//! The boxes for queries, each with its error below it.

use super::{Asked, QUERIES};
use crate::chart::plot::Style;
use crate::complete;
use crate::islands::assist::Assist;
use crate::parts::{self, escaped_text};
use crate::request::PageRequest;
use crate::text::{tr, trf};
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_store::Signal;

/// Queries to begin with: what they show, and the query.
fn examples() -> [(&'static str, &'static str); 4] {
    [
        (
            tr("Requests a second by service"),
            "sum by (service_name) (rate(http_server_request_duration_seconds_count[5m]))",
        ),
        (
            tr("95th percentile by service"),
            "histogram_quantile(0.95, sum by (le, service_name) (rate(http_server_request_duration_seconds_bucket[5m])))",
        ),
        (tr("How full queues are"), "messaging_queue_depth"),
        (tr("Series by metric"), "topk(10, count by (__name__) ({__name__=~\".+\"}))"),
    ]
}

/// A unit by its name in dashboards; the short ones are the same in all languages.
fn unit_words(name: &'static str) -> &'static str {
    match name {
        "none" => tr("none"),
        "bytes" => tr("bytes"),
        "bytes_per_second" => tr("bytes per second"),
        "percent" => tr("percent"),
        "ratio" => tr("ratio"),
        "per_second" => tr("per second"),
        other => other,
    }
}

/// How the result can be seen, by the name in the address.
pub(super) fn views() -> Vec<(&'static str, &'static str)> {
    vec![
        ("line", tr("Lines")),
        ("area", tr("Areas")),
        ("stack", tr("Stacked")),
        ("bars", tr("Bars")),
        ("heat", tr("Heat map")),
        ("table", tr("Table")),
    ]
}

/// The chosen way to see the result.
pub(super) fn view_of(request: &PageRequest) -> &str {
    let chosen = request.params.get("view").unwrap_or("line");
    if Style::named(chosen).is_some() || matches!(chosen, "heat" | "table") { chosen } else { "line" }
}

/// The form; it is a plain GET.
pub(super) fn editor(request: &PageRequest, asked: &[Asked]) -> AnyView {
    let carried = request.params.without("q").without("name").without("unit");
    let count = asked.len();
    // One box more than there are queries, so that another can be asked without scripts.
    let boxes: Vec<_> = (0..(count + 1).clamp(1, QUERIES))
        .map(|place| {
            let query = asked.get(place);
            let text = query.map_or("", |query| query.text.as_str());
            let letter = char::from(b'A' + place as u8).to_string();
            let label = trf("PromQL, query {0}", &[&letter]);
            let rows = if query.is_none() && count > 0 { "1" } else { "2" };
            let error = query.and_then(|query| query.answer.as_ref().err()).map(|error| parts::error(text, error));
            let class = if query.is_none() && count > 0 { "promql another" } else { "promql" };
            let inner = view! {
                <textarea name="q" rows=rows class="mono" aria-label=label spellcheck="false" autocomplete="off" maxlength="8192"
                    placeholder=if count == 0 { "rate(http_server_request_duration_seconds_count[5m])" } else { tr("another query") }>{escaped_text(text)}</textarea>
            };
            view! {
                <div class=class>
                    <span class="letter" aria-hidden="true">{letter}</span>
                    <div class="box">
                        <Assist address=complete::address(request, "promql", Signal::MetricPoints) label=tr("Completions").to_owned() id=format!("promql-{place}")>{inner}</Assist>
                        {error}
                    </div>
                </div>
            }
        })
        .collect();
    let chosen = request.params.get("unit").unwrap_or("");
    let units: Vec<_> = Unit::ALL
        .into_iter()
        .map(|(name, _)| view! { <option value=name selected=name == chosen>{unit_words(name)}</option> })
        .collect();
    let examples = (count == 0).then(|| {
        let links: Vec<_> = examples()
            .into_iter()
            .map(|(name, query)| view! { <li><a href=request.here(&request.params.with("q", query))>{name}</a></li> })
            .collect();
        view! { <ul class="choices">{links}</ul> }
    });
    view! {
        <form action="/metrics/explore" method="get" class="queries" role="search" aria-label=tr("PromQL")>
            {parts::hidden_inputs(&carried)}
            {boxes}
            <div class="sql-bar">
                <button class="primary">{tr("Run")}</button>
                <span class="quiet needs-script"><kbd>"Ctrl"</kbd>" "<kbd>"Enter"</kbd></span>
                <label class="quiet">{tr("Unit")}" "<select name="unit"><option value="">{tr("by the names")}</option>{units}</select></label>
                {examples}
            </div>
        </form>
    }
    .into_any()
}
