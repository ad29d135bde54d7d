//! Aggregations: many series become one for each group.

use super::labels::{Labels, NAME};
use super::series::{ABSENT, Series, by_value, is_absent, least, mean, most, order, quantile, sum, variance};
use crate::{ErrorCode, QueryError};
use hashbrown::HashMap;
use promql_parser::parser::LabelModifier;

/// The labels that an aggregation keeps.
pub(super) fn group(labels: &Labels, modifier: Option<&LabelModifier>) -> Labels {
    match modifier {
        None => Labels::default(),
        Some(LabelModifier::Include(kept)) => labels.only(|name| kept.labels.iter().any(|kept| kept == name)),
        Some(LabelModifier::Exclude(left_out)) => {
            labels.only(|name| name != NAME && !left_out.labels.iter().any(|left_out| left_out == name))
        }
    }
}

/// An aggregation that gives one series for each group.
pub(super) fn aggregate(
    name: &str,
    series: Vec<Series>,
    modifier: Option<&LabelModifier>,
    parameter: Option<&[f64]>,
) -> Result<Vec<Series>, QueryError> {
    let mut groups: HashMap<Labels, Vec<Series>> = HashMap::new();
    for one in series {
        groups.entry(group(&one.labels, modifier)).or_default().push(one);
    }
    let mut out = Vec::with_capacity(groups.len());
    for (labels, members) in groups {
        let steps = members[0].values.len();
        let mut present = Vec::with_capacity(members.len());
        let mut values = Vec::with_capacity(steps);
        for step in 0..steps {
            present.clear();
            present.extend(members.iter().map(|member| member.values[step]).filter(|value| !is_absent(*value)));
            values.push(if present.is_empty() {
                ABSENT
            } else {
                one_value(name, &mut present, parameter.map_or(f64::NAN, |all| all[step]))?
            });
        }
        out.push(Series { labels, values });
    }
    Ok(out)
}

fn one_value(name: &str, values: &mut [f64], parameter: f64) -> Result<f64, QueryError> {
    Ok(match name {
        "sum" => sum(values.iter().copied()),
        "avg" => mean(values),
        "count" => values.len() as f64,
        "min" => least(values),
        "max" => most(values),
        "group" => 1.0,
        "stddev" => variance(values).sqrt(),
        "stdvar" => variance(values),
        "quantile" => quantile(parameter, values),
        other => {
            let message = format!("the aggregation {other} is not supported");
            return Err(QueryError { field: Some("query"), ..QueryError::new(ErrorCode::Unsupported, message) });
        }
    })
}

/// `topk` and `bottomk`: the series themselves, at each step those with the largest or smallest values of their group.
pub(super) fn top(is_top: bool, series: Vec<Series>, modifier: Option<&LabelModifier>, counts: &[f64]) -> Vec<Series> {
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
        .map(|(one, values)| Series { labels: one.labels, values })
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

/// `count_values`: how many series have each value.
pub(super) fn count_values(label: &str, series: &[Series], modifier: Option<&LabelModifier>) -> Vec<Series> {
    let mut out: HashMap<Labels, Vec<f64>> = HashMap::new();
    for one in series {
        let labels = group(&one.labels, modifier);
        for (step, value) in one.values.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
            let labels = labels.with(label, &super::number_text(*value));
            let counts = out.entry(labels).or_insert_with(|| vec![ABSENT; one.values.len()]);
            counts[step] = if is_absent(counts[step]) { 1.0 } else { counts[step] + 1.0 };
        }
    }
    out.into_iter().map(|(labels, values)| Series { labels, values }).collect()
}
