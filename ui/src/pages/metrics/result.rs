//! What the queries gave: a chart, a heat map or a table.

use super::{Exemplar, Metrics, editor};
use crate::answers::{self, Answer, Labelled};
use crate::chart::dot::Dot;
use crate::chart::heat::{Heat, heat};
use crate::chart::plot::{Legend, MAX_SERIES, Plot, Series, Size, Style, plot};
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use crate::unit::Unit;
use leptos::prelude::*;

/// Rows of a table.
const ROWS: usize = 500;

/// The result of all queries together.
pub(super) fn result(request: &PageRequest, metrics: &Metrics) -> AnyView {
    let answers: Vec<(usize, &str, &Answer)> = metrics
        .asked
        .iter()
        .enumerate()
        .filter_map(|(place, asked)| Some((place, asked.text.as_str(), asked.answer.as_ref().ok()?)))
        .collect();
    if answers.is_empty() {
        return ().into_any();
    }
    let chosen = editor::view_of(request);
    let links: Vec<_> = editor::views()
        .into_iter()
        .map(|(name, words)| {
            let address = request.here(&request.params.with("view", name));
            view! { <a href=address aria-current=(name == chosen).then_some("page")>{words}</a> }
        })
        .collect();
    let unit = unit(request, metrics);
    let picture = match chosen {
        "heat" => heats(request, &answers),
        "table" => table(&answers, unit),
        style => chart(request, metrics, &answers, unit, Style::named(style).unwrap_or_default()),
    };
    let series: usize = answers.iter().map(|(_, _, answer)| answer.series.len()).sum();
    let rows: u64 = answers.iter().map(|(_, _, answer)| answer.coverage.rows_in_range).sum();
    let slowest = answers.iter().map(|(_, _, answer)| answer.coverage.elapsed_ms).fold(0.0, f64::max);
    let step = answers.iter().map(|(_, _, answer)| answer.step_ns).max().unwrap_or(0);
    let says = trf(
        "{0} series, a value every {1}, {2} points looked at, {3} ms",
        &[
            &format::count(series as u64),
            &Unit::Nanoseconds.tick(step as f64),
            &format::count(rows),
            &format!("{slowest:.0}"),
        ],
    );
    let incomplete: Vec<_> = answers.iter().filter_map(|(_, _, answer)| parts::incomplete(&answer.coverage)).collect();
    view! {
        <nav class="tabs" aria-label=tr("Views of the result")>{links}</nav>
        <p class="covers">{says}{incomplete}</p>
        {picture}
    }
    .into_any()
}

/// The unit: as chosen, or as the names of the first query tell.
fn unit(request: &PageRequest, metrics: &Metrics) -> Unit {
    let chosen = request.params.get("unit").and_then(Unit::named);
    chosen.unwrap_or_else(|| {
        let text = metrics.asked.first().map_or("", |asked| asked.text.as_str());
        match Unit::of_promql(text) {
            Unit::None => {
                // A metric that stands alone has the unit it was sent with.
                let names = metrics.names.as_ref().map(|(names, _)| names.as_slice()).unwrap_or_default();
                let metric = names.iter().find(|metric| text.starts_with(metric.promql_name.as_str()));
                metric.filter(|_| !text.contains('(')).map_or(Unit::None, |metric| Unit::of_ucum(&metric.unit))
            }
            unit => unit,
        }
    })
}

/// The series of all queries, named, those of the largest values first.
fn named(answers: &[(usize, &str, &Answer)]) -> Vec<(String, Labelled)> {
    let is_many = answers.len() > 1;
    let mut all: Vec<(String, Labelled)> = Vec::new();
    for (place, text, answer) in answers {
        let names = answers::names(&answer.series, "");
        for (name, series) in names.into_iter().zip(&answer.series) {
            let name = if name == answers::VALUE { (*text).to_owned() } else { name };
            let letter = char::from(b'A' + *place as u8);
            let name = if is_many { format!("{letter} {name}") } else { name };
            all.push((format::clipped(&name, 120), series.clone()));
        }
    }
    let weight = |series: &Labelled| {
        series.points.iter().map(|(_, value)| value.abs()).filter(|value| value.is_finite()).fold(0.0, f64::max)
    };
    all.sort_by(|left, right| weight(&right.1).total_cmp(&weight(&left.1)));
    all
}

fn chart(
    request: &PageRequest,
    metrics: &Metrics,
    answers: &[(usize, &str, &Answer)],
    unit: Unit,
    style: Style,
) -> AnyView {
    let mut all = named(answers);
    let left_out = all.len().saturating_sub(MAX_SERIES);
    all.truncate(MAX_SERIES);
    let series =
        all.into_iter().map(|(label, series)| Series { label, points: series.points, ..Series::default() }).collect();
    let what = answers.iter().map(|(_, text, _)| *text).collect::<Vec<_>>().join("; ");
    let drawn = plot(Plot {
        style,
        series,
        step_ns: answers.iter().map(|(_, _, answer)| answer.step_ns).max().unwrap_or(0),
        dots: metrics.exemplars.iter().map(|exemplar| dot(request, exemplar, unit)).collect(),
        events: metrics.alerts.of_queries(request, answers.iter().map(|(_, text, _)| *text)),
        legend: Legend::Table,
        zoom: Some(("/metrics/explore", &request.params)),
        size: Size::Tall,
        ..Plot::new(what, unit, request.time.range)
    });
    let warning = (left_out > 0).then(|| {
        let words = trf(
            "⚠ {0} more series are not drawn: narrow the query, or take topk({1}, …)",
            &[&format::count(left_out as u64), &MAX_SERIES.to_string()],
        );
        view! { <p><strong class="warning">{words}</strong></p> }
    });
    view! { {warning}{drawn} }.into_any()
}

/// An exemplar leads to its trace, at its span.
fn dot(request: &PageRequest, exemplar: &Exemplar, unit: Unit) -> Dot {
    let params = request.time.params();
    let params = if exemplar.span_id.is_empty() { params } else { params.with("span", &exemplar.span_id) };
    Dot {
        time_ns: exemplar.time_ns,
        value: exemplar.value,
        is_error: false,
        href: params.on(&format!("/traces/{}", crate::params::encoded(&exemplar.trace_id))),
        label: format!("{}: {}", trf("Trace of {0}", &[&exemplar.service]), unit.text(exemplar.value)),
    }
}

fn heats(request: &PageRequest, answers: &[(usize, &str, &Answer)]) -> AnyView {
    let drawn: Vec<_> = answers
        .iter()
        .map(|(_, text, answer)| match answers::rows_of_buckets(answer, Unit::of_promql(&text.replace("_bucket", ""))) {
            Some(rows) => heat(&Heat { what: (*text).to_owned(), range: request.time.range, columns: rows.0, step_ns: answer.step_ns, rows: rows.1, size: Size::Tall, zoom: Some(("/metrics/explore", &request.params)) }),
            None => view! {
                <div class="empty"><p>{tr("A heat map needs the buckets of a histogram: series with the label le, such as")}</p>
                    <pre>"sum by (le) (increase(http_server_request_duration_seconds_bucket[1m]))"</pre></div>
            }
            .into_any(),
        })
        .collect();
    view! { {drawn} }.into_any()
}

fn table(answers: &[(usize, &str, &Answer)], unit: Unit) -> AnyView {
    let mut tables = Vec::new();
    for (place, text, answer) in answers {
        let names: std::collections::BTreeSet<&str> =
            answer.series.iter().flat_map(|series| series.labels.keys().map(String::as_str)).collect();
        let heads: Vec<_> = names.iter().map(|name| view! { <th scope="col">{(*name).to_owned()}</th> }).collect();
        let mut series: Vec<&Labelled> = answer.series.iter().collect();
        let last = |series: &Labelled| series.points.last().map_or(f64::NAN, |(_, value)| *value);
        series.sort_by(|left, right| last(right).total_cmp(&last(left)));
        let rows: Vec<_> = series
            .iter()
            .take(ROWS)
            .map(|series| {
                let cells: Vec<_> = names
                    .iter()
                    .map(|name| view! { <td class="mono">{series.labels.get(*name).cloned().unwrap_or_default()}</td> })
                    .collect();
                let value = last(series);
                view! { <tr>{cells}<td class="num" title=value.to_string()>{unit.text(value)}</td></tr> }
            })
            .collect();
        let head = (answers.len() > 1)
            .then(|| view! { <h3 class="mono">{format!("{} {text}", char::from(b'A' + *place as u8))}</h3> });
        let cut = (series.len() > ROWS).then(|| {
            view! { <p><strong class="warning">{trf("⚠ the largest {0} of {1}", &[&ROWS.to_string(), &format::count(series.len() as u64)])}</strong></p> }
        });
        tables.push(view! {
            {head}{cut}
            <div class="table-wrap"><table class="dense">
                <thead><tr>{heads}<th scope="col" class="num">{tr("Newest value")}</th></tr></thead><tbody>{rows}</tbody>
            </table></div>
        });
    }
    view! { {tables} }.into_any()
}
