//! The gallery: every component in all its states, with made-up data. It is for those who work on the pages, and the
//! browser tests look at it in both themes.

pub(in crate::pages) mod calls;
mod charts;
mod elements;

use crate::request::PageRequest;
use crate::shell::{Screen, page};
use axum::http::StatusCode;
use axum::response::Response;
use leptos::prelude::*;

/// Answers `/_gallery`.
pub(crate) async fn handle(request: PageRequest) -> Response {
    page(&request, || screen(&request))
}

/// A component with the states it can be in.
struct Exhibit {
    name: &'static str,
    about: &'static str,
    states: Vec<(&'static str, AnyView)>,
}

/// The screen.
pub(crate) fn screen(request: &PageRequest) -> Screen {
    let exhibits: Vec<Exhibit> = elements::exhibits(request)
        .into_iter()
        .chain(charts::exhibits(request))
        .chain(calls::exhibits(request))
        .collect();
    let index: Vec<_> = exhibits
        .iter()
        .map(|exhibit| view! { <li><a href=format!("#{}", id(exhibit.name))>{exhibit.name}</a></li> })
        .collect();
    let sections: Vec<_> = exhibits
        .into_iter()
        .map(|exhibit| {
            let id = id(exhibit.name);
            let states: Vec<_> = exhibit
                .states
                .into_iter()
                .map(|(state, content)| view! { <div class="exhibit"><p class="state">{state}</p>{content}</div> })
                .collect();
            let head = format!("{id}-head");
            let labelled_by = head.clone();
            view! { <section id=id aria-labelledby=labelled_by><h2 id=head>{exhibit.name}</h2><p class="quiet">{exhibit.about}</p>{states}</section> }
        })
        .collect();
    let content = view! {
        <h1>"Gallery"</h1>
        <p class="quiet">"Every component in all its states. The data is made up."</p>
        <ul class="choices gallery-index">{index}</ul>
        <div class="gallery">{sections}</div>
    }
    .into_any();
    Screen { title: "Gallery".to_owned(), has_time: true, status: StatusCode::OK, content }
}

fn id(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}
