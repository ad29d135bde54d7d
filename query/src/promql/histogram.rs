//! Quantiles of classic histograms.

use super::labels::{Labels, NAME};
use super::series::{ABSENT, Series, is_absent};
use hashbrown::HashMap;

/// Differences between neighbouring buckets as small as this, relative to them, are those of rounding.
const SMALL: f64 = 1e-12;

/// `histogram_quantile`: for each step the quantile of the buckets that differ only by `le`.
pub(super) fn quantile(quantiles: &[f64], buckets: Vec<Series>) -> Vec<Series> {
    let mut groups: HashMap<Labels, Vec<(f64, Vec<f64>)>> = HashMap::new();
    for series in buckets {
        let Some(bound) = bound(series.labels.get("le")) else { continue };
        let labels = series.labels.only(|name| name != "le" && name != NAME);
        groups.entry(labels).or_default().push((bound, series.values));
    }
    groups
        .into_iter()
        .map(|(labels, mut buckets)| {
            buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
            let values = quantiles
                .iter()
                .enumerate()
                .map(|(place, q)| {
                    let present = buckets.iter().map(|(bound, values)| (*bound, values[place]));
                    of_buckets(*q, present.filter(|(_, count)| !is_absent(*count)).collect())
                })
                .collect();
            Series { labels, values }
        })
        .collect()
}

fn bound(text: &str) -> Option<f64> {
    match text {
        "" => None,
        "+Inf" => Some(f64::INFINITY),
        other => other.parse().ok(),
    }
}

fn of_buckets(q: f64, mut buckets: Vec<(f64, f64)>) -> f64 {
    if buckets.is_empty() {
        return ABSENT;
    }
    if q.is_nan() || buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    // Buckets of the same bound are one.
    buckets.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    // Counts rise; where they do not, by rounding or because buckets were read at different times, they are kept.
    let mut before = buckets[0].1;
    for (_, count) in &mut buckets[1..] {
        if *count < before || (*count - before).abs() <= SMALL * count.abs().max(before.abs()) {
            *count = before;
        }
        before = *count;
    }
    if buckets.len() < 2 {
        return f64::NAN;
    }
    let all = buckets[buckets.len() - 1].1;
    if all == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * all;
    let last = buckets.len() - 1;
    let place = buckets[..last].iter().position(|(_, count)| *count >= rank).unwrap_or(last);
    if place == last {
        return buckets[last - 1].0;
    }
    if place == 0 && buckets[0].0 <= 0.0 {
        return buckets[0].0;
    }
    let (end, mut count) = buckets[place];
    let mut start = 0.0;
    if place > 0 {
        let (bound, below) = buckets[place - 1];
        start = bound;
        count -= below;
        rank -= below;
    }
    start + (end - start) * (rank / count)
}
