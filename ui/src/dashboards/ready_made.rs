//! The dashboards that come with the program, as files of the same kind that people write.

use super::{Dashboard, read};
use crate::text::Language;
use std::sync::{Arc, LazyLock};

/// Name and file of each.
const FILES: [(&str, &str); 3] = [
    ("service", include_str!("../../dashboards/service.yaml")),
    ("host", include_str!("../../dashboards/host.yaml")),
    ("mangru", include_str!("../../dashboards/mangru.yaml")),
];

/// A dashboard that comes with the program.
pub(crate) struct ReadyMade {
    /// Its name in addresses.
    pub(crate) name: &'static str,
    /// Its file.
    pub(crate) text: Arc<str>,
    /// What it says; a test reads them all.
    pub(crate) dashboard: Option<Arc<Dashboard>>,
}

impl ReadyMade {
    /// What it says in the reader's language.
    pub(crate) fn said_in(&self, language: Language) -> Option<Arc<Dashboard>> {
        match (&self.dashboard, language) {
            (Some(dashboard), Language::English) => Some(Arc::clone(dashboard)),
            (dashboard, language) => {
                let dashboard = dashboard.as_deref()?.clone();
                Some(Arc::new(language.scope(|| dashboard.in_words_of_page())))
            }
        }
    }
}

/// All of them, read when the first is asked for.
pub(crate) static READY_MADE: LazyLock<Vec<ReadyMade>> = LazyLock::new(|| {
    FILES
        .into_iter()
        .map(|(name, text)| ReadyMade { name, text: text.into(), dashboard: read(text).ok().map(Arc::new) })
        .collect()
});
