//! Rules: what is asked, how often, and what is said when it holds.
//!
//! Files have Prometheus' format, with conditions of our own beside `expr`; [`read`] takes one, [`RuleSet::load`] all that a
//! configuration names. A file is taken as a whole or not at all; what is wrong is told with file, line and key.

mod condition;
mod file;
mod levels;
mod read;
mod set;
mod slo;

pub use condition::{Change, Comparison, Condition, Measure, Operator, Search, Test};
pub(crate) use file::Text as PlainText;
pub use read::read;
pub use set::{Fault, RuleSet};
pub(crate) use set::{files, is_blank};

use crate::template::Template;
use std::sync::Arc;

/// A group of rules that are evaluated together, at the same moment; those that ask for series of others come after them.
#[derive(Clone, Debug)]
pub struct Group {
    /// The file, as the configuration names it.
    pub file: Arc<str>,
    /// The group's name; each once in a file.
    pub name: String,
    /// Time between evaluations, in milliseconds.
    pub interval_ms: i64,
    /// How long before the moment of evaluation data is looked at, in milliseconds: late data is seen so.
    pub offset_ms: Option<i64>,
    /// The largest number of alerts, or of recorded series, that one rule may give; 0 is no limit.
    pub limit: usize,
    /// The rules in their order.
    pub rules: Vec<Arc<Rule>>,
    /// For each rule, after how many others it comes whose series it asks for: those of the same number can be asked together.
    pub levels: Vec<usize>,
}

impl Group {
    /// What tells it from all others.
    pub fn id(&self) -> String {
        format!("{};{}", self.file, self.name)
    }
}

/// What a rule makes of its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Series that are stored.
    Record,
    /// Alerts.
    Alert,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The same as long as file, group, name and labels stay; state is kept by it.
    pub id: String,
    /// The alert's name, or the recorded metric's.
    pub name: String,
    /// Whether it records or alerts.
    pub kind: Kind,
    /// What is asked.
    pub condition: Condition,
    /// How long it must hold before the alert fires, in milliseconds.
    pub for_ms: i64,
    /// How long an alert goes on firing after it held, in milliseconds.
    pub keep_firing_ms: i64,
    /// Labels to be added.
    pub labels: Vec<(String, Template)>,
    /// Texts for people.
    pub annotations: Vec<(String, Template)>,
    /// The line it begins at.
    pub line: u64,
}
