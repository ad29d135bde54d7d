//! Which parts are merged: small ones into larger ones of eight times their size, within a day.
//!
//! A day has fewer than eight parts of each size but the largest, so the number of parts grows with the logarithm of a
//! day's rows, and a row is copied once for each size. When the day is over, what is left of it becomes as few parts
//! as the largest size allows.

use crate::part::{PartId, PartRecord};
use std::collections::BTreeMap;
use std::time::Duration;

/// Parts of one size that become one of the next.
const FAN_IN: usize = 8;
/// Parts of fewer rows are all of one size.
const SMALLEST_ROWS: u32 = 1024;
/// Merged parts have at most so many rows.
const MAX_ROWS: u64 = 4 << 20;
/// Merged parts have at most so many bytes.
const MAX_BYTES: u64 = 1 << 30;
/// Parts that go into one at most: each is open while it is copied.
const MAX_SOURCES: usize = 64;
const DAY: i64 = 86_400_000_000_000;
/// A day is over so long after its end, and parts are left alone so long after they were made.
const SETTLED: Duration = Duration::from_hours(1);

/// The parts of one signal that should be merged now, in the order of their rows' times; `now` is in nanoseconds since
/// the Unix epoch. `None` when all is well.
pub(crate) fn choose<'a>(parts: impl IntoIterator<Item = &'a PartRecord>, now: i64) -> Option<Vec<PartId>> {
    let mut days: BTreeMap<i64, Vec<&PartRecord>> = BTreeMap::new();
    for part in parts {
        days.entry(part.min_time.div_euclid(DAY)).or_default().push(part);
    }
    days.into_iter().rev().find_map(|(day, mut parts)| {
        parts.sort_by_key(|part| (part.min_time, part.id));
        of_one_size(&parts).or_else(|| left_of_a_day(day, &parts, now))
    })
}

/// 0 for the smallest parts, one more for each eightfold.
fn size_class(rows: u32) -> u32 {
    (rows / SMALLEST_ROWS).checked_ilog2().map_or(0, |bits| bits / 3 + 1)
}

fn of_one_size(parts: &[&PartRecord]) -> Option<Vec<PartId>> {
    let mut classes: BTreeMap<u32, Vec<&PartRecord>> = BTreeMap::new();
    for part in parts {
        classes.entry(size_class(part.rows)).or_default().push(part);
    }
    classes.into_values().find_map(|parts| {
        let fitting = fitting(&parts, FAN_IN);
        (fitting.len() >= FAN_IN || (fitting.len() > 1 && fitting.len() < parts.len())).then_some(fitting)
    })
}

/// The first parts, at most so many, that together are not too large.
fn fitting(parts: &[&PartRecord], most: usize) -> Vec<PartId> {
    let (mut rows, mut bytes) = (0, 0);
    let within = |part: &&&PartRecord| {
        rows += u64::from(part.rows);
        bytes += part.bytes;
        rows <= MAX_ROWS && bytes <= MAX_BYTES
    };
    parts.iter().take(most).take_while(within).map(|part| part.id).collect()
}

fn left_of_a_day(day: i64, parts: &[&PartRecord], now: i64) -> Option<Vec<PartId>> {
    let settled = SETTLED.as_nanos() as i64;
    if day.saturating_add(1).saturating_mul(DAY).saturating_add(settled) > now {
        return None;
    }
    let small: Vec<&PartRecord> = parts
        .iter()
        .copied()
        .filter(|part| u64::from(part.rows) <= MAX_ROWS / 2 && part.bytes <= MAX_BYTES / 2)
        .filter(|part| made_at(part.id).saturating_add(settled) <= now)
        .collect();
    let chosen = fitting(&small, MAX_SOURCES);
    (chosen.len() > 1).then_some(chosen)
}

/// When a part was made, in nanoseconds since the Unix epoch.
fn made_at(id: PartId) -> i64 {
    i64::try_from(id.0.timestamp_ms()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signal;
    use crate::part::Place;

    const HOUR: i64 = DAY / 24;

    fn part(number: u64, rows: u32, min_time: i64) -> PartRecord {
        PartRecord {
            id: PartId(ulid::Ulid::from_parts((min_time / 1_000_000) as u64, u128::from(number))),
            signal: Signal::Logs,
            path: number.to_string(),
            place: Place::Local,
            rows,
            bytes: u64::from(rows) * 80,
            index_bytes: 0,
            footer_bytes: 0,
            min_time,
            max_time: min_time + 1000,
            crc32c: 0,
        }
    }

    /// Seals and merges until all is well, and gives the parts that are left and the most there were.
    fn live(seals: u64, rows: u32, between: i64) -> (Vec<PartRecord>, usize, u64) {
        let mut parts: Vec<PartRecord> = Vec::new();
        let (mut most, mut copied) = (0, 0);
        for number in 0..seals {
            let now = 20_000 * DAY + number as i64 * between;
            parts.push(part(number, rows, now));
            while let Some(chosen) = choose(&parts, now) {
                let (gone, kept): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| chosen.contains(&part.id));
                assert_eq!(gone.len(), chosen.len());
                let rows: u32 = gone.iter().map(|part| part.rows).sum();
                copied += u64::from(rows);
                parts = kept;
                let first = gone.iter().map(|part| part.min_time).min().expect("a part");
                let mut merged = part(number, rows, first);
                merged.id = PartId(ulid::Ulid::from_parts((now / 1_000_000) as u64, u128::from(copied)));
                parts.push(merged);
            }
            most = most.max(parts.len());
        }
        (parts, most, copied)
    }

    #[test]
    fn a_million_small_seals_leave_few_parts_and_copy_each_row_few_times() {
        let (parts, most, copied) = live(20_000, 1000, HOUR / 4000);
        assert!(parts.len() <= 5 * FAN_IN && most <= 6 * FAN_IN, "{} parts, {most} at most", parts.len());
        assert!(copied <= 5 * 20_000 * 1000, "{copied} rows copied");
    }

    #[test]
    fn parts_of_the_largest_size_are_left_alone() {
        let parts: Vec<PartRecord> = (0..20).map(|n| part(n, 3 << 20, 20_000 * DAY + n as i64)).collect();
        assert_eq!(choose(&parts, 30_000 * DAY), None);
    }

    #[test]
    fn a_day_that_is_over_becomes_one_part_and_days_are_not_mixed() {
        let (parts, _, _) = live(24 * 12 * 3, 500, HOUR / 12);
        let days = parts.iter().map(|part| part.min_time.div_euclid(DAY));
        assert_eq!(days.clone().filter(|day| *day == 20_000).count(), 1);
        assert_eq!(days.clone().filter(|day| *day == 20_001).count(), 1);
        let rows: u32 = parts.iter().map(|part| part.rows).sum();
        assert_eq!(rows, 24 * 12 * 3 * 500);
    }
}
