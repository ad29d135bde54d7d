//! The state of circuit breakers, where services report it as a metric.
//!
//! There is no convention for it yet. What is taken: a gauge whose name says `circuit_breaker` (with or without the line
//! between) and `state`, whose value is 0 for closed, 1 for half open and 2 for open; or, as Resilience4j writes it, a series
//! for each state with the label `state` and the value 1 for the one that holds.

use crate::text::tr;
use mangru_query::{PromQlRequest, PromQlValue, QueryService};
use mangru_store::TimeRange;
use serde_json::Value;
use std::collections::BTreeMap;

const QUERY: &str = r#"{__name__=~"(?i).*circuit_?breaker.*state.*"}"#;
/// How long a state counts after it was reported last, in milliseconds.
const LOOKBACK_MS: i64 = 300_000;

/// The state of one circuit breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breaker {
    /// Who reports it.
    pub(crate) service: String,
    /// What it guards.
    pub(crate) name: String,
    /// What it lets through.
    pub(crate) state: BreakerState,
}

/// What a circuit breaker lets through, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BreakerState {
    /// Everything.
    Closed,
    /// A few, to see whether they succeed.
    HalfOpen,
    /// Nothing.
    Open,
}

impl BreakerState {
    /// The state in words with its sign.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Closed => tr("closed"),
            Self::HalfOpen => tr("◐ half open"),
            Self::Open => tr("✖ open"),
        }
    }

    fn of_label(label: &str) -> Option<Self> {
        match label.to_ascii_lowercase().replace(['-', ' '], "_").as_str() {
            "closed" => Some(Self::Closed),
            "half_open" => Some(Self::HalfOpen),
            "open" | "forced_open" => Some(Self::Open),
            _ => None,
        }
    }

    fn of_number(number: f64) -> Option<Self> {
        [Self::Closed, Self::HalfOpen, Self::Open]
            .into_iter()
            .zip([0.0, 1.0, 2.0])
            .find(|(_, code)| is(number, *code))
            .map(|(state, _)| state)
    }
}

/// Whether a value is this whole number.
fn is(value: f64, code: f64) -> bool {
    (value - code).abs() < 1e-9
}

/// The breakers at the end of a range. That nobody reports one, or that the question fails, is no fault of the page.
pub(super) async fn of(query: &QueryService, range: TimeRange) -> Vec<Breaker> {
    let request = PromQlRequest {
        query: QUERY.to_owned(),
        start: range.end / 1_000_000,
        end: range.end / 1_000_000,
        step: None,
        lookback: Some(LOOKBACK_MS),
    };
    match query.promql(&request).await.map(|answer| answer.value) {
        Ok(PromQlValue::Vector(series)) => {
            read(series.iter().filter_map(|(labels, samples)| Some((labels, samples.last()?.1))))
        }
        _ => Vec::new(),
    }
}

/// The states that series tell; of several instances of a service the worst counts.
fn read<'a>(series: impl Iterator<Item = (&'a Value, f64)>) -> Vec<Breaker> {
    let mut found: BTreeMap<(String, String), BreakerState> = BTreeMap::new();
    for (labels, value) in series {
        let label =
            |names: &[&str]| names.iter().find_map(|name| labels.get(*name)).and_then(Value::as_str).map(str::to_owned);
        let state = match label(&["state"]) {
            Some(state) if is(value, 1.0) => BreakerState::of_label(&state),
            Some(_) => None,
            None => BreakerState::of_number(value),
        };
        let (Some(state), Some(service)) = (state, label(&["service_name", "service", "job"])) else { continue };
        let name = label(&["circuit_breaker_name", "circuitbreaker_name", "breaker", "name"]).unwrap_or_default();
        let known = found.entry((service, name)).or_insert(state);
        *known = (*known).max(state);
    }
    found.into_iter().map(|((service, name), state)| Breaker { service, name, state }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_ways_to_report_are_understood_and_the_worst_instance_counts() {
        let labels = [
            (json!({ "service_name": "catalog", "circuit_breaker_name": "reco", "instance": "a" }), 0.0),
            (json!({ "service_name": "catalog", "circuit_breaker_name": "reco", "instance": "b" }), 2.0),
            (json!({ "service_name": "cart", "name": "redis", "state": "open" }), 0.0),
            (json!({ "service_name": "cart", "name": "redis", "state": "half_open" }), 1.0),
            (json!({ "service_name": "odd", "name": "x" }), 7.0),
        ];
        let found = read(labels.iter().map(|(labels, value)| (labels, *value)));
        let breaker =
            |service: &str, name: &str, state| Breaker { service: service.to_owned(), name: name.to_owned(), state };
        assert_eq!(
            found,
            [breaker("cart", "redis", BreakerState::HalfOpen), breaker("catalog", "reco", BreakerState::Open)]
        );
    }
}
