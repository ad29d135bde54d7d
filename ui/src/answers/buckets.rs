//! Buckets of a histogram as the rows of a heat map.

use super::Answer;
use crate::unit::Unit;
use std::collections::{BTreeMap, BTreeSet};

/// The moments of the columns, and the rows with a count per column.
type Rows = (Vec<i64>, Vec<(String, Vec<f64>)>);

/// Buckets of a histogram, each less than the next, as how many fell into each.
pub(crate) fn rows_of_buckets(answer: &Answer, unit: Unit) -> Option<Rows> {
    let mut by_bound: Vec<(f64, BTreeMap<i64, f64>)> = Vec::new();
    for series in &answer.series {
        let text = series.labels.get("le")?;
        let bound = if text == "+Inf" { f64::INFINITY } else { text.parse().ok()? };
        let place = match by_bound.iter().position(|(known, _)| known.total_cmp(&bound).is_eq()) {
            Some(place) => place,
            None => {
                by_bound.push((bound, BTreeMap::new()));
                by_bound.len() - 1
            }
        };
        for (at, value) in &series.points {
            *by_bound[place].1.entry(*at).or_default() += value;
        }
    }
    if by_bound.is_empty() {
        return None;
    }
    by_bound.sort_by(|left, right| left.0.total_cmp(&right.0));
    let columns: Vec<i64> =
        by_bound.iter().flat_map(|(_, values)| values.keys().copied()).collect::<BTreeSet<_>>().into_iter().collect();
    let mut below = vec![0.0; columns.len()];
    let mut lowest = String::new();
    let rows: Vec<(String, Vec<f64>)> = by_bound
        .iter()
        .map(|(bound, values)| {
            let counts = columns
                .iter()
                .zip(&mut below)
                .map(|(at, below)| {
                    let all = values.get(at).copied().unwrap_or(*below);
                    let inside = (all - *below).max(0.0);
                    *below = all.max(*below);
                    inside
                })
                .collect();
            let name = if bound.is_finite() { format!("≤ {}", unit.tick(*bound)) } else { format!("> {lowest}") };
            lowest = unit.tick(*bound);
            (name, counts)
        })
        .collect();
    // Buckets above and below all that was seen say nothing.
    let is_seen = |counts: &[f64]| counts.iter().any(|count| *count > 0.0);
    let first = rows.iter().position(|(_, counts)| is_seen(counts)).unwrap_or(0);
    let last = rows.iter().rposition(|(_, counts)| is_seen(counts)).unwrap_or(rows.len() - 1);
    let rows = rows.into_iter().skip(first).take(last + 1 - first).collect();
    Some((columns, rows))
}

#[cfg(test)]
mod tests {
    use super::super::Labelled;
    use super::*;

    #[test]
    fn buckets_that_hold_those_below_become_rows_of_their_own() {
        let bucket = |le: &str, values: [f64; 2]| Labelled {
            labels: [("le".to_owned(), le.to_owned())].into(),
            points: vec![(10, values[0]), (20, values[1])],
        };
        let series = vec![
            bucket("+Inf", [7.0, 2.0]),
            bucket("0.1", [0.0, 0.0]),
            bucket("0.5", [3.0, 2.0]),
            bucket("1", [7.0, 2.0]),
        ];
        let (columns, rows) = rows_of_buckets(&Answer { series, ..Answer::default() }, Unit::Seconds).expect("buckets");
        assert_eq!(columns, [10, 20]);
        assert_eq!(rows, [("≤ 500 ms".to_owned(), vec![3.0, 2.0]), ("≤ 1 s".to_owned(), vec![4.0, 0.0])]);
        assert!(
            rows_of_buckets(&Answer { series: vec![Labelled::default()], ..Answer::default() }, Unit::None).is_none()
        );
    }
}
