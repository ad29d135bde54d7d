//! The names of the store's columns, for as long as the program runs.

use hashbrown::HashSet;
use mangru_store::Signal;
use std::sync::LazyLock;

static NAMES: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    // One small leak for the life of the program: a few dozen names.
    Signal::ALL
        .into_iter()
        .flat_map(|signal| signal.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>())
        .collect::<std::collections::BTreeSet<String>>()
        .into_iter()
        .map(|name| &*Box::leak(name.into_boxed_str()))
        .collect()
});

/// The column of this name.
pub(crate) fn static_name(name: &str) -> Option<&'static str> {
    NAMES.get(name).copied()
}
