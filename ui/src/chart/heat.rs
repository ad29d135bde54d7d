//! How often which value was seen when: a grid of cells, darker where there is more.

use super::figure::{Figure, Hover, stretched};
use super::frame::share_of;
use super::plot::{Size, zoom_base};
use crate::clock::{self, Show, time_view};
use crate::format;
use crate::params::Params;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_store::TimeRange;
use std::fmt::Write as _;

const SIZE: f64 = 1000.0;
/// How many shades the style sheet has.
const SHADES: usize = 8;

/// A heat map.
pub(crate) struct Heat<'a> {
    /// What is counted.
    pub(crate) what: String,
    /// The time from left to right.
    pub(crate) range: TimeRange,
    /// When each column starts.
    pub(crate) columns: Vec<i64>,
    /// The width of a column.
    pub(crate) step_ns: i64,
    /// The rows, the lowest values first: a name, and a count per column.
    pub(crate) rows: Vec<(String, Vec<f64>)>,
    /// How much room it has.
    pub(crate) size: Size,
    /// The page and parameters that a zoom leads to; no zoom without.
    pub(crate) zoom: Option<(&'a str, &'a Params)>,
}

/// The shade of a count, 1 to [`SHADES`]; the steps are those of a square root, so that few are told from none.
pub(super) fn shade(count: f64, most: f64) -> usize {
    ((count / most.max(f64::MIN_POSITIVE)).sqrt() * SHADES as f64).ceil().clamp(1.0, SHADES as f64) as usize
}

/// The chart, or a sentence when there is nothing to draw.
pub(crate) fn heat(heat: &Heat<'_>) -> AnyView {
    let most =
        heat.rows.iter().flat_map(|(_, counts)| counts).copied().filter(|count| count.is_finite()).fold(0.0, f64::max);
    if most <= 0.0 || heat.columns.is_empty() {
        return view! { <p class="quiet no-values">{tr("No values in this range.")}</p> }.into_any();
    }
    let length = heat.range.end.saturating_sub(heat.range.start).max(1) as f64;
    let height = SIZE / heat.rows.len() as f64;
    let width = (heat.step_ns as f64 / length * SIZE).max(1.0);
    let mut shapes = vec![String::new(); SHADES + 1];
    for (row, (_, counts)) in heat.rows.iter().enumerate() {
        let y = SIZE - height * (row as f64 + 1.0);
        for (at, count) in heat.columns.iter().zip(counts).filter(|(_, count)| **count > 0.0) {
            let x = share_of(heat.range, *at) * SIZE;
            // Writing to a String cannot fail.
            let _ = write!(shapes[shade(*count, most)], "M{x:.1} {y:.1}h{width:.2}v{height:.2}h-{width:.2}z");
        }
    }
    let paths: Vec<_> = shapes
        .into_iter()
        .enumerate()
        .filter(|(_, shape)| !shape.is_empty())
        .map(|(shade, shape)| view! { <path class=format!("heat-{shade}") d=shape></path> })
        .collect();
    let every = heat.rows.len().div_ceil(8).max(1);
    let labels: Vec<_> = heat
        .rows
        .iter()
        .enumerate()
        .filter(|(row, _)| (heat.rows.len() - 1 - row).is_multiple_of(every))
        .map(|(row, (name, _))| (1.0 - (row as f64 + 0.5) / heat.rows.len() as f64, name.clone()))
        .collect();
    let summary = trf(
        "{0}: {1} rows over time, at most {2} in a cell, from {3} to {4} UTC",
        &[
            &heat.what,
            &heat.rows.len().to_string(),
            &format::short(most),
            &clock::text(heat.range.start, Show::Full),
            &clock::text(heat.range.end, Show::Full),
        ],
    );
    let scale: Vec<_> = (1..=SHADES).map(|shade| view! { <i class=format!("heat-{shade}")></i> }).collect();
    Figure {
        class: heat.size.class(),
        head: None,
        summary,
        has_links: false,
        range: heat.range,
        time_ticks: heat.size.time_ticks(),
        at_left: labels,
        across: Vec::new(),
        shapes: stretched(paths),
        over: None,
        names: None,
        hover: Hover { base: zoom_base(heat.zoom), ..Hover::default() },
        below: view! {
            <div class="heat-scale" aria-hidden="true"><span>"0"</span>{scale}<span>{format::short(most)}</span></div>
            {data(heat)}
        }
        .into_any(),
    }
    .view()
}

fn data(heat: &Heat<'_>) -> AnyView {
    const COLUMNS: usize = 30;
    let heads: Vec<_> =
        heat.rows.iter().map(|(name, _)| view! { <th scope="col" class="num">{name.clone()}</th> }).collect();
    let rows: Vec<_> = heat
        .columns
        .iter()
        .enumerate()
        .rev()
        .take(COLUMNS)
        .map(|(index, at)| {
            let cells: Vec<_> = heat
                .rows
                .iter()
                .map(|(_, counts)| view! { <td class="num">{counts.get(index).filter(|count| **count > 0.0).map_or_else(String::new, |count| format::short(*count))}</td> })
                .collect();
            view! { <tr><th scope="row">{time_view(*at, Show::Full)}</th>{cells}</tr> }
        })
        .collect();
    view! {
        <details class="chart-data">
            <summary>{tr("Data table")}</summary>
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

    #[test]
    fn few_are_told_from_none_and_the_most_is_the_darkest() {
        assert_eq!(shade(1.0, 10_000.0), 1);
        assert_eq!(shade(10_000.0, 10_000.0), SHADES);
        assert!(shade(2_500.0, 10_000.0) == SHADES / 2);
        assert_eq!(shade(1.0, 1.0), SHADES);
    }
}
