//! What a chart shows as tables, for those who do not see the picture or have no scripts: each row leads to its time.

use super::{Aligned, Plot};
use crate::clock::{Show, rfc3339, time_view};
use crate::text::{tr, trf};
use leptos::prelude::*;

/// Moments that are listed, the newest first.
const ROWS: usize = 100;

/// A moment, as the way to the stretch of time around it where the chart can be zoomed.
fn moment(plot: &Plot<'_>, at: i64) -> AnyView {
    let Some((path, params)) = plot.zoom.filter(|_| plot.step_ns > 0) else {
        return time_view(at, Show::Full);
    };
    let start = at.saturating_sub(plot.step_ns / 2);
    let address = params
        .without("cursor")
        .without("row")
        .without("at")
        .with("start", &rfc3339(start))
        .with("end", &rfc3339(start.saturating_add(plot.step_ns)))
        .on(path);
    view! { <a href=address>{time_view(at, Show::Full)}</a> }.into_any()
}

/// The tables behind a disclosure.
pub(super) fn data(plot: &Plot<'_>, aligned: &Aligned) -> AnyView {
    let heads: Vec<_> =
        plot.series.iter().map(|series| view! { <th scope="col" class="num">{series.label.clone()}</th> }).collect();
    let rows: Vec<_> = aligned
        .times
        .iter()
        .enumerate()
        .rev()
        .filter(|(index, _)| aligned.values.iter().any(|values| values[*index].is_some()))
        .take(ROWS)
        .map(|(index, at)| {
            let cells: Vec<_> = aligned
                .values
                .iter()
                .map(|values| view! { <td class="num">{values[index].map_or_else(String::new, |value| plot.unit.text(value))}</td> })
                .collect();
            view! { <tr><th scope="row">{moment(plot, *at)}</th>{cells}</tr> }
        })
        .collect();
    let count = aligned.times.len();
    let summary = if count > ROWS {
        trf("Data table (newest {0} of {1} moments)", &[&ROWS.to_string(), &count.to_string()])
    } else {
        tr("Data table").to_owned()
    };
    view! {
        <details class="chart-data">
            <summary>{summary}</summary>
            <div class="scroll" tabindex="0" role="region" aria-label=trf("Data of {0}", &[&plot.what])>
                <table class="dense"><thead><tr><th scope="col">{tr("Time")}</th>{heads}</tr></thead><tbody>{rows}</tbody></table>
                {examples(plot)}{events(plot)}
            </div>
        </details>
    }
    .into_any()
}

fn examples(plot: &Plot<'_>) -> Option<AnyView> {
    let rows: Vec<_> = plot
        .dots
        .iter()
        .map(|dot| {
            view! { <tr><td>{time_view(dot.time_ns, Show::Full)}</td><td class="num">{plot.unit.text(dot.value)}</td><td><a href=dot.href.clone()>{dot.label.clone()}</a></td></tr> }
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! { <table class="dense"><thead><tr><th scope="col">{tr("Time")}</th><th scope="col" class="num">{tr("Value")}</th><th scope="col">{tr("Example")}</th></tr></thead><tbody>{rows}</tbody></table> }.into_any()
    })
}

fn events(plot: &Plot<'_>) -> Option<AnyView> {
    let rows: Vec<_> = plot
        .events
        .iter()
        .map(|event| {
            let words = format!("{} {}", event.kind.sign(), event.label);
            let words = match event.href.clone() {
                Some(href) => view! { <a href=href>{words}</a> }.into_any(),
                None => words.into_any(),
            };
            view! { <tr><td>{time_view(event.time_ns, Show::Full)}</td><td>{words}</td></tr> }
        })
        .collect();
    (!rows.is_empty()).then(|| {
        view! { <table class="dense"><thead><tr><th scope="col">{tr("Time")}</th><th scope="col">{tr("What happened")}</th></tr></thead><tbody>{rows}</tbody></table> }.into_any()
    })
}
