//! Taking a dashboard over from Grafana: its JSON becomes a file of ours, with a list of what could not be.

use super::edit::{self, field, take_range};
use crate::context::UiContext;
use crate::dashboards::grafana;
use crate::parts::escaped_text;
use crate::request::PageRequest;
use crate::saved_searches::file_name;
use crate::shell::{Screen, page};
use crate::text::tr;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;
use std::sync::Arc;

/// Answers `GET /dashboards/import`.
pub(crate) async fn import(request: PageRequest) -> Response {
    page(&request, || form(&request, "", None))
}

/// Answers `POST /dashboards/import` with the field `json`.
pub(crate) async fn import_posted(
    State(context): State<Arc<UiContext>>,
    mut request: PageRequest,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let json = field(&fields, "json").to_owned();
    take_range(&mut request, &fields);
    let taken = match grafana::import(&json) {
        Ok(taken) => taken,
        Err(error) => return page(&request, || form(&request, &json, Some(&error))),
    };
    let name = file_name(&taken.dashboard.title);
    edit::answer(&context, request, taken.dashboard.yaml(), name, taken.notes).await
}

fn form(request: &PageRequest, json: &str, error: Option<&str>) -> Screen {
    let error = error.map(|error| view! { <p class="error" role="alert"><strong>"✖ "</strong>{error.to_owned()}</p> });
    let content = view! {
        <h1><a href=request.there("/dashboards") class="quiet">{tr("Dashboards")}</a><span class="quiet">" / "</span>{tr("Import from Grafana")}</h1>
        <p>{tr("In Grafana: Share, Export, and copy the JSON. Panels with Prometheus queries become panels here; what cannot be taken over is listed.")}</p>
        {error}
        <form method="post" action="/dashboards/import" class="sql">
            <textarea name="json" rows="20" class="mono" aria-label=tr("The dashboard of Grafana as JSON") spellcheck="false" autocomplete="off" placeholder="{ \"title\": …, \"panels\": [ … ] }">{escaped_text(json)}</textarea>
            <div class="sql-bar"><button class="primary">{tr("Import")}</button></div>
        </form>
    }
    .into_any();
    Screen { title: tr("Import from Grafana").to_owned(), has_time: false, status: StatusCode::OK, content }
}
