//! Overview: is anything wrong, and where?

pub(crate) mod breakers;
mod services;
mod strip;

use crate::answers::round_step;
use crate::context::{Endpoints, UiContext};
use crate::islands::refresh::LiveParts;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use breakers::Breaker;
use leptos::prelude::*;
use mangru_query::{CountRequest, Counts, Coverage, QueryError, ServiceSummary};
use mangru_store::Signal;
use std::sync::Arc;

const SPARK_BUCKETS: usize = 30;
const STRIP_BUCKETS: i64 = 60;
/// Seconds between two refreshes in place.
const REFRESH: u32 = 10;

/// What the screen shows.
pub(crate) struct Overview {
    /// The services with what the answer covers.
    pub(crate) services: Result<(Vec<ServiceSummary>, Coverage), QueryError>,
    /// What came in over time, by signal.
    pub(crate) strip: Vec<(Signal, Result<Counts, QueryError>)>,
    /// The circuit breakers that services report.
    pub(crate) breakers: Vec<Breaker>,
    /// Whether the store holds nothing at all.
    pub(crate) is_empty: bool,
    /// Where to send data.
    pub(crate) endpoints: Endpoints,
    /// Alerts that fire, with the addresses of their rules.
    pub(crate) firing: Vec<(String, String, String)>,
}

/// What refreshing in place says, in the order it expects.
fn refresh_words() -> Vec<String> {
    vec![
        tr("paused").to_owned(),
        tr("⚠ not reached, trying again").to_owned(),
        trf("live, every {0} s", &[&REFRESH.to_string()]),
        tr("go on").to_owned(),
        tr("pause").to_owned(),
    ]
}

/// Answers `/`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let range = request.time.range;
    let step = round_step(request.time.length(), STRIP_BUCKETS);
    let count = || CountRequest { query: String::new(), range, by: None, step: Some(step), top: 1 };
    let (logs_request, spans_request, points_request) = (count(), count(), count());
    let (services, breakers, logs, spans, points) = futures::join!(
        context.query.services(range, SPARK_BUCKETS),
        breakers::of(&context.query, range),
        context.query.counts(Signal::Logs, &logs_request),
        context.query.counts(Signal::Spans, &spans_request),
        context.query.counts(Signal::MetricPoints, &points_request),
    );
    let overview = Overview {
        services,
        strip: vec![(Signal::Logs, logs), (Signal::Spans, spans), (Signal::MetricPoints, points)],
        breakers,
        is_empty: context.holds_nothing(),
        endpoints: context.endpoints.clone(),
        firing: crate::pages::alerts::in_short(&context.alerts, &request).await,
    };
    page(&request, || screen(&request, &overview))
}

/// The screen.
pub(crate) fn screen(request: &PageRequest, overview: &Overview) -> Screen {
    let content = if overview.is_empty {
        view! { <h1 class="unseen">{tr("Overview")}</h1>{parts::how_to_send(&overview.endpoints)} }.into_any()
    } else {
        // A range of the past does not change.
        let is_live = request.time.is_relative();
        view! {
            <h1 class="unseen">{tr("Overview")}</h1>
            {crate::pages::alerts::strip(request, &overview.firing)}
            {strip::strip(request, &overview.strip)}
            {services::section(request, overview, is_live.then(|| view! { <LiveParts every=REFRESH words=refresh_words() /> }.into_any()))}
        }
        .into_any()
    };
    Screen { title: tr("Overview").to_owned(), has_time: true, status: StatusCode::OK, content }
}
