//! The tables with their columns, and statements to begin with.

use crate::request::PageRequest;
use crate::text::tr;
use leptos::prelude::*;
use mangru_store::Signal;

/// Statements to begin with: what they show, and the statement.
fn examples() -> [(&'static str, &'static str); 6] {
    [
        (
            tr("Calls and errors over time"),
            "SELECT date_bin(INTERVAL '1 minute', time) AS minute, service_name,\n  count(*) AS calls,\n  sum(CASE WHEN status_code = 2 THEN 1 ELSE 0 END) AS errors\nFROM spans\nWHERE kind = 2\nGROUP BY 1, 2\nORDER BY 1",
        ),
        (
            tr("Slowest operations"),
            "SELECT service_name, name, count(*) AS spans, max(duration_ns) / 1e6 AS max_ms\nFROM spans\nGROUP BY service_name, name\nORDER BY max_ms DESC\nLIMIT 20",
        ),
        (
            tr("Errors by service"),
            "SELECT service_name, count(*) AS errors\nFROM logs\nWHERE severity_number >= 17\nGROUP BY service_name\nORDER BY errors DESC",
        ),
        (
            tr("Search words"),
            "SELECT time, service_name, body\nFROM logs\nWHERE matches(body, 'timeout')\nORDER BY time DESC\nLIMIT 50",
        ),
        (
            tr("Rows of a search"),
            "SELECT service_name, count(*) AS lines\nFROM search('logs', 'level>=warn -heartbeat')\nGROUP BY 1\nORDER BY 2 DESC",
        ),
        (
            tr("Metrics"),
            "SELECT metric_name, metric_type, metric_unit, count(*) AS points\nFROM metric_points\nGROUP BY 1, 2, 3\nORDER BY points DESC",
        ),
    ]
}

/// What stands beside the statement.
pub(super) fn aside(request: &PageRequest) -> AnyView {
    let examples: Vec<_> = examples()
        .into_iter()
        .map(|(name, sql)| view! { <li><a href=request.search("/sql", sql)>{name}</a></li> })
        .collect();
    let tables: Vec<_> = Signal::ALL
        .into_iter()
        .map(|signal| {
            let columns: Vec<_> = signal
                .schema()
                .fields()
                .iter()
                .map(|field| {
                    let kind = short(&field.data_type().to_string());
                    view! { <li><code>{field.name().clone()}</code><span class="quiet">{kind}</span></li> }
                })
                .collect();
            let all = request.search("/sql", &format!("SELECT *\nFROM {}\nORDER BY time DESC\nLIMIT 20", signal.table()));
            view! { <details open=request.query().contains(signal.table())><summary><code>{signal.table()}</code></summary><p><a href=all>{tr("newest rows")}</a></p><ul class="schema" tabindex="0" aria-label=signal.table()>{columns}</ul></details> }
        })
        .collect();
    view! {
        <aside aria-label=tr("Tables")>
            <h2>{tr("Examples")}</h2><ul>{examples}</ul>
            <h2>{tr("Tables")}</h2>{tables}
        </aside>
    }
    .into_any()
}

/// A type in a word.
fn short(kind: &str) -> String {
    let word = kind.split(['(', '<']).next().unwrap_or(kind);
    match word {
        "Timestamp" => tr("time").to_owned(),
        "Utf8" | "LargeUtf8" | "Utf8View" | "Dictionary" => tr("text").to_owned(),
        "Float64" => tr("number").to_owned(),
        "Boolean" => tr("true or false").to_owned(),
        "FixedSizeBinary" => "id".to_owned(),
        word if word.starts_with("Int") || word.starts_with("UInt") => tr("whole number").to_owned(),
        "List" => tr("list").to_owned(),
        word => word.to_lowercase(),
    }
}
