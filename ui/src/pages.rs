//! The screens. Each file holds one: what it shows (a plain struct), how it looks, and the handler that asks the query
//! service for it.

pub(crate) mod alerts;
pub(crate) mod dashboards;
pub(crate) mod gallery;
pub(crate) mod logs;
pub(crate) mod map;
pub(crate) mod metrics;
pub(crate) mod overview;
#[cfg(test)]
mod samples;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod sql;
pub(crate) mod status;
pub(crate) mod story;
pub(crate) mod trace;
pub(crate) mod traces;

use crate::shell::Screen;
use crate::text::tr;
use axum::http::StatusCode;
use leptos::prelude::*;

/// The page for an address that leads nowhere.
pub(crate) fn not_found(what: &str) -> Screen {
    Screen {
        title: tr("Not found").to_owned(),
        has_time: false,
        status: StatusCode::NOT_FOUND,
        content: view! {
            <h1>{tr("Not found")}</h1>
            <p>{what.to_owned()}</p>
            <p><a href="/">{tr("Overview")}</a></p>
        }
        .into_any(),
    }
}

/// A page on which every kind of island stands once; the tests look there for the bundle's names.
#[cfg(test)]
pub(crate) fn specimen() -> Screen {
    use crate::islands::assist::Assist;
    use crate::islands::brush::RegionBrush;
    use crate::islands::graph::GraphView;
    use crate::islands::histogram::HistogramZoom;
    use crate::islands::plot::PlotHover;
    use crate::islands::refresh::LiveParts;
    use crate::islands::tail::LiveTail;
    use crate::islands::waterfall::TraceWaterfall;
    let content = view! {
        <HistogramZoom start_ns=0 step_ns=1 buckets=1 labels=Vec::new() counts=Vec::new() base=String::new() nothing=String::new()>"x"</HistogramZoom>
        <LiveTail stream=String::new() words=Vec::new() services=Vec::new() colours=Vec::new() />
        <Assist address=String::new() label="Completions".to_owned() id=String::new()>"x"</Assist>
        <PlotHover start_ns=0 end_ns=1 unit=crate::unit::Unit::None labels=Vec::new() classes=Vec::new() offsets=Vec::new() values=Vec::new() base=String::new()>"x"</PlotHover>
        <RegionBrush from_ns=0 to_ns=1 low_ns=1 high_ns=10 base=String::new()>"x"</RegionBrush>
        <GraphView words=Vec::new()>"x"</GraphView>
        <LiveParts every=10 words=Vec::new() />
        <TraceWaterfall rows=Vec::new() names=Vec::new() services=Vec::new() colours=Vec::new() total_ns=1 base=String::new() selected=String::new() words=Vec::new()>"x"</TraceWaterfall>
    }
    .into_any();
    Screen { title: String::new(), has_time: false, status: StatusCode::OK, content }
}
