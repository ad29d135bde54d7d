//! The search form of logs, with help on the language.

use crate::parts::hidden_inputs;
use crate::request::PageRequest;
use leptos::prelude::*;

const HELP: [(&str, &str); 12] = [
    ("refused timeout", "both words, in any case"),
    ("\"connection refused\"", "the words next to each other"),
    ("time*", "words that start so"),
    ("body:*sub*", "any part of the text"),
    ("/conn(ect)?ion [0-9]+/", "a regular expression"),
    ("service:checkout level>=warn", "fields; short forms: service, level, status, host"),
    ("http.response.status_code:5*", "any attribute, with a wildcard"),
    ("http.response.status_code:[400 TO 499]", "a range of values"),
    ("-route:/health", "without; also NOT"),
    ("a OR (b c)", "one or the other"),
    ("order.id:*", "rows that have the field"),
    ("trace_id:4bf92f…", "rows of a trace"),
];

/// The form; it is a plain GET, so it works without scripts and its address can be shared.
pub(super) fn search_bar(request: &PageRequest) -> AnyView {
    let query = request.query().to_owned();
    let carried = request.params.without("q").without("cursor").without("row").without("at");
    let is_live = request.params.get("live").is_some();
    let live = request.here(&request.params.without("cursor").without("row").without("at").with("live", "1"));
    let export = |format: &str| request.time.params().with("q", &query).with("format", format).on("/logs/export");
    let new_alert = request.time.params().with("signal", "logs").with("q", &query).on("/alerts/new");
    let (ndjson, csv) = (export("ndjson"), export("csv"));
    let help: Vec<_> = HELP
        .iter()
        .map(|(example, meaning)| {
            let example_link = request.search("/logs", example);
            view! { <dt><a href=example_link><code>{*example}</code></a></dt><dd>{*meaning}</dd> }
        })
        .collect();
    view! {
        <div class="search">
            <form action="/logs" method="get" role="search" aria-label="Search logs">
                {hidden_inputs(&carried)}
                <input type="search" name="q" value=query.clone() class="query mono" placeholder="service:checkout level>=warn \"connection refused\""
                    aria-label="Search logs" autocomplete="off" spellcheck="false" maxlength="8192" />
                <button class="primary">"Search"</button>
            </form>
            <div class="search-more">
                {(!is_live).then(|| view! { <a href=live class="needs-script">"● Live tail"</a> })}
                <a href=new_alert>"Alert on this"</a>
                <details class="menu">
                    <summary>"Export"</summary>
                    <div class="menu-body"><ul class="choices">
                        <li><a href=ndjson download="logs.ndjson">"NDJSON, the whole result"</a></li>
                        <li><a href=csv download="logs.csv">"CSV, the whole result"</a></li>
                    </ul></div>
                </details>
                <details class="menu">
                    <summary>"Syntax"</summary>
                    <div class="menu-body wide"><dl class="help">{help}</dl></div>
                </details>
            </div>
        </div>
    }
    .into_any()
}
