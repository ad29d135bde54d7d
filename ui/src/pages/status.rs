//! Status: what comes in, what is refused and why, what is kept and at which cost, the config in force.

pub(crate) mod fields;

use crate::clock::{Show, row_time, time_view};
use crate::context::{Endpoints, UiContext};
use crate::format;
use crate::nouns::counted;
use crate::parts::{self, code};
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf, trv};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use mangru_query::SlowQuery;
use mangru_store::{ObjectsStatus, Retention, StoreStatus, TableStatus};
use serde_json::Value;
use std::sync::Arc;

/// What the screen shows.
pub(crate) struct Status {
    /// The store's figures.
    pub(crate) store: StoreStatus,
    /// The collector's report.
    pub(crate) intake: Value,
    /// The newest slow queries, and from how many milliseconds on one is slow.
    pub(crate) slow: (Vec<SlowQuery>, u64),
    /// Where senders reach this process.
    pub(crate) endpoints: Endpoints,
    /// The config in force, secrets masked.
    pub(crate) config_text: String,
    /// The version of the binary.
    pub(crate) version: &'static str,
}

/// Answers `/status`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let status = Status {
        store: context.query.store().status(),
        intake: (context.intake)(),
        slow: (context.query.slow_queries(), context.query.settings().slow.as_millis() as u64),
        endpoints: context.endpoints.clone(),
        config_text: context.config_text.clone(),
        version: context.version,
    };
    page(&request, || screen(&request, &status))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, status: &Status) -> Screen {
    let is_empty = status.store.tables.iter().all(|table| table.part_rows == 0 && table.hot_rows == 0);
    let content = view! {
        <h1>{tr("Status")}</h1>
        <p>{format!("Mangru {}", status.version)}" · OTLP/gRPC "<code>{status.endpoints.otlp_grpc.clone()}</code>
            " · OTLP/HTTP "<code>{status.endpoints.otlp_http.clone()}</code>" · UI "<code>{status.endpoints.http.clone()}</code></p>
        {is_empty.then(|| parts::how_to_send(&status.endpoints))}
        <section aria-labelledby="intake-head"><h2 id="intake-head">{tr("What comes in (since start)")}</h2>{intake(&status.intake)}</section>
        <section aria-labelledby="buffer-head"><h2 id="buffer-head">{tr("Buffer")}</h2>{buffer(&status.store)}</section>
        <section aria-labelledby="tables-head"><h2 id="tables-head">{tr("Tables")}</h2>{tables(&status.store.tables)}</section>
        <section aria-labelledby="keeping-head"><h2 id="keeping-head">{tr("Keeping")}</h2>{keeping(&status.store)}</section>
        {status.store.objects.as_ref().map(|objects| view! { <section aria-labelledby="objects-head"><h2 id="objects-head">{tr("Object store")}</h2>{object_store(objects)}</section> })}
        <section aria-labelledby="slow-head"><h2 id="slow-head">{tr("Slow queries")}</h2>{slow(&status.slow)}</section>
        <section aria-labelledby="fields-head"><h2 id="fields-head">{tr("Cardinality")}</h2>
            <p><a href=request.there("/status/fields")>{tr("Fields with how many values each has")}</a>" · "<a href=request.there("/metrics/explore")>{tr("Metrics with how many series each has")}</a></p></section>
        <section aria-labelledby="config-head"><h2 id="config-head">{tr("Config in force")}</h2>
            <div class="scroll" tabindex="0" role="group" aria-label=tr("The config as text")><pre>{status.config_text.clone()}</pre></div>
        </section>
    }
    .into_any();
    Screen { title: tr("Status").to_owned(), has_time: false, status: StatusCode::OK, content }
}

/// The newest queries that took long.
fn slow((queries, from_ms): &(Vec<SlowQuery>, u64)) -> AnyView {
    let limit = format::duration((*from_ms as i64).saturating_mul(1_000_000));
    if queries.is_empty() {
        return view! { <p class="quiet">{trf("None since the start took {0} or longer (query.slow_ms).", &[&limit])}</p> }.into_any();
    }
    let rows: Vec<_> = queries
        .iter()
        .take(50)
        .map(|query| {
            let class = if query.status >= 400 { "num bad" } else { "num" };
            let took = format::duration((query.milliseconds as i64).saturating_mul(1_000_000));
            view! {
                <tr><td>{row_time(&query.time_unix_nano, Show::Row)}</td><td class="num">{took}</td><td class=class>{query.status}</td>
                    <td class="mono">{query.path.clone()}</td><td class="mono asked">{format::clipped(&query.asked, 400)}</td></tr>
            }
        })
        .collect();
    view! {
        <p class="covers">{trf("those that took {0} or longer, newest first", &[&limit])}</p>
        <div class="scroll" tabindex="0" role="group" aria-label=tr("Slow queries")><table class="dense">
            <thead><tr><th scope="col">{tr("Time")}</th><th scope="col" class="num">{tr("Took")}</th><th scope="col" class="num">{tr("Status")}</th>
                <th scope="col">{tr("Path")}</th><th scope="col">{tr("What was asked")}</th></tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
    }
    .into_any()
}

fn share_used(used: u64, max: u64) -> AnyView {
    let ratio = if max == 0 { 0.0 } else { used as f64 / max as f64 };
    let class = if ratio > 0.8 { "meter-used high" } else { "meter-used" };
    let width = format!("{:.1}", ratio.clamp(0.0, 1.0) * 200.0);
    view! {
        <span class="num">{trf("{0} of {1} ({2})", &[&format::bytes(used), &format::bytes(max), &format::percent(ratio)])}</span>" "
        <svg class="meter" viewBox="0 0 200 8" preserveAspectRatio="none" aria-hidden="true"><rect class=class x="0" y="0" width=width height="8"></rect></svg>
    }
    .into_any()
}

fn buffer(store: &StoreStatus) -> AnyView {
    let hot: u64 = store.tables.iter().map(|table| table.hot_rows).sum();
    let failed_class = if store.failed_seals > 0 { "num bad" } else { "num" };
    let damaged_class = if store.recovered_damaged_bytes > 0 { "num bad" } else { "num" };
    view! {
        <table class="dense facts-table"><tbody>
            <tr><th scope="row">{tr("Journal on disk")}</th><td>{share_used(store.journal_bytes, store.journal_max_bytes)}</td></tr>
            <tr><th scope="row">{tr("Journal segments")}</th><td class="num">{format::count(store.journal_segments as u64)}</td></tr>
            <tr><th scope="row">{tr("Waiting to be sealed")}</th><td class="num">{counted(hot, "row")}</td></tr>
            <tr><th scope="row">{tr("Memory of requests and waiting rows")}</th><td>{share_used(store.ingest_used_bytes as u64, store.ingest_max_bytes as u64)}</td></tr>
            <tr><th scope="row">{tr("Memory of queries")}</th><td>{share_used(store.query_used_bytes as u64, store.query_max_bytes as u64)}</td></tr>
            <tr><th scope="row">{tr("Memory, all")}</th><td>{share_used(store.memory_used_bytes as u64, store.memory_max_bytes as u64)}</td></tr>
            <tr><th scope="row">{tr("Group commits since start")}</th><td class="num">{format::count(store.commits)}</td></tr>
            <tr><th scope="row">{tr("Seals that failed (each is tried again)")}</th><td class=failed_class>{format::count(store.failed_seals)}</td></tr>
            <tr><th scope="row">{tr("Replayed from the journal at start")}</th><td class="num">{counted(store.recovered_rows, "row")}</td></tr>
            <tr><th scope="row">{tr("Torn tail cut off at start (never acknowledged)")}</th><td class="num">{format::bytes(store.recovered_cut_bytes)}</td></tr>
            <tr><th scope="row">{tr("Journal that could not be read at start (rows may be missing)")}</th><td class=damaged_class>{format::bytes(store.recovered_damaged_bytes)}</td></tr>
        </tbody></table>
    }
    .into_any()
}

/// How long each table is kept, and what merging and retention did.
fn keeping(store: &StoreStatus) -> AnyView {
    let kept = |retention: &Retention| match (retention.max_age, retention.max_bytes) {
        (None, None) => tr("for ever").to_owned(),
        (age, bytes) => {
            let age = age.map(|age| counted(age.as_secs() / 86_400, "day"));
            let bytes = bytes.map(|bytes| trf("at most {0}", &[&format::bytes(bytes)]));
            age.into_iter().chain(bytes).collect::<Vec<_>>().join(", ")
        }
    };
    let rows: Vec<_> = store
        .tables
        .iter()
        .zip(&store.retention)
        .map(|(table, retention)| view! { <tr><th scope="row">{trv("{0} are kept", [code(table.signal.table())])}</th><td>{kept(retention)}</td></tr> })
        .collect();
    let damaged_class = if store.damaged_parts.is_empty() { "num" } else { "bad" };
    let damaged = if store.damaged_parts.is_empty() { "0".to_owned() } else { store.damaged_parts.join(", ") };
    let unknown_class = if store.unknown_parts > 0 { "num bad" } else { "num" };
    let failed_class = if store.failed_merges > 0 { "num bad" } else { "num" };
    view! {
        <table class="dense facts-table"><tbody>
            {rows}
            <tr><th scope="row">{tr("Removed by retention since start")}</th><td class="num">{trf("{0} in {1}", &[&counted(store.expired_rows, "row"), &counted(store.expired_parts, "part")])}</td></tr>
            <tr><th scope="row">{tr("Parts merged into others since start")}</th><td class="num">{format::count(store.merged_parts)}</td></tr>
            <tr><th scope="row">{tr("Merges that failed (each is tried again)")}</th><td class=failed_class>{format::count(store.failed_merges)}</td></tr>
            <tr><th scope="row">{tr("Damaged parts (their checksum is wrong, their rows are out of reach)")}</th><td class=damaged_class>{damaged}</td></tr>
            <tr><th scope="row">{tr("Part files that the catalog did not know at start (kept in unknown-parts)")}</th><td class=unknown_class>{format::count(store.unknown_parts)}</td></tr>
            <tr><th scope="row">{tr("Replaced parts whose files wait for their last reader")}</th><td class="num">{format::count(store.retired_parts as u64)}</td></tr>
        </tbody></table>
    }
    .into_any()
}

/// What is in the object store, and how often it is asked.
fn object_store(objects: &ObjectsStatus) -> AnyView {
    let reads = objects.cache_hits + objects.cache_misses;
    let answered = if reads == 0 { 0.0 } else { objects.cache_hits as f64 / reads as f64 };
    let state = objects.last_error.clone().unwrap_or_else(|| tr("well").to_owned());
    let state_class = if objects.last_error.is_some() { "bad" } else { "" };
    let failed_class = if objects.failed_moves > 0 { "num bad" } else { "num" };
    view! {
        <table class="dense facts-table"><tbody>
            <tr><th scope="row">{tr("Where")}</th><td><code>{objects.url.clone()}</code></td></tr>
            <tr><th scope="row">{tr("State")}</th><td class=state_class>{state}</td></tr>
            <tr><th scope="row">{tr("Parts there")}</th><td class="num">{format!("{}, {}", counted(objects.parts as u64, "part"), format::bytes(objects.bytes))}</td></tr>
            <tr><th scope="row">{tr("Moved there since start")}</th><td class="num">{counted(objects.moved_parts, "part")}</td></tr>
            <tr><th scope="row">{tr("Rounds of moving that failed (each is tried again)")}</th><td class=failed_class>{format::count(objects.failed_moves)}</td></tr>
            <tr><th scope="row">{tr("Kept on the local disk for further reads")}</th><td>{share_used(objects.cached_bytes, objects.cache_max_bytes)}</td></tr>
            <tr><th scope="row">{tr("Reads answered by the local disk since start")}</th><td class="num">{trf("{0} of {1}", &[&format::percent(answered), &format::count(reads)])}</td></tr>
        </tbody></table>
    }
    .into_any()
}

fn tables(tables: &[TableStatus]) -> AnyView {
    let rows: Vec<_> = tables
        .iter()
        .map(|table| {
            let per_row = if table.part_rows == 0 {
                "–".to_owned()
            } else {
                format::short(table.part_bytes as f64 / table.part_rows as f64) + " B"
            };
            let index_share = if table.part_bytes == 0 {
                "–".to_owned()
            } else {
                format::percent(table.index_bytes as f64 / table.part_bytes as f64)
            };
            let moment = |time: Option<i64>| {
                time.map_or_else(|| view! { <span>"–"</span> }.into_any(), |time| time_view(time, Show::Full))
            };
            view! {
                <tr>
                    <th scope="row"><code>{table.signal.table()}</code></th>
                    <td class="num">{format::count(table.appended_rows)}</td>
                    <td class="num">{format::count(table.hot_rows)}</td>
                    <td class="num">{format::bytes(table.hot_bytes)}</td>
                    <td class="num">{format::count(table.parts as u64)}</td>
                    <td class="num">{format::count(table.part_rows)}</td>
                    <td class="num">{format::bytes(table.part_bytes)}</td>
                    <td class="num">{per_row}</td>
                    <td class="num">{index_share}</td>
                    <td>{moment(table.min_time)}</td>
                    <td>{moment(table.max_time)}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <div class="table-wrap"><table class="dense">
            <thead><tr>
                <th scope="col">{tr("Table")}</th><th scope="col" class="num">{tr("Rows since start")}</th><th scope="col" class="num">{tr("Hot rows")}</th>
                <th scope="col" class="num">{tr("Hot memory")}</th><th scope="col" class="num">{tr("Parts")}</th><th scope="col" class="num">{tr("Rows in parts")}</th>
                <th scope="col" class="num">{tr("On disk")}</th><th scope="col" class="num">{tr("Per row")}</th><th scope="col" class="num">{tr("of it index")}</th>
                <th scope="col">{tr("Oldest")}</th><th scope="col">{tr("Newest")}</th>
            </tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
    }
    .into_any()
}

/// The collector's report, whatever it holds: lists of objects become tables, other members lines.
fn intake(report: &Value) -> AnyView {
    let Some(members) = report.as_object() else {
        return view! { <p class="quiet">{tr("The collector gave no report.")}</p> }.into_any();
    };
    let mut lines = Vec::new();
    let mut blocks = Vec::new();
    for (name, value) in members {
        match value {
            Value::Array(items) if items.iter().any(Value::is_object) => {
                blocks.push(view! { <h3>{words(name)}</h3>{objects_table(&words(name), items)} }.into_any());
            }
            Value::Array(items) if items.is_empty() => {
                blocks.push(view! { <h3>{words(name)}</h3><p class="quiet">{tr("none")}</p> }.into_any());
            }
            Value::Object(inner) if inner.values().all(Value::is_number) => {
                let items: Vec<Value> =
                    inner.iter().map(|(key, count)| serde_json::json!({ "name": key, "count": count })).collect();
                blocks.push(
                    view! { <h3>{words(name)}</h3><div class="narrow">{objects_table(&words(name), &items)}</div> }
                        .into_any(),
                );
            }
            other => lines.push(
                view! { <tr><th scope="row">{words(name)}</th><td class="num">{cell(other)}</td></tr> }.into_any(),
            ),
        }
    }
    let lines = (!lines.is_empty()).then(|| view! { <table class="dense facts-table"><tbody>{lines}</tbody></table> });
    view! { {blocks}{lines} }.into_any()
}

/// The name of a member in words: those that the collector has today in the reader's language, any other as it is.
fn words(name: &str) -> String {
    let known = match name {
        "protocols" => tr("Protocols"),
        "services" => tr("Services"),
        "signal" => tr("Signal"),
        "protocol" => tr("Protocol"),
        "requests" => tr("Requests"),
        "rows" => tr("Rows"),
        "bytes" => tr("Bytes"),
        "refused" => tr("Refused"),
        "rejected_rows" => tr("Rejected rows"),
        "warnings" => tr("Warnings"),
        "name" => tr("Name"),
        "count" => tr("Count"),
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let mut text = name.replace('_', " ");
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// A value in a cell: numbers grouped, small objects as `reason: count` pairs.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), format::count),
        Value::Object(members) => {
            let pairs: Vec<String> = members
                .iter()
                .filter(|(_, value)| value.as_u64() != Some(0))
                .map(|(key, value)| format!("{key}: {}", cell(value)))
                .collect();
            if pairs.is_empty() { "–".to_owned() } else { pairs.join(", ") }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(cell).collect();
            if items.is_empty() { "–".to_owned() } else { items.join("; ") }
        }
        other => parts::plain(other),
    }
}

fn objects_table(label: &str, items: &[Value]) -> AnyView {
    let mut columns: Vec<&str> = Vec::new();
    for key in items.iter().filter_map(Value::as_object).flat_map(|object| object.keys()) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    let is_number = |column: &str| items.iter().any(|item| item.get(column).is_some_and(Value::is_number));
    let class = |column: &str| if is_number(column) { "num" } else { "" };
    let heads: Vec<_> =
        columns.iter().map(|column| view! { <th scope="col" class=class(column)>{words(column)}</th> }).collect();
    let rows: Vec<_> = items
        .iter()
        .map(|item| {
            let cells: Vec<_> = columns
                .iter()
                .map(|column| {
                    let value = item.get(column).unwrap_or(&Value::Null);
                    let is_refusal = (column.contains("refused") || column.contains("rejected"))
                        && cell(value) != "–"
                        && value.as_u64() != Some(0);
                    let class = format!("{}{}", class(column), if is_refusal { " bad" } else { "" });
                    let text = if column.contains("bytes") {
                        value.as_u64().map_or_else(|| cell(value), format::bytes)
                    } else {
                        cell(value)
                    };
                    view! { <td class=class>{text}</td> }
                })
                .collect();
            view! { <tr>{cells}</tr> }
        })
        .collect();
    view! {
        <div class="table-wrap"><table class="dense" aria-label=label.to_owned()><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
    }
    .into_any()
}
