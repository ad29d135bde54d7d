//! The dashboards there are.

use super::{Kept, fault_list};
use crate::format;
use crate::parts;
use crate::request::PageRequest;
use crate::shell::Screen;
use crate::text::{tr, trf};
use axum::http::StatusCode;
use leptos::prelude::*;

/// The screen.
pub(super) fn screen(request: &PageRequest, all: &[Kept], folder: &str) -> Screen {
    let row = |kept: &Kept| {
        let address = request.there(&format!("/dashboards/{}", crate::params::encoded(&kept.name)));
        let title = kept.dashboard.as_ref().map_or_else(|| kept.name.clone(), |dashboard| dashboard.title.clone());
        let description =
            kept.dashboard.as_ref().map(|dashboard| format::clipped(&dashboard.description, 200)).unwrap_or_default();
        let panels = kept.dashboard.as_ref().map_or(0, |dashboard| dashboard.panels.len());
        let faults = (!kept.faults.is_empty())
            .then(|| view! { <div class="error">{fault_list(&kept.faults, &kept.text)}</div> });
        let from = kept.path.clone().unwrap_or_else(|| tr("comes with Mangru").to_owned());
        let edit = request.time.params().with("name", &kept.name).on("/dashboards/edit");
        view! {
            <tr>
                <th scope="row"><a href=address data-row="">{title}</a>{faults}</th>
                <td class="quiet">{description}</td>
                <td class="num">{format::count(panels as u64)}</td>
                <td class="mono quiet">{from}</td>
                <td><a href=edit>{tr("Edit")}</a></td>
            </tr>
        }
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    let own = all.iter().filter(|kept| kept.path.is_some()).count();
    let teach = (own == 0).then(|| {
        let first = "title: My first dashboard\npanels:\n  - title: Log lines by severity\n    style: bars\n    queries:\n      - search: ''\n        by: severity\n";
        view! {
            <section class="empty">
                <h2>{tr("Your own dashboards")}</h2>
                <p>{trf("A YAML file in {0} is a dashboard. It shows up here as soon as it is there, and changes when the file changes. Keep the folder in git.", &[folder])}</p>
                {parts::copyable(first)}
            </section>
        }
    });
    let content = view! {
        <div class="section-head">
            <h1>{tr("Dashboards")}</h1>
            <p><a class="button" href=request.there("/dashboards/edit")>{tr("New dashboard")}</a><a class="button" href=request.there("/dashboards/import")>{tr("Import from Grafana")}</a></p>
        </div>
        <div class="table-wrap"><table class="dash-list">
            <thead><tr><th scope="col">{tr("Title")}</th><th scope="col">{tr("Description")}</th><th scope="col" class="num">{tr("Panels")}</th>
                <th scope="col">{tr("File")}</th><th scope="col"><span class="unseen">{tr("Edit")}</span></th></tr></thead>
            <tbody>{rows}</tbody>
        </table></div>
        {teach}
    }
    .into_any();
    Screen { title: tr("Dashboards").to_owned(), has_time: true, status: StatusCode::OK, content }
}
