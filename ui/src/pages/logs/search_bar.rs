//! The search form of logs, with help on the language.

use super::saved::{self, Saved};
use crate::complete;
use crate::islands::assist::Assist;
use crate::parts::hidden_inputs;
use crate::request::PageRequest;
use crate::text::tr;
use leptos::prelude::*;
use mangru_store::Signal;

/// Examples with what they find.
fn help() -> [(&'static str, &'static str); 12] {
    [
        ("refused timeout", tr("both words, in any case")),
        ("\"connection refused\"", tr("the words next to each other")),
        ("time*", tr("words that start so")),
        ("body:*sub*", tr("any part of the text")),
        ("/conn(ect)?ion [0-9]+/", tr("a regular expression")),
        ("service:checkout level>=warn", tr("fields; short forms: service, level, status, host")),
        ("http.response.status_code:5*", tr("any attribute, with a wildcard")),
        ("http.response.status_code:[400 TO 499]", tr("a range of values")),
        ("-route:/health", tr("without; also NOT")),
        ("a OR (b c)", tr("one or the other")),
        ("order.id:*", tr("rows that have the field")),
        ("trace_id:4bf92f…", tr("rows of a trace")),
    ]
}

/// The form; it is a plain GET, so it works without scripts and its address can be shared.
pub(super) fn search_bar(request: &PageRequest, saved: Option<&Saved>) -> AnyView {
    let query = request.query().to_owned();
    let carried = request.params.without("q").without("cursor").without("row").without("at");
    let is_live = request.params.get("live").is_some();
    let live = request.here(&request.params.without("cursor").without("row").without("at").with("live", "1"));
    let export = |format: &str| request.time.params().with("q", &query).with("format", format).on("/logs/export");
    let new_alert = request.time.params().with("signal", "logs").with("q", &query).on("/alerts/new");
    let (ndjson, csv) = (export("ndjson"), export("csv"));
    let help: Vec<_> = help()
        .into_iter()
        .map(|(example, meaning)| {
            let example_link = request.search("/logs", example);
            view! { <dt><a href=example_link><code>{example}</code></a></dt><dd>{meaning}</dd> }
        })
        .collect();
    view! {
        <div class="search">
            <form action="/logs" method="get" role="search" aria-label=tr("Search logs")>
                {hidden_inputs(&carried)}
                <Assist address=complete::address(request, "search", Signal::Logs) label=tr("Completions").to_owned() id="search-completions".to_owned()>
                    <input type="search" name="q" value=query.clone() class="query mono" placeholder="service:checkout level>=warn \"connection refused\""
                        aria-label=tr("Search logs") autocomplete="off" spellcheck="false" maxlength="8192" />
                </Assist>
                <button class="primary">{tr("Search")}</button>
            </form>
            <div class="search-more">
                {(!is_live).then(|| view! { <a href=live class="needs-script">{tr("● Live tail")}</a> })}
                <a href=new_alert>{tr("Alert on this")}</a>
                {saved.map(|saved| saved::menu(request, saved))}
                <details class="menu">
                    <summary>{tr("Export")}</summary>
                    <div class="menu-body"><ul class="choices">
                        <li><a href=ndjson download="logs.ndjson">{tr("NDJSON, the whole result")}</a></li>
                        <li><a href=csv download="logs.csv">{tr("CSV, the whole result")}</a></li>
                    </ul></div>
                </details>
                <details class="menu">
                    <summary>{tr("Syntax")}</summary>
                    <div class="menu-body wide"><dl class="help">{help}</dl></div>
                </details>
            </div>
        </div>
    }
    .into_any()
}
