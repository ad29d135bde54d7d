//! Values over time: lines, areas, stacks or bars, with round ticks, thresholds, exemplars and a legend.
//!
//! Shapes stretch with the page in an SVG of their own; words and dots stand in an SVG that does not stretch, placed by
//! percent. The island over it adds the cross-hair, the read-out, zoom by dragging and the legend's clicks.

use super::ticks::moments;
use crate::clock::{self, Show, time_view};
use crate::format;
use crate::islands::plot::PlotHover;
use crate::params::Params;
use crate::text::{tr, trf};
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_store::TimeRange;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Series that are drawn; the style sheet knows as many numbers.
pub(crate) const MAX_SERIES: usize = 24;
/// The size of the stretched picture.
const SIZE: f64 = 1000.0;
const COLOURS: usize = 12;

/// How values are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    /// Lines.
    #[default]
    Line,
    /// Lines with the area below them, each from zero.
    Area,
    /// Areas on top of each other.
    Stack,
    /// Bars on top of each other.
    Bars,
}

impl Style {
    /// Every style with its name in addresses and dashboards.
    pub(crate) const ALL: [(&'static str, Self); 4] =
        [("line", Self::Line), ("area", Self::Area), ("stack", Self::Stack), ("bars", Self::Bars)];

    /// The style of a name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, style)| style)
    }

    /// Its name in addresses and dashboards.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, style)| *style == self).map_or("line", |(name, _)| name)
    }

    const fn is_stacked(self) -> bool {
        matches!(self, Self::Stack | Self::Bars)
    }
}

/// What tells the series apart below the chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Legend {
    /// A table with the newest, smallest, mean and largest value.
    Table,
    /// Names in a row.
    Line,
}

/// One series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// What tells it from the others.
    pub(crate) label: String,
    /// The class of its colour; by its place when empty.
    pub(crate) class: String,
    /// Moments and values, in time's order. A value that is not finite is a gap.
    pub(crate) points: Vec<(i64, f64)>,
}

/// A value that should not be passed.
#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    /// Where the line lies.
    pub(crate) value: f64,
    /// What it means.
    pub(crate) label: String,
}

/// A dot that leads to the trace behind a value.
#[derive(Clone, Debug)]
pub(crate) struct Dot {
    /// When it was.
    pub(crate) time_ns: i64,
    /// Its value.
    pub(crate) value: f64,
    /// Where it leads.
    pub(crate) href: String,
    /// What it is, for the title.
    pub(crate) label: String,
}

/// A chart.
pub(crate) struct Plot<'a> {
    /// What the values are: the summary begins with it.
    pub(crate) what: String,
    /// Their unit.
    pub(crate) unit: Unit,
    /// How they are drawn.
    pub(crate) style: Style,
    /// The series, the most important first.
    pub(crate) series: Vec<Series>,
    /// The time from left to right.
    pub(crate) range: TimeRange,
    /// The distance of values: where two are further apart than this, there is a gap. 0: no gaps.
    pub(crate) step_ns: i64,
    /// Lines across.
    pub(crate) thresholds: Vec<Threshold>,
    /// Exemplars.
    pub(crate) dots: Vec<Dot>,
    /// The legend.
    pub(crate) legend: Legend,
    /// The page and parameters that a zoom leads to; no zoom without.
    pub(crate) zoom: Option<(&'a str, &'a Params)>,
    /// A further class, such as `low`.
    pub(crate) class: &'static str,
}

/// The axis of the values.
struct Axis {
    ticks: Vec<f64>,
    low: f64,
    high: f64,
}

impl Axis {
    fn new(plot: &Plot<'_>, tops: &[Vec<f64>]) -> Option<Self> {
        let values = || plot.series.iter().flat_map(|series| series.points.iter().map(|(_, value)| *value));
        let stacked = || tops.iter().flatten().copied();
        let dots = || plot.dots.iter().map(|dot| dot.value);
        let lines = || plot.thresholds.iter().map(|line| line.value);
        let finite = || values().chain(stacked()).filter(|value| value.is_finite());
        finite().next()?;
        // A far threshold or exemplar does not flatten the values.
        let top = finite().fold(f64::NEG_INFINITY, f64::max);
        let near = |value: &f64| value.is_finite() && *value <= (top.abs() * 4.0).max(top + 1e-9);
        let high = dots().chain(lines()).filter(near).fold(top, f64::max);
        let lowest = finite().chain(dots()).filter(|value| value.is_finite()).fold(f64::INFINITY, f64::min);
        // Zero is in sight, but where values move little far away from it.
        let is_far = plot.style == Style::Line && lowest > 0.0 && lowest > (high - lowest) * 4.0;
        let low = if is_far { lowest } else { lowest.min(0.0) };
        let ticks = plot.unit.ticks(low, high.max(low), 4);
        let (low, high) = (*ticks.first()?, *ticks.last()?);
        Some(Self { ticks, low, high })
    }

    /// From the top, 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let height = self.high - self.low;
        if height <= 0.0 { 1.0 } else { (1.0 - (value - self.low) / height).clamp(-0.02, 1.02) }
    }
}

fn colour(series: &Series, place: usize) -> String {
    if series.class.is_empty() { format!("svc-{}", place % COLOURS) } else { series.class.clone() }
}

fn x_share(at: i64, range: TimeRange) -> f64 {
    let length = range.end.saturating_sub(range.start).max(1) as f64;
    at.saturating_sub(range.start) as f64 / length
}

/// The chart, or a sentence when there is nothing to draw.
pub(crate) fn plot(plot: &Plot<'_>) -> AnyView {
    let times: Vec<i64> = plot
        .series
        .iter()
        .flat_map(|series| series.points.iter().map(|(at, _)| *at))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let tops = if plot.style.is_stacked() { stacked(&plot.series, &times) } else { Vec::new() };
    let Some(axis) = Axis::new(plot, &tops) else {
        return view! { <p class="quiet no-values">{tr("No values in this range.")}</p> }.into_any();
    };
    let shapes = shapes(plot, &axis, &times, &tops);
    let (ticks, show) = moments(plot.range, 8);
    let mut grid = String::new();
    for tick in &axis.ticks {
        // Writing to a String cannot fail.
        let _ = write!(grid, "M0 {:.1}H{SIZE}", axis.share(*tick) * SIZE);
    }
    let mut across = String::new();
    for tick in &ticks {
        let _ = write!(across, "M{:.1} 0V{SIZE}", x_share(*tick, plot.range) * SIZE);
    }
    let lines: Vec<_> = plot
        .thresholds
        .iter()
        .filter(|line| (axis.low..=axis.high).contains(&line.value))
        .map(|line| {
            let d = format!("M0 {:.1}H{SIZE}", axis.share(line.value) * SIZE);
            view! { <path class="threshold" d=d></path> }
        })
        .collect();
    let summary = summary(plot);
    let figure_class = format!("tplot {}", plot.class);
    let labels: Vec<String> = plot.series.iter().map(|series| series.label.clone()).collect();
    let classes: Vec<String> = plot.series.iter().enumerate().map(|(place, series)| colour(series, place)).collect();
    let offsets: Vec<f64> = times.iter().map(|at| ((x_share(*at, plot.range)) * 1e5).round() / 1e5).collect();
    let values = aligned(&plot.series, &times);
    let base = plot.zoom.map(|(path, params)| {
        params.without("start").without("end").without("cursor").without("row").without("at").on(path)
    });
    // What an island wraps is made before it: it outlives the plot.
    let (y_axis, x_axis, over, names, table) = (
        y_labels(plot.unit, &axis),
        x_labels(&ticks, show, plot.range),
        marks(plot, &axis),
        legend(plot),
        data(plot, &times),
    );
    view! {
        <figure class=figure_class>
            <PlotHover start_ns=plot.range.start end_ns=plot.range.end unit=plot.unit labels classes offsets values base=base.unwrap_or_default()>
                <div class="plot-body">
                    {y_axis}
                    <div class="plot-canvas">
                        <svg class="plot-shapes" viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label=summary>
                            <path class="grid" d=grid></path><path class="grid faint" d=across></path>
                            {shapes}{lines}
                        </svg>
                        {over}
                    </div>
                </div>
                {x_axis}
                {names}
            </PlotHover>
            {table}
        </figure>
    }
    .into_any()
}

/// What lies on top of the stack, per series and moment.
fn stacked(series: &[Series], times: &[i64]) -> Vec<Vec<f64>> {
    let mut below = vec![0.0; times.len()];
    aligned(series, times)
        .into_iter()
        .map(|values| {
            for (sum, value) in below.iter_mut().zip(values) {
                *sum += value.filter(|value| *value > 0.0).unwrap_or(0.0);
            }
            below.clone()
        })
        .collect()
}

/// The values of each series at each of the moments.
fn aligned(series: &[Series], times: &[i64]) -> Vec<Vec<Option<f64>>> {
    series
        .iter()
        .map(|series| {
            let mut points = series.points.iter().peekable();
            times
                .iter()
                .map(|at| {
                    points.next_if(|(time, _)| time == at).map(|(_, value)| *value).filter(|value| value.is_finite())
                })
                .collect()
        })
        .collect()
}

fn shapes(plot: &Plot<'_>, axis: &Axis, times: &[i64], tops: &[Vec<f64>]) -> Vec<AnyView> {
    let x = |at: i64| x_share(at, plot.range) * SIZE;
    let y = |value: f64| axis.share(value) * SIZE;
    let drawn = plot.series.iter().enumerate().map(|(place, series)| {
        let class = format!("{} s-{}", colour(series, place), place % MAX_SERIES);
        match plot.style {
            Style::Line => {
                view! { <path class=format!("line {class}") d=line(series, plot.step_ns, x, y)></path> }.into_any()
            }
            Style::Area => view! {
                <path class=format!("area {class}") d=area(series, plot.step_ns, x, y, y(axis.low.max(0.0)))></path>
                <path class=format!("line {class}") d=line(series, plot.step_ns, x, y)></path>
            }
            .into_any(),
            Style::Stack | Style::Bars => {
                let below = place.checked_sub(1).map(|before| tops[before].as_slice());
                let top = &tops[place];
                let base = |index: usize| below.map_or(0.0, |below| below[index]);
                let mut d = String::new();
                if plot.style == Style::Bars {
                    let width = bar_width(times, plot).max(1.0);
                    for (index, at) in times.iter().enumerate() {
                        let (low, high) = (y(base(index)), y(top[index]));
                        if low - high > 0.0 {
                            let _ = write!(
                                d,
                                "M{:.1} {low:.1}h{:.1}V{high:.1}h{:.1}z",
                                x(*at) - width / 2.0,
                                width * 0.86,
                                -width * 0.86
                            );
                        }
                    }
                    return view! { <path class=format!("bar {class}") d=d></path> }.into_any();
                }
                for (index, at) in times.iter().enumerate() {
                    let _ = write!(d, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(*at), y(top[index]));
                }
                for (index, at) in times.iter().enumerate().rev() {
                    let _ = write!(d, "L{:.1} {:.1}", x(*at), y(base(index)));
                }
                d.push('z');
                view! { <path class=format!("area stacked {class}") d=d></path> }.into_any()
            }
        }
    });
    // The first series is the most important: it is drawn last, above the others.
    let mut drawn: Vec<AnyView> = drawn.collect();
    if !plot.style.is_stacked() {
        drawn.reverse();
    }
    drawn
}

fn bar_width(times: &[i64], plot: &Plot<'_>) -> f64 {
    let step = if plot.step_ns > 0 {
        plot.step_ns
    } else {
        times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(plot.range.end - plot.range.start)
    };
    step as f64 / (plot.range.end - plot.range.start).max(1) as f64 * SIZE
}

/// Runs of values without a gap.
fn runs(series: &Series, step_ns: i64) -> Vec<&[(i64, f64)]> {
    let is_apart = |before: &(i64, f64), after: &(i64, f64)| {
        !before.1.is_finite() || !after.1.is_finite() || (step_ns > 0 && after.0 - before.0 > step_ns + step_ns / 2)
    };
    series
        .points
        .chunk_by(|before, after| !is_apart(before, after))
        .filter(|run| run.first().is_some_and(|(_, value)| value.is_finite()))
        .collect()
}

fn line(series: &Series, step_ns: i64, x: impl Fn(i64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut d = String::new();
    for run in runs(series, step_ns) {
        for (index, (at, value)) in run.iter().enumerate() {
            let _ = write!(d, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(*at), y(*value));
        }
        if run.len() == 1 {
            // A value alone is still to be seen.
            d.push_str("h4");
        }
    }
    d
}

fn area(series: &Series, step_ns: i64, x: impl Fn(i64) -> f64, y: impl Fn(f64) -> f64, zero: f64) -> String {
    let mut d = String::new();
    for run in runs(series, step_ns) {
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { continue };
        let _ = write!(d, "M{:.1} {zero:.1}", x(*first));
        for (at, value) in run {
            let _ = write!(d, "L{:.1} {:.1}", x(*at), y(*value));
        }
        let _ = write!(d, "L{:.1} {zero:.1}z", x(*last));
    }
    d
}

fn y_labels(unit: Unit, axis: &Axis) -> AnyView {
    let labels: Vec<_> = axis
        .ticks
        .iter()
        .map(|tick| {
            let y = format!("{:.2}%", axis.share(*tick) * 100.0);
            view! { <text x="100%" y=y dy="4">{unit.text(*tick)}</text> }
        })
        .collect();
    view! { <svg class="plot-y" aria-hidden="true">{labels}</svg> }.into_any()
}

/// The moments below a chart.
pub(crate) fn x_labels(ticks: &[i64], show: Show, range: TimeRange) -> AnyView {
    let labels: Vec<_> = ticks
        .iter()
        .map(|at| {
            let x = format!("{:.2}%", x_share(*at, range) * 100.0);
            view! { <text x=x y="12" data-show=show.name() data-time=clock::rfc3339(*at)>{clock::text(*at, show)}</text> }
        })
        .collect();
    view! { <svg class="plot-x" aria-hidden="true">{labels}</svg> }.into_any()
}

/// Exemplars and the names of thresholds: what must not be stretched.
fn marks(plot: &Plot<'_>, axis: &Axis) -> AnyView {
    if plot.dots.is_empty() && plot.thresholds.iter().all(|line| line.label.is_empty()) {
        return ().into_any();
    }
    let percent = |share: f64| format!("{:.2}%", share * 100.0);
    let dots: Vec<_> = plot
        .dots
        .iter()
        .filter(|dot| dot.time_ns >= plot.range.start && dot.time_ns <= plot.range.end)
        .map(|dot| {
            let (x, y) = (percent(x_share(dot.time_ns, plot.range)), percent(axis.share(dot.value).clamp(0.0, 1.0)));
            let title = format!("{}: {}", dot.label, plot.unit.text(dot.value));
            let name = title.clone();
            view! { <a href=dot.href.clone() aria-label=name><circle class="dot" cx=x cy=y r="4"><title>{title}</title></circle></a> }
        })
        .collect();
    let names: Vec<_> = plot
        .thresholds
        .iter()
        .filter(|line| !line.label.is_empty() && (axis.low..=axis.high).contains(&line.value))
        .map(|line| view! { <text class="threshold-name" x="100%" y=percent(axis.share(line.value)) dx="-4" dy="-4">{line.label.clone()}</text> })
        .collect();
    view! { <svg class="plot-marks">{names}{dots}</svg> }.into_any()
}

fn summary(plot: &Plot<'_>) -> String {
    let values = || {
        plot.series
            .iter()
            .flat_map(|series| series.points.iter().map(|(_, value)| *value))
            .filter(|value| value.is_finite())
    };
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    trf(
        "{0}: {1} series, {2} to {3}, from {4} to {5} UTC",
        &[
            &plot.what,
            &format::count(plot.series.len() as u64),
            &plot.unit.text(low),
            &plot.unit.text(high),
            &clock::text(plot.range.start, Show::Full),
            &clock::text(plot.range.end, Show::Full),
        ],
    )
}

fn legend(plot: &Plot<'_>) -> AnyView {
    let swatch = |place: usize, series: &Series| {
        let class = format!("swatch {}", colour(series, place));
        let number = (place % MAX_SERIES).to_string();
        view! { <button type="button" class="series-name" data-series=number><span class=class></span><span class="mono">{series.label.clone()}</span></button> }
    };
    match plot.legend {
        Legend::Line => {
            let names: Vec<_> = plot
                .series
                .iter()
                .enumerate()
                .map(|(place, series)| view! { <li>{swatch(place, series)}</li> })
                .collect();
            view! { <ul class="legend">{names}</ul> }.into_any()
        }
        Legend::Table => {
            let rows: Vec<_> = plot
                .series
                .iter()
                .enumerate()
                .map(|(place, series)| {
                    let values = || series.points.iter().map(|(_, value)| *value).filter(|value| value.is_finite());
                    let count = values().count().max(1) as f64;
                    let figures = [
                        values().next_back().unwrap_or(f64::NAN),
                        values().fold(f64::NAN, f64::min),
                        values().sum::<f64>() / count,
                        values().fold(f64::NAN, f64::max),
                    ];
                    let cells = figures.map(|value| view! { <td class="num">{plot.unit.text(value)}</td> });
                    view! { <tr data-series=(place % MAX_SERIES).to_string()><th scope="row">{swatch(place, series)}</th>{cells.into_iter().collect::<Vec<_>>()}</tr> }
                })
                .collect();
            view! {
                <div class="legend-table" tabindex="0" role="group" aria-label=tr("Series")>
                    <table class="dense">
                        <thead><tr><th scope="col">{tr("Series")}</th><th scope="col" class="num">{tr("Last")}</th><th scope="col" class="num">{tr("Min")}</th>
                            <th scope="col" class="num">{tr("Mean")}</th><th scope="col" class="num">{tr("Max")}</th></tr></thead>
                        <tbody>{rows}</tbody>
                    </table>
                </div>
            }
            .into_any()
        }
    }
}

/// The newest values as a table, for those who do not see the picture.
fn data(plot: &Plot<'_>, times: &[i64]) -> AnyView {
    const ROWS: usize = 60;
    let heads: Vec<_> =
        plot.series.iter().map(|series| view! { <th scope="col" class="num">{series.label.clone()}</th> }).collect();
    let values = aligned(&plot.series, times);
    let rows: Vec<_> = times
        .iter()
        .enumerate()
        .rev()
        .take(ROWS)
        .map(|(index, at)| {
            let cells: Vec<_> = values
                .iter()
                .map(|values| view! { <td class="num">{values[index].map_or_else(String::new, |value| plot.unit.text(value))}</td> })
                .collect();
            view! { <tr><th scope="row">{time_view(*at, Show::Full)}</th>{cells}</tr> }
        })
        .collect();
    let summary = if times.len() > ROWS {
        trf("Data table (newest {0} of {1} moments)", &[&ROWS.to_string(), &times.len().to_string()])
    } else {
        tr("Data table").to_owned()
    };
    view! {
        <details class="chart-data">
            <summary>{summary}</summary>
            <div class="scroll" tabindex="0" role="region" aria-label=tr("Data of the chart")>
                <table class="dense"><thead><tr><th scope="col">{tr("Time")}</th>{heads}</tr></thead><tbody>{rows}</tbody></table>
            </div>
        </details>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(i64, f64)]) -> Series {
        Series { label: "a".to_owned(), class: String::new(), points: points.to_vec() }
    }

    #[test]
    fn a_line_breaks_where_values_are_missing() {
        let whole = series(&[(0, 1.0), (10, 2.0), (20, 1.0)]);
        let drawn = line(&whole, 10, |at| at as f64, |value| value);
        assert_eq!(drawn.matches('M').count(), 1, "{drawn}");
        let with_gap = series(&[(0, 1.0), (10, 2.0), (40, 1.0), (50, f64::NAN), (60, 3.0)]);
        let drawn = line(&with_gap, 10, |at| at as f64, |value| value);
        assert_eq!(drawn.matches('M').count(), 3, "a gap in time, and one in the values: {drawn}");
        assert_eq!(drawn.matches("h4").count(), 2, "values that stand alone are seen: {drawn}");
    }

    #[test]
    fn stacks_add_up_over_moments_that_not_all_have() {
        let tops = stacked(&[series(&[(0, 1.0), (10, 2.0)]), series(&[(10, 3.0), (20, 4.0)])], &[0, 10, 20]);
        assert_eq!(tops, [vec![1.0, 2.0, 0.0], vec![1.0, 5.0, 4.0]]);
    }
}
