//! The pictures of a result: every span by start and duration, percentiles and errors over time.

use super::{Asked, Traces, carried};
use crate::chart::plot::{Plot, Series, Size, plot};
use crate::chart::scatter::{ScatterLinks, scatter};
use crate::clock::rfc3339;
use crate::format;
use crate::params::Params;
use crate::parts::{self, narrowed};
use crate::request::PageRequest;
use crate::text::tr;
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_query::{Figures, Heat, HeatCell, HeatPoint, Stats};

/// The address of a span within its trace.
pub(crate) fn span_address(request: &PageRequest, point: &HeatPoint) -> String {
    let params = request.time.params().with("span", &point.span_id);
    params.on(&format!("/traces/{}", point.trace_id))
}

/// The address of the traces behind a cell: a search bound to its time and its durations.
pub(crate) fn cell_address(request: &PageRequest, heat: &Heat, query: &str, cell: &HeatCell) -> String {
    let (low, high) = Heat::bounds(cell.row);
    let start = heat.start.saturating_add(heat.step_ns.saturating_mul(cell.column as i64));
    let query = narrowed(query, &format!("duration>={low}ns duration<{high}ns"));
    request
        .time
        .params()
        .with("q", &query)
        .with("start", &rfc3339(start))
        .with("end", &rfc3339(start.saturating_add(heat.step_ns)))
        .with("spans", "any")
        .on("/traces")
}

/// All pictures; a structure has none but its list.
pub(super) fn charts(request: &PageRequest, asked: &Asked, traces: &Traces) -> AnyView {
    let (Some(heat), Some(stats)) = (&traces.heat, &traces.stats) else {
        return view! { <p class="quiet">{tr("Spans that stand to each other as asked are listed; the charts show plain searches.")}</p> }.into_any();
    };
    let left = match heat {
        Err(error) => parts::error(&asked.query, error),
        Ok(heat) => {
            let base = request.here(&carried(request));
            let point = |point: &HeatPoint| span_address(request, point);
            let cell = |cell: &HeatCell| cell_address(request, heat, &asked.query, cell);
            let links = ScatterLinks { point: &point, cell: &cell, base };
            let what = if asked.roots_only { tr("Root spans by duration") } else { tr("Matching spans by duration") };
            view! { <h2 class="chart-title">{what}</h2>{scatter(heat, request.time.range, asked.region, &links)} }
                .into_any()
        }
    };
    let right = match stats {
        Err(error) => parts::error(&asked.query, error),
        Ok(stats) => figures(request, stats),
    };
    view! {
        <div class="trace-charts">
            <section aria-label=tr("Durations")>{left}{actions(request, asked)}</section>
            <section aria-label=tr("Figures over time")>{right}</section>
        </div>
    }
    .into_any()
}

/// What can be asked of the picture without scripts.
fn actions(request: &PageRequest, asked: &Asked) -> AnyView {
    let clean = carried(request);
    let ask = |part: &str| format!("{}#different", request.here(&clean.with("compare", part)));
    let text = |name: &str| request.params.get(name).unwrap_or("").to_owned();
    let (start, end) = (
        request.params.get("r_start").map_or_else(|| request.time.start.clone(), str::to_owned),
        request.params.get("r_end").map_or_else(|| request.time.end.clone(), str::to_owned),
    );
    view! {
        <div class="chart-actions">
            <span class="quiet">{tr("What is different about")}</span>
            <a class="button" href=ask("errors")>{tr("errors")}</a>
            <a class="button" href=ask("slow")>{tr("the slowest 5 %")}</a>
            <details class="menu">
                <summary>{tr("a region")}</summary>
                <div class="menu-body">
                    <form method="get" action="/traces" class="region-form">
                        {parts::hidden_inputs(&clean)}
                        <label>{tr("From (UTC)")}<input name="r_start" value=start spellcheck="false" autocomplete="off" /></label>
                        <label>{tr("To (UTC)")}<input name="r_end" value=end spellcheck="false" autocomplete="off" /></label>
                        <label>{tr("Shortest")}<input name="r_min" value=text("r_min") placeholder="250ms" spellcheck="false" autocomplete="off" /></label>
                        <label>{tr("Longest")}<input name="r_max" value=text("r_max") placeholder="2s" spellcheck="false" autocomplete="off" /></label>
                        <button>{tr("Compare")}</button>
                    </form>
                </div>
            </details>
            {asked.part.map(|_| view! { <a href=request.here(&clean) data-close="">{tr("× no comparison")}</a> })}
        </div>
    }
    .into_any()
}

/// A series of one of the figures: a point in the middle of each bucket, a gap where there is nothing to tell.
pub(crate) fn over_time(label: &str, class: &str, stats: &Stats, value: impl Fn(&Figures) -> Option<f64>) -> Series {
    let buckets = stats.series.first().map(|series| series.buckets.as_slice()).unwrap_or_default();
    let middle = |bucket: usize| {
        stats.start.saturating_add(stats.step_ns.saturating_mul(bucket as i64)).saturating_add(stats.step_ns / 2)
    };
    let points = buckets.iter().enumerate();
    Series {
        label: label.to_owned(),
        class: class.to_owned(),
        points: points.map(|(bucket, figures)| (middle(bucket), value(figures).unwrap_or(f64::NAN))).collect(),
    }
}

/// The percentiles of the durations, each in its colour.
pub(crate) fn percentiles(stats: &Stats) -> Vec<Series> {
    vec![
        over_time("p50", "pct-50", stats, |figures| figures.p50),
        over_time("p95", "pct-95", stats, |figures| figures.p95),
        over_time("p99", "pct-99", stats, |figures| figures.p99),
    ]
}

fn figures(request: &PageRequest, stats: &Stats) -> AnyView {
    let params: &Params = &carried(request);
    let total = stats.series.first().map(|series| series.total.clone()).unwrap_or_default();
    let chart = |title: &str, figure: AnyView, unit: Unit, series: Vec<Series>| {
        plot(Plot {
            figure: Some(figure),
            series,
            step_ns: stats.step_ns,
            has_zero: true,
            zoom: Some((&request.path, params)),
            size: Size::Small,
            ..Plot::new(title.to_owned(), unit, request.time.range)
        })
    };
    let p = |value: Option<f64>| format::duration_or_dash(value.map(|ns| ns as i64));
    let durations = chart(
        tr("Duration"),
        view! { <span>"p50 "<b>{p(total.p50)}</b>" · p95 "<b>{p(total.p95)}</b>" · p99 "<b>{p(total.p99)}</b></span> }
            .into_any(),
        Unit::Nanoseconds,
        percentiles(stats),
    );
    let class = if total.errors > 0 { "bad" } else { "" };
    let words = parts::error_words(total.errors, parts::error_ratio(&total));
    let errors = chart(
        tr("Errors"),
        view! { <span class=class><b>{words}</b></span> }.into_any(),
        Unit::Ratio,
        vec![over_time(tr("errors"), "tone-bad", stats, |figures| {
            (figures.rows > 0).then(|| parts::error_ratio(figures))
        })],
    );
    let rate = chart(
        tr("Spans"),
        view! { <span><b>{Unit::PerSecond.text(total.rows_per_second)}</b></span> }.into_any(),
        Unit::PerSecond,
        vec![over_time(tr("spans"), "tone-calm", stats, |figures| Some(figures.rows_per_second))],
    );
    view! { <div class="small-charts">{durations}{errors}{rate}</div> }.into_any()
}
