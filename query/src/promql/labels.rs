//! Label sets.

use std::sync::Arc;

/// The label that holds a metric's name.
pub(crate) const NAME: &str = "__name__";

/// Labels in the order of their names; a label without value is no label.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// Of pairs in any order; of a name that stands twice the last value counts.
    pub(crate) fn new(pairs: impl IntoIterator<Item = (Arc<str>, Arc<str>)>) -> Self {
        let mut all = std::collections::BTreeMap::new();
        all.extend(pairs);
        Self(all.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The value of a label; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name)).map_or("", |place| &self.0[place].1)
    }

    /// Each name with its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// With this value of a label in place of any other; without the label when the value is empty.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let others = self.0.iter().filter(|(known, _)| **known != *name).cloned();
        Self::new(others.chain([(Arc::from(name), Arc::from(value))]))
    }

    /// Those whose name passes.
    pub(crate) fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// Without the metric's name.
    pub(crate) fn without_name(&self) -> Self {
        if self.get(NAME).is_empty() { self.clone() } else { self.only(|name| name != NAME) }
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
