//! Functions of histograms: of classic ones by their buckets, of native ones by themselves.

use super::labels::{Labels, NAME};
use super::native::Native;
use super::notes::Notes;
use super::series::{ABSENT, Series, is_absent};
use hashbrown::HashMap;

/// Differences between neighbouring buckets as small as this, relative to them, are those of rounding.
const SMALL: f64 = 1e-12;

/// The numbers of native histograms, by the function that gives them; other functions are none of these.
pub(super) fn of_native(name: &str) -> Option<fn(&Native) -> f64> {
    Some(match name {
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_stddev" => |histogram| histogram.variance().sqrt(),
        "histogram_stdvar" => Native::variance,
        _ => return None,
    })
}

/// A number for each native histogram; what is none is left out.
pub(super) fn numbers(series: Vec<Series>, number: impl Fn(usize, &Native) -> f64) -> Vec<Series> {
    let all = series.into_iter().map(|one| {
        let of_step = |step: usize| one.histogram(step).map_or(ABSENT, |histogram| number(step, histogram));
        let values = (0..one.values.len()).map(of_step).collect();
        Series::new(one.labels.without_name(), values)
    });
    all.filter(Series::has_any).collect()
}

/// Buckets of classic histograms that differ only by `le`, and native histograms of the same labels.
#[derive(Default)]
struct Group {
    name: String,
    buckets: Vec<(f64, Vec<f64>)>,
    native: Option<Series>,
}

/// The groups of a vector.
fn groups(series: Vec<Series>, notes: &Notes) -> HashMap<Labels, Group> {
    let mut all: HashMap<Labels, Group> = HashMap::new();
    for series in series {
        let name = series.labels.get(NAME).to_owned();
        if series.has_histograms() {
            let group = all.entry(series.labels.without_name()).or_default();
            group.name.clone_from(&name);
            group.native = Some(series.clone());
        }
        if series.values.iter().all(|value| is_absent(*value)) {
            continue;
        }
        let Some(bound) = bound(series.labels.get("le")) else {
            notes.bad_bucket_label(&name, series.labels.get("le"));
            continue;
        };
        let labels = series.labels.only(|name| name != "le" && name != NAME);
        let group = all.entry(labels).or_default();
        group.name = name;
        group.buckets.push((bound, series.values));
    }
    for group in all.values_mut() {
        group.buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
    }
    all
}

/// A number for each group and step, of its buckets or of its native histogram.
fn each(
    series: Vec<Series>,
    steps: usize,
    notes: &Notes,
    of_buckets: impl Fn(usize, Vec<(f64, f64)>, &str) -> f64,
    of_native: impl Fn(usize, &Native) -> f64,
) -> Vec<Series> {
    groups(series, notes)
        .into_iter()
        .map(|(labels, group)| {
            let values = (0..steps)
                .map(|step| {
                    let present = group.buckets.iter().map(|(bound, values)| (*bound, values[step]));
                    let buckets: Vec<(f64, f64)> = present.filter(|(_, count)| !is_absent(*count)).collect();
                    match group.native.as_ref().and_then(|native| native.histogram(step)) {
                        Some(_) if !buckets.is_empty() => {
                            notes.mixed_kinds_of_histograms(&group.name);
                            ABSENT
                        }
                        Some(native) => of_native(step, native),
                        None if buckets.is_empty() => ABSENT,
                        None => of_buckets(step, buckets, &group.name),
                    }
                })
                .collect();
            Series::new(labels, values)
        })
        .filter(Series::has_any)
        .collect()
}

/// `histogram_quantile`.
pub(super) fn quantile(quantiles: &[f64], series: Vec<Series>, notes: &Notes) -> Vec<Series> {
    notes.quantiles(quantiles);
    each(
        series,
        quantiles.len(),
        notes,
        |step, buckets, name| quantile_of(quantiles[step], buckets, || notes.forced_monotonicity(name)),
        |step, native| native.quantile(quantiles[step]),
    )
}

/// `histogram_fraction`.
pub(super) fn fraction(lower: &[f64], upper: &[f64], series: Vec<Series>, notes: &Notes) -> Vec<Series> {
    each(
        series,
        lower.len(),
        notes,
        |step, buckets, _| fraction_of(lower[step], upper[step], buckets),
        |step, native| native.fraction(lower[step], upper[step]),
    )
}

fn bound(text: &str) -> Option<f64> {
    match text {
        "" => None,
        "+Inf" => Some(f64::INFINITY),
        other => other.parse().ok(),
    }
}

/// Buckets of the same bound as one, and counts that rise; `forced` is called when they did not, by more than rounding.
fn risen(mut buckets: Vec<(f64, f64)>, forced: impl Fn()) -> Vec<(f64, f64)> {
    buckets.dedup_by(|next, kept| {
        let is_same = next.0 == kept.0;
        if is_same {
            kept.1 += next.1;
        }
        is_same
    });
    let Some((_, first)) = buckets.first() else { return buckets };
    let mut before = *first;
    let mut is_forced = false;
    for (_, count) in &mut buckets[1..] {
        if (*count - before).abs() <= SMALL * count.abs().max(before.abs()) {
            *count = before;
        } else if *count < before {
            *count = before;
            is_forced = true;
        }
        before = *count;
    }
    if is_forced {
        forced();
    }
    buckets
}

fn quantile_of(q: f64, buckets: Vec<(f64, f64)>, forced: impl Fn()) -> f64 {
    if q.is_nan() || buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let buckets = risen(buckets, forced);
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

/// The share of the observations between two values, those of a bucket spread evenly.
fn fraction_of(lower: f64, upper: f64, buckets: Vec<(f64, f64)>) -> f64 {
    if lower.is_nan() || upper.is_nan() || buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        return f64::NAN;
    }
    let buckets = risen(buckets, || {});
    let all = buckets[buckets.len() - 1].1;
    if all == 0.0 {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |value: f64| {
        let mut before = (if buckets[0].0 > 0.0 { 0.0 } else { f64::NEG_INFINITY }, 0.0);
        for (bound, count) in &buckets {
            if value <= before.0 {
                return before.1;
            }
            if value < *bound {
                // Nothing is known of where the values of an open bucket lie.
                let is_open = before.0.is_infinite() || bound.is_infinite();
                let share = if is_open { 0.0 } else { (value - before.0) / (bound - before.0) };
                return before.1 + (count - before.1) * share;
            }
            before = (*bound, *count);
        }
        all
    };
    (rank_of(upper) - rank_of(lower)) / all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_fall_are_forced_to_rise_and_told_of() {
        let told = std::cell::Cell::new(false);
        let buckets = vec![(1.0, 10.0), (2.0, 8.0), (f64::INFINITY, 20.0)];
        assert_eq!(risen(buckets, || told.set(true))[1], (2.0, 10.0));
        assert!(told.replace(false));
        risen(vec![(1.0, 10.0), (2.0, 10.0 - 1e-13), (f64::INFINITY, 20.0)], || told.set(true));
        assert!(!told.get(), "rounding is not told of");
    }

    #[test]
    fn shares_are_those_of_buckets() {
        let buckets = || vec![(1.0, 10.0), (2.0, 30.0), (f64::INFINITY, 40.0)];
        for (lower, upper, expected) in [
            (0.0, 1.0, 0.25),
            (0.0, 0.5, 0.125),
            (1.0, 2.0, 0.5),
            (-1.0, f64::INFINITY, 1.0),
            (2.0, 1.0, 0.0),
            (1.5, 2.0, 0.25),
        ] {
            assert_eq!(fraction_of(lower, upper, buckets()), expected, "{lower} to {upper}");
        }
        assert!(fraction_of(0.0, 1.0, vec![(1.0, 1.0)]).is_nan());
    }
}
