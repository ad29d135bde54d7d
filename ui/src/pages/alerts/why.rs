//! Why alerts belong together, in sentences.

use crate::clock::{Show, time_view};
use crate::text::{tr, trf, trv};
use leptos::prelude::*;
use mangru_alerts::incidents::{Incident, Reason};

/// The reasons of an incident, each a sentence.
pub(super) fn reasons(incident: &Incident) -> Vec<AnyView> {
    let Some(origin) = incident.services.first() else { return Vec::new() };
    let shown = if origin.name.is_empty() { tr("alerts that name no service") } else { &origin.name };
    let since = || time_view(origin.since_ms * 1_000_000, Show::Clock);
    incident
        .explanation
        .iter()
        .map(|reason| match reason {
            Reason::Alone => trv(
                "{0} fires since {1}; no service that it calls or is called by fires",
                [shown.to_owned().into_any(), since()],
            ),
            Reason::Origin { calls_none, fired_first, failing } => {
                let why = match (calls_none, fired_first) {
                    (true, true) => tr("it calls no other service that fires, and it fired first"),
                    (true, false) => tr("it calls no other service that fires"),
                    (false, true) => tr("the calls between these go round, and it fired first"),
                    (false, false) => tr("the calls between these go round, and it calls the fewest of them"),
                };
                let most = (*failing > 0.0).then(|| {
                    view! { "; "{trf("up to {0} % of the calls to it fail", &[&in_percent(*failing)])} }
                });
                let told = trv(
                    "{0} is the likely origin: {1} (since {2})",
                    [shown.to_owned().into_any(), why.into_any(), since()],
                );
                view! { {told}{most} }.into_any()
            }
            Reason::Calls { service, others, after_s } => {
                let called = others
                    .iter()
                    .map(|(other, ratio)| trf("{0} ({1} % of the calls fail)", &[other, &in_percent(*ratio)]))
                    .collect::<Vec<_>>()
                    .join(", ");
                let seconds = after_s.unsigned_abs().to_string();
                let values: [&str; 4] = [service, &called, &seconds, shown];
                let told = if *after_s >= 0 {
                    trf("{0} calls {1}, and fired {2} s after {3}", &values)
                } else {
                    trf("{0} calls {1}, and fired {2} s before {3}", &values)
                };
                told.into_any()
            }
            Reason::Fails { other, ratio } => {
                trf("{0} % of the calls from {1} to {2} fail", &[&in_percent(*ratio), shown, other]).into_any()
            }
        })
        .collect()
}

fn in_percent(ratio: f64) -> String {
    format!("{:.1}", ratio * 100.0)
}
