//! Rate, errors and durations over time with examples as dots, and the durations as a heat map.

use super::{Service, total};
use crate::chart::dot::Dot;
use crate::chart::latency::heat_map;
use crate::chart::plot::{Event, EventKind, Plot, Series, Size, Style, plot};
use crate::format;
use crate::pages::traces::charts::{cell_address, over_time, percentiles, span_address};
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_query::{Heat, HeatCell, HeatPoint, Stats};
use std::collections::BTreeMap;

/// Examples on a chart.
const DOTS: usize = 24;

/// The slowest span of each stretch of time, and the slowest failing one; at most so many, spread over the range.
fn examples(request: &PageRequest, heat: &Heat) -> Vec<Dot> {
    let mut by_column: BTreeMap<(usize, bool), &HeatPoint> = BTreeMap::new();
    let groups = (heat.columns / (DOTS / 2)).max(1);
    for cell in &heat.cells {
        for (point, is_failed) in [(Some(&cell.slowest), false), (cell.failed.as_ref(), true)] {
            let Some(point) = point else { continue };
            let best = by_column.entry((cell.column / groups, is_failed)).or_insert(point);
            if point.duration_ns > best.duration_ns {
                *best = point;
            }
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    by_column
        .into_values()
        .filter(|point| seen.insert(point.span_id.clone()))
        .map(|point| Dot {
            time_ns: point.time_unix_nano.parse().unwrap_or_default(),
            value: point.duration_ns as f64,
            is_error: point.is_error,
            href: span_address(request, point),
            label: {
                let took = trf("{0} took {1}", &[&point.name, &format::duration(point.duration_ns)]);
                if point.is_error { trf("{0}, error", &[&took]) } else { took }
            },
        })
        .collect()
}

/// When a version was seen first, when it was not there from the start.
fn new_versions(versions: &Stats) -> Vec<Event> {
    versions
        .series
        .iter()
        .filter_map(|series| {
            let version = series.key.as_ref().filter(|key| !key.is_empty())?;
            let first = series.buckets.iter().position(|figures| figures.rows > 0)?;
            let had_others =
                versions.series.iter().any(|other| other.buckets.iter().take(first).any(|figures| figures.rows > 0));
            (first > 0 && had_others).then(|| Event {
                time_ns: versions.start.saturating_add(versions.step_ns.saturating_mul(first as i64)),
                label: trf("version {0} seen first", &[version]),
                href: None,
                kind: EventKind::Version,
            })
        })
        .collect()
}

/// The three charts, side by side.
pub(super) fn charts(request: &PageRequest, service: &Service) -> AnyView {
    let stats = match &service.stats {
        Err(error) => return parts::error("", error),
        Ok(stats) => stats,
    };
    let sum = total(&service.stats);
    let mut events = service.versions.as_ref().map(new_versions).unwrap_or_default();
    events.extend(service.alerts.of_service(request, &service.name));
    let chart = |title: &'static str, figure: String, unit: Unit, style: Style, series: Vec<Series>, dots: Vec<Dot>| {
        plot(Plot {
            figure: Some(view! { <b>{figure}</b> }.into_any()),
            style,
            series,
            step_ns: stats.step_ns,
            has_zero: true,
            dots,
            events: events.clone(),
            zoom: Some((&request.path, &request.params)),
            size: Size::Narrow,
            ..Plot::new(title.to_owned(), unit, request.time.range)
        })
    };
    let seconds = stats.step_ns as f64 / 1e9;
    let rate = chart(
        tr("Requests"),
        Unit::PerSecond.text(sum.rows_per_second),
        Unit::PerSecond,
        Style::Stack,
        vec![
            over_time(tr("ok"), "tone-calm", stats, |figures| Some((figures.rows - figures.errors) as f64 / seconds)),
            over_time(tr("errors"), "tone-bad", stats, |figures| Some(figures.errors as f64 / seconds)),
        ],
        Vec::new(),
    );
    let errors = chart(
        tr("Errors"),
        format::percent(parts::error_ratio(&sum)),
        Unit::Ratio,
        Style::Line,
        vec![over_time(tr("errors"), "tone-bad", stats, |figures| {
            (figures.rows > 0).then(|| parts::error_ratio(figures))
        })],
        Vec::new(),
    );
    let durations = chart(
        tr("Duration"),
        format!("p95 {}", format::duration_or_dash(sum.p95.map(|ns| ns as i64))),
        Unit::Nanoseconds,
        Style::Line,
        percentiles(stats),
        service.heat.as_ref().map(|heat| examples(request, heat)).unwrap_or_default(),
    );
    view! {
    <section aria-label=tr("Rate, errors and durations") class="red-charts">
        <h2 class="unseen">{tr("Rate, errors and durations")}</h2>
            {rate}{errors}{durations}
        </section>
        {parts::incomplete(&stats.coverage)}
    }
    .into_any()
}

/// The durations as a heat map whose cells lead to their traces.
pub(super) fn heat(request: &PageRequest, service: &Service) -> AnyView {
    match &service.heat {
        Err(error) => parts::error("", error),
        Ok(heat) => {
            let href = |cell: &HeatCell| cell_address(request, heat, &service.requests, cell);
            heat_map(tr("Latency of requests"), heat, request.time.range, &href)
        }
    }
}
