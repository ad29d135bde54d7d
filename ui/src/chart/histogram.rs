//! Counts over time as stacked bars.

use super::axis::{round_up, spoken};
use super::figure::stretched;
use super::frame::{grid, share_labels, time_labels};
use crate::clock::{self, Show, time_view};
use crate::format;
use crate::islands::histogram::HistogramZoom;
use crate::params::Params;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_store::TimeRange;
use std::fmt::Write as _;

/// The size of the stretched picture.
const SIZE: f64 = 1000.0;
const TIME_TICKS: i64 = 8;

/// What is drawn.
pub(crate) struct StackedBars {
    /// What is counted, in the reader's language: `log records`.
    pub(crate) what: &'static str,
    /// Where the first bucket starts.
    pub(crate) start_ns: i64,
    /// The width of a bucket.
    pub(crate) step_ns: i64,
    /// How many buckets.
    pub(crate) buckets: usize,
    /// The stacked series, lowest first.
    pub(crate) series: Vec<BarSeries>,
}

/// One colour of the bars.
pub(crate) struct BarSeries {
    /// Its name.
    pub(crate) label: String,
    /// Its colour's class.
    pub(crate) class: String,
    /// A count per bucket.
    pub(crate) counts: Vec<u64>,
}

impl StackedBars {
    fn total(&self, bucket: usize) -> u64 {
        self.series.iter().map(|series| series.counts.get(bucket).copied().unwrap_or(0)).sum()
    }

    fn range(&self) -> TimeRange {
        let length = self.step_ns.saturating_mul(self.buckets as i64);
        TimeRange { start: self.start_ns, end: self.start_ns.saturating_add(length) }
    }
}

/// The chart. Dragging over it zooms: it leads to `path` with `params` and the chosen range; the links of the data table
/// do the same without scripts.
pub(crate) fn histogram(bars: &StackedBars, path: &str, params: &Params) -> AnyView {
    if bars.buckets == 0 {
        return ().into_any();
    }
    let range = bars.range();
    let highest = (0..bars.buckets).map(|bucket| bars.total(bucket)).max().unwrap_or(0);
    let top = round_up(highest as f64);
    let base = params.without("start").without("end").without("cursor").without("row").without("at").on(path);
    let all: u64 = (0..bars.buckets).map(|bucket| bars.total(bucket)).sum();
    let summary = trf(
        "{0} {1} {2}, at most {3} in one bar of {4}",
        &[&format::count(all), bars.what, &spoken(range), &format::count(highest), &format::duration(bars.step_ns)],
    );
    let paths = bar_paths(bars, top);
    let shapes: Vec<_> = bars
        .series
        .iter()
        .zip(paths)
        .map(|(series, shape)| {
            let class = format!("bar {}", series.class);
            view! { <path class=class d=shape></path> }
        })
        .collect();
    let legend: Vec<_> = bars
        .series
        .iter()
        .filter(|series| series.counts.iter().any(|count| *count > 0))
        .map(|series| {
            let sum = series.counts.iter().sum();
            let class = format!("swatch {}", series.class);
            view! { <li><span class=class></span>{series.label.clone()}" "<b>{format::count(sum)}</b></li> }
        })
        .collect();
    let labels: Vec<String> = bars.series.iter().map(|series| series.label.clone()).collect();
    let counts: Vec<Vec<u64>> = bars.series.iter().map(|series| series.counts.clone()).collect();
    // What an island wraps is made before it: it outlives the figure.
    let ticks = value_ticks(top);
    let across = ticks.iter().map(|tick| 1.0 - tick / top);
    let at_left = ticks.iter().map(|tick| (1.0 - tick / top, format::short(*tick))).collect();
    let (lines, shapes) = (grid(across, range, TIME_TICKS), stretched(shapes));
    view! {
        <figure class="tplot bars">
            <div class="plot-body">
                {share_labels(at_left)}
                <div class="plot-canvas">
                    <HistogramZoom start_ns=bars.start_ns step_ns=bars.step_ns buckets=bars.buckets labels counts base nothing=tr("nothing").to_owned()>
                        <svg class="plot-shapes" role="img" aria-label=summary>{lines}{shapes}</svg>
                    </HistogramZoom>
                </div>
            </div>
            {time_labels(range, TIME_TICKS)}
            <figcaption><ul class="legend">{legend}</ul>{table(bars, path, params)}</figcaption>
        </figure>
    }
    .into_any()
}

/// The counts at the left: none, the top, and half of it where that is a count.
fn value_ticks(top: f64) -> Vec<f64> {
    let half = top / 2.0;
    if half.fract() < 1e-9 { vec![0.0, half, top] } else { vec![0.0, top] }
}

/// One path per series, each bar on top of those below it.
fn bar_paths(bars: &StackedBars, top: f64) -> Vec<String> {
    let mut below = vec![0_u64; bars.buckets];
    let width = SIZE / bars.buckets as f64;
    bars.series
        .iter()
        .map(|series| {
            let mut shape = String::new();
            for (bucket, base) in below.iter_mut().enumerate() {
                let count = series.counts.get(bucket).copied().unwrap_or(0);
                if count == 0 {
                    continue;
                }
                let bottom = SIZE - *base as f64 / top * SIZE;
                // Something is never drawn as nothing.
                let height = (count as f64 / top * SIZE).max(8.0);
                let (x, bar) = ((bucket as f64 + 0.08) * width, width * 0.84);
                // Writing to a String cannot fail.
                let _ = write!(shape, "M{x:.2} {bottom:.1}h{bar:.2}v{:.1}h-{bar:.2}z", -height);
                *base += count;
            }
            shape
        })
        .collect()
}

fn table(bars: &StackedBars, path: &str, params: &Params) -> AnyView {
    let heads: Vec<_> =
        bars.series.iter().map(|series| view! { <th scope="col" class="num">{series.label.clone()}</th> }).collect();
    let rows: Vec<_> = (0..bars.buckets)
        .filter(|bucket| bars.total(*bucket) > 0)
        .map(|bucket| {
            let start = bars.start_ns + bars.step_ns * bucket as i64;
            let zoom = params
                .without("cursor")
                .without("row")
                .without("at")
                .with("start", &clock::rfc3339(start))
                .with("end", &clock::rfc3339(start + bars.step_ns))
                .on(path);
            let cells: Vec<_> = bars
                .series
                .iter()
                .map(|series| view! { <td class="num">{format::count(series.counts.get(bucket).copied().unwrap_or(0))}</td> })
                .collect();
            view! { <tr><th scope="row"><a href=zoom>{time_view(start, Show::Full)}</a></th>{cells}</tr> }
        })
        .collect();
    view! {
        <details class="chart-data">
            <summary>{tr("Data table")}</summary>
            <div class="scroll" tabindex="0" role="region" aria-label=tr("Data of the chart")>
                <table class="dense"><thead><tr><th scope="col">{tr("From")}</th>{heads}</tr></thead><tbody>{rows}</tbody></table>
            </div>
        </details>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_at_the_left_are_whole() {
        assert_eq!(value_ticks(1.0), [0.0, 1.0]);
        assert_eq!(value_ticks(1_500.0), [0.0, 750.0, 1_500.0]);
    }
}
