//! Hand-made data of the screens on which things are looked for: patterns, saved searches, metrics.

use super::{HOSTILE, NOW, SECOND, coverage, some_logs};
use crate::answers::{Answer, Labelled};
use crate::config_files::{Fault, Named};
use crate::dashboards::panel_data::{Choice, Content, Filled};
use crate::dashboards::variables::Chosen;
use crate::dashboards::{Dashboard, Kind, Link, Panel, Query, Variable};
use crate::pages::alerts::elsewhere::AlertHistory;
use crate::pages::{dashboards, logs, metrics};
use crate::request::PageRequest;
use crate::saved_searches::SavedSearch;
use crate::shell::Screen;
use crate::unit::Unit;
use mangru_query::{Context, ErrorCode, LogRow, MetricSummary, Page, Pattern, Patterns, QueryError, SlowQuery};
use std::sync::Arc;

/// The rows around the seventh.
pub(super) fn around(rows: &[LogRow]) -> Context {
    Context {
        before: rows[7..10].iter().rev().cloned().collect(),
        row: rows[6].clone(),
        after: rows[3..6].iter().rev().cloned().collect(),
        query: "service:\"checkout\" resource.host.name:\"node-a\"".to_owned(),
        more_before: true,
        more_after: false,
        coverage: coverage(7),
    }
}

pub(super) fn saved() -> logs::saved::Saved {
    let search = SavedSearch { title: HOSTILE.to_owned(), query: HOSTILE.to_owned(), ..SavedSearch::default() };
    let file = |name: &str, content: Option<Arc<SavedSearch>>, faults: Vec<Fault>| Named {
        name: name.to_owned(),
        path: format!("config/searches/{name}.yaml").into(),
        content,
        text: "".into(),
        faults,
    };
    logs::saved::Saved {
        files: vec![
            file("payments", Some(Arc::new(search)), Vec::new()),
            file("broken", None, vec![Fault::new(3, "range", HOSTILE)]),
        ],
        folder: "config/searches".to_owned(),
    }
}

pub(super) fn patterns() -> Patterns {
    let pattern = |template: &str, count: u64, severity: i32, is_new: bool| Pattern {
        template: template.to_owned(),
        query: format!("\"{}\"", template.split("<*>").next().unwrap_or("").trim().replace(['"', '\\'], " ")),
        count,
        share: count as f64 / 48_211.0,
        first_unix_nano: (NOW - 800 * SECOND).to_string(),
        last_unix_nano: NOW.to_string(),
        is_new: Some(is_new),
        max_severity_number: severity,
        services: ["frontend", "checkout", "payment", HOSTILE].map(str::to_owned).to_vec(),
        counts: (0..40).map(|n| n * n % 17).collect(),
        example: format!("{template} {HOSTILE}"),
    };
    Patterns {
        start: NOW - 900 * SECOND,
        step_ns: 23 * SECOND,
        patterns: vec![
            pattern("connection refused by <*> after <*> attempts", 311, 17, true),
            pattern("GET /cart <*> in <*> ms", 40_211, 9, false),
            pattern(HOSTILE, 7, 13, false),
            Pattern { query: String::new(), ..pattern("<*>", 3, 9, false) },
        ],
        distinct: 4,
        unmatched: 0,
        coverage: coverage(48_211),
    }
}

pub(super) fn metrics_screen(request: &PageRequest) -> Screen {
    let metric = |name: &str, metric_type: &str, unit: &str, description: &str| MetricSummary {
        name: name.to_owned(),
        promql_name: name.replace('.', "_"),
        metric_type: metric_type.to_owned(),
        is_monotonic: metric_type == "sum",
        unit: unit.to_owned(),
        description: description.to_owned(),
        series: 12,
        points: 2_300,
        newest_unix_nano: NOW.to_string(),
    };
    let line = |queue: &str, by: i64| Labelled {
        labels: [("__name__", "queue_depth"), ("queue", queue)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        points: (0..80).rev().map(|n| (NOW - n * 10 * SECOND, (n * 7 % 23 + by) as f64)).collect(),
    };
    let answer =
        Answer { series: vec![line("orders", 3), line(HOSTILE, 9)], step_ns: 10 * SECOND, coverage: coverage(160) };
    let error = QueryError {
        code: ErrorCode::InvalidArgument,
        message: format!("parse error: {HOSTILE}"),
        field: Some("query"),
        position: Some(3),
    };
    let asked = |text: &str, answer| metrics::Asked { text: text.to_owned(), answer };
    metrics::screen(
        request,
        &metrics::Metrics {
            names: Ok((
                vec![
                    metric("http.server.request.duration", "histogram", "s", "Duration of requests"),
                    metric("queue.depth", "gauge", "{message}", HOSTILE),
                ],
                coverage(4_600),
            )),
            asked: vec![asked("queue_depth", Ok(answer)), asked(HOSTILE, Err(error))],
            exemplars: vec![metrics::Exemplar {
                time_ns: NOW - 200 * SECOND,
                value: 12.5,
                trace_id: HOSTILE.to_owned(),
                span_id: String::new(),
                service: HOSTILE.to_owned(),
            }],
            alerts: AlertHistory::default(),
        },
    )
}

pub(super) fn slow() -> Vec<SlowQuery> {
    vec![SlowQuery {
        time_unix_nano: NOW.to_string(),
        path: "/api/v1/logs".to_owned(),
        asked: HOSTILE.to_owned(),
        status: 504,
        milliseconds: 30_120,
    }]
}

/// A dashboard whose every word is hostile, with a panel of each sort.
pub(super) fn dashboard_screen(request: &PageRequest) -> Screen {
    let series = || {
        let points = (0..60).rev().map(|n| (NOW - n * 15 * SECOND, (n % 13) as f64)).collect();
        vec![(HOSTILE.to_owned(), Labelled { labels: [(HOSTILE.to_owned(), HOSTILE.to_owned())].into(), points })]
    };
    let filled = |kind: Kind, content| Filled {
        panel: Panel {
            title: HOSTILE.to_owned(),
            description: HOSTILE.to_owned(),
            kind,
            text: format!("# {HOSTILE}\n\n- {HOSTILE}"),
            links: vec![Link { title: HOSTILE.to_owned(), url: "javascript:alert(1)".to_owned() }],
            ..Panel::default()
        },
        asked: vec![Query { search: Some(HOSTILE.to_owned()), ..Query::default() }],
        content,
        elapsed_ms: 1.0,
        limit_hit: Some(HOSTILE.to_owned()),
    };
    let of_series =
        |kind| filled(kind, Ok(Content::Series { series: series(), step_ns: 15 * SECOND, unit: Unit::None }));
    let page = Page { rows: some_logs(), coverage: coverage(40), cursor: None };
    let error = QueryError::at(3, HOSTILE);
    let heat = Content::Heat {
        columns: vec![NOW - 60 * SECOND],
        step_ns: 60 * SECOND,
        rows: vec![(HOSTILE.to_owned(), vec![3.0])],
    };
    let panels = vec![
        of_series(Kind::Timeseries),
        of_series(Kind::Stat),
        of_series(Kind::Bar),
        of_series(Kind::Table),
        filled(Kind::Logs, Ok(Content::Logs(Box::new(page)))),
        filled(Kind::Heatmap, Ok(heat)),
        filled(Kind::Text, Ok(Content::Text)),
        filled(Kind::Timeseries, Err((HOSTILE.to_owned(), error))),
    ];
    let choice = Choice {
        variable: Variable { name: "service".to_owned(), label: HOSTILE.to_owned(), all: true, ..Variable::default() },
        values: Ok(vec![HOSTILE.to_owned(), "checkout".to_owned()]),
        chosen: Chosen::One(HOSTILE.to_owned()),
    };
    let dashboard = Dashboard { title: HOSTILE.to_owned(), description: HOSTILE.to_owned(), ..Dashboard::default() };
    let kept = dashboards::Kept {
        name: "shop".to_owned(),
        dashboard: Some(Arc::new(dashboard.clone())),
        text: HOSTILE.into(),
        path: Some(format!("config/{HOSTILE}.yaml")),
        faults: vec![Fault::new(1, "title", HOSTILE)],
    };
    dashboards::screen(
        request,
        &kept,
        &dashboard,
        &dashboards::Shown { choices: vec![choice], panels, alerts: AlertHistory::default() },
    )
}
