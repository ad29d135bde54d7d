//! Patterns: the templates that the lines of a search were written by, with counts, trend and what is new.

use crate::chart::sparkline::sparkline;
use crate::clock::{Show, row_time};
use crate::format;
use crate::palette::Severity;
use crate::parts::{self, narrowed};
use crate::request::PageRequest;
use crate::text::{tr, trf};
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_query::{Pattern, Patterns, QueryError};

/// Patterns that are shown.
pub(super) const PATTERNS: usize = 200;
/// Buckets of the trend.
pub(super) const BUCKETS: usize = 40;
/// The shares of the range that can be called new, and the words for them.
const NEW: [(&str, i64); 3] = [("2", 2), ("4", 4), ("10", 10)];
const WILDCARD: &str = "<*>";
const SERVICES: usize = 3;

/// From when on a pattern that was not there before is new: the last part of the range.
pub(super) fn new_since(request: &PageRequest) -> i64 {
    let chosen = request.params.get("new").and_then(|text| NEW.iter().find(|(name, _)| *name == text));
    let share = chosen.map_or(4, |(_, share)| *share);
    request.time.range.end - request.time.length() / share
}

/// A part of the range in words.
fn words(ns: i64) -> String {
    Unit::Nanoseconds.text(ns as f64)
}

/// The table of patterns.
pub(super) fn patterns(request: &PageRequest, found: &Result<Patterns, QueryError>) -> AnyView {
    let found = match found {
        Err(error) => return parts::error(request.query(), error),
        Ok(found) => found,
    };
    if found.patterns.is_empty() {
        return view! { <p class="empty">{tr("Nothing matches in this range, so there are no patterns.")}</p> }
            .into_any();
    }
    let new = found.patterns.iter().filter(|pattern| pattern.is_new == Some(true)).count();
    let since = words(request.time.range.end - new_since(request));
    let choices: Vec<_> = NEW
        .iter()
        .map(|(name, share)| {
            let address = request.here(&request.params.with("new", name));
            let current =
                (new_since(request) == request.time.range.end - request.time.length() / share).then_some("true");
            view! { <li><a href=address aria-current=current>{words(request.time.length() / share)}</a></li> }
        })
        .collect();
    let most = found.patterns.iter().map(|pattern| pattern.count).max().unwrap_or(1);
    let rows: Vec<_> = found.patterns.iter().map(|pattern| row(request, pattern, most)).collect();
    let says = trf(
        "{0} patterns of {1} lines, {2} new in the last {3}, {4} ms",
        &[
            &format::count(found.distinct),
            &format::count(found.coverage.matched),
            &format::count(new as u64),
            &since,
            &format!("{:.0}", found.coverage.elapsed_ms),
        ],
    );
    view! {
        <div class="pattern-head">
            <p class="covers">{says}{parts::incomplete(&found.coverage)}</p>
            <div class="inline"><span class="quiet">{tr("New is what came first in the last")}</span><ul class="choices">{choices}</ul></div>
        </div>
        <div class="table-wrap">
            <table class="patterns dense">
                <thead><tr>
                    <th scope="col" class="num">{tr("Lines")}</th><th scope="col">{tr("Share")}</th><th scope="col">{tr("Trend")}</th>
                    <th scope="col"><abbr title=tr("Highest severity")>{tr("Sev")}</abbr></th><th scope="col">{tr("Pattern")}</th>
                    <th scope="col">{tr("Services")}</th><th scope="col">{tr("First")}</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(request: &PageRequest, pattern: &Pattern, most: u64) -> AnyView {
    let severity = Severity::of(pattern.max_severity_number);
    let params = request.params.without("view").without("new").without("row").without("at").without("cursor");
    let search = request.here(&params.with("q", &narrowed(request.query(), &pattern.query)));
    // A pattern without a fixed word has no search of its own.
    let template = if pattern.query.is_empty() {
        view! { <span class="template">{template(&pattern.template)}</span> }.into_any()
    } else {
        view! { <a class="template" href=search data-row="">{template(&pattern.template)}</a> }.into_any()
    };
    let without = (!pattern.query.is_empty()).then(|| {
        let address = request.here(&request.params.with("q", &narrowed(request.query(), &negated(&pattern.query))));
        view! { <a class="exclude" href=address title=tr("Without this pattern") aria-label=tr("Without this pattern")>"−"</a> }
    });
    let services: Vec<_> =
        pattern.services.iter().take(SERVICES).map(|name| view! { <div>{parts::service(name)}</div> }).collect();
    let more = pattern.services.len().saturating_sub(SERVICES);
    let more = (more > 0).then(|| view! { <span class="quiet">{format!("+ {more}")}</span> });
    let is_new = (pattern.is_new == Some(true)).then(|| view! { <span class="new">{tr("new")}</span> });
    let counts: Vec<f64> = pattern.counts.iter().map(|count| *count as f64).collect();
    let spark = if severity >= Severity::Error { "bad" } else { "calm" };
    let width = format!("{:.1}", (pattern.count as f64 / most as f64 * 80.0).max(1.0));
    let example = (pattern.example != pattern.template && !pattern.example.is_empty()).then(|| {
        view! { <details class="example"><summary>{tr("newest line")}</summary><pre>{pattern.example.clone()}</pre></details> }
    });
    let mark = format!("mark {}", severity.class());
    view! {
        <tr class=severity.class()>
            <td class="num">{format::count(pattern.count)}</td>
            <td class="share"><svg class="share-bar" viewBox="0 0 80 8" preserveAspectRatio="none" aria-hidden="true"><rect x="0" y="0" height="8" width=width></rect></svg><span>{format::percent(pattern.share)}</span></td>
            <td>{sparkline(&counts, spark)}</td>
            <td><span class=mark title=severity.word()>{severity.mark()}</span></td>
            <td class="pattern">{is_new}{template}{without}{example}</td>
            <td>{services}{more}</td>
            <td class="time">{row_time(&pattern.first_unix_nano, Show::Row)}</td>
        </tr>
    }
    .into_any()
}

/// `-("a" "b")` for the rows without all these phrases.
fn negated(query: &str) -> String {
    if query.matches('"').count() == 2 { format!("-{query}") } else { format!("-({query})") }
}

/// The template with its wildcards set apart.
fn template(text: &str) -> Vec<AnyView> {
    let text = format::clipped(text, 1000);
    let mut pieces = Vec::new();
    for (place, piece) in text.split(WILDCARD).enumerate() {
        if place > 0 {
            pieces.push(view! { <span class="wildcard">"‹*›"</span> }.into_any());
        }
        pieces.push(piece.to_owned().into_any());
    }
    pieces
}
