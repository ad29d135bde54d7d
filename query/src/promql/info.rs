//! `info`: series with the labels that an info metric has for the same `job` and `instance`.

use super::eval::{Evaluation, invalid, matchers, offset_of};
use super::labels::{Labels, NAME};
use super::select::is_match;
use super::series::{ABSENT, Grid, Series, Value, is_absent};
use super::target_info::TARGET_INFO;
use crate::QueryError;
use hashbrown::HashMap;
use promql_parser::label::{MatchOp, Matcher, Matchers};
use promql_parser::parser::{Expr, Offset, VectorSelector};

/// By what a series and an info metric are of the same target.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// The selector of the info metrics that a call of `info` asks for: `target_info` unless the second argument names others, at the
/// offset of the first argument's first selector.
pub(super) fn selector(arguments: &[Box<Expr>]) -> Result<VectorSelector, QueryError> {
    let mut asked = match arguments.get(1).map(|argument| super::unwrapped(argument)) {
        None => VectorSelector::new(None, Matchers::empty()),
        Some(Expr::VectorSelector(asked)) if asked.offset.is_none() && asked.at.is_none() => asked.clone(),
        Some(_) => {
            return Err(invalid(
                "the second argument of info is a selector of labels such as {k8s_cluster_name=~\".+\"}",
            ));
        }
    };
    let is_named = asked.name.is_some() || asked.matchers.matchers.iter().any(|matcher| matcher.name == NAME);
    if !is_named {
        asked.matchers.matchers.push(Matcher::new(MatchOp::Equal, NAME, TARGET_INFO));
    }
    asked.offset = arguments.first().and_then(|argument| offset(argument));
    Ok(asked)
}

/// The offset of the first selector of an expression.
fn offset(expr: &Expr) -> Option<Offset> {
    match expr {
        Expr::VectorSelector(selector) => selector.offset.clone(),
        Expr::MatrixSelector(matrix) => matrix.vs.offset.clone(),
        Expr::Subquery(subquery) => offset(&subquery.expr),
        Expr::Paren(paren) => offset(&paren.expr),
        Expr::Unary(unary) => offset(&unary.expr),
        Expr::Binary(binary) => offset(&binary.lhs),
        Expr::Aggregate(aggregate) => offset(&aggregate.expr),
        Expr::Call(call) => call.args.args.iter().find_map(|argument| offset(argument)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => None,
    }
}

fn target(labels: &Labels) -> [&str; 2] {
    IDENTIFYING.map(|name| labels.get(name))
}

impl Evaluation<'_> {
    /// The series of the first argument with labels of info metrics.
    pub(super) fn info(&self, arguments: &[&Expr], grid: Grid) -> Result<Vec<Series>, QueryError> {
        let Some(Value::Vector(series)) = arguments.first().map(|base| self.eval(base, grid)).transpose()? else {
            return Err(invalid("the first argument of info is an instant vector"));
        };
        let boxed: Vec<Box<Expr>> = arguments.iter().map(|argument| Box::new((*argument).clone())).collect();
        let selector = selector(&boxed)?;
        debug_assert_eq!(
            offset_of(selector.offset.as_ref()),
            offset_of(boxed.first().and_then(|base| offset(base)).as_ref())
        );
        let (of_names, of_labels): (Vec<Matcher>, Vec<Matcher>) =
            matchers(&selector)?.into_iter().partition(|matcher| matcher.name == NAME);
        // The time of the newest sample of each info series, as its value.
        let infos = self.selector(&selector, grid, true)?;
        let mut by_target: HashMap<[&str; 2], Vec<&Series>> = HashMap::new();
        for one in &infos {
            by_target.entry(target(&one.labels)).or_default().push(one);
        }
        let may_be_missing = of_labels.iter().all(|matcher| matcher.is_match(""));
        let mut out = Vec::new();
        for base in series {
            let is_info = !base.labels.get(NAME).is_empty() && is_match(&of_names, &base.labels);
            if is_info {
                out.push(base);
                continue;
            }
            let candidates = by_target.get(&target(&base.labels)).map(Vec::as_slice).unwrap_or_default();
            let mut known: HashMap<Labels, Series> = HashMap::new();
            for step in (0..grid.count).filter(|step| base.is_at(*step)) {
                let found = newest(candidates, step)?;
                if found.is_empty() && !may_be_missing {
                    continue;
                }
                let labels = extended(&base.labels, &found, &of_labels)?;
                let into = known.entry(labels.clone()).or_insert_with(|| Series::new(labels, vec![ABSENT; grid.count]));
                into.values[step] = base.values[step];
                into.set_histogram(step, base.histogram(step).cloned());
            }
            out.extend(known.into_values());
        }
        Ok(out)
    }
}

/// Of the info series of a target at a step the newest of each name.
fn newest<'a>(candidates: &[&'a Series], step: usize) -> Result<Vec<&'a Labels>, QueryError> {
    let mut found: Vec<(&Series, f64)> = Vec::new();
    for one in candidates.iter().filter(|one| !is_absent(one.values[step])) {
        let (name, time) = (one.labels.get(NAME), one.values[step]);
        match found.iter_mut().find(|(known, _)| known.labels.get(NAME) == name) {
            None => found.push((one, time)),
            Some(known) if known.1 < time => *known = (one, time),
            Some(known) if known.1 == time => {
                return Err(invalid(format!(
                    "found duplicate series for info metric: {} and {}, both at {time}",
                    known.0.labels, one.labels
                )));
            }
            Some(_) => {}
        }
    }
    Ok(found.into_iter().map(|(one, _)| &one.labels).collect())
}

/// A series' labels with those of its info metrics that were asked for, all by default.
fn extended(base: &Labels, infos: &[&Labels], asked: &[Matcher]) -> Result<Labels, QueryError> {
    let mut labels = base.clone();
    for info in infos {
        for (name, value) in info.iter() {
            let is_asked = asked.is_empty() || asked.iter().any(|matcher| matcher.name == name);
            if name == NAME || !is_asked || !base.get(name).is_empty() {
                continue;
            }
            let known = labels.get(name);
            if !known.is_empty() && known != value {
                return Err(invalid(format!("conflicting label: {name}")));
            }
            labels = labels.with(name, value);
        }
    }
    Ok(labels)
}
