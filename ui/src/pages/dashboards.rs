//! Dashboards: what there is, one of them with its panels, making one, and taking one over from Grafana.

mod edit;
mod import;
mod list;
mod panels;

pub(crate) use edit::{download, edit, edit_posted};
pub(crate) use import::{import, import_posted};

use crate::config_files::Fault;
use crate::context::UiContext;
use crate::dashboards::panel_data::{self, ALL, Choice, Filled};
use crate::dashboards::variables::Chosen;
use crate::dashboards::{Dashboard, READY_MADE};
use crate::pages::alerts::elsewhere::AlertHistory;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::{Screen, page};
use crate::text::{tr, trf};
use crate::time_choice::TimeChoice;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use std::sync::Arc;

/// A dashboard as it is kept: by its name.
pub(crate) struct Kept {
    /// Its name in addresses.
    pub(crate) name: String,
    /// What it says; none when its file could never be used.
    pub(crate) dashboard: Option<Arc<Dashboard>>,
    /// The file.
    pub(crate) text: Arc<str>,
    /// Where the file lies; none of those that come with the program.
    pub(crate) path: Option<String>,
    /// What is wrong with the file as it is now.
    pub(crate) faults: Vec<Fault>,
}

/// All dashboards: the files first, then those that come with the program and that no file takes the name of.
pub(crate) async fn kept(context: &UiContext, request: &PageRequest) -> Vec<Kept> {
    let mut all: Vec<Kept> = context
        .config_files
        .dashboards
        .now()
        .await
        .into_iter()
        .map(|file| Kept {
            name: file.name,
            dashboard: file.content,
            text: file.text,
            path: Some(file.path.display().to_string()),
            faults: file.faults,
        })
        .collect();
    for made in READY_MADE.iter() {
        if !all.iter().any(|kept| kept.name == made.name) {
            all.push(Kept {
                name: made.name.to_owned(),
                dashboard: made.said_in(request.language),
                text: Arc::clone(&made.text),
                path: None,
                faults: Vec::new(),
            });
        }
    }
    all
}

/// Answers `/dashboards`.
pub(crate) async fn handle(State(context): State<Arc<UiContext>>, request: PageRequest) -> Response {
    let all = kept(&context, &request).await;
    let folder = context.config_files.dashboards.path().display().to_string();
    page(&request, || list::screen(&request, &all, &folder))
}

/// Answers `/dashboards/{name}`.
pub(crate) async fn show(
    State(context): State<Arc<UiContext>>,
    Path(name): Path<String>,
    mut request: PageRequest,
) -> Response {
    let Some(kept) = kept(&context, &request).await.into_iter().find(|kept| kept.name == name) else {
        return page(&request, || super::not_found(&trf("There is no dashboard {0}.", &[&name])));
    };
    let Some(dashboard) = kept.dashboard.clone() else {
        return page(&request, || broken(&request, &kept));
    };
    open_range(&mut request, &dashboard);
    let shown = load(&context, &request, &dashboard).await;
    page(&request, || screen(&request, &kept, &dashboard, &shown))
}

/// A dashboard opens with its own range, when the address says none.
fn open_range(request: &mut PageRequest, dashboard: &Dashboard) {
    let says_none = request.params.get("start").is_none() && request.params.get("end").is_none();
    if let Some(range) = dashboard.range.as_ref().filter(|_| says_none) {
        request.params = request.params.with("start", range);
        request.time = TimeChoice::read(&request.params, request.now);
    }
}

/// What a dashboard shows.
pub(crate) struct Shown {
    /// Its variables with what is chosen.
    pub(crate) choices: Vec<Choice>,
    /// Its panels with what they ask.
    pub(crate) panels: Vec<Filled>,
    /// What alerts did in the range.
    pub(crate) alerts: AlertHistory,
}

async fn load(context: &UiContext, request: &PageRequest, dashboard: &Dashboard) -> Shown {
    let choices = panel_data::choices(&context.query, dashboard, request).await;
    let (mut panels, alerts) = futures::join!(
        panel_data::fill(&context.query, dashboard, &choices, request.time.range),
        AlertHistory::of(context, request),
    );
    for panel in &mut panels {
        panel.name_others(request.language.scope(|| tr("(others)")));
    }
    Shown { choices, panels, alerts }
}

/// The screen of one dashboard.
pub(crate) fn screen(request: &PageRequest, kept: &Kept, dashboard: &Dashboard, shown: &Shown) -> Screen {
    let edit = request.time.params().with("name", &kept.name).on("/dashboards/edit");
    let all = request.there("/dashboards");
    let content = view! {
        <div class="dash-head">
            <h1><a href=all class="quiet">{tr("Dashboards")}</a><span class="quiet">" / "</span>{dashboard.title.clone()}</h1>
            {choices(request, &shown.choices)}
            <a class="button" href=edit>{tr("Edit")}</a>
        </div>
        {(!dashboard.description.is_empty()).then(|| view! { <p class="quiet">{dashboard.description.clone()}</p> })}
        {faults(kept)}
        {panels::grid(request, shown)}
    }
    .into_any();
    Screen { title: dashboard.title.clone(), has_time: true, status: StatusCode::OK, content }
}

/// A file that could never be used.
fn broken(request: &PageRequest, kept: &Kept) -> Screen {
    let edit = request.time.params().with("name", &kept.name).on("/dashboards/edit");
    let content =
        view! { <h1>{kept.name.clone()}</h1>{faults(kept)}<p><a class="button" href=edit>{tr("Edit")}</a></p> }
            .into_any();
    Screen { title: kept.name.clone(), has_time: false, status: StatusCode::OK, content }
}

/// What is wrong with the file of a dashboard, with its lines.
fn faults(kept: &Kept) -> AnyView {
    if kept.faults.is_empty() {
        return ().into_any();
    }
    let file = kept.path.clone().unwrap_or_default();
    let head = if kept.dashboard.is_some() {
        trf("{0} was changed and cannot be used as it is: what it said before is shown.", &[&file])
    } else {
        trf("{0} cannot be used.", &[&file])
    };
    view! { <div class="error" role="alert"><p><strong>"✖ "</strong>{head}</p>{fault_list(&kept.faults, &kept.text)}</div> }.into_any()
}

/// Faults with the lines they are about.
fn fault_list(faults: &[Fault], text: &str) -> AnyView {
    let rows: Vec<_> = faults
        .iter()
        .map(|fault| {
            let line = (fault.line as usize).checked_sub(1).and_then(|at| text.lines().nth(at)).map(str::trim_end);
            let shown = line.map(|line| view! { <pre class="caret">{format!("{:>4} │ {line}", fault.line)}</pre> });
            view! { <li>{fault.to_string()}{shown}</li> }
        })
        .collect();
    view! { <ul class="faults">{rows}</ul> }.into_any()
}

/// The form in which values are chosen.
fn choices(request: &PageRequest, choices: &[Choice]) -> AnyView {
    if choices.is_empty() {
        return ().into_any();
    }
    let mut carried = request.params.clone();
    let selects: Vec<_> = choices
        .iter()
        .map(|choice| {
            let parameter = Choice::parameter(&choice.variable.name);
            carried = carried.without(&parameter);
            let label = if choice.variable.label.is_empty() {
                choice.variable.name.clone()
            } else {
                choice.variable.label.clone()
            };
            let chosen = match &choice.chosen {
                Chosen::One(value) => value.clone(),
                Chosen::All(_) => ALL.to_owned(),
            };
            let mut values: Vec<String> = choice.values.as_deref().unwrap_or_default().to_vec();
            if chosen != ALL && !chosen.is_empty() && !values.contains(&chosen) {
                values.insert(0, chosen.clone());
            }
            let all =
                choice.variable.all.then(|| view! { <option value=ALL selected=chosen == ALL>{tr("all")}</option> });
            let options: Vec<_> = values
                .into_iter()
                .map(|value| {
                    let is_chosen = value == chosen;
                    view! { <option value=value.clone() selected=is_chosen>{value.clone()}</option> }
                })
                .collect();
            let error = choice
                .values
                .as_ref()
                .err()
                .map(|error| view! { <span class="bad">{format!("✖ {}", error.message)}</span> });
            view! { <label>{label}" "<select name=parameter data-submit="">{all}{options}</select></label>{error} }
        })
        .collect();
    view! {
        <form method="get" action=request.path.clone() class="inline variables" aria-label=tr("Variables")>
            {parts::hidden_inputs(&carried)}{selects}<button>{tr("Apply")}</button>
        </form>
    }
    .into_any()
}
