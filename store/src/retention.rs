//! How long parts are kept: by the age of their rows and by the bytes of all parts of a signal.

use crate::Signal;
use crate::part::{PartId, PartRecord};
use std::time::Duration;

/// What is kept of a signal. A part goes as a whole, when its latest row is too old or when newer parts take all the
/// bytes there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Retention {
    /// Rows older than this go; `None` keeps them.
    pub max_age: Option<Duration>,
    /// Bytes of all parts, indexes included; `None` is no limit.
    pub max_bytes: Option<u64>,
}

/// A part that retention takes away.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Expired {
    /// The signal.
    pub signal: Signal,
    /// The path of its file among the objects.
    pub path: String,
    /// Its rows.
    pub rows: u32,
    /// The size of its file.
    pub bytes: u64,
    /// The earliest time of its rows, nanoseconds since the Unix epoch.
    pub min_time: i64,
    /// The latest time of its rows, nanoseconds since the Unix epoch.
    pub max_time: i64,
    /// `age` or `bytes`.
    pub reason: &'static str,
}

/// The parts of one signal that go at this time (nanoseconds since the Unix epoch), and why.
pub(crate) fn due<'a>(
    parts: impl IntoIterator<Item = &'a PartRecord>,
    retention: Retention,
    now: i64,
) -> Vec<(PartId, &'static str)> {
    let mut parts: Vec<&PartRecord> = parts.into_iter().collect();
    parts.sort_by_key(|part| std::cmp::Reverse((part.max_time, part.id)));
    let oldest = retention.max_age.map(|age| now.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
    let mut bytes = 0_u64;
    let mut due = Vec::new();
    for part in parts {
        bytes = bytes.saturating_add(part.bytes);
        if oldest.is_some_and(|oldest| part.max_time < oldest) {
            due.push((part.id, "age"));
        } else if retention.max_bytes.is_some_and(|most| bytes > most) {
            due.push((part.id, "bytes"));
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::Place;

    fn part(number: u128, max_time: i64, bytes: u64) -> PartRecord {
        PartRecord {
            id: PartId(ulid::Ulid::from_parts(1, number)),
            signal: Signal::Logs,
            path: String::new(),
            place: Place::Local,
            rows: 1,
            bytes,
            index_bytes: 0,
            footer_bytes: 0,
            min_time: max_time - 10,
            max_time,
            crc32c: 0,
        }
    }

    #[test]
    fn parts_go_when_their_last_row_is_too_old_or_newer_ones_take_all_room() {
        let parts = [part(1, 100, 50), part(2, 200, 50), part(3, 300, 50), part(4, 400, 50)];
        let due = |max_age: Option<u64>, max_bytes| {
            let retention = Retention { max_age: max_age.map(Duration::from_nanos), max_bytes };
            due(&parts, retention, 450).into_iter().map(|(id, why)| (id.0.random() as u64, why)).collect::<Vec<_>>()
        };
        assert_eq!(due(None, None), []);
        assert_eq!(due(Some(250), None), [(1, "age")]);
        assert_eq!(due(None, Some(149)), [(2, "bytes"), (1, "bytes")]);
        assert_eq!(due(Some(200), Some(100)), [(2, "age"), (1, "age")]);
        assert_eq!(due(None, Some(150)), [(1, "bytes")]);
    }
}
