//! Values over time: lines or stacked areas with ticks, gaps, thresholds and exemplar dots; alive it has a cross-hair that all
//! charts of the page share, a legend that can be clicked, and zooms where it is dragged over.

use super::axis::spoken;
use super::frame::{grid, place, share_of, time_labels, value_labels};
use crate::clock::{Show, time_view};
use crate::format;
use crate::islands::crosshair::{PlotSeries, SeriesPlot};
use crate::measure::{Measure, rounded};
use crate::params::Params;
use crate::text::tr;
use leptos::prelude::*;
use mangru_store::TimeRange;
use std::fmt::Write as _;

/// The plot's own measure, in which shapes are drawn before they stretch.
const SIZE: f64 = 1000.0;
const TIME_TICKS: i64 = 5;
const VALUE_TICKS: usize = 4;

/// A chart.
pub(crate) struct SeriesChart<'a> {
    /// What it shows, its heading.
    pub(crate) title: String,
    /// The figure that sums it up, beside the heading.
    pub(crate) figure: AnyView,
    /// What the values are.
    pub(crate) unit: Measure,
    /// The time of the plot.
    pub(crate) range: TimeRange,
    /// Where the first bucket starts.
    pub(crate) start_ns: i64,
    /// The width of a bucket.
    pub(crate) step_ns: i64,
    /// The series.
    pub(crate) series: Vec<Series>,
    /// Whether the series stand on each other as areas.
    pub(crate) is_stacked: bool,
    /// Whether it is low, with room for few ticks.
    pub(crate) is_small: bool,
    /// A line across, with its name.
    pub(crate) threshold: Option<(f64, String)>,
    /// Single measurements that lead somewhere.
    pub(crate) dots: Vec<Dot>,
    /// Moments that something happened.
    pub(crate) marks: Vec<(i64, String)>,
    /// Where dragging over the plot leads, with the range chosen.
    pub(crate) path: &'a str,
    /// The parameters of that address.
    pub(crate) params: &'a Params,
}

/// One line or area.
pub(crate) struct Series {
    /// Its name.
    pub(crate) label: String,
    /// Its colour's class.
    pub(crate) class: String,
    /// A value per bucket; none where there is nothing to tell.
    pub(crate) values: Vec<Option<f64>>,
}

/// A single measurement.
pub(crate) struct Dot {
    /// When.
    pub(crate) time_ns: i64,
    /// The value.
    pub(crate) value: f64,
    /// Whether it failed.
    pub(crate) is_error: bool,
    /// Where it leads.
    pub(crate) href: String,
    /// Its name for people.
    pub(crate) label: String,
}

/// The mark of a measurement; its address is also reached from the table or list beside the chart.
pub(crate) fn dot_view(x: f64, y: f64, is_error: bool, href: String, label: String) -> AnyView {
    let (cx, cy) = (place(x), place(y));
    let shape = if is_error {
        // A diamond, in an SVG of its own because a path knows no percent.
        view! { <svg x=cx y=cy class="dot-place"><path class="ts-dot error" d="M-5 0L0 -5L5 0L0 5Z"></path></svg> }
            .into_any()
    } else {
        view! { <circle class="ts-dot" cx=cx cy=cy r="3.5"></circle> }.into_any()
    };
    let spoken = label.clone();
    view! { <a href=href tabindex="-1" aria-label=spoken>{shape}<title>{label}</title></a> }.into_any()
}

/// The chart as HTML.
pub(crate) fn series_chart(chart: SeriesChart<'_>) -> AnyView {
    let stacked = chart.stacked();
    let highest = stacked.iter().flatten().flatten().map(|(_, top)| *top).fold(0.0, f64::max);
    let highest = chart.dots.iter().map(|dot| dot.value).fold(highest, f64::max);
    let highest = chart.threshold.as_ref().map_or(highest, |(value, _)| highest.max(*value));
    let ticks = chart.unit.ticks(highest, if chart.is_small { 2 } else { VALUE_TICKS });
    let top = ticks.last().copied().unwrap_or(1.0);
    let shapes: Vec<_> = chart
        .series
        .iter()
        .zip(&stacked)
        .enumerate()
        .map(|(number, (series, points))| {
            let line = chart.line(points, top);
            let area = chart.is_stacked.then(|| {
                let class = format!("area {}", series.class);
                view! { <path class=class d=chart.area(points, top)></path> }
            });
            let class = format!("line {}", series.class);
            view! { <g data-series=number.to_string()>{area}<path class=class d=line></path></g> }
        })
        .collect();
    let has_values = stacked.iter().flatten().any(Option::is_some);
    let dots: Vec<_> = chart
        .dots
        .iter()
        .map(|dot| {
            let (x, y) = (share_of(chart.range, dot.time_ns).clamp(0.0, 1.0), 1.0 - dot.value / top);
            dot_view(x, y, dot.is_error, dot.href.clone(), dot.label.clone())
        })
        .collect();
    let threshold = chart.threshold.as_ref().map(|(value, name)| {
        let y = place(1.0 - value / top);
        let words = format!("{name} {}", chart.unit.show(*value));
        view! { <line class="ts-threshold" x1="0" x2="100%" y1=y.clone() y2=y.clone()></line><text class="ts-threshold-name" x="100%" y=y dy="-4" text-anchor="end">{words}</text> }
    });
    let marks: Vec<_> = chart
        .marks
        .iter()
        .map(|(time, name)| {
            let x = place(share_of(chart.range, *time));
            view! { <g><line class="event-mark" x1=x.clone() x2=x y1="0" y2="100%"></line><title>{name.clone()}</title></g> }
        })
        .collect();
    let summary = chart.summary();
    let plot_series: Vec<PlotSeries> = chart
        .series
        .iter()
        .map(|series| PlotSeries {
            label: series.label.clone(),
            class: series.class.clone(),
            values: series.values.iter().map(|value| value.map(rounded)).collect(),
        })
        .collect();
    let base = chart.params.without("start").without("end").without("cursor").on(chart.path);
    let table = chart.table();
    let empty = (!has_values).then(|| view! { <p class="ts-empty quiet">{tr("Nothing in this range")}</p> });
    let tick_shares: Vec<f64> = ticks.iter().map(|tick| 1.0 - tick / top).collect();
    view! {
        <figure class="ts-figure">
            <div class="ts-head"><h3>{chart.title}</h3><div class="ts-figure-value">{chart.figure}</div></div>
            <div class="ts-body">
                {value_labels(&ticks, chart.unit)}
                <SeriesPlot start_ns=chart.start_ns step_ns=chart.step_ns from_ns=chart.range.start to_ns=chart.range.end series=plot_series unit=chart.unit base>
                    <svg class="ts-area" role="group" aria-label=summary>
                        {grid(tick_shares, chart.range, TIME_TICKS)}
                        <svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%">{shapes}</svg>
                        {marks}
                        {threshold}
                        {dots}
                    </svg>
                    {empty}
                </SeriesPlot>
                {time_labels(chart.range, TIME_TICKS)}
            </div>
            {table}
        </figure>
    }
    .into_any()
}

/// Bottom and top of a value.
type Band = Option<(f64, f64)>;

impl SeriesChart<'_> {
    /// Where each value begins and ends: at 0, or on those below it.
    fn stacked(&self) -> Vec<Vec<Band>> {
        let buckets = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let mut below = vec![0.0; buckets];
        let band = |value: Option<f64>, below: &mut f64| {
            let value = value.filter(|value| value.is_finite())?;
            let bottom = if self.is_stacked { *below } else { 0.0 };
            *below += value;
            Some((bottom, bottom + value))
        };
        let bands = |series: &Series, below: &mut Vec<f64>| {
            series.values.iter().zip(below.iter_mut()).map(|(value, below)| band(*value, below)).collect()
        };
        self.series.iter().map(|series| bands(series, &mut below)).collect()
    }

    /// The middle of a bucket, in the plot's measure.
    fn x(&self, bucket: usize) -> f64 {
        let middle =
            self.start_ns.saturating_add(self.step_ns.saturating_mul(bucket as i64)).saturating_add(self.step_ns / 2);
        (share_of(self.range, middle) * SIZE).clamp(0.0, SIZE)
    }

    fn line(&self, bands: &[Band], top: f64) -> String {
        let mut shape = String::new();
        for (bucket, band) in bands.iter().enumerate() {
            let Some((_, high)) = band else { continue };
            let (x, y) = (self.x(bucket), SIZE - high / top * SIZE);
            let has = |bucket: Option<usize>| bucket.and_then(|bucket| bands.get(bucket)).is_some_and(Option::is_some);
            let (is_first, is_last) = (!has(bucket.checked_sub(1)), !has(Some(bucket + 1)));
            // Writing to a String cannot fail.
            let _ = write!(shape, "{}{x:.1} {y:.1}", if is_first { 'M' } else { 'L' });
            if is_first && is_last {
                // A value between gaps is seen as a dash.
                shape.push_str("h4");
            }
        }
        shape
    }

    fn area(&self, bands: &[Band], top: f64) -> String {
        let mut shape = String::new();
        let mut run: Vec<(f64, f64, f64)> = Vec::new();
        for (bucket, band) in bands.iter().copied().chain(std::iter::once(None)).enumerate() {
            match band {
                Some((low, high)) => run.push((self.x(bucket), SIZE - low / top * SIZE, SIZE - high / top * SIZE)),
                None if !run.is_empty() => {
                    for (index, (x, _, high)) in run.iter().enumerate() {
                        let _ = write!(shape, "{}{x:.1} {high:.1}", if index == 0 { 'M' } else { 'L' });
                    }
                    for (x, low, _) in run.iter().rev() {
                        let _ = write!(shape, "L{x:.1} {low:.1}");
                    }
                    shape.push('Z');
                    run.clear();
                }
                None => {}
            }
        }
        shape
    }

    fn summary(&self) -> String {
        let of = |series: &Series| {
            let values = || series.values.iter().flatten().copied().filter(|value| value.is_finite());
            let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
            if low > high {
                return format!("{}: nothing", series.label);
            }
            format!("{}: {} to {}", series.label, self.unit.show(low), self.unit.show(high))
        };
        let series: Vec<String> = self.series.iter().map(of).collect();
        let dots = if self.dots.is_empty() {
            String::new()
        } else {
            format!(", {}", format::counted(self.dots.len() as u64, "example"))
        };
        format!("{} {}: {}{dots}", self.title, spoken(self.range), series.join(", "))
    }

    fn table(&self) -> AnyView {
        let heads: Vec<_> = self
            .series
            .iter()
            .map(|series| view! { <th scope="col" class="num">{series.label.clone()}</th> })
            .collect();
        let buckets = self.series.iter().map(|series| series.values.len()).max().unwrap_or(0);
        let value = |series: &Series, bucket: usize| series.values.get(bucket).copied().flatten();
        let rows: Vec<_> = (0..buckets)
            .filter(|bucket| self.series.iter().any(|series| value(series, *bucket).is_some()))
            .map(|bucket| {
                let start = self.start_ns.saturating_add(self.step_ns.saturating_mul(bucket as i64));
                let cells: Vec<_> = self
                    .series
                    .iter()
                    .map(|series| {
                        let text = value(series, bucket).map_or_else(|| "–".to_owned(), |value| self.unit.show(value));
                        view! { <td class="num">{text}</td> }
                    })
                    .collect();
                let zoom = self
                    .params
                    .with("start", &crate::clock::rfc3339(start))
                    .with("end", &crate::clock::rfc3339(start.saturating_add(self.step_ns)))
                    .on(self.path);
                view! { <tr><th scope="row"><a href=zoom>{time_view(start, Show::Full)}</a></th>{cells}</tr> }
            })
            .collect();
        let dots: Vec<_> = self
            .dots
            .iter()
            .map(|dot| {
                view! { <tr><td>{time_view(dot.time_ns, Show::Full)}</td><td class="num">{self.unit.show(dot.value)}</td><td><a href=dot.href.clone()>{dot.label.clone()}</a></td></tr> }
            })
            .collect();
        let examples = (!dots.is_empty()).then(|| {
            view! { <table class="dense"><thead><tr><th scope="col">{tr("Time")}</th><th scope="col" class="num">{tr("Value")}</th><th scope="col">{tr("Example")}</th></tr></thead><tbody>{dots}</tbody></table> }
        });
        let name = format!("Data of {}", self.title);
        view! {
            <details class="chart-data">
                <summary>{tr("Data table")}</summary>
                <div class="scroll" tabindex="0" role="region" aria-label=name>
                    <table class="dense"><thead><tr><th scope="col">{tr("From")}</th>{heads}</tr></thead><tbody>{rows}</tbody></table>
                    {examples}
                </div>
            </details>
        }
        .into_any()
    }
}
