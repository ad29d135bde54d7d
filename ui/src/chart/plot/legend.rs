//! The names of the series below a chart. Alive, a click shows one alone, and with Ctrl or Shift hides it.

use super::{Legend, Plot, Series};
use crate::text::tr;
use leptos::prelude::*;

fn name(place: usize, series: &Series) -> AnyView {
    let class = format!("swatch {}", series.colour(place));
    view! { <button type="button" class="series-name" data-series=place.to_string() aria-pressed="true"><span class=class></span><span class="mono">{series.label.clone()}</span></button> }.into_any()
}

/// The legend; a single series below a heading needs none.
pub(super) fn legend(plot: &Plot<'_>, has_heading: bool) -> Option<AnyView> {
    let series = || plot.series.iter().enumerate();
    if plot.legend == Legend::Line {
        let is_told = plot.series.len() == 1 && has_heading;
        let names: Vec<_> = series().map(|(place, series)| view! { <li>{name(place, series)}</li> }).collect();
        return (!is_told && !names.is_empty()).then(|| view! { <ul class="legend">{names}</ul> }.into_any());
    }
    let rows: Vec<_> = series()
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
            view! { <tr><th scope="row">{name(place, series)}</th>{cells.into_iter().collect::<Vec<_>>()}</tr> }
        })
        .collect();
    let table = view! {
        <div class="legend-table" tabindex="0" role="group" aria-label=tr("Series")>
            <table class="dense">
                <thead><tr><th scope="col">{tr("Series")}</th><th scope="col" class="num">{tr("Last")}</th><th scope="col" class="num">{tr("Min")}</th>
                    <th scope="col" class="num">{tr("Mean")}</th><th scope="col" class="num">{tr("Max")}</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    };
    Some(table.into_any())
}
