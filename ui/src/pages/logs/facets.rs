//! The facets at the left: values with counts, each a link that narrows the search.

use super::{Facet, Logs, severity_of_key};
use crate::format;
use crate::palette::{Severity, service_class};
use crate::parts::{self, field_term, hidden_inputs, narrowed};
use crate::request::PageRequest;
use crate::text::{tr, trf};
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
                <select name="facet" aria-label=tr("Another field")><option value="">{tr("another field…")}</option>{options}</select>
                <button>{tr("Add")}</button>
            </form>
        }
    });
    view! { <aside class="facets" id="facets" aria-label=tr("Narrow the search")>{severities(request, logs)}{facets}{add}</aside> }
        .into_any()
}

fn severities(request: &PageRequest, logs: &Logs) -> AnyView {
    let Some(Ok(counts)) = &logs.counts else { return ().into_any() };
    let total = |severity: Severity| -> u64 {
        let of_it = counts.series.iter().filter(|series| severity_of_key(series.key.as_deref()) == severity);
        of_it.map(|series| series.total).sum()
    };
    let most = Severity::ALL.into_iter().map(total).max().unwrap_or(0);
    let rows: Vec<_> = Severity::ALL
        .into_iter()
        .rev()
        .filter_map(|severity| {
            let rows = total(severity);
            let term = format!("level:{}", severity.word());
            let class = format!("mark {}", severity.class());
            (rows > 0).then(|| {
                value(request, &term, view! { <span class=class>{severity.word()}</span> }.into_any(), rows, most)
            })
        })
        .collect();
    view! { <section class="facet"><h2>{tr("severity")}</h2><ul>{rows}</ul></section> }.into_any()
}

fn one(request: &PageRequest, facet: &Facet) -> AnyView {
    let name = facet.name.clone();
    let is_chosen = request.params.all("facet").any(|chosen| chosen == name);
    let remove = is_chosen.then(|| {
        let address = request.here(&request.params.without_value("facet", &name).without("cursor"));
        view! { " "<a class="remove" href=address aria-label=trf("Remove facet {0}", &[&name])>"×"</a> }
    });
    let body = match &facet.values {
        Err(error) => parts::error("", error),
        Ok((values, _)) if values.is_empty() => view! { <p class="quiet">{tr("no values")}</p> }.into_any(),
        Ok((values, coverage)) => {
            let most = values.iter().map(|found| found.rows).max().unwrap_or(0);
            let rows: Vec<_> = values
                .iter()
                .map(|found| {
                    let class = if name == "service.name" {
                        format!("service {}", service_class(&found.value))
                    } else {
                        "plain".to_owned()
                    };
                    let shown = view! { <span class=class>{format::clipped(&found.value, 60)}</span> }.into_any();
                    value(request, &field_term(&name, &found.value), shown, found.rows, most)
                })
                .collect();
            let is_opened = request.params.all("all").any(|opened| opened == name);
            let why = coverage.limit_hit.clone().unwrap_or_default();
            let more = (!coverage.complete).then(|| {
                if is_opened {
                    view! { <p class="quiet" title=why>{tr("the most frequent")}</p> }.into_any()
                } else {
                    let address = request.here(&request.params.and("all", &name));
                    view! { <p><a class="more" href=address>{tr("more values")}</a></p> }.into_any()
                }
            });
            view! { <ul>{rows}</ul>{more} }.into_any()
        }
    };
    view! { <section class="facet"><h2>{name.clone()}{remove}</h2>{body}</section> }.into_any()
}

/// A value with its count; `most` is the largest count of its facet, for the bar below it.
fn value(request: &PageRequest, term: &str, shown: AnyView, rows: u64, most: u64) -> AnyView {
    let params = request.params.without("cursor").without("row").without("at");
    let is_asked = asks(request.query(), term);
    let without = format!("-{term}");
    let exclude = request.here(&params.with("q", &narrowed(request.query(), &without)));
    let width = format!("{:.1}", (rows as f64 / most.max(1) as f64 * 100.0).max(0.5));
    let bar = view! { <svg class="facet-bar" viewBox="0 0 100 2" preserveAspectRatio="none" aria-hidden="true"><rect x="0" y="0" height="2" width=width></rect></svg> };
    if is_asked {
        // What is asked for is taken out of the search again.
        let drop = request.here(&params.with("q", &dropped(request.query(), term)));
        return view! {
            <li class="is-asked"><a class="include" href=drop title=tr("Take out of the search")>{shown}<span class="num">{format::count(rows)}</span>{bar}</a>
                <span class="exclude" aria-hidden="true">"✓"</span></li>
        }
        .into_any();
    }
    let include = request.here(&params.with("q", &narrowed(request.query(), term)));
    let label = trf("Exclude {0}", &[term]);
    view! {
        <li>
            <a class="include" href=include data-alt=exclude.clone() title=tr("Click to include, Alt-click to exclude")>{shown}<span class="num">{format::count(rows)}</span>{bar}</a>
            <a class="exclude" href=exclude aria-label=label.clone() title=label>"−"</a>
        </li>
    }
    .into_any()
}

/// Where a term stands in a search as a word of its own.
fn stands(query: &str, term: &str) -> Option<usize> {
    query.match_indices(term).map(|(at, _)| at).find(|at| {
        let before = query[..*at].chars().next_back();
        let after = query[at + term.len()..].chars().next();
        before.is_none_or(char::is_whitespace) && after.is_none_or(char::is_whitespace)
    })
}

/// Whether a search asks for a term by itself: not within parentheses or an OR.
fn asks(query: &str, term: &str) -> bool {
    !query.contains(['(', ')']) && !query.contains(" OR ") && stands(query, term).is_some()
}

fn dropped(query: &str, term: &str) -> String {
    match stands(query, term) {
        Some(at) => {
            let (before, after) = (query[..at].trim_end(), query[at + term.len()..].trim_start());
            format!("{before} {after}").trim().to_owned()
        }
        None => query.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_dropped_where_it_stands_by_itself() {
        assert!(asks("x level:error y", "level:error"));
        assert!(!asks("x -level:error", "level:error"));
        assert!(!asks("level:error OR y", "level:error"));
        assert!(!asks("level:errors", "level:error"));
        assert_eq!(dropped("x level:error y", "level:error"), "x y");
        assert_eq!(dropped("level:error", "level:error"), "");
    }
}
