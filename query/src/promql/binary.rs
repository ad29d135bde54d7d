//! Operators between two expressions.

use super::eval::{invalid, unsupported};
use super::labels::{Labels, NAME};
use super::native::Native;
use super::notes::Notes;
use super::series::{ABSENT, Series, Value, is_absent};
use crate::QueryError;
use hashbrown::HashMap;
use promql_parser::parser::token::{
    T_ADD, T_ATAN2, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LSS, T_LTE, T_LUNLESS, T_MOD, T_MUL, T_NEQ, T_POW,
    T_SUB, TokenId,
};
use promql_parser::parser::{BinModifier, LabelModifier, VectorMatchCardinality};
use std::sync::Arc;

/// Whether an operator compares.
const fn compares(op: TokenId) -> bool {
    matches!(op, T_EQLC | T_NEQ | T_LTE | T_LSS | T_GTE | T_GTR)
}

/// The value of an operator; comparisons give 1 or 0.
fn compute(op: TokenId, left: f64, right: f64) -> f64 {
    match op {
        T_ADD => left + right,
        T_SUB => left - right,
        T_MUL => left * right,
        T_DIV => left / right,
        T_MOD => left % right,
        T_POW => left.powf(right),
        T_ATAN2 => left.atan2(right),
        T_EQLC => f64::from(left == right),
        T_NEQ => f64::from(left != right),
        T_LTE => f64::from(left <= right),
        T_LSS => f64::from(left < right),
        T_GTE => f64::from(left >= right),
        T_GTR => f64::from(left > right),
        _ => f64::NAN,
    }
}

/// A comparison keeps the left value, or is 1 or 0 with `bool`.
fn result(op: TokenId, left: f64, right: f64, kept: f64, is_bool: bool) -> f64 {
    let value = compute(op, left, right);
    if !compares(op) || is_bool {
        return value;
    }
    if value == 1.0 { kept } else { ABSENT }
}

/// What stands on a side of an operator at a step.
#[derive(Clone, Copy)]
enum Operand<'a> {
    Number(f64),
    Histogram(&'a Arc<Native>),
}

impl<'a> Operand<'a> {
    /// What a series has at a step.
    fn of(series: &'a Series, step: usize) -> Option<Self> {
        match series.histogram(step) {
            Some(histogram) => Some(Self::Histogram(histogram)),
            None => Some(series.values[step]).filter(|value| !is_absent(*value)).map(Self::Number),
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Number(_) => "float",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What an operator gives at a step.
enum Outcome {
    Number(f64),
    Histogram(Arc<Native>),
    Nothing,
}

/// The value of an operator of which at least one side is a histogram.
fn of_histograms(op: TokenId, left: Operand<'_>, right: Operand<'_>, is_bool: bool, notes: &Notes) -> Outcome {
    let compared = |is_true: bool, kept: &Arc<Native>| match (is_true, is_bool) {
        (_, true) => Outcome::Number(f64::from(is_true)),
        (true, false) => Outcome::Histogram(Arc::clone(kept)),
        (false, false) => Outcome::Nothing,
    };
    let made = |histogram: Native| Outcome::Histogram(Arc::new(histogram));
    match (left, right) {
        (Operand::Histogram(left), Operand::Histogram(right)) => match op {
            T_ADD => return made(left.plus(right, 1.0)),
            T_SUB => return made(left.plus(right, -1.0)),
            T_EQLC => return compared(left.equals(right), left),
            T_NEQ => return compared(!left.equals(right), left),
            _ => {}
        },
        (Operand::Histogram(left), Operand::Number(right)) => match op {
            T_MUL => return made(left.map(|number| number * right)),
            T_DIV => return made(left.map(|number| number / right)),
            _ => {}
        },
        (Operand::Number(left), Operand::Histogram(right)) if op == T_MUL => {
            return made(right.map(|number| number * left));
        }
        _ => {}
    }
    notes.incompatible(left.kind(), sign(op), right.kind());
    Outcome::Nothing
}

/// An operator as it is written.
const fn sign(op: TokenId) -> &'static str {
    match op {
        T_ADD => "+",
        T_SUB => "-",
        T_MUL => "*",
        T_DIV => "/",
        T_MOD => "%",
        T_POW => "^",
        T_ATAN2 => "atan2",
        T_EQLC => "==",
        T_NEQ => "!=",
        T_LTE => "<=",
        T_LSS => "<",
        T_GTE => ">=",
        T_GTR => ">",
        _ => "?",
    }
}

/// Applies an operator.
pub(super) fn apply(
    op: TokenId,
    left: Value,
    right: Value,
    modifier: Option<&BinModifier>,
    notes: &Notes,
) -> Result<Value, QueryError> {
    let is_bool = modifier.is_some_and(|modifier| modifier.return_bool);
    if let Some(modifier) = modifier
        && (modifier.fill_values.lhs.is_some() || modifier.fill_values.rhs.is_some())
    {
        return Err(unsupported("fill modifiers are experimental and not supported"));
    }
    match (left, right) {
        (Value::Scalar(left), Value::Scalar(right)) => {
            if compares(op) && !is_bool {
                return Err(invalid("comparisons between scalars must use the bool modifier"));
            }
            Ok(Value::Scalar(left.iter().zip(right).map(|(left, right)| compute(op, *left, right)).collect()))
        }
        (Value::Vector(left), Value::Scalar(right)) => {
            let change = |step: usize, value: f64| result(op, value, right[step], value, is_bool);
            let of_histogram = |step: usize, histogram: &Arc<Native>| {
                of_histograms(op, Operand::Histogram(histogram), Operand::Number(right[step]), is_bool, notes)
            };
            Ok(Value::Vector(with_scalar(left, op, is_bool, change, of_histogram)))
        }
        (Value::Scalar(left), Value::Vector(right)) => {
            let change = |step: usize, value: f64| result(op, left[step], value, value, is_bool);
            let of_histogram = |step: usize, histogram: &Arc<Native>| {
                of_histograms(op, Operand::Number(left[step]), Operand::Histogram(histogram), is_bool, notes)
            };
            Ok(Value::Vector(with_scalar(right, op, is_bool, change, of_histogram)))
        }
        (Value::Vector(left), Value::Vector(right)) => {
            if matches!(op, T_LAND | T_LOR | T_LUNLESS) {
                return Ok(Value::Vector(set(op, left, right, modifier)));
            }
            vectors(op, left, right, modifier, is_bool, notes).map(Value::Vector)
        }
        _ => Err(invalid("operators stand between scalars and instant vectors")),
    }
}

fn with_scalar(
    series: Vec<Series>,
    op: TokenId,
    is_bool: bool,
    change: impl Fn(usize, f64) -> f64,
    of_histogram: impl Fn(usize, &Arc<Native>) -> Outcome,
) -> Vec<Series> {
    let keeps_name = compares(op) && !is_bool;
    series
        .into_iter()
        .map(|mut one| {
            let histograms = one.histograms.take();
            let mut one = one.map(&change);
            for (step, histogram) in histograms.iter().flatten().enumerate() {
                put(&mut one, step, histogram.as_ref().map_or(Outcome::Nothing, |found| of_histogram(step, found)));
            }
            if !keeps_name {
                one.labels = one.labels.without_name();
            }
            one
        })
        .filter(Series::has_any)
        .collect()
}

fn put(series: &mut Series, step: usize, outcome: Outcome) {
    match outcome {
        Outcome::Number(value) => series.values[step] = value,
        Outcome::Histogram(histogram) => series.set_histogram(step, Some(histogram)),
        Outcome::Nothing => {}
    }
}

/// The labels by which both sides are matched.
fn signature(labels: &Labels, modifier: Option<&BinModifier>) -> Labels {
    match modifier.and_then(|modifier| modifier.matching.as_ref()) {
        None => labels.without_name(),
        Some(LabelModifier::Include(on)) => labels.only(|name| on.labels.iter().any(|on| on == name)),
        Some(LabelModifier::Exclude(ignored)) => {
            labels.only(|name| name != NAME && !ignored.labels.iter().any(|ignored| ignored == name))
        }
    }
}

/// `and`, `or` and `unless`, step by step.
fn set(op: TokenId, left: Vec<Series>, right: Vec<Series>, modifier: Option<&BinModifier>) -> Vec<Series> {
    let presence = |all: &[Series]| {
        let mut present: HashMap<Labels, Vec<bool>> = HashMap::new();
        for one in all {
            let steps =
                present.entry(signature(&one.labels, modifier)).or_insert_with(|| vec![false; one.values.len()]);
            steps.iter_mut().enumerate().for_each(|(step, there)| *there |= one.is_at(step));
        }
        present
    };
    let keep = |series: Vec<Series>, others: &HashMap<Labels, Vec<bool>>, when: bool| -> Vec<Series> {
        series
            .into_iter()
            .map(|one| {
                let other = others.get(&signature(&one.labels, modifier));
                one.keep(|step| other.is_some_and(|other| other[step]) == when)
            })
            .filter(Series::has_any)
            .collect()
    };
    match op {
        T_LAND => keep(left, &presence(&right), true),
        T_LUNLESS => keep(left, &presence(&right), false),
        _ => {
            let present = presence(&left);
            let mut all = left;
            for one in keep(right, &present, false) {
                // The same labels may be there at other steps.
                match all.iter_mut().find(|known| known.labels == one.labels) {
                    Some(known) => {
                        for step in (0..one.values.len()).filter(|step| one.is_at(*step)) {
                            known.values[step] = one.values[step];
                            known.set_histogram(step, one.histogram(step).cloned());
                        }
                    }
                    None => all.push(one),
                }
            }
            all
        }
    }
}

/// An operator between vectors: series of the same signature are matched.
fn vectors(
    op: TokenId,
    left: Vec<Series>,
    right: Vec<Series>,
    modifier: Option<&BinModifier>,
    is_bool: bool,
    notes: &Notes,
) -> Result<Vec<Series>, QueryError> {
    let cardinality = modifier.map_or(VectorMatchCardinality::OneToOne, |modifier| modifier.card.clone());
    // The side of many comes first; for a single one on each side that is the left.
    let is_swapped = matches!(cardinality, VectorMatchCardinality::OneToMany(_));
    let (many, one) = if is_swapped { (right, left) } else { (left, right) };
    let is_one_to_one = matches!(cardinality, VectorMatchCardinality::OneToOne);
    let mut ones: HashMap<Labels, Vec<Series>> = HashMap::new();
    for series in one {
        ones.entry(signature(&series.labels, modifier)).or_default().push(series);
    }
    let mut out: HashMap<Labels, Series> = HashMap::new();
    let mut taken: HashMap<Labels, Vec<bool>> = HashMap::new();
    for series in many {
        let key = signature(&series.labels, modifier);
        let Some(partners) = ones.get(&key) else { continue };
        for step in 0..series.values.len() {
            let Some(value) = Operand::of(&series, step) else { continue };
            let mut present = partners.iter().filter_map(|partner| Some((partner, Operand::of(partner, step)?)));
            let Some((partner, other)) = present.next() else { continue };
            if present.next().is_some() {
                let side = if is_swapped { "left" } else { "right" };
                return Err(invalid(format!(
                    "found duplicate series for the match group {key} on the {side} hand-side of the operation: many-to-many \
                     matching not allowed: matching labels must be unique on one side"
                )));
            }
            if is_one_to_one {
                let steps = taken.entry(key.clone()).or_insert_with(|| vec![false; series.values.len()]);
                if std::mem::replace(&mut steps[step], true) {
                    return Err(invalid(format!(
                        "multiple matches for labels {key}: many-to-one matching must be explicit (group_left/group_right)"
                    )));
                }
            }
            let (a, b) = if is_swapped { (other, value) } else { (value, other) };
            // A comparison keeps what stands on the left.
            let outcome = match (a, b) {
                (Operand::Number(a), Operand::Number(b)) => Outcome::Number(result(op, a, b, a, is_bool)),
                _ => of_histograms(op, a, b, is_bool, notes),
            };
            if matches!(outcome, Outcome::Nothing) || matches!(outcome, Outcome::Number(value) if is_absent(value)) {
                continue;
            }
            let labels = result_labels(&series.labels, &partner.labels, op, modifier, &cardinality, is_bool);
            let into =
                out.entry(labels.clone()).or_insert_with(|| Series::new(labels, vec![ABSENT; series.values.len()]));
            if into.is_at(step) {
                return Err(invalid("multiple matches for labels: grouping labels must ensure unique matches"));
            }
            put(into, step, outcome);
        }
    }
    Ok(out.into_values().collect())
}

fn result_labels(
    many: &Labels,
    one: &Labels,
    op: TokenId,
    modifier: Option<&BinModifier>,
    cardinality: &VectorMatchCardinality,
    is_bool: bool,
) -> Labels {
    let mut labels = if !compares(op) || is_bool { many.without_name() } else { many.clone() };
    match cardinality {
        VectorMatchCardinality::OneToOne => {
            match modifier.and_then(|modifier| modifier.matching.as_ref()) {
                Some(LabelModifier::Include(on)) => {
                    labels = labels.only(|name| on.labels.iter().any(|on| on == name));
                }
                Some(LabelModifier::Exclude(ignored)) => {
                    labels = labels.only(|name| !ignored.labels.iter().any(|ignored| ignored == name));
                }
                None => {}
            }
            labels
        }
        VectorMatchCardinality::ManyToOne(include) | VectorMatchCardinality::OneToMany(include) => {
            for name in &include.labels {
                labels = labels.with(name, one.get(name));
            }
            labels
        }
        VectorMatchCardinality::ManyToMany => labels,
    }
}
