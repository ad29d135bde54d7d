//! What a statement gave.

use crate::answers::{self, Shape};
use crate::chart::plot::{Legend, MAX_SERIES, Plot, Series, Size, plot};
use crate::clock::{Show, time_view};
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_query::SqlResult;
use serde_json::Value;

const CELL_CHARS: usize = 300;
const BARS: usize = 40;

/// The result in the chosen view.
pub(super) fn result(request: &PageRequest, found: &SqlResult) -> AnyView {
    let shape = answers::shape(found);
    let is_plan = found.columns.len() == 2 && found.columns[0].name == "plan_type";
    let chosen = request.params.get("view").unwrap_or("table");
    let links: Vec<_> = [("table", tr("Table")), ("chart", tr("Chart")), ("explain", tr("Explain"))]
        .into_iter()
        .map(|(name, words)| {
            let address = request.here(&request.params.with("view", name));
            view! { <a href=address aria-current=(name == chosen).then_some("page")>{words}</a> }
        })
        .collect();
    let body = match chosen {
        _ if is_plan => plan(found),
        "chart" => chart(request, found, &shape),
        _ => table(found, &shape),
    };
    view! {
        <nav class="tabs" aria-label=tr("Views of the result")>{links}</nav>
        {parts::coverage(found.rows.len(), "row", &found.coverage)}
        {body}
    }
    .into_any()
}

fn plan(found: &SqlResult) -> AnyView {
    let plans: Vec<_> = found
        .rows
        .iter()
        .map(|row| {
            let cell = |place: usize| row.get(place).map(parts::plain).unwrap_or_default();
            view! { <h3>{cell(0).replace('_', " ")}</h3><pre class="plan">{cell(1)}</pre> }
        })
        .collect();
    view! { {plans} }.into_any()
}

/// Lines over time where there is a column of moments, bars otherwise.
fn chart(request: &PageRequest, found: &SqlResult, shape: &Shape) -> AnyView {
    if shape.numbers.is_empty() || found.rows.is_empty() {
        let words = tr(
            "A chart needs a column of numbers. With a column of times it shows lines, otherwise a bar for each row.",
        );
        return view! { <p class="empty">{words}</p> }.into_any();
    }
    let answer = answers::of_sql(found, request.time.range);
    let names = answers::names(&answer.series, "");
    if shape.time.is_some() {
        let left_out = answer.series.len().saturating_sub(MAX_SERIES);
        let series = names
            .into_iter()
            .zip(answer.series)
            .take(MAX_SERIES)
            .map(|(label, series)| Series {
                label: format::clipped(&label, 100),
                points: series.points,
                ..Series::default()
            })
            .collect();
        let drawn = plot(Plot {
            series,
            legend: Legend::Table,
            zoom: Some(("/sql", &request.params)),
            size: Size::Tall,
            ..Plot::new(tr("Result").to_owned(), Unit::None, request.time.range)
        });
        let more = (left_out > 0).then(
            || view! { <p class="warning">{trf("⚠ {0} more series are not drawn", &[&left_out.to_string()])}</p> },
        );
        return view! { {more}{drawn} }.into_any();
    }
    let values: Vec<(String, f64)> = names
        .into_iter()
        .zip(&answer.series)
        .filter_map(|(name, series)| Some((name, series.points.first()?.1)))
        .collect();
    let most = values.iter().map(|(_, value)| value.abs()).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let rows: Vec<_> = values
        .iter()
        .take(BARS)
        .map(|(name, value)| {
            let width = format!("{:.1}", (value.abs() / most * 100.0).max(0.3));
            view! {
                <tr><th scope="row">{format::clipped(name, 100)}</th>
                    <td class="bar-cell"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class="bar-fill" x="0" y="0" height="10" width=width></rect></svg></td>
                    <td class="num">{format::short(*value)}</td></tr>
            }
        })
        .collect();
    let more = (values.len() > BARS)
        .then(|| view! { <p class="quiet">{trf("and {0} more", &[&(values.len() - BARS).to_string()])}</p> });
    view! { <table class="dense bars"><tbody>{rows}</tbody></table>{more} }.into_any()
}

fn table(found: &SqlResult, shape: &Shape) -> AnyView {
    let class = |column: usize| if shape.numbers.contains(&column) { "num" } else { "mono" };
    let heads: Vec<_> = found
        .columns
        .iter()
        .enumerate()
        .map(|(column, head)| view! { <th scope="col" class=class(column) title=head.r#type.clone()>{head.name.clone()}</th> })
        .collect();
    let rows: Vec<_> = found
        .rows
        .iter()
        .map(|row| {
            let cells: Vec<_> = row
                .iter()
                .enumerate()
                .map(|(column, value)| view! { <td class=class(column)>{cell(found, column, value)}</td> })
                .collect();
            view! { <tr>{cells}</tr> }
        })
        .collect();
    view! { <div class="table-wrap"><table class="dense"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div> }
        .into_any()
}

fn cell(found: &SqlResult, column: usize, value: &Value) -> AnyView {
    let is_moment = found.columns[column].r#type.starts_with("Timestamp");
    if let Some(at) = answers::moment(value).filter(|_| is_moment) {
        return time_view(at, Show::Full);
    }
    match value {
        Value::Null => view! { <span class="quiet">"NULL"</span> }.into_any(),
        other => format::clipped(&parts::plain(other), CELL_CHARS).into_any(),
    }
}
