//! Values over time: lines, areas, stacks or bars, with round ticks, thresholds, events, exemplars and a legend.
//!
//! Shapes stretch with the page in an SVG of their own; lines, words and dots stand around it, placed by percent. The island
//! over it adds the cross-hair, the read-out, zoom by dragging and the legend's clicks.

mod axis;
mod data;
mod event;
mod legend;
mod shapes;

use super::dot::{Dot, dot_view};
use super::figure::{Figure, Hover, stretched};
use super::frame::{place, share_of};
use crate::clock::{self, Show};
use crate::format;
use crate::params::Params;
use crate::text::{tr, trf};
use crate::unit::{Unit, rounded};
use axis::Axis;
pub(crate) use event::{Event, EventKind};
use leptos::prelude::*;
use mangru_store::TimeRange;
use std::collections::BTreeSet;

/// Series that are drawn: more cannot be told apart.
pub(crate) const MAX_SERIES: usize = 24;
/// The size of the stretched picture.
const SIZE: f64 = 1000.0;
const COLOURS: usize = crate::palette::SERVICE_COLOURS as usize;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Legend {
    /// A table with the newest, smallest, mean and largest value.
    Table,
    /// Names in a row.
    #[default]
    Line,
}

/// How much room a chart has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Size {
    /// Beside others, low: few ticks.
    Small,
    /// Beside others.
    Narrow,
    /// Across the page, or as a panel says.
    #[default]
    Wide,
    /// The page's one picture.
    Tall,
}

impl Size {
    pub(in crate::chart) const fn class(self) -> &'static str {
        match self {
            Self::Small => "tplot small",
            Self::Narrow => "tplot beside",
            Self::Wide => "tplot",
            Self::Tall => "tplot tall",
        }
    }

    pub(in crate::chart) const fn time_ticks(self) -> i64 {
        match self {
            Self::Small | Self::Narrow => 5,
            Self::Wide | Self::Tall => 8,
        }
    }

    const fn value_ticks(self) -> usize {
        match self {
            Self::Small => 2,
            Self::Narrow | Self::Wide | Self::Tall => 4,
        }
    }
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

impl Series {
    fn colour(&self, place: usize) -> String {
        if self.class.is_empty() { format!("svc-{}", place % COLOURS) } else { self.class.clone() }
    }
}

/// A value that should not be passed.
#[derive(Clone, Debug)]
pub(crate) struct Threshold {
    /// Where the line lies.
    pub(crate) value: f64,
    /// What it means.
    pub(crate) label: String,
}

/// A chart.
pub(crate) struct Plot<'a> {
    /// What the values are: the summary begins with it.
    pub(crate) what: String,
    /// The figure that sums it up; with it stands `what` as a heading above the chart.
    pub(crate) figure: Option<AnyView>,
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
    /// Whether zero is in sight wherever the values are.
    pub(crate) has_zero: bool,
    /// Lines across.
    pub(crate) thresholds: Vec<Threshold>,
    /// Exemplars.
    pub(crate) dots: Vec<Dot>,
    /// Moments at which something happened.
    pub(crate) events: Vec<Event>,
    /// The legend.
    pub(crate) legend: Legend,
    /// The page and parameters that a zoom leads to; no zoom without.
    pub(crate) zoom: Option<(&'a str, &'a Params)>,
    /// How much room it has.
    pub(crate) size: Size,
}

impl Plot<'_> {
    /// A chart of nothing yet, for the fields that its maker leaves as they are.
    pub(crate) const fn new(what: String, unit: Unit, range: TimeRange) -> Self {
        Self {
            what,
            figure: None,
            unit,
            style: Style::Line,
            series: Vec::new(),
            range,
            step_ns: 0,
            has_zero: false,
            thresholds: Vec::new(),
            dots: Vec::new(),
            events: Vec::new(),
            legend: Legend::Line,
            zoom: None,
            size: Size::Wide,
        }
    }
}

/// The values of all series at the moments that any of them has.
struct Aligned {
    times: Vec<i64>,
    /// Per series and moment.
    values: Vec<Vec<Option<f64>>>,
}

impl Aligned {
    fn of(series: &[Series]) -> Self {
        let times: BTreeSet<i64> = series.iter().flat_map(|series| series.points.iter().map(|(at, _)| *at)).collect();
        let times: Vec<i64> = times.into_iter().collect();
        let values = series
            .iter()
            .map(|series| {
                let mut points = series.points.iter().peekable();
                let at_time = |at: &i64| points.next_if(|(time, _)| time == at).map(|(_, value)| *value);
                times.iter().map(at_time).map(|value| value.filter(|value| value.is_finite())).collect()
            })
            .collect();
        Self { times, values }
    }

    /// What lies on top of the stack, per series and moment.
    fn stacked(&self) -> Vec<Vec<f64>> {
        let mut below = vec![0.0; self.times.len()];
        self.values
            .iter()
            .map(|values| {
                for (sum, value) in below.iter_mut().zip(values) {
                    *sum += value.filter(|value| *value > 0.0).unwrap_or(0.0);
                }
                below.clone()
            })
            .collect()
    }
}

/// The chart; an empty frame with a sentence when there is nothing to draw.
pub(crate) fn plot(mut plot: Plot<'_>) -> AnyView {
    let figure = plot.figure.take();
    let (has_heading, plot) = (figure.is_some(), &plot);
    let aligned = Aligned::of(&plot.series);
    let tops = if plot.style.is_stacked() { aligned.stacked() } else { Vec::new() };
    let axis = Axis::new(plot, &tops);
    let shapes = axis.as_ref().map(|axis| shapes::shapes(plot, axis, &aligned.times, &tops));
    let ticks = || axis.iter().flat_map(|axis| axis.ticks.iter().map(|tick| (axis.share(*tick), *tick)));
    let empty =
        axis.is_none().then(|| view! { <p class="plot-empty quiet no-values">{tr("No values in this range.")}</p> });
    let (marks, rounded_values) = (over(plot, axis.as_ref()), |values: &Vec<Option<f64>>| {
        values.iter().map(|value| value.map(rounded)).collect()
    });
    let share = |at: &i64| (share_of(plot.range, *at) * 1e5).round() / 1e5;
    Figure {
        class: plot.size.class(),
        head: figure.map(|figure| {
            view! { <div class="plot-head"><h3>{plot.what.clone()}</h3><div class="plot-figure">{figure}</div></div> }
                .into_any()
        }),
        summary: summary(plot),
        has_links: false,
        range: plot.range,
        time_ticks: plot.size.time_ticks(),
        at_left: ticks().map(|(share, tick)| (share, plot.unit.tick(tick))).collect(),
        across: ticks().map(|(share, _)| share).collect(),
        shapes: stretched(shapes),
        over: Some(view! { {marks}{empty} }.into_any()),
        names: legend::legend(plot, has_heading),
        hover: Hover {
            unit: plot.unit,
            labels: plot.series.iter().map(|series| series.label.clone()).collect(),
            classes: plot.series.iter().enumerate().map(|(place, series)| series.colour(place)).collect(),
            offsets: aligned.times.iter().map(share).collect(),
            values: aligned.values.iter().map(rounded_values).collect(),
            base: zoom_base(plot.zoom),
        },
        below: data::data(plot, &aligned),
    }
    .view()
}

/// The address that a chosen range is added to; empty when there is no zoom.
pub(in crate::chart) fn zoom_base(zoom: Option<(&str, &Params)>) -> String {
    zoom.map_or_else(String::new, |(path, params)| {
        params.without("start").without("end").without("cursor").without("row").without("at").on(path)
    })
}

/// Thresholds, events and exemplars: what must not be stretched.
fn over(plot: &Plot<'_>, axis: Option<&Axis>) -> Option<AnyView> {
    if plot.dots.is_empty() && plot.thresholds.is_empty() && plot.events.is_empty() {
        return None;
    }
    let is_within = |at: i64| (plot.range.start..=plot.range.end).contains(&at);
    let events: Vec<_> =
        plot.events.iter().filter(|event| is_within(event.time_ns)).map(|event| event.view(plot.range)).collect();
    let of_values = axis.map(|axis| {
        let lines: Vec<_> = plot
            .thresholds
            .iter()
            .filter(|line| (axis.low..=axis.high).contains(&line.value))
            .map(|line| {
                let y = place(axis.share(line.value));
                let name = (!line.label.is_empty()).then(|| {
                    view! { <text class="threshold-name" x="100%" y=y.clone() dx="-4" dy="-4">{line.label.clone()}</text> }
                });
                view! { <line class="threshold" x1="0" x2="100%" y1=y.clone() y2=y></line>{name} }
            })
            .collect();
        let dots: Vec<_> = plot
            .dots
            .iter()
            .filter(|dot| is_within(dot.time_ns))
            .map(|dot| {
                let (x, y) = (share_of(plot.range, dot.time_ns), axis.share(dot.value).clamp(0.0, 1.0));
                dot_view(x, y, dot.is_error, dot.href.clone(), dot.label.clone())
            })
            .collect();
        view! { {lines}{dots} }
    });
    let name = trf("Marks on {0}", &[&plot.what]);
    Some(view! { <svg class="plot-marks" role="group" aria-label=name>{events}{of_values}</svg> }.into_any())
}

fn summary(plot: &Plot<'_>) -> String {
    let values = || {
        plot.series
            .iter()
            .flat_map(|series| series.points.iter().map(|(_, value)| *value))
            .filter(|value| value.is_finite())
    };
    if values().next().is_none() {
        return format!("{}: {}", plot.what, tr("No values in this range."));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(i64, f64)]) -> Series {
        Series { label: "a".to_owned(), class: String::new(), points: points.to_vec() }
    }

    #[test]
    fn stacks_add_up_over_moments_that_not_all_have() {
        let aligned = Aligned::of(&[series(&[(0, 1.0), (10, 2.0)]), series(&[(10, 3.0), (20, 4.0)])]);
        assert_eq!(aligned.times, [0, 10, 20]);
        assert_eq!(aligned.stacked(), [vec![1.0, 2.0, 0.0], vec![1.0, 5.0, 4.0]]);
    }

    #[test]
    fn a_chart_without_values_says_so_in_its_frame_and_still_shows_what_happened() {
        let range = TimeRange { start: 0, end: 600_000_000_000 };
        let fired = Event {
            time_ns: 300_000_000_000,
            label: "CardDeclined fires".to_owned(),
            href: Some("/alerts/a".to_owned()),
            kind: EventKind::Fired,
        };
        let request = crate::request::PageRequest::new("/", "", "", range.end);
        let (_, html) = crate::shell::render(&request, || crate::shell::Screen {
            title: String::new(),
            has_time: false,
            status: axum::http::StatusCode::OK,
            content: plot(Plot { events: vec![fired], ..Plot::new("Requests".to_owned(), Unit::PerSecond, range) }),
        });
        assert!(html.contains("No values in this range.") && html.contains("plot-canvas"), "{html}");
        assert!(html.contains("<title>CardDeclined fires</title>") && html.contains("href=\"/alerts/a\""), "{html}");
    }
}
