//! Saved searches: the ones that are there, and the file that would keep this one.

use crate::config_files::{self, Folder, Named};
use crate::parts;
use crate::request::PageRequest;
use crate::saved_searches::{SavedSearch, SearchScreen, file_name};
use crate::text::{tr, trf};
use axum::response::Response;
use leptos::prelude::*;
use std::sync::Arc;

/// What the menu shows.
pub(crate) struct Saved {
    /// The searches of logs.
    pub(crate) files: Vec<Named<SavedSearch>>,
    /// Where they lie.
    pub(crate) folder: String,
}

impl Saved {
    /// What is there now.
    pub(crate) async fn of(folder: &Arc<Folder<SavedSearch>>) -> Self {
        Self { files: folder.now().await, folder: folder.path().display().to_string() }
    }
}

/// Answers `/logs/saved.yaml?title=&q=…`: the file that keeps the search, as a download.
pub(crate) async fn download(request: PageRequest) -> Response {
    let search = search(&request);
    config_files::download(search.yaml(), &file_name(&search.title), "search")
}

fn search(request: &PageRequest) -> SavedSearch {
    let title = request.params.get("title").map(str::to_owned);
    let title = title.unwrap_or_else(|| match request.query() {
        "" => tr("All logs").to_owned(),
        query => crate::format::clipped(query, 60),
    });
    SavedSearch { title, ..SavedSearch::of_params(&request.params) }
}

/// The menu.
pub(super) fn menu(request: &PageRequest, saved: &Saved) -> AnyView {
    let links: Vec<_> = saved
        .files
        .iter()
        .filter(|file| file.content.as_ref().is_none_or(|search| search.screen == SearchScreen::Logs))
        .map(|file| {
            let faults: Vec<_> = file
                .faults
                .iter()
                .map(|fault| view! { <p class="bad">{format!("✖ {}: {fault}", file.path.display())}</p> })
                .collect();
            let link = file.content.as_ref().map(|search| {
                let description = (!search.description.is_empty())
                    .then(|| view! { <span class="quiet">{search.description.clone()}</span> });
                view! { <a href=search.address(&request.time.params())>{search.title.clone()}</a>{description} }
            });
            view! { <li>{link}{faults}</li> }
        })
        .collect();
    let list = if links.is_empty() {
        view! { <p class="quiet">{tr("None yet.")}</p> }.into_any()
    } else {
        view! { <ul class="saved">{links}</ul> }.into_any()
    };
    let search = search(request);
    let file = format!("{}/{}.yaml", saved.folder, file_name(&search.title));
    let carried = request.params.without("title").without("cursor").without("row").without("at");
    view! {
        <details class="menu">
            <summary>{tr("Saved")}</summary>
            <div class="menu-body wide column">
                <p class="menu-head">{tr("Saved searches")}</p>
                {list}
                <p class="menu-head">{tr("Keep this one")}</p>
                <p>{trf("Put this into {0} (or into git, where your config comes from). It is listed here from the next page on.", &[&file])}</p>
                {parts::copyable(&search.yaml())}
                <form action="/logs/saved.yaml" method="get" class="inline">
                    {parts::hidden_inputs(&carried)}
                    <input type="text" name="title" value=search.title.clone() aria-label=tr("Title of the search") maxlength="120" />
                    <button>{tr("Download the file")}</button>
                </form>
            </div>
        </details>
    }
    .into_any()
}
