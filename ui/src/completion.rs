//! What is offered while a query is typed: the words between the server's half and the browser's.

use serde::{Deserialize, Serialize};

/// What may stand at the caret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Completions {
    /// How many UTF-16 units before the caret an item takes the place of.
    pub(crate) replace: usize,
    /// The likeliest first.
    pub(crate) items: Vec<Completion>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Completion {
    /// What is put in.
    pub(crate) text: String,
    /// What is shown.
    pub(crate) shown: String,
    /// What is said of it: a count, a type.
    pub(crate) detail: String,
}
