//! Charts in all their states.

use super::Exhibit;
use crate::chart::dot::Dot;
use crate::chart::heat::{Heat, heat};
use crate::chart::histogram::{BarSeries, StackedBars, histogram};
use crate::chart::plot::{Event, EventKind, Legend, Plot, Series, Size, Style, Threshold, plot};
use crate::chart::sparkline::sparkline;
use crate::palette::Severity;
use crate::params::Params;
use crate::request::PageRequest;
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_store::TimeRange;

const STEPS: i64 = 90;

/// All of them.
pub(super) fn exhibits(request: &PageRequest) -> Vec<Exhibit> {
    let range = request.time.range;
    vec![plots(request), small(request, range), heats(range), bars(range)]
}

/// A wave with some noise, the same each time.
fn wave(range: TimeRange, number: i64, top: f64) -> Vec<(i64, f64)> {
    let step = (range.end - range.start) / STEPS;
    (0..STEPS)
        .map(|n| {
            let turn = (n as f64 / 14.0 + number as f64).sin() * 0.35 + 0.5;
            let noise = f64::from(((n * 7919 + number * 104_729) % 97) as i32) / 97.0 * 0.15;
            (range.start + n * step, (turn + noise) * top)
        })
        .collect()
}

fn example<'a>(range: TimeRange, style: Style, unit: Unit, top: f64, count: i64) -> Plot<'a> {
    let series = (0..count)
        .map(|number| Series {
            label: ["frontend", "checkout", "payment", "cart"][number as usize % 4].to_owned(),
            class: String::new(),
            points: wave(range, number, top),
        })
        .collect();
    Plot {
        style,
        series,
        step_ns: (range.end - range.start) / STEPS,
        ..Plot::new("an example".to_owned(), unit, range)
    }
}

fn plots(request: &PageRequest) -> Exhibit {
    let range = request.time.range;
    let with_gap = {
        let mut chart = example(range, Style::Line, Unit::Seconds, 0.8, 2);
        for series in &mut chart.series {
            series.points.drain(30..45);
        }
        chart.series[0].points[60].1 = f64::NAN;
        plot(chart)
    };
    let marked = {
        let mut chart = example(range, Style::Line, Unit::Seconds, 0.8, 2);
        chart.thresholds = vec![Threshold { value: 0.7, label: "objective".to_owned() }];
        chart.dots = chart.series[0]
            .points
            .iter()
            .enumerate()
            .step_by(13)
            .map(|(number, (at, value))| Dot {
                time_ns: *at,
                value: value * 1.1,
                is_error: number % 2 == 1,
                href: "#plot".to_owned(),
                label: "trace 4bf92f35".to_owned(),
            })
            .collect();
        plot(chart)
    };
    let zoomable = {
        let mut chart = example(range, Style::Line, Unit::PerSecond, 40.0, 4);
        chart.legend = Legend::Table;
        chart.zoom = Some((&request.path, &request.params));
        plot(chart)
    };
    let eventful = {
        let mut chart = example(range, Style::Stack, Unit::PerSecond, 40.0, 2);
        let happened = [
            (20, "version 1.5.0 seen first", None, EventKind::Version),
            (45, "CardDeclined fires", Some("#plot"), EventKind::Fired),
            (70, "CardDeclined is resolved", Some("#plot"), EventKind::Resolved),
        ];
        chart.events = happened
            .into_iter()
            .map(|(step, label, href, kind)| Event {
                time_ns: range.start + (range.end - range.start) / STEPS * step,
                label: label.to_owned(),
                href: href.map(str::to_owned),
                kind,
            })
            .collect();
        chart.figure = Some(view! { <b>"42/s"</b> }.into_any());
        chart.zoom = Some((&request.path, &request.params));
        plot(chart)
    };
    let small = {
        let mut chart = example(range, Style::Line, Unit::Nanoseconds, 4e8, 3);
        chart.figure = Some(view! { <span>"p95 "<b>"231 ms"</b></span> }.into_any());
        chart.size = Size::Small;
        plot(chart)
    };
    let flat = {
        let mut chart = example(range, Style::Line, Unit::Bytes, 1.0, 1);
        for (_, value) in &mut chart.series[0].points {
            *value = value.mul_add(4096.0, 8e8);
        }
        plot(chart)
    };
    let negative = {
        let mut chart = example(range, Style::Area, Unit::None, 10.0, 1);
        for (_, value) in &mut chart.series[0].points {
            *value -= 5.0;
        }
        plot(chart)
    };
    let empty = plot(example(range, Style::Line, Unit::None, 1.0, 0));
    let alone = {
        let mut chart = example(range, Style::Line, Unit::None, 5.0, 1);
        chart.series[0].points = vec![chart.series[0].points[40]];
        plot(chart)
    };
    Exhibit {
        name: "Plot",
        about: "Values over time. The pointer reads them out on all charts of the page at once, dragging zooms, a name in the legend shows its series alone.",
        states: vec![
            ("lines, legend as a table, zoom", zoomable),
            ("areas", plot(example(range, Style::Area, Unit::Ratio, 0.3, 2))),
            ("stacked", plot(example(range, Style::Stack, Unit::PerSecond, 60.0, 4))),
            ("bars", plot(example(range, Style::Bars, Unit::None, 60.0, 3))),
            ("gaps", with_gap),
            ("threshold and exemplars", marked),
            ("events, with a heading", eventful),
            ("small", small),
            ("far from zero, in bytes", flat),
            ("below zero", negative),
            ("one value", alone),
            ("nothing", empty),
        ],
    }
}

fn small(_: &PageRequest, range: TimeRange) -> Exhibit {
    let values: Vec<f64> = wave(range, 3, 9.0).into_iter().map(|(_, value)| value).collect();
    Exhibit {
        name: "Sparkline",
        about: "A line of a word's size; the number stands beside it.",
        states: vec![
            ("calm", view! { <p>{sparkline(&values, "calm")}" 9.1/s"</p> }.into_any()),
            ("bad", view! { <p>{sparkline(&values, "bad")}" 12 %"</p> }.into_any()),
            ("nothing", view! { <p>{sparkline(&[0.0; 12], "calm")}" 0"</p> }.into_any()),
        ],
    }
}

fn heats(range: TimeRange) -> Exhibit {
    let step = (range.end - range.start) / STEPS;
    let rows = ["≤ 5 ms", "≤ 10 ms", "≤ 25 ms", "≤ 50 ms", "≤ 100 ms", "≤ 250 ms", "> 250 ms"]
        .into_iter()
        .enumerate()
        .map(|(row, name)| {
            let counts = (0..STEPS).map(|n| {
                let middle = (n as f64 / 12.0).sin().mul_add(1.2, 2.6);
                let distance = (row as f64 - middle).abs();
                (80.0 * (-distance * distance).exp()).floor()
            });
            (name.to_owned(), counts.collect())
        })
        .collect();
    let example = Heat {
        size: Size::Wide,
        zoom: None,
        what: "requests by duration".to_owned(),
        range,
        columns: (0..STEPS).map(|n| range.start + n * step).collect(),
        step_ns: step,
        rows,
    };
    let nothing = Heat {
        what: String::new(),
        range,
        columns: Vec::new(),
        step_ns: 1,
        rows: Vec::new(),
        size: Size::Wide,
        zoom: None,
    };
    Exhibit {
        name: "Heat map",
        about: "How often which value was seen when; the darker, the more.",
        states: vec![("buckets of a histogram", heat(&example)), ("nothing", heat(&nothing))],
    }
}

fn bars(range: TimeRange) -> Exhibit {
    let buckets = 60;
    let step_ns = (range.end - range.start) / buckets;
    let series = [(Severity::Info, 40.0), (Severity::Warn, 9.0), (Severity::Error, 5.0)]
        .into_iter()
        .enumerate()
        .map(|(number, (severity, top))| BarSeries {
            label: severity.word().to_owned(),
            class: severity.class(),
            counts: wave(range, number as i64, top)
                .iter()
                .take(buckets as usize)
                .map(|(_, value)| *value as u64)
                .collect(),
        })
        .collect();
    let bars = StackedBars { what: "log records", start_ns: range.start, step_ns, buckets: buckets as usize, series };
    Exhibit {
        name: "Histogram",
        about: "Counts over time. Dragging zooms; without scripts the rows of its data table do.",
        states: vec![("by severity", histogram(&bars, "/_gallery", &Params::default()))],
    }
}
