//! The words of ready-made dashboards in the reader's language; files that people wrote stay as they are.

use super::Dashboard;
use crate::text::tr_any;

impl Dashboard {
    /// All that is said to a reader, and is no query.
    fn words(&mut self) -> impl Iterator<Item = &mut String> {
        let own = [&mut self.title, &mut self.description].into_iter();
        let labels = self.variables.iter_mut().map(|variable| &mut variable.label);
        let panels = self.panels.iter_mut().flat_map(|panel| {
            let own = [&mut panel.title, &mut panel.description, &mut panel.text].into_iter();
            let legends = panel.queries.iter_mut().map(|query| &mut query.legend);
            let thresholds = panel.thresholds.iter_mut().map(|threshold| &mut threshold.label);
            own.chain(legends).chain(thresholds).chain(panel.links.iter_mut().map(|link| &mut link.title))
        });
        own.chain(labels).chain(panels)
    }

    /// The same in the language of the page.
    pub(super) fn in_words_of_page(mut self) -> Self {
        for word in self.words() {
            if let Some(other) = tr_any(word) {
                other.clone_into(word);
            }
        }
        self
    }
}

/// What ready-made dashboards say, names of labels apart.
#[cfg(test)]
pub(crate) fn said() -> std::collections::BTreeSet<String> {
    let is_said = |text: &String| {
        let outside = text.split("{{").map(|piece| piece.split_once("}}").map_or(piece, |(_, behind)| behind));
        outside.flat_map(str::chars).any(char::is_alphabetic)
    };
    let made = super::READY_MADE.iter().filter_map(|made| made.dashboard.as_deref().cloned());
    made.flat_map(|mut dashboard| dashboard.words().map(|word| word.clone()).filter(is_said).collect::<Vec<_>>())
        .collect()
}
