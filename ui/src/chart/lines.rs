//! Values over time, a line per series.

use super::axis::{round_up, spoken, time_axis};
use crate::clock::{Show, time_view};
use crate::format;
use leptos::prelude::*;
use mangru_store::TimeRange;
use std::fmt::Write as _;

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 200.0;

/// One line.
pub(crate) struct Line {
    /// What tells it from the others.
    pub(crate) label: String,
    /// Its colour's class.
    pub(crate) class: String,
    /// Moments and values, in time's order.
    pub(crate) points: Vec<(i64, f64)>,
}

/// The chart of a range; `what` names the values with their unit.
pub(crate) fn lines(what: &str, lines: &[Line], range: TimeRange) -> AnyView {
    let values =
        || lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value)).filter(|value| value.is_finite());
    let highest = values().fold(f64::NEG_INFINITY, f64::max);
    let lowest = values().fold(f64::INFINITY, f64::min);
    if highest < lowest {
        return view! { <p class="quiet">"No values in this range."</p> }.into_any();
    }
    let top = if highest > 0.0 { round_up(highest) } else { 0.0 };
    let bottom = if lowest < 0.0 { -round_up(-lowest) } else { 0.0 };
    let height = if top - bottom > 0.0 { top - bottom } else { 1.0 };
    let length = (range.end.saturating_sub(range.start)).max(1) as f64;
    let shapes: Vec<_> = lines
        .iter()
        .map(|line| {
            let mut shape = String::new();
            let mut is_first = true;
            for (time, value) in &line.points {
                if !value.is_finite() {
                    is_first = true;
                    continue;
                }
                let x = time.saturating_sub(range.start) as f64 / length * WIDTH;
                let y = HEIGHT - (value - bottom) / height * HEIGHT;
                // Writing to a String cannot fail.
                let _ = write!(shape, "{}{x:.1} {y:.1}", if is_first { 'M' } else { 'L' });
                is_first = false;
            }
            if line.points.len() == 1 {
                shape.push_str("h3");
            }
            let class = format!("line {}", line.class);
            view! { <path class=class d=shape></path> }
        })
        .collect();
    let summary = format!(
        "{what}: {}, {} to {}, {}",
        format::counted(lines.len() as u64, "line"),
        format::short(lowest),
        format::short(highest),
        spoken(range)
    );
    let legend: Vec<_> = lines
        .iter()
        .map(|line| {
            let last = line.points.last().map_or_else(String::new, |(_, value)| format::short(*value));
            let class = format!("swatch {}", line.class);
            view! { <li><span class=class></span><span class="mono">{line.label.clone()}</span>" "<b>{last}</b></li> }
        })
        .collect();
    let rows: Vec<_> = lines
        .iter()
        .flat_map(|line| line.points.iter().rev().take(50).map(|(time, value)| (line.label.clone(), *time, *value)))
        .map(|(label, time, value)| {
            view! { <tr><td>{time_view(time, Show::Full)}</td><td class="mono">{label}</td><td class="num">{value.to_string()}</td></tr> }
        })
        .collect();
    view! {
        <figure class="chart tall">
            <div class="chart-top" aria-hidden="true">{format::short(top)}</div>
            <svg class="plot" viewBox="0 0 1000 200" preserveAspectRatio="none" role="img" aria-label=summary>
                <path class="grid" d="M0 0H1000M0 50H1000M0 100H1000M0 150H1000M0 200H1000"></path>
                {shapes}
            </svg>
            <div class="chart-bottom" aria-hidden="true">{format::short(bottom)}</div>
            {time_axis(range)}
            <figcaption>
                <ul class="legend column">{legend}</ul>
                <details class="chart-data">
                    <summary>"Data table (newest 50 values of each line)"</summary>
                    <div class="scroll" tabindex="0" role="region" aria-label="Data of the chart">
                        <table class="dense">
                            <thead><tr><th scope="col">"Time"</th><th scope="col">"Line"</th><th scope="col" class="num">"Value"</th></tr></thead>
                            <tbody>{rows}</tbody>
                        </table>
                    </div>
                </details>
            </figcaption>
        </figure>
    }
    .into_any()
}
