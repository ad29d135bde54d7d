//! Cardinality: how many values each field has, over the time range of the page.

use crate::context::UiContext;
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use futures::StreamExt as _;
use leptos::prelude::*;
use mangru_query::{Field, FieldValue, FieldValuesRequest, QueryError};
use mangru_store::Signal;
use std::sync::Arc;

/// Fields that are counted, those that most rows have.
const FIELDS: usize = 60;
/// Fields that are counted at the same time.
const AT_ONCE: usize = 3;

/// A field with its values.
struct Counted {
    field: Field,
    values: Result<(Vec<FieldValue>, bool), QueryError>,
}

/// Answers `/status/fields?signal=logs|spans`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let signal = if request.params.get("signal") == Some("spans") { Signal::Spans } else { Signal::Logs };
    let range = request.time.range;
    let most = context.query.settings().max_limit;
    let found = match context.query.fields(signal, range).await {
        Err(error) => Err(error),
        Ok((mut fields, _)) => {
            // Names of columns come first whoever has them; the others by how many rows have them.
            let left_out = fields.len().saturating_sub(FIELDS);
            fields.truncate(FIELDS);
            let count = |field: Field| {
                let context = &context;
                async move {
                    let request = FieldValuesRequest {
                        signal,
                        name: field.name.clone(),
                        query: String::new(),
                        prefix: String::new(),
                        range,
                        limit: most,
                    };
                    let values = context.query.field_values(&request).await;
                    Counted { field, values: values.map(|(values, coverage)| (values, coverage.complete)) }
                }
            };
            let mut counted: Vec<Counted> =
                futures::stream::iter(fields.into_iter().map(count)).buffered(AT_ONCE).collect().await;
            let distinct = |one: &Counted| one.values.as_ref().map_or(0, |(values, _)| values.len());
            counted.sort_by_key(|one| std::cmp::Reverse(distinct(one)));
            Ok((counted, left_out))
        }
    };
    page(&request, || screen(&request, signal, &found))
}

fn screen(request: &PageRequest, signal: Signal, found: &Result<(Vec<Counted>, usize), QueryError>) -> Screen {
    let tabs: Vec<_> = [Signal::Logs, Signal::Spans]
        .into_iter()
        .map(|one| {
            let address = request.here(&request.params.with("signal", one.table()));
            view! { <a href=address aria-current=(one == signal).then_some("page")>{one.table()}</a> }
        })
        .collect();
    let body = match found {
        Err(error) => parts::error("", error),
        Ok((counted, left_out)) => table(request, signal, counted, *left_out),
    };
    let content = view! {
        <h1><a href=request.there("/status") class="quiet">{tr("Status")}</a><span class="quiet">" / "</span>{tr("Fields with how many values each has")}</h1>
        <nav class="tabs" aria-label=tr("Signals")>{tabs}</nav>
        {body}
    }
    .into_any();
    Screen { title: tr("Cardinality").to_owned(), has_time: true, status: StatusCode::OK, content }
}

/// What kind of field it is.
fn kind_words(kind: &str) -> String {
    let known = match kind {
        "column" => tr("column"),
        "attribute" => tr("attribute"),
        "resource" => tr("resource"),
        other => other,
    };
    known.to_owned()
}

fn table(request: &PageRequest, signal: Signal, counted: &[Counted], left_out: usize) -> AnyView {
    let path = if signal == Signal::Spans { "/traces" } else { "/logs" };
    let rows: Vec<_> = counted
        .iter()
        .map(|one| {
            let name = one.field.name.clone();
            let (distinct, most) = match &one.values {
                Err(error) => (format!("✖ {}", error.message), ().into_any()),
                Ok((values, complete)) => {
                    let count = format!("{}{}", format::count(values.len() as u64), if *complete { "" } else { "+" });
                    let most: Vec<_> = values
                        .iter()
                        .take(3)
                        .map(|found| {
                            let address = request.search(path, &parts::field_term(&name, &found.value));
                            view! { <a href=address class="mono">{format::clipped(&found.value, 40)}</a>" "<span class="quiet">{format::count(found.rows)}</span>"  " }
                        })
                        .collect();
                    (count, most.into_any())
                }
            };
            view! {
                <tr><th scope="row" class="mono">{name}</th><td>{kind_words(&one.field.kind)}</td><td class="num">{distinct}</td>
                    <td class="num">{format::count(one.field.rows)}</td><td>{most}</td></tr>
            }
        })
        .collect();
    let more = (left_out > 0).then(|| view! { <p class="warning">{trf("⚠ {0} fields that fewer rows have are not counted", &[&left_out.to_string()])}</p> });
    view! {
        <div class="table-wrap"><table class="dense">
            <thead><tr><th scope="col">{tr("Field")}</th><th scope="col">{tr("Kind")}</th><th scope="col" class="num">{tr("Values")}</th>
                <th scope="col" class="num">{tr("Rows")}</th><th scope="col">{tr("Most frequent")}</th></tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
        {more}
    }
    .into_any()
}
