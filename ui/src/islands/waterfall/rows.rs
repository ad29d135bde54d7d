//! The rows of a waterfall, and which of them are shown.

use std::collections::BTreeSet;

/// What can be true of a span.
pub(crate) mod flags {
    /// Its status is error.
    pub(crate) const ERROR: u8 = 1;
    /// It lies on the critical path.
    pub(crate) const CRITICAL: u8 = 2;
    /// It names a parent that is not there.
    pub(crate) const PARENT_MISSING: u8 = 4;
    /// It starts before its parent: clocks differ.
    pub(crate) const CLOCK_SKEW: u8 = 8;
    /// It carries events.
    pub(crate) const EVENTS: u8 = 16;
    /// It carries links.
    pub(crate) const LINKS: u8 = 32;
    /// Log records name it.
    pub(crate) const LOGS: u8 = 64;
    /// It ends after its parent.
    pub(crate) const LATE: u8 = 128;
}

/// One span, as small as it can be told.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Row {
    /// The span id in hex.
    #[serde(rename = "i")]
    pub(crate) id: String,
    /// How deep it lies; roots are 0.
    #[serde(rename = "d")]
    pub(crate) depth: u16,
    /// The number of its name.
    #[serde(rename = "n")]
    pub(crate) name: u32,
    /// The number of its service.
    #[serde(rename = "s")]
    pub(crate) service: u32,
    /// From the trace's start to its own.
    #[serde(rename = "o")]
    pub(crate) offset_ns: i64,
    /// How long it took.
    #[serde(rename = "l")]
    pub(crate) duration_ns: i64,
    /// See [`flags`].
    #[serde(rename = "f")]
    pub(crate) flags: u8,
}

impl Row {
    /// Whether the flag is set.
    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The marks before its name: they say in signs what colour alone would not.
    pub(crate) fn marks(&self) -> String {
        let marks = [
            (flags::ERROR, "✖"),
            (flags::PARENT_MISSING, "⁇"),
            (flags::CLOCK_SKEW, "⇄"),
            (flags::LATE, "↦"),
            (flags::EVENTS, "•"),
            (flags::LINKS, "⇢"),
            (flags::LOGS, "≡"),
        ];
        let mut text: String = marks.into_iter().filter(|(flag, _)| self.has(*flag)).map(|(_, mark)| mark).collect();
        if !text.is_empty() {
            text.push(' ');
        }
        text
    }
}

/// The first row after the row's descendants.
pub(super) fn end_of_subtree(rows: &[Row], index: usize) -> usize {
    let Some(row) = rows.get(index) else { return index };
    rows[index + 1..].iter().position(|next| next.depth <= row.depth).map_or(rows.len(), |length| index + 1 + length)
}

/// The rows that are shown: those not below a collapsed one; while searching, the matches and their ancestors.
pub(super) fn shown(
    rows: &[Row],
    names: &[String],
    services: &[String],
    collapsed: &BTreeSet<usize>,
    search: &str,
) -> Vec<usize> {
    let search = search.trim().to_lowercase();
    if search.is_empty() {
        let mut shown = Vec::with_capacity(rows.len());
        let mut index = 0;
        while index < rows.len() {
            shown.push(index);
            index = if collapsed.contains(&index) { end_of_subtree(rows, index) } else { index + 1 };
        }
        return shown;
    }
    let matches = |row: &Row| {
        names[row.name as usize].to_lowercase().contains(&search)
            || services[row.service as usize].to_lowercase().contains(&search)
            || row.id.contains(&search)
    };
    let mut shown = Vec::new();
    // Walking backwards, a row shallower than what was last shown is its ancestor.
    let mut wanted_above = 0;
    for (index, row) in rows.iter().enumerate().rev() {
        if matches(row) || row.depth < wanted_above {
            shown.push(index);
            wanted_above = row.depth;
        }
    }
    shown.reverse();
    shown
}

/// The rows to draw for a scroll position, with some to spare on both sides.
pub(super) fn in_view(count: usize, scroll: i32, row_height: i32, window_height: i32) -> (usize, usize) {
    const SPARE: usize = 12;
    let first = (scroll.max(0) / row_height) as usize;
    let rows = (window_height / row_height) as usize;
    let first = first.saturating_sub(SPARE).min(count);
    (first, (first + rows + 2 * SPARE).min(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(depths: &[u16]) -> Vec<Row> {
        let row = |(name, depth): (usize, &u16)| Row {
            id: format!("{name:016x}"),
            depth: *depth,
            name: name as u32,
            service: 0,
            offset_ns: 0,
            duration_ns: 1,
            flags: 0,
        };
        depths.iter().enumerate().map(row).collect()
    }

    #[test]
    fn a_collapsed_row_hides_its_descendants_only() {
        let rows = tree(&[0, 1, 2, 2, 1, 0]);
        let names: Vec<String> = (0..6).map(|n| format!("op{n}")).collect();
        let services = ["shop".to_owned()];
        assert_eq!(shown(&rows, &names, &services, &BTreeSet::from([1]), ""), [0, 1, 4, 5]);
        assert_eq!(shown(&rows, &names, &services, &BTreeSet::from([0, 5]), ""), [0, 5]);
        assert_eq!(end_of_subtree(&rows, 0), 5);
    }

    #[test]
    fn a_search_shows_matches_with_their_ancestors() {
        let rows = tree(&[0, 1, 2, 2, 1, 0]);
        let names: Vec<String> = (0..6).map(|n| format!("op{n}")).collect();
        let services = ["shop".to_owned()];
        assert_eq!(shown(&rows, &names, &services, &BTreeSet::new(), "OP3"), [0, 1, 3]);
        assert_eq!(shown(&rows, &names, &services, &BTreeSet::new(), "op5"), [5]);
        assert_eq!(shown(&rows, &names, &services, &BTreeSet::new(), "shop").len(), 6);
        assert!(shown(&rows, &names, &services, &BTreeSet::new(), "nothing").is_empty());
    }

    #[test]
    fn ten_thousand_rows_draw_a_screenful() {
        let (first, last) = in_view(10_000, 24 * 5_000, 24, 624);
        assert!(first < 5_000 && last > 5_026 && last - first <= 50);
        assert_eq!(in_view(3, 99_999, 24, 624), (3, 3));
    }
}
