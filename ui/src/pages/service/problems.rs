//! What goes wrong in a service: exceptions in groups, and its newest error logs.

use super::{Service, trend};
use crate::clock::{Show, row_time};
use crate::format;
use crate::nouns::counted;
use crate::palette::Severity;
use crate::parts::{self, code, field_term, plain};
use crate::request::PageRequest;
use crate::text::{tr, trv};
use leptos::prelude::*;
use mangru_query::{ExceptionGroup, LogRow};

/// Exceptions, those thrown most often first; each opens to its stack trace.
pub(super) fn exceptions(request: &PageRequest, service: &Service) -> AnyView {
    let content = match &service.exceptions {
        Err(error) => parts::error("", error),
        Ok(found) if found.groups.is_empty() => {
            view! { <p class="quiet">{trv("None was thrown. They come from span events named {0} and logs with {1}.", [code("exception"), code("exception.type")])}</p> }.into_any()
        }
        Ok(found) => {
            let groups: Vec<_> = found.groups.iter().map(|group| exception(request, service, group)).collect();
            view! { <ul class="exceptions">{groups}</ul>{parts::incomplete(&found.coverage)} }.into_any()
        }
    };
    view! { <section aria-labelledby="exceptions-head"><h2 id="exceptions-head">{tr("Exceptions")}</h2>{content}</section> }
        .into_any()
}

fn exception(request: &PageRequest, service: &Service, group: &ExceptionGroup) -> AnyView {
    let own = field_term("service.name", &service.name);
    let kind = field_term("event.exception.type", &group.kind);
    let spans = request.search("/traces", &format!("{own} {kind}"));
    // One that was thrown in a span alone has no log of its own: those of its newest trace stand for it.
    let logged = field_term("exception.type", &group.kind);
    let logs = if group.trace_id.is_empty() {
        format!("{own} {logged}")
    } else {
        format!("({own} {logged}) OR {}", field_term("trace_id", &group.trace_id))
    };
    let logs = request.search("/logs", &logs);
    let newest = (!group.trace_id.is_empty()).then(|| {
        let address = request.time.params().with("span", &group.span_id).on(&format!("/traces/{}", group.trace_id));
        view! { <a href=address>{tr("newest trace")}</a>" · " }
    });
    let name = if group.kind.is_empty() { tr("(no type)").to_owned() } else { group.kind.clone() };
    view! {
        <li>
            <div class="exception-head">
                <strong class="mono bad">{name}</strong>
                <span class="exception-count">{trend(&group.counts, "bad")}<b class="num">{format!("{} ×", format::count(group.count))}</b></span>
            </div>
            <p class="exception-message">{format::clipped(&group.message, 240)}</p>
            <p class="mono quiet exception-place">{group.place.clone()}</p>
            <p class="quiet">
                {newest}<a href=spans>{tr("traces")}</a>" · "<a href=logs>{tr("logs")}</a>" · "{trv("first {0}", [row_time(&group.first_unix_nano, Show::Row)])}" · "{trv("last {0}", [row_time(&group.last_unix_nano, Show::Row)])}
            </p>
            {(!group.stack_trace.is_empty()).then(|| view! { <details><summary>{tr("Stack trace")}</summary><pre class="stack" tabindex="0">{group.stack_trace.clone()}</pre></details> })}
        </li>
    }
    .into_any()
}

/// The newest error logs; each leads to itself among its neighbours, and to its trace.
pub(super) fn error_logs(request: &PageRequest, service: &Service) -> AnyView {
    let query = format!("{} level>=error", field_term("service.name", &service.name));
    let all = request.search("/logs", &query);
    let content = match &service.error_logs {
        Err(error) => parts::error("", error),
        Ok(logs) if logs.rows.is_empty() => {
            view! { <p class="quiet">{tr("No log of severity error or above.")}</p> }.into_any()
        }
        Ok(logs) => {
            let rows: Vec<_> = logs.rows.iter().map(|log| line(request, &query, log)).collect();
            let all = all.clone();
            view! {
                <ol class="log-lines">{rows}</ol>
                <p class="covers">{trv("{0} of {1}", [logs.rows.len().to_string().into_any(), view! { <a href=all>{counted(logs.coverage.matched, "error log")}</a> }.into_any()])}</p>
            }
            .into_any()
        }
    };
    view! {
        <section aria-labelledby="errors-head">
            <div class="section-head"><h2 id="errors-head">{tr("Newest error logs")}</h2><a href=all>{tr("in Logs")}</a></div>
            {content}
        </section>
    }
    .into_any()
}

fn line(request: &PageRequest, query: &str, log: &LogRow) -> AnyView {
    let severity = Severity::of_level(&log.level);
    let class = format!("log-line {}", severity.class());
    let row = format!("{}#row", request.time.params().with("q", query).with("row", &log.row).on("/logs"));
    let trace = (!log.trace_id.is_empty()).then(|| {
        let address = request.time.params().with("span", &log.span_id).on(&format!("/traces/{}", log.trace_id));
        view! { <a href=address>{tr("trace")}</a> }
    });
    view! {
        <li class=class>
            <a class="time" href=row data-row="">{row_time(&log.time_unix_nano, Show::Row)}</a>
            <span class="mark">{severity.mark()}</span>
            <span class="body clip-2">{format::clipped(&plain(&log.body), 400)}</span>
            {trace}
        </li>
    }
    .into_any()
}
