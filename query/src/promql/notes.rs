//! What an answer is told beside its values: warnings that it may be wrong, and remarks that the question may be.
//!
//! The texts are those of Prometheus 3.5 (`util/annotations`), without the place in the query.

use parking_lot::Mutex;
use std::collections::BTreeSet;

/// Notes of one kind that an answer has at most.
const MOST: usize = 10;

/// Warnings and remarks that were met so far, each once.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Taken>);

/// Warnings and remarks.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    pub(super) warnings: BTreeSet<String>,
    pub(super) infos: BTreeSet<String>,
}

impl Taken {
    /// Both as lists, cut where there are too many.
    pub(super) fn lists(self) -> (Vec<String>, Vec<String>) {
        let cut = |all: BTreeSet<String>, kind: &str| -> Vec<String> {
            let more = all.len().saturating_sub(MOST);
            let mut list: Vec<String> = all.into_iter().take(MOST).collect();
            if more > 0 {
                list.push(format!("{more} more {kind} annotations omitted"));
            }
            list
        };
        (cut(self.warnings, "warning"), cut(self.infos, "info"))
    }
}

impl Notes {
    fn warn(&self, text: impl std::fmt::Display) {
        self.0.lock().warnings.insert(format!("PromQL warning: {text}"));
    }

    fn inform(&self, text: impl std::fmt::Display) {
        self.0.lock().infos.insert(format!("PromQL info: {text}"));
    }

    /// Takes what was noted.
    pub(super) fn take(&self) -> Taken {
        std::mem::take(&mut self.0.lock())
    }

    /// Says which of these is no quantile.
    pub(super) fn quantiles(&self, quantiles: &[f64]) {
        let wrong = |q: &f64| !(0.0..=1.0).contains(q);
        // Of many, one of each kind tells enough.
        let mut shown = BTreeSet::new();
        for q in quantiles.iter().filter(|q| wrong(q)) {
            if shown.insert((q.is_nan(), *q < 0.0)) {
                self.warn(format_args!("quantile value should be between 0 and 1, got {}", super::number_text(*q)));
            }
        }
    }

    pub(super) fn ratio(&self, ratio: f64) {
        let (got, capped) = (super::number_text(ratio), super::number_text(ratio.clamp(-1.0, 1.0)));
        self.warn(format_args!("ratio value should be between -1 and 1, got {got}, capping to {capped}"));
    }

    pub(super) fn not_a_counter(&self, name: &str) {
        self.inform(format_args!(
            "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {name:?}"
        ));
    }

    pub(super) fn histogram_not_a_counter(&self, name: &str) {
        self.warn(format_args!("this native histogram metric is not a counter: {name:?}"));
    }

    pub(super) fn histogram_not_a_gauge(&self, name: &str) {
        self.warn(format_args!("this native histogram metric is not a gauge: {name:?}"));
    }

    pub(super) fn mixed_in_range(&self, name: &str) {
        self.warn(format_args!("encountered a mix of histograms and floats for metric name {name:?}"));
    }

    pub(super) fn mixed_in_aggregation(&self) {
        self.warn("encountered a mix of histograms and floats for aggregation");
    }

    pub(super) fn mixed_kinds_of_histograms(&self, name: &str) {
        self.warn(format_args!("vector contains a mix of classic and native histograms for metric name {name:?}"));
    }

    pub(super) fn bad_bucket_label(&self, name: &str, label: &str) {
        let metric = if name.is_empty() { String::new() } else { format!(" for metric name {name:?}") };
        self.warn(format_args!("bucket label \"le\" is missing or has a malformed value of {label:?}{metric}"));
    }

    pub(super) fn forced_monotonicity(&self, name: &str) {
        self.inform(format_args!(
            "input to histogram_quantile needed to be fixed for monotonicity (see \
             https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile) for metric name {name:?}"
        ));
    }

    pub(super) fn ignored_in_aggregation(&self, aggregation: &str) {
        self.inform(format_args!("ignored histogram in {aggregation} aggregation"));
    }

    pub(super) fn ignored_in_range(&self, name: &str) {
        self.inform(format_args!(
            "ignored histograms in a range containing both floats and histograms for metric name {name:?}"
        ));
    }

    pub(super) fn incompatible(&self, left: &str, operator: &str, right: &str) {
        self.inform(format_args!(
            "incompatible sample types encountered for binary operator {operator:?}: {left} {operator} {right}"
        ));
    }
}
