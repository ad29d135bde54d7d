//! The list of traces that were found, page by page.

use super::{Asked, TRACES_PER_PAGE, orders};
use crate::clock::{Show, row_time};
use crate::format;
use crate::nouns::counted;
use crate::palette::service_class;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{Page, ServiceShare, TraceSummary};

/// The list with its order and its pages.
pub(super) fn results(request: &PageRequest, asked: &Asked, found: &Page<TraceSummary>) -> AnyView {
    if found.rows.is_empty() {
        return nothing(request, asked, found);
    }
    let chosen = request.params.get("order").unwrap_or("newest");
    let orders: Vec<_> = orders()
        .into_iter()
        .map(|(order, words)| {
            let current = (order == chosen).then_some("true");
            let address = request.here(&request.params.without("cursor").without("page").with("order", order));
            view! { <li><a href=address aria-current=current>{words}</a></li> }
        })
        .collect();
    let number = request
        .params
        .get("page")
        .and_then(|page| page.parse::<usize>().ok())
        .filter(|_| request.params.get("cursor").is_some())
        .unwrap_or(1);
    let first = number.saturating_sub(1).saturating_mul(TRACES_PER_PAGE) + 1;
    let shown = format!("{}–{}", format::count(first as u64), format::count((first + found.rows.len() - 1) as u64));
    let of = if number > 1 {
        shown
    } else {
        let matched = counted(found.coverage.matched, "matching trace");
        let matched = if found.coverage.matched_is_exact { matched } else { trf("at least {0}", &[&matched]) };
        trf("{0} of {1}", &[&shown, &matched])
    };
    let says = trf(
        "{0}, {1} in range, {2} ms",
        &[&of, &counted(found.coverage.rows_in_range, "span"), &format!("{:.0}", found.coverage.elapsed_ms)],
    );
    // That there are further pages is no limit that cuts.
    let cut = found
        .coverage
        .limit_hit
        .as_ref()
        .is_some_and(|limit| !limit.starts_with(&format!("limit of {TRACES_PER_PAGE} ")))
        .then(|| parts::incomplete(&found.coverage));
    let longest = found.rows.iter().map(|trace| trace.duration_ns).max().unwrap_or(1).max(1);
    let rows: Vec<_> = found.rows.iter().map(|trace| line(request, asked, trace, longest)).collect();
    let newest = (number > 1).then(|| {
        view! { <a href=request.here(&request.params.without("cursor").without("page"))>{tr("⟨ First page")}</a> }
    });
    let next = found.cursor.as_ref().map(|cursor| {
        let address = request.here(&request.params.with("cursor", cursor).with("page", &(number + 1).to_string()));
        view! { <a href=address>{tr("Next traces ⟩")}</a> }
    });
    view! {
        <section aria-labelledby="traces-head">
            <div class="section-head">
                <h2 id="traces-head">{tr("Traces")}</h2>
                <ul class="choices" aria-label=tr("Order")>{orders}</ul>
            </div>
            <p class="covers">{says}{cut}</p>
            <div class="table-wrap">
                <table class="traces dense">
                    <thead><tr>
                        <th scope="col">{tr("Start")}</th><th scope="col">{tr("Trace")}</th><th scope="col" class="num">{tr("Duration")}</th>
                        <th scope="col">{tr("Services")}</th><th scope="col" class="num">{tr("Spans")}</th><th scope="col" class="num">{tr("Errors")}</th>
                        {(!asked.roots_only).then(|| view! { <th scope="col" class="num">{tr("Matching")}</th> })}
                    </tr></thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            <nav class="paging" aria-label=tr("Pages of traces")>{newest}{next}</nav>
        </section>
    }
    .into_any()
}

fn nothing(request: &PageRequest, asked: &Asked, found: &Page<TraceSummary>) -> AnyView {
    let wider = request.here(&request.params.without("end").without("cursor").with("start", "-24h"));
    let any = asked.roots_only.then(|| {
        view! { " · "<a href=request.here(&request.params.with("spans", "any"))>{tr("Search all spans, not only roots")}</a> }
    });
    let one = asked.is_structure.then(|| view! { <p class="quiet">{tr("In a structure both searches must match, and stand to each other as the sign between them says.")}</p> });
    view! {
        {parts::coverage(0, "matching trace", &found.coverage)}
        <div class="empty">
            <p>{tr("No trace matches in this range.")}" "<a href=wider>{tr("Search the last 24 hours")}</a>{any}</p>
            {one}
        </div>
    }
    .into_any()
}

fn line(request: &PageRequest, asked: &Asked, trace: &TraceSummary, longest: i64) -> AnyView {
    let address = request.there(&format!("/traces/{}", trace.trace_id));
    let missing = trace.root_is_missing.then(|| view! { <span class="quiet" title=tr("The root span has not come in; the earliest span stands for it")>{tr(" (root missing)")}</span> });
    let error_class = if trace.errors > 0 { "num bad" } else { "num" };
    let errors = if trace.errors > 0 { format!("✖ {}", format::count(trace.errors)) } else { "0".to_owned() };
    let width = format!("{:.1}%", (trace.duration_ns.max(0) as f64 / longest as f64 * 100.0).max(0.8));
    view! {
        <tr>
            <td class="time">{row_time(&trace.start_unix_nano, Show::Row)}</td>
            <th scope="row"><a href=address data-row="">{parts::service(&trace.root_service)}" "{trace.root_name.clone()}</a>{missing}</th>
            <td class="num with-bar">{format::duration(trace.duration_ns)}<svg class="row-bar" aria-hidden="true"><rect x="0" y="0" height="3" width=width></rect></svg></td>
            <td>{mix(trace)}</td>
            <td class="num">{format::count(trace.spans)}</td>
            <td class=error_class>{errors}</td>
            {(!asked.roots_only).then(|| view! { <td class="num">{format::count(trace.matched_spans)}</td> })}
        </tr>
    }
    .into_any()
}

/// What a service took of a trace.
fn share_words(share: &ServiceShare) -> String {
    trf("{0} {1} in {2}", &[&share.name, &format::duration(share.duration_ns), &counted(share.spans, "span")])
}

/// How the trace's time divides among its services, as one bar with the names as its text.
fn mix(trace: &TraceSummary) -> AnyView {
    let total = trace.services.iter().map(|share| share.duration_ns.max(0) as f64).sum::<f64>().max(1.0);
    let titles: Vec<String> = trace.services.iter().map(share_words).collect();
    let summary = titles.join("; ");
    let mut x = 0.0;
    let pieces: Vec<_> = trace
        .services
        .iter()
        .zip(titles)
        .map(|(share, title)| {
            let width = share.duration_ns.max(0) as f64 / total * 160.0;
            let class = format!("piece {}", service_class(&share.name));
            let at = format!("{x:.1}");
            x += width;
            view! { <rect class=class x=at y="0" width=format!("{:.1}", width.max(0.5)) height="10"><title>{title}</title></rect> }
        })
        .collect();
    let shown = trace.services.iter().take(2).map(|share| share.name.as_str()).collect::<Vec<_>>().join(", ");
    let more = trace.services.len().saturating_sub(2);
    let shown = if more > 0 { format!("{} +{more}", format::clipped(&shown, 40)) } else { shown };
    view! {
        <svg class="mix" viewBox="0 0 160 10" preserveAspectRatio="none" role="img" aria-label=summary>{pieces}</svg>
        <span class="quiet mix-names">{shown}</span>
    }
    .into_any()
}
