//! SQL: one statement over logs, spans and metric points; its result as a table, as a chart, or how it is answered.

mod result;
mod schema;

use crate::answers;
use crate::complete;
use crate::context::UiContext;
use crate::format;
use crate::islands::assist::Assist;
use crate::parts::{self, escaped_text};
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::{QueryError, SqlResult};
use mangru_store::Signal;
use std::sync::Arc;

const ROWS: usize = 1000;

/// Answers `/sql`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let result =
        match request.query() {
            "" => None,
            sql => {
                let is_explained = request.params.get("view") == Some("explain");
                let has_explain = sql.trim_start().get(..7).is_some_and(|word| word.eq_ignore_ascii_case("explain"));
                let text = if is_explained && !has_explain { format!("EXPLAIN {sql}") } else { sql.to_owned() };
                let found = answers::sql(&context.query, &text, request.time.range, ROWS).await;
                // What is put in front of a statement moves the place of its fault.
                let shift = text.chars().count() - sql.chars().count();
                Some(found.map_err(|error| QueryError {
                    position: error.position.map(|at| at.saturating_sub(shift)),
                    ..error
                }))
            }
        };
    page(&request, || screen(&request, result.as_ref()))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, result: Option<&Result<SqlResult, QueryError>>) -> Screen {
    let answer = result.map(|result| match result {
        Err(error) => parts::error(request.query(), error),
        Ok(found) => result::result(request, found),
    });
    let rows = if result.is_some() { request.query().lines().count().clamp(4, 18) } else { 7 };
    let input = view! {
        <textarea name="q" rows=rows.to_string() class="mono" aria-label="SQL" spellcheck="false" autocomplete="off" maxlength="8192"
            placeholder="SELECT * FROM logs LIMIT 20">{escaped_text(request.query())}</textarea>
    };
    let content = view! {
        <h1 class="unseen">"SQL"</h1>
        <div class="sql-body">
            <div class="results">
                <form action="/sql" method="get" class="sql">
                    {parts::hidden_inputs(&request.params.without("q"))}
                    <Assist address=complete::address(request, "sql", Signal::Logs) label=tr("Completions").to_owned() id="sql-completions".to_owned()>{input}</Assist>
                    <div class="sql-bar"><button class="primary">{tr("Run")}</button>
                        <span class="quiet needs-script"><kbd>"Ctrl"</kbd>" "<kbd>"Enter"</kbd></span>
                        <span class="quiet">{trf("Reads the time range at the top right; at most {0} rows are shown.", &[&format::count(ROWS as u64)])}</span></div>
                </form>
                {answer}
            </div>
            {schema::aside(request)}
        </div>
    }
    .into_any();
    Screen { title: "SQL".to_owned(), has_time: true, status: StatusCode::OK, content }
}
