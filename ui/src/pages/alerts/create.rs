//! A rule from a search: the YAML that a person can put into a repository, a dry run, and writing it.

use super::range_ms;
use super::rule::dry_run;
use crate::context::UiContext;
use crate::params::Params;
use crate::parts;
use crate::request::PageRequest;
use crate::saved_searches::file_name;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use leptos::prelude::*;
use mangru_alerts::rules::{Fault, RuleSet, read};
use mangru_alerts::trial::Backtest;
use std::fmt::Write as _;
use std::sync::Arc;

/// What was filled in.
struct Form {
    name: String,
    signal: String,
    query: String,
    measure: String,
    test: String,
    window: String,
    min_count: String,
    by: String,
    severity: String,
}

impl Form {
    fn read(params: &Params) -> Self {
        let text = |name: &str, default: &str| params.get(name).unwrap_or(default).trim().to_owned();
        Self {
            name: text("name", "NewAlert"),
            signal: text("signal", "logs"),
            query: text("q", ""),
            measure: text("measure", "count"),
            test: text("test", "> 10"),
            window: text("window", "5m"),
            min_count: text("min_count", "20"),
            by: text("by", "service.name"),
            severity: text("severity", "ticket"),
        }
    }

    /// The rule file.
    fn yaml(&self) -> String {
        // JSON's quotes are YAML's.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let signal = if self.signal == "traces" { "traces" } else { "logs" };
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "groups:\n  - name: {}\n    rules:\n      - alert: {}",
            quoted(&self.name),
            quoted(&self.name)
        );
        let _ = writeln!(out, "        {signal}: {}", quoted(if self.query.is_empty() { "*" } else { &self.query }));
        match self.measure.as_str() {
            "each" => {
                let _ = writeln!(out, "        each: true\n        keep_firing_for: 5m");
            }
            "absent" => {
                let _ = writeln!(out, "        absent: true\n        window: {}", quoted(&self.window));
            }
            measure => {
                let measure = ["count", "rate", "error_rate", "latency"].into_iter().find(|known| *known == measure);
                let _ = writeln!(out, "        {}: {}", measure.unwrap_or("count"), quoted(&self.test));
                let _ = writeln!(out, "        window: {}", quoted(&self.window));
                if matches!(measure, Some("error_rate" | "latency")) && !self.min_count.is_empty() {
                    let _ = writeln!(out, "        min_count: {}", quoted(&self.min_count));
                }
            }
        }
        let by: Vec<String> = self.by.split(',').map(str::trim).filter(|by| !by.is_empty()).map(quoted).collect();
        if !by.is_empty() {
            let _ = writeln!(out, "        by: [{}]", by.join(", "));
        }
        let _ = writeln!(out, "        labels:\n          severity: {}", quoted(&self.severity));
        let _ = writeln!(
            out,
            "        annotations:\n          summary: {}",
            quoted(&format!("{}: {{{{ $value }}}}", self.name))
        );
        out
    }
}

/// Answers `/alerts/new`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let form = Form::read(&request.params);
    let yaml = form.yaml();
    let settings = context.alerts.settings();
    let rules = read("rule", &yaml, settings.interval_ms);
    let dry = match &rules {
        Ok(groups) if request.params.get("dry").is_some() => {
            Some(context.alerts.backtest(&RuleSet::of(groups.clone()), range_ms(&request)).await)
        }
        _ => None,
    };
    let faults = rules.err().unwrap_or_default();
    let folder = settings.rules_folder().display().to_string();
    page(&request, || screen(&request, &form, &yaml, &faults, dry.as_ref(), &folder))
}

fn screen(
    request: &PageRequest,
    form: &Form,
    yaml: &str,
    faults: &[Fault],
    dry: Option<&Result<Backtest, String>>,
    folder: &str,
) -> Screen {
    let choice = |name: &'static str, words: &'static str, chosen: &str, all: &[(&'static str, &'static str)]| {
        let options: Vec<_> = all
            .iter()
            .map(|(value, shown)| view! { <option value=*value selected={*value == chosen}>{*shown}</option> })
            .collect();
        view! { <label>{words}<select name=name>{options}</select></label> }
    };
    let wrong: Vec<_> = faults.iter().map(|fault| view! { <li>{fault.to_string()}</li> }).collect();
    let wrong = (!wrong.is_empty()).then(|| view! { <div class="error" role="alert"><ul>{wrong}</ul></div> });
    let dry_link = request.here(&request.params.with("dry", "1"));
    let measures = [
        ("count", tr("how many match")),
        ("rate", tr("how many match a second")),
        ("error_rate", tr("which share are errors")),
        ("latency", tr("a percentile of durations (traces)")),
        ("each", tr("each match")),
        ("absent", tr("that none comes any more")),
    ];
    let content = view! {
        <p class="quiet"><a href=request.there("/alerts")>{tr("Alerts")}</a>" / "{tr("new rule")}</p>
        <h1>{tr("New rule")}</h1>
        <form class="form-grid" action="/alerts/new" method="get">
            {parts::hidden_inputs(&request.time.params())}
            <label>{tr("Name")}<input name="name" value=form.name.clone() required /></label>
            {choice("signal", tr("Search"), &form.signal, &[("logs", tr("logs")), ("traces", tr("spans"))])}
            <label class="wide">{tr("Query")}<input name="q" class="mono" value=form.query.clone() spellcheck="false" maxlength="8192" /></label>
            {choice("measure", tr("Tell me of"), &form.measure, &measures)}
            <label>{tr("When it is")}<input name="test" class="mono" value=form.test.clone() placeholder="> 10, > 5%, p95 > 500ms" /></label>
            <label>{tr("Within")}<input name="window" value=form.window.clone() /></label>
            <label title=tr("A share or a percentile of fewer does not fire; empty: of any number")>{tr("Of at least")}<input name="min_count" value=form.min_count.clone() /></label>
            <label>{tr("For each")}<input name="by" class="mono" value=form.by.clone() placeholder="service.name" /></label>
            {choice("severity", tr("Severity"), &form.severity, &[("page", "page"), ("ticket", "ticket"), ("info", "info")])}
            <button class="primary">{tr("Show the rule")}</button>
        </form>
        {wrong}
        <section aria-labelledby="yaml-head">
            <h2 id="yaml-head">{tr("The rule, as a file")}</h2>
            {parts::copyable(yaml)}
            <form class="inline" action=request.there("/alerts/new") method="post">
                <input type="hidden" name="yaml" value=yaml.to_owned() />
                <label>{tr("File name")}" "<input name="file" value=file_name(&form.name) required pattern="[\\p{Alphabetic}\\p{N}_\\-]+" /></label>
                <button>{tr("Write it")}</button>
                <span class="quiet">{trf("into {0}, where it is in force at once", &[folder])}</span>
            </form>
        </section>
        {dry_run(&dry_link, dry)}
    }
    .into_any();
    Screen { title: tr("New rule").to_owned(), has_time: true, status: StatusCode::OK, content }
}

/// Answers `POST /alerts/new`.
pub(crate) async fn write(State(context): State<Arc<UiContext>>, request: PageRequest, body: String) -> Response {
    let form = Params::parse(&body);
    let (name, yaml) = (form.get("file").unwrap_or_default(), form.get("yaml").unwrap_or_default());
    match context.alerts.write_rules(name, yaml, request.now.div_euclid(1_000_000)).await {
        Ok(_) => Redirect::to(&format!("{}#rules-head", request.there("/alerts"))).into_response(),
        Err(faults) => page(&request, || {
            let wrong: Vec<_> = faults.iter().map(|fault| view! { <li>{fault.to_string()}</li> }).collect();
            Screen {
                title: tr("New rule").to_owned(),
                has_time: false,
                status: StatusCode::BAD_REQUEST,
                content: view! {
                    <h1>{tr("The rule was not written")}</h1>
                    <div class="error" role="alert"><ul>{wrong}</ul></div>
                    {parts::copyable(yaml)}
                    <p><a href="/alerts">{tr("Alerts")}</a></p>
                }
                .into_any(),
            }
        }),
    }
}
