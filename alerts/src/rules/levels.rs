//! Which rules of a group can be asked together.

use super::condition::Condition;
use super::{Kind, Rule};
use std::collections::BTreeMap;

/// The series that a rule makes.
fn made(rule: &Rule) -> Vec<&str> {
    if rule.kind == Kind::Record { vec![rule.name.as_str()] } else { vec!["ALERTS", "ALERTS_FOR_STATE"] }
}

/// The names of the series that a condition reads; none: of any name.
fn read_names(condition: &Condition) -> Vec<Option<String>> {
    match condition {
        Condition::PromQl { expr, .. } => {
            expr.selections().unwrap_or_default().into_iter().map(|(name, _)| name).collect()
        }
        // Recorded series are rows of this table.
        Condition::Sql { sql, .. } if sql.to_ascii_lowercase().contains("metric_points") => vec![None],
        _ => Vec::new(),
    }
}

/// How many rules before each one must have been evaluated, one after the other, for all to see what they see one by one: the
/// series of the rules before, and not yet those of the rules behind. Those of the same number are asked before any is recorded.
pub(super) fn levels(rules: &[Rule]) -> Vec<usize> {
    let mut made_at: BTreeMap<String, usize> = BTreeMap::new();
    let mut read_at: BTreeMap<String, usize> = BTreeMap::new();
    let (mut highest, mut all_read_at) = (0, 0);
    let mut levels = Vec::with_capacity(rules.len());
    for rule in rules {
        let reads = read_names(&rule.condition);
        let after = |name: &Option<String>| match name {
            Some(name) => made_at.get(name).copied().unwrap_or(0),
            None => highest,
        };
        let behind_makers = reads.iter().map(after).max().unwrap_or(0);
        let readers = made(rule).into_iter().filter_map(|name| read_at.get(name).copied()).max().unwrap_or(0);
        let level = behind_makers.max(readers).max(all_read_at);
        for name in made(rule) {
            let known = made_at.entry(name.to_owned()).or_default();
            *known = (*known).max(level + 1);
        }
        for name in reads {
            let known = match name {
                Some(name) => read_at.entry(name).or_default(),
                None => &mut all_read_at,
            };
            *known = (*known).max(level);
        }
        highest = highest.max(level + 1);
        levels.push(level);
    }
    levels
}
