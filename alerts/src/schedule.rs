//! When groups are evaluated: at whole intervals, each group shifted by a part of them that its name decides.

use crate::rules::Group;

/// Shifts are whole seconds, so that groups share moments, and what they ask alike is read once.
const SLOT_MS: i64 = 1_000;

/// How long after whole intervals a group is evaluated.
pub(crate) fn shift_ms(group: &Group) -> i64 {
    let slots = (group.interval_ms / SLOT_MS).max(1);
    let hash = xxhash_rust::xxh3::xxh3_64(group.id().as_bytes());
    (hash % slots as u64) as i64 * SLOT_MS
}

/// The first moment of evaluation after this one.
pub(crate) fn next_ms(group: &Group, after_ms: i64) -> i64 {
    let (interval, shift) = (group.interval_ms.max(1), shift_ms(group));
    let past = (after_ms - shift).div_euclid(interval);
    (past + 1) * interval + shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_aligned_and_the_same_after_every_start() {
        let text = |name: &str| format!("groups: [{{name: {name}, interval: 15s, rules: [{{alert: A, expr: up}}]}}]");
        let group = |name: &str| crate::rules::read("a.yml", &text(name), 60_000).expect("a group").remove(0);
        let mut shifts = std::collections::BTreeSet::new();
        for number in 0..40 {
            let group = group(&format!("g{number}"));
            let first = next_ms(&group, 1_763_724_000_123);
            assert!(first > 1_763_724_000_123 && first <= 1_763_724_015_123);
            assert_eq!((first - shift_ms(&group)) % 15_000, 0);
            assert_eq!(next_ms(&group, first), first + 15_000);
            assert_eq!(next_ms(&group, first - 1), first);
            shifts.insert(shift_ms(&group));
        }
        assert!(shifts.len() > 5, "groups are spread: {shifts:?}");
    }
}
