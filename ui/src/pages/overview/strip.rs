//! The whole system in one line: what comes in per second, by signal.

use crate::chart::sparkline::sparkline;
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{Counts, QueryError};
use mangru_store::Signal;

/// One block for each signal: its rate at the end of the range, and its rate over the range as a line.
pub(super) fn strip(request: &PageRequest, strip: &[(Signal, Result<Counts, QueryError>)]) -> AnyView {
    let blocks: Vec<_> = strip.iter().map(|(signal, counts)| block(request, *signal, counts)).collect();
    view! { <ul class="strip" id="strip" data-live="" aria-label=tr("Coming in")>{blocks}</ul> }.into_any()
}

fn block(request: &PageRequest, signal: Signal, counts: &Result<Counts, QueryError>) -> AnyView {
    let counts = match counts {
        Ok(counts) => counts,
        Err(error) => return view! { <li>{parts::error("", error)}</li> }.into_any(),
    };
    let (href, name) = match signal {
        Signal::Logs => (request.there("/logs"), tr("log records")),
        Signal::Spans => (request.time.params().with("spans", "any").on("/traces"), tr("spans")),
        Signal::MetricPoints => (request.there("/metrics/explore"), tr("metric points")),
    };
    let mut sums = vec![0_u64; counts.buckets];
    for series in &counts.series {
        for (sum, count) in sums.iter_mut().zip(&series.counts) {
            *sum += count;
        }
    }
    let seconds = (counts.step_ns as f64 / 1e9).max(1e-9);
    // The first and the last bucket are only partly in the range.
    let whole = sums.get(1..sums.len().saturating_sub(1)).filter(|whole| !whole.is_empty()).unwrap_or(&sums);
    let now = whole.last().copied().unwrap_or(0) as f64 / seconds;
    let all = sums.iter().sum::<u64>();
    let mean = all as f64 / (request.time.length() as f64 / 1e9).max(1e-9);
    let rates: Vec<f64> = whole.iter().map(|count| *count as f64 / seconds).collect();
    let most = rates.iter().copied().fold(0.0, f64::max);
    let title = trf(
        "{0} in the range; {1}/s on average, at most {2}/s",
        &[&format::count(all), &format::short(mean), &format::short(most)],
    );
    view! {
        <li title=title>
            <a href=href><b>{format!("{}/s", format::short(now))}</b>" "<span>{name}</span></a>
            {sparkline(&rates, "calm")}
            <span class="quiet strip-sum">{trf("{0} in all", &[&format::short(all as f64)])}</span>
        </li>
    }
    .into_any()
}
