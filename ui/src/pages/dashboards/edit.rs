//! Making a dashboard: its YAML beside its picture. Nothing is written here; the file is copied or downloaded.

use super::{Shown, fault_list, kept, load, panels};
use crate::clock::{self, Show};
use crate::config_files::{self, Fault};
use crate::context::UiContext;
use crate::dashboards::{Dashboard, read};
use crate::params::Params;
use crate::parts::escaped_text;
use crate::request::PageRequest;
use crate::saved_searches::file_name;
use crate::shell::{Screen, page};
use crate::text::{told, tr, trf};
use crate::time_choice::{self, RELATIVE, TimeChoice};
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use std::sync::Arc;

/// What a new dashboard begins with.
const TEMPLATE: &str = "title: New dashboard
description: What it is for.
range: -1h
variables:
  - name: service
    label: Service
    field: service.name
    signal: spans
    all: true
panels:
  - title: Requests a second
    style: stack
    queries:
      - search: 'service:$service kind:server'
        signal: spans
        figure: rate
        by: service.name
  - title: Log lines by severity
    style: bars
    queries:
      - search: 'service:$service'
        by: severity
";

/// A dashboard in the making.
struct Draft {
    /// The text as it was written.
    text: String,
    /// The name of its file.
    name: String,
    /// What it shows, or what is wrong with it.
    shown: Result<(Dashboard, Shown), Vec<Fault>>,
    /// What could not be taken over from elsewhere.
    notes: Vec<String>,
}

/// Answers `GET /dashboards/edit?name=`.
pub(crate) async fn edit(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let name = request.params.get("name").unwrap_or("").to_owned();
    let found = kept(&context, &request).await.into_iter().find(|kept| kept.name == name);
    let text = found.as_ref().map_or(TEMPLATE, |kept| &kept.text).to_owned();
    answer(&context, request, text, name, Vec::new()).await
}

/// Answers `POST /dashboards/edit` with the fields `yaml`, `name` and `start`.
pub(crate) async fn edit_posted(
    State(context): State<Arc<UiContext>>,
    mut request: PageRequest,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let (text, name) = (field(&fields, "yaml").replace("\r\n", "\n"), field(&fields, "name").to_owned());
    take_range(&mut request, &fields);
    answer(&context, request, text, name, Vec::new()).await
}

/// Answers `POST /dashboards/download`: the text as a file.
pub(crate) async fn download(Form(fields): Form<Vec<(String, String)>>) -> Response {
    let text = field(&fields, "yaml").replace("\r\n", "\n");
    let name = read(&text).map_or_else(|_| field(&fields, "name").to_owned(), |dashboard| file_name(&dashboard.title));
    config_files::download(text, &file_name(&name), "dashboard")
}

/// A field of a posted form.
pub(super) fn field<'a>(fields: &'a [(String, String)], name: &str) -> &'a str {
    fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
}

/// The range of a posted form: its start, or `start/end`.
pub(super) fn take_range(request: &mut PageRequest, fields: &[(String, String)]) {
    let start = field(fields, "start");
    if !start.is_empty() {
        let (start, end) = start.split_once('/').unwrap_or((start, "now"));
        request.params = Params::default().with("start", start);
        if end != "now" {
            request.params = request.params.with("end", end);
        }
        request.time = TimeChoice::read(&request.params, request.now);
    }
}

/// Shows a text as YAML and as the dashboard it makes, with what could not be taken over from elsewhere.
pub(super) async fn answer(
    context: &UiContext,
    mut request: PageRequest,
    text: String,
    name: String,
    notes: Vec<String>,
) -> Response {
    let shown = match read(&text) {
        Err(faults) => Err(faults),
        Ok(dashboard) => {
            super::open_range(&mut request, &dashboard);
            let shown = load(context, &request, &dashboard).await;
            Ok((dashboard, shown))
        }
    };
    let folder = context.config_files.dashboards.path().display().to_string();
    page(&request, || screen(&request, &Draft { text, name, shown, notes }, &folder))
}

/// The screen.
fn screen(request: &PageRequest, draft: &Draft, folder: &str) -> Screen {
    let title = draft.shown.as_ref().map_or_else(|_| draft.name.clone(), |(dashboard, _)| dashboard.title.clone());
    let name = if draft.name.is_empty() { file_name(&title) } else { draft.name.clone() };
    let picture = match &draft.shown {
        Err(faults) => view! { <div class="error" role="alert"><p><strong>"✖ "</strong>{tr("This cannot be shown yet.")}</p>{fault_list(faults, &draft.text)}</div> }.into_any(),
        Ok((_, shown)) => panels::grid(request, shown),
    };
    let ranges = ranges(&request.time);
    let content = view! {
        <div class="section-head">
            <h1><a href=request.there("/dashboards") class="quiet">{tr("Dashboards")}</a><span class="quiet">" / "</span>{tr("Edit")}" "{title.clone()}</h1>
        </div>
        <div class="dash-edit">
            <form method="post" action="/dashboards/edit" class="sql">
                <input type="hidden" name="name" value=name.clone() />
                <textarea name="yaml" rows="34" class="mono" aria-label=tr("The dashboard as YAML") spellcheck="false" autocomplete="off">{escaped_text(&draft.text)}</textarea>
                <div class="sql-bar">
                    <button class="primary">{tr("Show")}</button>
                    <button formaction="/dashboards/download">{tr("Download the file")}</button>
                    <button type="button" class="needs-script" data-copy=draft.text.clone()>{tr("Copy")}</button>
                    <label class="quiet">{tr("Range")}" "<select name="start">{ranges}</select></label>
                </div>
                <p class="quiet">{trf("Nothing is saved from here. Put the file into {0}/{1}.yaml, or into the git repository that folder comes from; it is read again when it changes.", &[folder, &name])}</p>
            </form>
            <div class="picture">{draft_notes(draft)}{picture}</div>
        </div>
        {reference()}
    }
    .into_any();
    Screen { title: format!("{} {title}", tr("Edit")), has_time: false, status: StatusCode::OK, content }
}

/// The ranges to choose from, with the one that is shown among them, as start or as `start/end`.
fn ranges(time: &TimeChoice) -> AnyView {
    // A range that cannot be read is shown as the last 15 minutes.
    let start = if time.error.is_some() { "-15m" } else { time.start.as_str() };
    let is_offered = time.is_relative() && RELATIVE.iter().any(|(offered, _)| *offered == start);
    let own = (!is_offered).then(|| {
        let words = time.label().unwrap_or_else(|| {
            format!("{} – {} UTC", clock::text(time.range.start, Show::Date), clock::text(time.range.end, Show::Date))
        });
        view! { <option value=format!("{start}/{}", time.end) selected=true>{words}</option> }
    });
    let offered: Vec<_> = RELATIVE
        .iter()
        .map(|(offered, words)| view! { <option value=*offered selected=is_offered && start == *offered>{time_choice::words(words)}</option> })
        .collect();
    view! { {own}{offered} }.into_any()
}

/// What an import had to leave out.
fn draft_notes(draft: &Draft) -> Option<AnyView> {
    let notes: Vec<_> = draft.notes.iter().map(|note| view! { <li>{told(note)}</li> }).collect();
    (!notes.is_empty()).then(|| {
        view! { <div class="warnings"><p><strong>{trf("{0} things could not be taken over as they were:", &[&notes.len().to_string()])}</strong></p><ul class="words">{notes}</ul></div> }.into_any()
    })
}

/// The keys of a dashboard, to be looked up while writing.
fn reference() -> AnyView {
    let rows = [
        ("title, description, range", tr("of the whole; range such as -1h is what it opens with")),
        ("variables", "name, label, values | field + signal | metric_label + of, default, all"),
        (
            "panels",
            "title, description, kind, width 1–12, height 1–8, unit, style, value, limit, columns, text, queries, thresholds, links",
        ),
        ("kind", "timeseries, stat, table, logs, heatmap, bar, map, text"),
        ("queries", "promql | sql | search + signal, figure, field, by; legend with {{label}}"),
        ("figure", "count, rate, error_rate, error_ratio, sum, mean, min, max, p50, p90, p95, p99"),
        ("unit", "none, ns, ms, s, bytes, bytes_per_second, percent, ratio, per_second"),
        ("style", "line, area, stack, bars"),
        ("value", "last, sum, mean, min, max"),
        ("$name", tr("a variable in a query; $__interval, $__rate_interval and $__range are given")),
    ];
    let rows: Vec<_> =
        rows.into_iter().map(|(key, what)| view! { <dt><code>{key}</code></dt><dd>{what}</dd> }).collect();
    view! { <details class="json"><summary>{tr("Keys")}</summary><dl class="help">{rows}</dl></details> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of the chosen range of a page, and the range that posting it gives.
    fn posted(query: &str) -> (String, TimeChoice) {
        let now = 1_763_678_000_000_000_000;
        let mut request = PageRequest::new("/dashboards/edit", query, "", now);
        let html = Owner::new().with(|| ranges(&request.time).to_html());
        let chosen = html.split("<option ").find(|option| option.contains(" selected")).unwrap_or_default();
        let value =
            chosen.split("value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
        take_range(&mut request, &[("start".to_owned(), value.clone())]);
        (value, request.time)
    }

    #[test]
    fn showing_a_dashboard_keeps_its_range() {
        for query in
            ["start=-6h", "start=-1h", "start=-3h&end=-1h", "start=2025-11-20T20:00:00Z&end=2025-11-20T21:00:00Z"]
        {
            let before = PageRequest::new("/dashboards/edit", query, "", 1_763_678_000_000_000_000).time;
            let (value, after) = posted(query);
            assert_eq!(after.range, before.range, "{query} is posted as {value}");
        }
        assert_eq!(posted("start=nonsense").0, "-15m");
    }
}
