//! SQL: one statement over logs, spans and metric points.

use crate::context::UiContext;
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{QueryError, SqlRequest, SqlResult};
use mangru_store::Signal;
use serde_json::Value;
use std::sync::Arc;

const ROWS: usize = 1000;
const CELL_CHARS: usize = 300;
const EXAMPLES: [(&str, &str); 4] = [
    (
        "Slowest operations",
        "SELECT service_name, name, count(*) AS spans, max(duration_ns) / 1e6 AS max_ms\nFROM spans\nGROUP BY service_name, name\nORDER BY max_ms DESC\nLIMIT 20",
    ),
    (
        "Errors by service",
        "SELECT service_name, count(*) AS errors\nFROM logs\nWHERE severity_number >= 17\nGROUP BY service_name\nORDER BY errors DESC",
    ),
    (
        "Search words",
        "SELECT time, service_name, body\nFROM logs\nWHERE matches(body, 'timeout')\nORDER BY time DESC\nLIMIT 50",
    ),
    (
        "Metrics",
        "SELECT metric_name, metric_type, metric_unit, count(*) AS points\nFROM metric_points\nGROUP BY 1, 2, 3\nORDER BY points DESC",
    ),
];

/// Answers `/sql`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let result = match request.query() {
        "" => None,
        sql => {
            Some(context.query.sql(&SqlRequest { sql: sql.to_owned(), range: request.time.range, limit: ROWS }).await)
        }
    };
    page(&request, || screen(&request, result.as_ref()))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, result: Option<&Result<SqlResult, QueryError>>) -> Screen {
    let examples: Vec<_> =
        EXAMPLES.iter().map(|(name, sql)| view! { <li><a href=request.search("/sql", sql)>{*name}</a></li> }).collect();
    let answer = result.map(|result| match result {
        Err(error) => parts::error(request.query(), error),
        Ok(result) => table(result),
    });
    let content = view! {
        <h1 class="unseen">"SQL"</h1>
        <form action="/sql" method="get" class="sql">
            {parts::hidden_inputs(&request.params.without("q"))}
            <textarea name="q" rows="7" class="mono" aria-label="SQL" spellcheck="false" autocomplete="off" maxlength="8192"
                placeholder="SELECT * FROM logs LIMIT 20">{escaped(request.query())}</textarea>
            <div class="sql-bar"><button class="primary">"Run"</button>
                <span class="quiet">{format!("Reads the time range at the top right; at most {} rows are shown.", format::count(ROWS as u64))}</span></div>
        </form>
        <div class="sql-body">
            <div class="results">{answer}</div>
            <aside aria-label="Tables">
                <h2>"Examples"</h2><ul>{examples}</ul>
                <h2>"Tables"</h2>{schema()}
            </aside>
        </div>
    }
    .into_any();
    Screen { title: "SQL".to_owned(), has_time: true, status: StatusCode::OK, content }
}

/// The renderer leaves the text of a `<textarea>` as it is, so it is escaped here.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn schema() -> AnyView {
    let tables: Vec<_> = Signal::ALL
        .into_iter()
        .map(|signal| {
            let columns: Vec<_> = signal
                .schema()
                .fields()
                .iter()
                .map(|field| view! { <li><code>{field.name().clone()}</code></li> })
                .collect();
            view! { <details><summary><code>{signal.table()}</code></summary><ul class="schema">{columns}</ul></details> }
        })
        .collect();
    view! { <div>{tables}</div> }.into_any()
}

/// The result as a table.
fn table(result: &SqlResult) -> AnyView {
    let is_number: Vec<bool> = (0..result.columns.len())
        .map(|column| {
            result.rows.iter().map(|row| &row[column]).find(|value| !value.is_null()).is_some_and(Value::is_number)
        })
        .collect();
    let class = |column: usize| if is_number[column] { "num" } else { "mono" };
    let heads: Vec<_> = result
        .columns
        .iter()
        .enumerate()
        .map(|(column, head)| view! { <th scope="col" class=class(column)>{head.name.clone()}</th> })
        .collect();
    let rows: Vec<_> = result
        .rows
        .iter()
        .map(|row| {
            let cells: Vec<_> = row
                .iter()
                .enumerate()
                .map(|(column, value)| view! { <td class=class(column)>{format::clipped(&parts::plain(value), CELL_CHARS)}</td> })
                .collect();
            view! { <tr>{cells}</tr> }
        })
        .collect();
    view! {
        {parts::coverage(result.rows.len(), "row", &result.coverage)}
        <div class="table-wrap"><table class="dense"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
    }
    .into_any()
}
