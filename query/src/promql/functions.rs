//! Functions of instant vectors, scalars and texts.

use super::eval::{invalid, unsupported};
use super::histogram;
use super::labels::{Labels, NAME};
use super::notes::Notes;
use super::numbers::by_value;
use super::series::{ABSENT, Grid, Series, Value, is_absent};
use crate::QueryError;
use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use promql_parser::label::MatchOp;
use promql_parser::parser::Expr;
use std::cmp::Ordering;

/// Calls a function.
pub(super) fn call(
    name: &str,
    expressions: &[&Expr],
    arguments: &[Value],
    grid: Grid,
    notes: &Notes,
) -> Result<Value, QueryError> {
    let scalar = |place: usize| match arguments.get(place) {
        Some(Value::Scalar(values)) => Ok(values.clone()),
        _ => Err(invalid(format!("argument {} of {name} is not a scalar", place + 1))),
    };
    let text = |place: usize| match arguments.get(place) {
        Some(Value::Text(text)) => Ok(text.as_str()),
        _ => Err(invalid(format!("argument {} of {name} is not a text", place + 1))),
    };
    let vector = |place: usize| match arguments.get(place) {
        Some(Value::Vector(series)) => Ok(series.clone()),
        _ => Err(invalid(format!("argument {} of {name} is not an instant vector", place + 1))),
    };
    if let Some(change) = of_number(name) {
        return Ok(Value::Vector(changed(vector(0)?, |_, value| change(value))));
    }
    if let Some(part) = of_date(name) {
        let series = match arguments.first() {
            None => {
                let times = grid.times().map(|time| time as f64 / 1000.0).collect();
                vec![Series::new(Labels::default(), times)]
            }
            Some(_) => vector(0)?,
        };
        return Ok(Value::Vector(changed(series, |_, value| date(value).map_or(f64::NAN, part))));
    }
    if let Some(number) = histogram::of_native(name) {
        return Ok(Value::Vector(histogram::numbers(vector(0)?, |_, native| number(native))));
    }
    Ok(match name {
        "time" => Value::Scalar(grid.times().map(|time| time as f64 / 1000.0).collect()),
        "pi" => Value::Scalar(vec![std::f64::consts::PI; grid.count]),
        "vector" => Value::Vector(vec![Series::new(Labels::default(), scalar(0)?)]),
        "scalar" => Value::Scalar(only_value(&vector(0)?, grid)),
        "timestamp" => {
            let times: Vec<f64> = grid.times().map(|time| time as f64 / 1000.0).collect();
            let stamped = |one: Series| {
                let of_step = |step: usize| if one.is_at(step) { times[step] } else { ABSENT };
                Series::new(one.labels.without_name(), (0..grid.count).map(of_step).collect())
            };
            Value::Vector(vector(0)?.into_iter().map(stamped).collect())
        }
        "clamp" => {
            let (low, high) = (scalar(1)?, scalar(2)?);
            let clamp = |step: usize, value: f64| {
                if low[step] > high[step] { ABSENT } else { at_most(at_least(value, low[step]), high[step]) }
            };
            Value::Vector(kept(changed(vector(0)?, clamp)))
        }
        "clamp_min" => {
            let low = scalar(1)?;
            Value::Vector(changed(vector(0)?, |step, value| at_least(value, low[step])))
        }
        "clamp_max" => {
            let high = scalar(1)?;
            Value::Vector(changed(vector(0)?, |step, value| at_most(value, high[step])))
        }
        "round" => {
            let to = if arguments.len() > 1 { scalar(1)? } else { vec![1.0; grid.count] };
            // Halves are rounded up.
            let round = |step: usize, value: f64| {
                let inverse = 1.0 / to[step];
                (value * inverse + 0.5).floor() / inverse
            };
            Value::Vector(changed(vector(0)?, round))
        }
        "histogram_quantile" => Value::Vector(histogram::quantile(&scalar(0)?, vector(1)?, notes)),
        "histogram_fraction" => Value::Vector(histogram::fraction(&scalar(0)?, &scalar(1)?, vector(2)?, notes)),
        "sort" | "sort_desc" => {
            let mut series = only_numbers(vector(0)?);
            if grid.count == 1 {
                series.sort_by(|left, right| by_value(left.values[0], right.values[0], name == "sort_desc"));
            }
            Value::Vector(series)
        }
        "sort_by_label" | "sort_by_label_desc" => {
            let names = (1..arguments.len()).map(text).collect::<Result<Vec<_>, _>>()?;
            let series = vector(0)?;
            Value::Vector(if grid.count == 1 { by_labels(series, &names, name.ends_with("_desc")) } else { series })
        }
        "absent" => {
            let mut is_there = vec![false; grid.count];
            for one in vector(0)? {
                is_there.iter_mut().enumerate().for_each(|(step, there)| *there |= one.is_at(step));
            }
            Value::Vector(absent(expressions[0], &is_there))
        }
        "label_replace" => {
            let texts = [text(1)?, text(2)?, text(3)?, text(4)?];
            Value::Vector(label_replace(vector(0)?, texts)?)
        }
        "label_join" => {
            let (into, separator) = (label_name(text(1)?)?, text(2)?);
            let sources =
                (3..arguments.len()).map(|place| text(place).and_then(label_name)).collect::<Result<Vec<_>, _>>()?;
            let join = |one: Series| {
                let values: Vec<&str> = sources.iter().map(|source| one.labels.get(source)).collect();
                let labels = one.labels.with(into, &values.join(separator));
                one.labelled(labels)
            };
            Value::Vector(vector(0)?.into_iter().map(join).collect())
        }
        other => return Err(unsupported(format!("the function {other} is not supported"))),
    })
}

/// Series in the order of some labels, and of all where these are equal.
fn by_labels(mut series: Vec<Series>, names: &[&str], falling: bool) -> Vec<Series> {
    series.sort_by(|left, right| {
        let by_name = names.iter().map(|name| natural(left.labels.get(name), right.labels.get(name)));
        by_name.fold(Ordering::Equal, Ordering::then).then_with(|| left.labels.cmp(&right.labels))
    });
    if falling {
        series.reverse();
    }
    series
}

/// The order of texts in which numbers within them count as numbers.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    loop {
        let (one, other) = (piece(left), piece(right));
        if one.is_empty() || other.is_empty() {
            return one.len().cmp(&other.len());
        }
        let number = |text: &str| text.parse::<u64>().ok();
        let order = match (number(one), number(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => one.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (&left[one.len()..], &right[other.len()..]);
    }
}

/// The digits, or what is none, that a text begins with.
fn piece(text: &str) -> &str {
    let is_digit = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != is_digit);
    &text[..end.unwrap_or(text.len())]
}

fn changed(series: Vec<Series>, change: impl Fn(usize, f64) -> f64) -> Vec<Series> {
    series
        .into_iter()
        .map(|one| {
            let labels = one.labels.without_name();
            one.map(&change).labelled(labels)
        })
        .collect()
}

/// Numbers alone, under their labels as they are.
fn only_numbers(series: Vec<Series>) -> Vec<Series> {
    kept(series.into_iter().map(|one| one.map(|_, value| value)).collect())
}

fn kept(mut series: Vec<Series>) -> Vec<Series> {
    series.retain(Series::has_any);
    series
}

fn at_least(value: f64, low: f64) -> f64 {
    if value.is_nan() || low.is_nan() { f64::NAN } else { value.max(low) }
}

fn at_most(value: f64, high: f64) -> f64 {
    if value.is_nan() || high.is_nan() { f64::NAN } else { value.min(high) }
}

/// The value of the only series at each step; NaN when there is none or more than one.
fn only_value(series: &[Series], grid: Grid) -> Vec<f64> {
    (0..grid.count)
        .map(|step| {
            let mut present = series.iter().map(|one| one.values[step]).filter(|value| !is_absent(*value));
            present.next().filter(|_| present.next().is_none()).unwrap_or(f64::NAN)
        })
        .collect()
}

/// A series with the value 1 where nothing is, with the labels that the expression asks for exactly.
pub(super) fn absent(expr: &Expr, is_there: &[bool]) -> Vec<Series> {
    let selector = match expr {
        Expr::VectorSelector(selector) => Some(selector),
        Expr::MatrixSelector(matrix) => Some(&matrix.vs),
        _ => None,
    };
    let mut labels = Labels::default();
    for matcher in selector.into_iter().flat_map(|selector| &selector.matchers.matchers) {
        let asked = selector
            .map_or(0, |selector| selector.matchers.matchers.iter().filter(|other| other.name == matcher.name).count());
        if matcher.name != NAME && matcher.op == MatchOp::Equal && asked == 1 {
            labels = labels.with(&matcher.name, &matcher.value);
        }
    }
    let values = is_there.iter().map(|there| if *there { ABSENT } else { 1.0 }).collect();
    kept(vec![Series::new(labels, values)])
}

fn label_name(name: &str) -> Result<&str, QueryError> {
    if name.is_empty() { Err(invalid("a label's name is empty")) } else { Ok(name) }
}

/// `label_replace(v, to, replacement, from, regex)`.
fn label_replace(series: Vec<Series>, [to, replacement, from, regex]: [&str; 4]) -> Result<Vec<Series>, QueryError> {
    let to = label_name(to)?;
    let regex = regex::Regex::new(&format!("^(?s:{regex})$"))
        .map_err(|error| invalid(format!("invalid regular expression in label_replace(): {error}")))?;
    // `$1` may be followed by letters without being another name.
    let replacement = regex::Regex::new(r"\$(\d+)")
        .map_or_else(|_| replacement.to_owned(), |numbers| numbers.replace_all(replacement, "$${$1}").into_owned());
    Ok(series
        .into_iter()
        .map(|one| {
            let Some(found) = regex.captures(one.labels.get(from)) else { return one };
            let mut value = String::new();
            found.expand(&replacement, &mut value);
            let labels = one.labels.with(to, &value);
            one.labelled(labels)
        })
        .collect())
}

fn of_number(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "ceil" => f64::ceil,
        "floor" => f64::floor,
        "exp" => f64::exp,
        "ln" => f64::ln,
        "log2" => f64::log2,
        "log10" => f64::log10,
        "sqrt" => f64::sqrt,
        "sgn" => |value| {
            if value > 0.0 {
                1.0
            } else if value < 0.0 {
                -1.0
            } else {
                value
            }
        },
        "sin" => f64::sin,
        "cos" => f64::cos,
        "tan" => f64::tan,
        "asin" => f64::asin,
        "acos" => f64::acos,
        "atan" => f64::atan,
        "sinh" => f64::sinh,
        "cosh" => f64::cosh,
        "tanh" => f64::tanh,
        "asinh" => f64::asinh,
        "acosh" => f64::acosh,
        "atanh" => f64::atanh,
        "deg" => f64::to_degrees,
        "rad" => f64::to_radians,
        _ => return None,
    })
}

fn date(seconds: f64) -> Option<DateTime<Utc>> {
    if seconds.is_finite() { DateTime::from_timestamp(seconds as i64, 0) } else { None }
}

fn of_date(name: &str) -> Option<fn(DateTime<Utc>) -> f64> {
    Some(match name {
        "minute" => |date| f64::from(date.minute()),
        "hour" => |date| f64::from(date.hour()),
        "day_of_month" => |date| f64::from(date.day()),
        "day_of_week" => |date| f64::from(date.weekday().num_days_from_sunday()),
        "day_of_year" => |date| f64::from(date.ordinal()),
        "month" => |date| f64::from(date.month()),
        "year" => |date| f64::from(date.year()),
        "days_in_month" => |date| f64::from(date.num_days_in_month()),
        _ => return None,
    })
}
