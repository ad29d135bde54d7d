//! What is different about a part of the spans: the attribute values that it has more often than the rest.

use super::{Asked, ComparedPart};
use crate::format;
use crate::nouns::counted;
use crate::parts::{self, field_term, narrowed};
use crate::request::PageRequest;
use crate::text::{tr, trf};
use leptos::prelude::*;
use mangru_query::{ComparedField, ComparedKind, ComparedValue, Comparison, QueryError};

/// The panel, when something is compared.
pub(super) fn panel(
    request: &PageRequest,
    asked: &Asked,
    comparison: Option<&Result<Comparison, QueryError>>,
) -> Option<AnyView> {
    let part = asked.part?;
    let content = match comparison? {
        Err(error) => parts::error("", error),
        Ok(comparison) => answer(request, asked, comparison),
    };
    let head = match (part, asked.region) {
        (ComparedPart::Errors, _) => tr("What is different about the spans with errors").to_owned(),
        (ComparedPart::Slow, _) => tr("What is different about the slowest 5 %").to_owned(),
        (ComparedPart::Region, Some(region)) => trf(
            "What is different about spans of {0} to {1} in the region",
            &[&format::duration(region.min_ns), &format::duration(region.max_ns)],
        ),
        (ComparedPart::Region, None) => tr("What is different about the region").to_owned(),
    };
    let zoom = asked.region.map(|region| {
        let query = narrowed(request.query(), &format!("duration>={}ns duration<={}ns", region.min_ns, region.max_ns));
        let address = super::carried(request)
            .with("q", &query)
            .with("start", &crate::clock::rfc3339(region.time.start))
            .with("end", &crate::clock::rfc3339(region.time.end))
            .with("spans", if asked.roots_only { "root" } else { "any" })
            .on("/traces");
        view! { <a class="button" href=address>{tr("Show these traces alone")}</a> }
    });
    Some(
        view! {
            <section class="different" id="different" aria-labelledby="different-head">
                <div class="section-head"><h2 id="different-head">{head}</h2>{zoom}</div>
                {content}
            </section>
        }
        .into_any(),
    )
}

fn answer(request: &PageRequest, asked: &Asked, comparison: &Comparison) -> AnyView {
    let says = trf(
        "{0} against {1}; {2} tested, {3} ms",
        &[
            &counted(comparison.selection_rows, "span"),
            &format::count(comparison.baseline_rows),
            &counted(comparison.values_tested, "value"),
            &format!("{:.0}", comparison.coverage.elapsed_ms),
        ],
    );
    // Ids differ on every span: that they are not compared is no loss.
    let cut =
        comparison.coverage.limit_hit.as_ref().is_some_and(|limit| !limit.starts_with("too many different values"));
    let left_out = (!comparison.left_out.is_empty()).then(|| {
        let title = comparison.left_out.join(", ");
        let words =
            format!("; {}", trf("left out, as nearly every span has its own: {0}", &[&format::clipped(&title, 120)]));
        view! { <span title=title>{words}</span> }
    });
    let covers = view! { <p class="covers">{says}{left_out}{cut.then(|| parts::incomplete(&comparison.coverage))}</p> };
    if comparison.selection_rows == 0 {
        return view! { {covers}<p class="quiet">{tr("There is no such span. Choose another part of the picture.")}</p> }
            .into_any();
    }
    if comparison.fields.is_empty() {
        return view! { {covers}<p class="quiet">{tr("No value stands out: by their attributes these spans are like the others.")}</p> }.into_any();
    }
    // What the part was chosen by is no news.
    let (told, asked_for): (Vec<_>, Vec<_>) =
        comparison.fields.iter().partition(|field| !field.is_queried && !is_the_part(asked, field));
    let fields: Vec<_> = told.iter().chain(&asked_for).map(|field| view_of(request, field)).collect();
    view! {
        {covers}
        <p class="two-bars quiet"><span class="key-bar part"></span>" "{tr("this part")}"  "<span class="key-bar rest"></span>" "{tr("the rest")}</p>
        <div class="different-fields">{fields}</div>
    }
    .into_any()
}

fn is_the_part(asked: &Asked, field: &ComparedField) -> bool {
    asked.part == Some(ComparedPart::Errors) && matches!(field.name.as_str(), "status" | "status_code")
}

fn view_of(request: &PageRequest, field: &ComparedField) -> AnyView {
    let rows: Vec<_> = field.values.iter().map(|value| line(request, field, value)).collect();
    let more = field.values_found.saturating_sub(field.values.len() as u64);
    let more =
        (more > 0).then(|| view! { <li class="quiet">{trf("and {0} not shown", &[&counted(more, "value")])}</li> });
    let kind = match field.kind {
        ComparedKind::Column => "",
        ComparedKind::Attribute => tr("attribute"),
        ComparedKind::Resource => tr("resource"),
    };
    let name = field.name.strip_prefix("resource.").unwrap_or(&field.name).to_owned();
    view! {
        <section class="different-field">
            <h3><span class="mono">{name}</span>" "<span class="quiet">{kind}</span></h3>
            <ul>{rows}{more}</ul>
        </section>
    }
    .into_any()
}

fn line(request: &PageRequest, field: &ComparedField, value: &ComparedValue) -> AnyView {
    let term = field_term(&field.name, &value.value);
    let address = super::carried(request).with("q", &narrowed(request.query(), &term)).on("/traces");
    let percent = |share: f64| format!("{:.1}%", share.clamp(0.0, 1.0) * 100.0);
    let summary = trf(
        "{0} of this part, {1} of the rest",
        &[&format::percent(value.selection_share), &format::percent(value.baseline_share)],
    );
    let shown = if value.value.is_empty() { tr("(empty)").to_owned() } else { value.value.clone() };
    let shown = if value.is_cut { format!("{shown}…") } else { shown };
    view! {
        <li>
            <a href=address title=tr("Search with this value") class="mono different-value">{shown}</a>
            <svg class="share-bars" role="img" aria-label=summary>
                <rect class="part" x="0" y="0" height="6" width=percent(value.selection_share)></rect>
                <rect class="rest" x="0" y="7" height="6" width=percent(value.baseline_share)></rect>
            </svg>
            <span class="num different-shares"><b>{format::percent(value.selection_share)}</b>" / "{format::percent(value.baseline_share)}</span>
        </li>
    }
    .into_any()
}
