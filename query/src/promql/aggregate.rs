//! Aggregations: many series become one for each group.

use super::eval::unsupported;
use super::labels::{Labels, NAME};
use super::notes::Notes;
use super::numbers::{Sum, by_value, least, mean, most, order, quantile, variance};
use super::over_time::added;
use super::series::{ABSENT, Series, is_absent};
use crate::QueryError;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use promql_parser::parser::LabelModifier;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::Arc;

/// The labels that an aggregation keeps.
pub(super) fn group(labels: &Labels, modifier: Option<&LabelModifier>) -> Labels {
    labels.only(|name| keeps(name, modifier))
}

/// Whether an aggregation keeps a label.
fn keeps(name: &str, modifier: Option<&LabelModifier>) -> bool {
    match modifier {
        None => false,
        Some(LabelModifier::Include(kept)) => kept.labels.iter().any(|kept| kept == name),
        Some(LabelModifier::Exclude(left_out)) => {
            name != NAME && !left_out.labels.iter().any(|left_out| left_out == name)
        }
    }
}

/// An aggregation of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Sum,
    Average,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Quantile,
}

impl Of {
    fn named(name: &str) -> Result<Self, QueryError> {
        Ok(match name {
            "sum" => Self::Sum,
            "avg" => Self::Average,
            "count" => Self::Count,
            "min" => Self::Min,
            "max" => Self::Max,
            "group" => Self::Group,
            "stddev" => Self::Stddev,
            "stdvar" => Self::Stdvar,
            "quantile" => Self::Quantile,
            other => return Err(unsupported(format!("the aggregation {other} is not supported"))),
        })
    }
}

/// An aggregation that gives one series for each group.
pub(super) fn aggregate(
    name: &str,
    series: Vec<Series>,
    modifier: Option<&LabelModifier>,
    parameter: Option<&[f64]>,
    notes: &Notes,
) -> Result<Vec<Series>, QueryError> {
    let of = Of::named(name)?;
    if of == Of::Quantile {
        notes.quantiles(parameter.unwrap_or_default());
    }
    let mut groups: HashMap<Labels, Vec<Series>> = HashMap::new();
    for one in series {
        groups.entry(group(&one.labels, modifier)).or_default().push(one);
    }
    let one_group = |(labels, members): (Labels, Vec<Series>)| {
        let mut out = Series::new(labels, numbers(of, &members, parameter));
        if members.iter().any(Series::has_histograms) {
            with_histograms(&mut out, of, name, &members, notes);
        }
        out
    };
    Ok(groups.into_iter().map(one_group).filter(Series::has_any).collect())
}

/// The aggregation of the numbers of a group at each step.
fn numbers(of: Of, members: &[Series], parameter: Option<&[f64]>) -> Vec<f64> {
    let steps = members[0].values.len();
    match of {
        Of::Sum => sums(members).all().map(|(sum, count)| if count == 0 { ABSENT } else { sum }).collect(),
        Of::Average => {
            let mean_of = |(step, (sum, count)): (usize, (f64, u32))| match (count, sum) {
                (0, _) => ABSENT,
                (count, sum) if sum.is_finite() => sum / f64::from(count),
                // A sum that is too large.
                _ => mean(&present(members, step)),
            };
            sums(members).all().enumerate().map(mean_of).collect()
        }
        Of::Count | Of::Group => {
            let mut counts = vec![0_u32; steps];
            for member in members {
                for (count, value) in counts.iter_mut().zip(&member.values) {
                    *count += u32::from(!is_absent(*value));
                }
            }
            let shown = |count: u32| match count {
                0 => ABSENT,
                _ if of == Of::Group => 1.0,
                count => f64::from(count),
            };
            counts.into_iter().map(shown).collect()
        }
        Of::Min | Of::Max | Of::Stddev | Of::Stdvar | Of::Quantile => (0..steps)
            .map(|step| {
                let mut present = present(members, step);
                match of {
                    _ if present.is_empty() => ABSENT,
                    Of::Min => least(&present),
                    Of::Max => most(&present),
                    Of::Stddev => variance(&present).sqrt(),
                    Of::Stdvar => variance(&present),
                    _ => quantile(parameter.map_or(f64::NAN, |all| all[step]), &mut present),
                }
            })
            .collect(),
    }
}

/// The sum at each step with how many values it is of, as [`Sum`] adds up; all steps at a time, which processors do several of at once.
#[derive(Clone, Debug)]
struct Sums {
    sums: Vec<f64>,
    lost: Vec<f64>,
    counts: Vec<u32>,
}

impl Sums {
    fn new(steps: usize) -> Self {
        Self { sums: vec![0.0; steps], lost: vec![0.0; steps], counts: vec![0; steps] }
    }

    /// Adds the values of a series.
    fn add(&mut self, values: &[f64]) {
        let into = self.sums.iter_mut().zip(&mut self.lost).zip(&mut self.counts);
        for (((sum, lost), count), value) in into.zip(values) {
            let is_there = !is_absent(*value);
            let mut all = Sum { sum: *sum, lost: *lost };
            all.add(if is_there { *value } else { 0.0 });
            (*sum, *lost) = (all.sum, all.lost);
            *count += u32::from(is_there);
        }
    }

    /// Adds what another has.
    fn merge(&mut self, other: &Self) {
        let into = self.sums.iter_mut().zip(&mut self.lost).zip(&mut self.counts);
        let from = other.sums.iter().zip(&other.lost).zip(&other.counts);
        for (((sum, lost), count), ((more, more_lost), others)) in into.zip(from) {
            let mut all = Sum { sum: *sum, lost: *lost };
            all.merge(Sum { sum: *more, lost: *more_lost });
            (*sum, *lost) = (all.sum, all.lost);
            *count += others;
        }
    }

    /// The sum at each step, with the number of values.
    fn all(&self) -> impl Iterator<Item = (f64, u32)> {
        let sums = self.sums.iter().zip(&self.lost).map(|(sum, lost)| Sum { sum: *sum, lost: *lost }.get());
        sums.zip(self.counts.iter().copied())
    }
}

/// Sums, averages or counts of groups, to which values come series by series without being kept.
pub(super) struct Totals<'a> {
    modifier: Option<&'a LabelModifier>,
    steps: usize,
    groups: HashTable<(Labels, Sums)>,
    hasher: DefaultHashBuilder,
}

impl<'a> Totals<'a> {
    /// Whether an aggregation can be computed so.
    pub(super) fn can(name: &str) -> bool {
        matches!(name, "sum" | "avg" | "count" | "group")
    }

    pub(super) fn new(modifier: Option<&'a LabelModifier>, steps: usize) -> Self {
        Self { modifier, steps, groups: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }

    /// The sums of the group of a series, which is made only when it is new.
    fn of(&mut self, labels: &Labels) -> &mut Sums {
        let (modifier, hasher) = (self.modifier, &self.hasher);
        let hash_of = |labels: &Labels| {
            let mut hash = hasher.build_hasher();
            labels.pairs().iter().filter(|(name, _)| keeps(name, modifier)).for_each(|pair| pair.hash(&mut hash));
            hash.finish()
        };
        let kept = || labels.pairs().iter().filter(|(name, _)| keeps(name, modifier));
        let is_it = |(group, _): &(Labels, Sums)| kept().eq(group.pairs());
        let again = |(group, _): &(Labels, Sums)| hash_of(group);
        let entry = self.groups.entry(hash_of(labels), is_it, again);
        &mut entry.or_insert_with(|| (group(labels, modifier), Sums::new(self.steps))).into_mut().1
    }

    /// Adds the values of a series.
    pub(super) fn add(&mut self, labels: &Labels, values: &[f64]) {
        self.of(labels).add(values);
    }

    /// Adds what another has.
    pub(super) fn merge(&mut self, other: Self) {
        for (labels, sums) in other.groups {
            self.of(&labels).merge(&sums);
        }
    }

    /// The series of the groups; `None` when a sum is too large for an average to be had by it.
    pub(super) fn series(self, name: &str) -> Option<Vec<Series>> {
        let value = |(sum, count): (f64, u32)| match (name, count) {
            (_, 0) => ABSENT,
            ("sum", _) => sum,
            ("avg", count) => sum / f64::from(count),
            ("group", _) => 1.0,
            (_, count) => f64::from(count),
        };
        let is_too_large = |sums: &Sums| sums.all().any(|(sum, count)| count > 0 && !sum.is_finite());
        if name == "avg" && self.groups.iter().any(|(_, sums)| is_too_large(sums)) {
            return None;
        }
        let of_group = |(labels, sums): (Labels, Sums)| Series::new(labels, sums.all().map(value).collect());
        Some(self.groups.into_iter().map(of_group).filter(Series::has_any).collect())
    }
}

/// The sums of some series.
fn sums(members: &[Series]) -> Sums {
    let mut sums = Sums::new(members[0].values.len());
    for member in members {
        sums.add(&member.values);
    }
    sums
}

fn present(members: &[Series], step: usize) -> Vec<f64> {
    members.iter().map(|member| member.values[step]).filter(|value| !is_absent(*value)).collect()
}

/// What histograms among the members change.
fn with_histograms(out: &mut Series, of: Of, name: &str, members: &[Series], notes: &Notes) {
    for step in 0..out.values.len() {
        let mut histograms = members.iter().filter_map(|member| member.histogram(step)).peekable();
        if histograms.peek().is_none() {
            continue;
        }
        let count = members.iter().filter(|member| member.histogram(step).is_some()).count() as f64;
        let value = out.values[step];
        match of {
            Of::Count => out.values[step] = if is_absent(value) { count } else { value + count },
            Of::Group => out.values[step] = 1.0,
            Of::Sum | Of::Average if !is_absent(value) => {
                notes.mixed_in_aggregation();
                out.values[step] = ABSENT;
            }
            Of::Sum => out.set_histogram(step, Some(Arc::new(added(histograms)))),
            Of::Average => {
                let sum = added(histograms);
                out.set_histogram(step, Some(Arc::new(sum.map(|number| number / count))));
            }
            Of::Min | Of::Max | Of::Stddev | Of::Stdvar | Of::Quantile => notes.ignored_in_aggregation(name),
        }
    }
}

/// `topk` and `bottomk`: the series themselves, at each step those with the largest or smallest values of their group.
pub(super) fn top(
    is_top: bool,
    series: Vec<Series>,
    modifier: Option<&LabelModifier>,
    counts: &[f64],
    notes: &Notes,
) -> Vec<Series> {
    if series.iter().any(Series::has_histograms) {
        notes.ignored_in_aggregation(if is_top { "topk" } else { "bottomk" });
    }
    let mut groups: HashMap<Labels, Vec<usize>> = HashMap::new();
    for (place, one) in series.iter().enumerate() {
        groups.entry(group(&one.labels, modifier)).or_default().push(place);
    }
    let mut kept: Vec<Vec<f64>> = series.iter().map(|one| vec![ABSENT; one.values.len()]).collect();
    for members in groups.into_values() {
        for (step, count) in counts.iter().enumerate() {
            let mut present: Vec<(f64, usize)> = members
                .iter()
                .map(|place| (series[*place].values[step], *place))
                .filter(|(value, _)| !is_absent(*value))
                .collect();
            // NaN is never among the first, whichever way.
            present.sort_by(|(left, _), (right, _)| by_value(*left, *right, is_top));
            let count = if *count >= 1.0 { *count as usize } else { 0 };
            for (value, place) in present.into_iter().take(count) {
                kept[place][step] = value;
            }
        }
    }
    let mut out: Vec<Series> = series
        .into_iter()
        .zip(kept)
        .map(|(one, values)| Series::new(one.labels, values))
        .filter(Series::has_any)
        .collect();
    if counts.len() == 1 {
        // A single step's series come in their order.
        out.sort_by(|left, right| {
            let (left, right) = (left.values[0], right.values[0]);
            if is_top { order(&right, &left) } else { order(&left, &right) }
        });
    }
    out
}

/// `limitk` and `limit_ratio`: the series themselves, at each step the first ones of their group by labels, or a share of all that is the same at each
/// step. A share below zero is what the share of the opposite sign leaves out.
pub(super) fn limited(
    is_count: bool,
    mut series: Vec<Series>,
    modifier: Option<&LabelModifier>,
    limits: &[f64],
    notes: &Notes,
) -> Vec<Series> {
    if is_count {
        series.sort_by(|left, right| left.labels.cmp(&right.labels));
    } else if let Some(wrong) = limits.iter().find(|limit| !(-1.0..=1.0).contains(*limit)) {
        notes.ratio(*wrong);
    }
    let mut taken: HashMap<Labels, Vec<usize>> = HashMap::new();
    let limited = |one: Series| {
        if !is_count {
            let share = one.labels.share();
            return one.keep(|step| match limits[step].clamp(-1.0, 1.0) {
                limit if limit >= 0.0 => share < limit,
                limit => share >= 1.0 + limit,
            });
        }
        let taken = taken.entry(group(&one.labels, modifier)).or_insert_with(|| vec![0; limits.len()]);
        let passes: Vec<bool> = (0..limits.len())
            .map(|step| {
                let passes = one.is_at(step) && (taken[step] as f64 + 1.0) <= limits[step];
                taken[step] += usize::from(passes);
                passes
            })
            .collect();
        one.keep(|step| passes[step])
    };
    series.into_iter().map(limited).filter(Series::has_any).collect()
}

/// `count_values`: how many series have each value.
pub(super) fn count_values(label: &str, series: &[Series], modifier: Option<&LabelModifier>) -> Vec<Series> {
    let mut out: HashMap<Labels, Vec<f64>> = HashMap::new();
    for one in series {
        let labels = group(&one.labels, modifier);
        for (step, value) in one.values.iter().enumerate().filter(|(step, _)| one.is_at(*step)) {
            let text = one.histogram(step).map_or_else(|| super::number_text(*value), |histogram| histogram.text());
            let counts = out.entry(labels.with(label, &text)).or_insert_with(|| vec![ABSENT; one.values.len()]);
            counts[step] = if is_absent(counts[step]) { 1.0 } else { counts[step] + 1.0 };
        }
    }
    out.into_iter().map(|(labels, values)| Series::new(labels, values)).collect()
}
