//! Durations over time as a heat map: a cell for each stretch of time and length of duration, darker for more spans.

use super::axis::spoken;
use super::figure::{Figure, Hover};
use super::frame::place;
use super::heat::shade;
use crate::clock::{Show, time_view};
use crate::format;
use crate::nouns::counted;
use crate::text::{tr, trf};
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_query::{Heat, HeatCell};
use mangru_store::TimeRange;

const TIME_TICKS: i64 = 7;

/// The rows of the plot: from the fastest to the slowest, at least a factor of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    /// The scale that holds all cells.
    pub(crate) fn of(heat: &Heat) -> Self {
        let rows = || heat.cells.iter().map(|cell| cell.row);
        let (low, high) = (rows().min().unwrap_or(36), rows().max().unwrap_or(42));
        let missing = (6 - (high - low)).max(0);
        Self { low: low - missing / 2, high: high + missing - missing / 2 }
    }

    const fn rows(self) -> f64 {
        (self.high - self.low + 1) as f64
    }

    /// How far below the top a duration stands, as a share.
    pub(crate) fn y(self, duration_ns: i64) -> f64 {
        let row = (duration_ns.max(1) as f64).log10() * 6.0 - f64::from(self.low);
        1.0 - row / self.rows()
    }

    /// The lowest and the highest duration, in nanoseconds.
    pub(crate) fn ends(self) -> (i64, i64) {
        (Heat::bounds(self.low).0, Heat::bounds(self.high).1)
    }

    /// Labels at round durations: every factor of ten, and three between when there is room.
    pub(crate) fn labels(self) -> Vec<(f64, String)> {
        let steps: &[i64] = if self.rows() <= 14.0 { &[1, 2, 5] } else { &[1] };
        let (low, high) = self.ends();
        (0..19_u32)
            .flat_map(|power| steps.iter().map(move |step| step.saturating_mul(10_i64.saturating_pow(power))))
            .filter(|ns| (low..=high).contains(ns))
            .map(|ns| (self.y(ns), Unit::Nanoseconds.tick(ns as f64)))
            .filter(|(share, _)| (0.0..=1.0).contains(share))
            .collect()
    }
}

/// The cells as shapes; each leads where `href` says.
pub(crate) fn cells(heat: &Heat, scale: Scale, href: &dyn Fn(&HeatCell) -> String) -> Vec<AnyView> {
    let most = heat.cells.iter().map(|cell| cell.count).max().unwrap_or(1);
    let width = 1.0 / heat.columns as f64;
    let height = 1.0 / scale.rows();
    heat.cells
        .iter()
        .map(|cell| {
            let class = format!("heat-cell heat-{}", shade(cell.count as f64, most as f64));
            let (x, y) = (cell.column as f64 * width, f64::from(scale.high - cell.row) * height);
            let (low, high) = Heat::bounds(cell.row);
            let errors = if cell.errors > 0 { trf(", ✖ {0} with errors", &[&format::count(cell.errors)]) } else { String::new() };
            let spans = counted(cell.count, "span");
            let label = trf("{0} of {1} to {2}", &[&spans, &format::duration(low), &format::duration(high)]) + &errors;
            let mark = (cell.errors > 0).then(|| {
                view! { <svg x=place(x + width / 2.0) y=place(y + height / 2.0) class="dot-place"><path class="heat-error" d="M-3.5 0L0 -3.5L3.5 0L0 3.5Z"></path></svg> }
            });
            let spoken = label.clone();
            view! {
                <a href=href(cell) tabindex="-1" aria-label=spoken>
                    <rect class=class x=place(x) y=place(y) width=place(width) height=place(height)></rect>
                    {mark}
                    <title>{label}</title>
                </a>
            }
            .into_any()
        })
        .collect()
}

/// The heat map with its axes and its data table.
pub(crate) fn heat_map(title: &str, heat: &Heat, range: TimeRange, href: &dyn Fn(&HeatCell) -> String) -> AnyView {
    let scale = Scale::of(heat);
    let labels = scale.labels();
    let total: u64 = heat.cells.iter().map(|cell| cell.count).sum();
    let errors: u64 = heat.cells.iter().map(|cell| cell.errors).sum();
    let summary =
        trf("{0} {1}: {2}, {3} with errors", &[title, &spoken(range), &counted(total, "span"), &format::count(errors)]);
    let empty = heat.cells.is_empty().then(|| view! { <p class="plot-empty quiet">{tr("Nothing in this range")}</p> });
    let shapes = cells(heat, scale, href);
    let mut rows: Vec<&HeatCell> = heat.cells.iter().collect();
    rows.sort_by_key(|cell| std::cmp::Reverse((cell.errors, cell.count)));
    let rows: Vec<_> = rows
        .into_iter()
        .take(200)
        .map(|cell| {
            let (low, high) = Heat::bounds(cell.row);
            let start = heat.start.saturating_add(heat.step_ns.saturating_mul(cell.column as i64));
            let words = trf("{0} to {1}", &[&format::duration(low), &format::duration(high)]);
            view! {
                <tr>
                    <th scope="row"><a href=href(cell)>{time_view(start, Show::Full)}</a></th><td>{words}</td>
                    <td class="num">{format::count(cell.count)}</td><td class="num">{format::count(cell.errors)}</td>
                </tr>
            }
        })
        .collect();
    let name = trf("Data of {0}", &[title]);
    let table = view! {
        <details class="chart-data">
            <summary>{tr("Data table (200 cells, those with most errors and spans first)")}</summary>
            <div class="scroll" tabindex="0" role="region" aria-label=name>
                <table class="dense">
                    <thead><tr><th scope="col">{tr("From")}</th><th scope="col">{tr("Duration")}</th><th scope="col" class="num">{tr("Spans")}</th><th scope="col" class="num">{tr("Errors")}</th></tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        </details>
    };
    let words = view! { <div class="plot-head"><h3>{title.to_owned()}</h3><div class="plot-figure quiet">{tr("stronger is more spans, ◆ with errors")}</div></div> };
    Figure {
        class: "tplot latency",
        head: Some(words.into_any()),
        summary,
        has_links: true,
        range,
        time_ticks: TIME_TICKS,
        across: labels.iter().map(|(share, _)| *share).collect(),
        at_left: labels,
        shapes: view! { {shapes} }.into_any(),
        over: empty.map(IntoAny::into_any),
        names: None,
        hover: Hover::default(),
        below: table.into_any(),
    }
    .view()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_round_labels_in_order() {
        let scale = Scale { low: 36, high: 47 };
        assert_eq!(scale.ends(), (1_000_000, 100_000_000));
        let labels = scale.labels();
        let words: Vec<&str> = labels.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(words, ["1 ms", "2 ms", "5 ms", "10 ms", "20 ms", "50 ms", "100 ms"]);
        assert!(labels.windows(2).all(|pair| pair[0].0 > pair[1].0), "slower stands higher");
    }
}
