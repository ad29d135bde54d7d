//! Label sets.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// The label that holds a metric's name.
pub(crate) const NAME: &str = "__name__";

type Pair = (Arc<str>, Arc<str>);

/// Labels in the order of their names; a label without value is no label.
#[derive(Clone, Debug)]
pub(crate) struct Labels {
    pairs: Arc<[Pair]>,
    /// Of all names and values: sets are told apart by it first, which is what groups and matches ask for most.
    hash: u64,
}

impl Default for Labels {
    fn default() -> Self {
        Self::of_sorted(Arc::default())
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && (Arc::ptr_eq(&self.pairs, &other.pairs) || self.pairs == other.pairs)
    }
}

impl Eq for Labels {}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.pairs.cmp(&other.pairs)
    }
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Labels {
    fn of_sorted(pairs: Arc<[Pair]>) -> Self {
        let mut hasher = Xxh3::new();
        for (name, value) in pairs.iter() {
            for text in [name, value] {
                hasher.update(&(text.len() as u32).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        let hash = hasher.digest();
        Self { pairs, hash }
    }

    /// Of pairs in any order; of a name that stands twice the last value counts.
    pub(crate) fn new(pairs: impl IntoIterator<Item = Pair>) -> Self {
        let mut all = std::collections::BTreeMap::new();
        all.extend(pairs);
        Self::of_sorted(all.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of a label; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.binary_search_by(|(known, _)| (**known).cmp(name)).map_or("", |place| &self.pairs[place].1)
    }

    /// Each name with its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Each name with its value, as they are shared.
    pub(super) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// With this value of a label in place of any other; without the label when the value is empty.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let others = self.pairs.iter().filter(|(known, _)| **known != *name).cloned();
        Self::new(others.chain([(Arc::from(name), Arc::from(value))]))
    }

    /// Those whose name passes.
    pub(crate) fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self::of_sorted(self.pairs.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// Without the metric's name.
    pub(crate) fn without_name(&self) -> Self {
        if self.get(NAME).is_empty() { self.clone() } else { self.only(|name| name != NAME) }
    }

    /// Where the set stands among all sets, from 0 to 1: the same in every query.
    pub(super) fn share(&self) -> f64 {
        self.hash as f64 / u64::MAX as f64
    }

    /// As JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        self.iter().map(|(name, value)| (name.to_owned(), serde_json::Value::from(value))).collect()
    }
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{{", self.get(NAME))?;
        for (place, (name, value)) in self.iter().filter(|(name, _)| *name != NAME).enumerate() {
            write!(f, "{}{name}={value:?}", if place == 0 { "" } else { ", " })?;
        }
        write!(f, "}}")
    }
}
