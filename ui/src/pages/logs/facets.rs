//! The facets at the left: values with counts, each a link that narrows the search.

use super::{Facet, Logs, severity_of_key};
use crate::format;
use crate::palette::{Severity, service_class};
use crate::parts::{self, field_term, hidden_inputs, narrowed};
use crate::request::PageRequest;
use leptos::prelude::*;

/// All facets, and the form that adds one.
pub(super) fn facets(request: &PageRequest, logs: &Logs) -> AnyView {
    let facets: Vec<_> = logs.facets.iter().map(|facet| one(request, facet)).collect();
    let shown: Vec<&str> = logs.facets.iter().map(|facet| facet.name.as_str()).collect();
    let options: Vec<_> = logs
        .fields
        .iter()
        .filter(|field| !shown.contains(&field.name.as_str()))
        .map(|field| view! { <option value=field.name.clone()>{format!("{} ({})", field.name, format::count(field.rows))}</option> })
        .collect();
    let add = (!options.is_empty()).then(|| {
        view! {
            <form action="/logs" method="get" class="add-facet">
                {hidden_inputs(&request.params.without("cursor").without("row").without("at"))}
                <select name="facet" aria-label="Another field"><option value="">"another field…"</option>{options}</select>
                <button>"Add"</button>
            </form>
        }
    });
    view! { <aside class="facets" aria-label="Narrow the search">{severities(request, logs)}{facets}{add}</aside> }
        .into_any()
}

fn severities(request: &PageRequest, logs: &Logs) -> AnyView {
    let Some(Ok(counts)) = &logs.counts else { return ().into_any() };
    let rows: Vec<_> = Severity::ALL
        .into_iter()
        .rev()
        .filter_map(|severity| {
            let rows: u64 = counts
                .series
                .iter()
                .filter(|series| severity_of_key(series.key.as_deref()) == severity)
                .map(|series| series.total)
                .sum();
            let term = if severity == Severity::Unset {
                "severity_number:0".to_owned()
            } else {
                format!("level:{}", severity.word())
            };
            let class = format!("mark {}", severity.class());
            (rows > 0)
                .then(|| value(request, &term, view! { <span class=class>{severity.word()}</span> }.into_any(), rows))
        })
        .collect();
    view! { <section class="facet"><h2>"severity"</h2><ul>{rows}</ul></section> }.into_any()
}

fn one(request: &PageRequest, facet: &Facet) -> AnyView {
    let name = facet.name.clone();
    let is_chosen = request.params.all("facet").any(|chosen| chosen == name);
    let remove = is_chosen.then(|| {
        let address = request.here(&request.params.without_value("facet", &name).without("cursor"));
        view! { " "<a class="remove" href=address aria-label=format!("Remove facet {name}")>"×"</a> }
    });
    let body = match &facet.values {
        Err(error) => parts::error("", error),
        Ok((values, _)) if values.is_empty() => view! { <p class="quiet">"no values"</p> }.into_any(),
        Ok((values, coverage)) => {
            let rows: Vec<_> = values
                .iter()
                .map(|found| {
                    let class = if name == "service.name" {
                        format!("service {}", service_class(&found.value))
                    } else {
                        "plain".to_owned()
                    };
                    let shown = view! { <span class=class>{format::clipped(&found.value, 60)}</span> }.into_any();
                    value(request, &field_term(&name, &found.value), shown, found.rows)
                })
                .collect();
            let more = (!coverage.complete).then(|| {
                let why = coverage.limit_hit.clone().unwrap_or_default();
                view! { <p class="quiet" title=why>"the most frequent"</p> }
            });
            view! { <ul>{rows}</ul>{more} }.into_any()
        }
    };
    view! { <section class="facet"><h2>{name.clone()}{remove}</h2>{body}</section> }.into_any()
}

fn value(request: &PageRequest, term: &str, shown: AnyView, rows: u64) -> AnyView {
    let params = request.params.without("cursor").without("row").without("at");
    let include = request.here(&params.with("q", &narrowed(request.query(), term)));
    let exclude = request.here(&params.with("q", &narrowed(request.query(), &format!("-{term}"))));
    view! {
        <li>
            <a class="include" href=include>{shown}<span class="num">{format::count(rows)}</span></a>
            <a class="exclude" href=exclude aria-label=format!("Exclude {term}") title=format!("Exclude {term}")>"−"</a>
        </li>
    }
    .into_any()
}
