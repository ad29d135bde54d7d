//! The order and shape of a trace: who is whose child, what was on the critical path, what does not fit together.

use crate::islands::waterfall::flags;
use mangru_query::{SpanRow, Trace};
use std::collections::{HashMap, HashSet};

/// How far a child may leave its parent before clocks are said to differ: 1 ms, as others' tools round.
const TOLERANCE_NS: i64 = 1_000_000;

/// A span in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// Its number in [`Trace::spans`].
    pub(super) span: usize,
    /// How deep it lies; roots are 0.
    pub(super) depth: u16,
    /// What is true of it; see [`flags`].
    pub(super) flags: u8,
}

/// A trace laid out.
pub(super) struct Layout {
    /// The spans, each parent before its children, children by start.
    pub(super) order: Vec<Placed>,
    /// The earliest start.
    pub(super) start_ns: i64,
    /// From the earliest start to the latest end.
    pub(super) total_ns: i64,
    roots: usize,
}

/// The start of a span, nanoseconds since the Unix epoch.
pub(super) fn start_of(span: &SpanRow) -> i64 {
    span.time_unix_nano.parse().unwrap_or(0)
}

fn end_of(span: &SpanRow) -> i64 {
    start_of(span).saturating_add(span.duration_ns.max(0))
}

impl Layout {
    /// Lays a trace out. Cycles, repeated ids and missing parents become roots; every span is placed exactly once.
    pub(super) fn of(trace: &Trace) -> Self {
        let spans = &trace.spans;
        let mut by_id: HashMap<&str, usize> = HashMap::with_capacity(spans.len());
        for (index, span) in spans.iter().enumerate() {
            by_id.entry(&span.span_id).or_insert(index);
        }
        let parent_of = |index: usize| {
            let span = &spans[index];
            by_id
                .get(span.parent_span_id.as_str())
                .copied()
                .filter(|parent| *parent != index && !span.parent_span_id.is_empty())
        };
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
        let mut roots = Vec::new();
        for index in 0..spans.len() {
            match parent_of(index) {
                Some(parent) => children[parent].push(index),
                None => roots.push(index),
            }
        }
        let by_start = |index: &usize| start_of(&spans[*index]);
        roots.sort_by_key(by_start);
        for list in &mut children {
            list.sort_by_key(by_start);
        }
        let with_logs: HashSet<&str> =
            trace.logs.iter().map(|log| log.span_id.as_str()).filter(|id| !id.is_empty()).collect();
        let mut order = Vec::with_capacity(spans.len());
        let mut is_placed = vec![false; spans.len()];
        let root_count = roots.len();
        // What no root reaches lies on a cycle; its earliest span stands as a root.
        for root in roots.into_iter().chain(0..spans.len()) {
            let mut stack = vec![(root, 0_u16)];
            while let Some((index, depth)) = stack.pop() {
                if std::mem::replace(&mut is_placed[index], true) {
                    continue;
                }
                order.push(Placed { span: index, depth, flags: own_flags(spans, index, parent_of(index), &with_logs) });
                stack.extend(children[index].iter().rev().map(|child| (*child, depth.saturating_add(1))));
            }
        }
        mark_critical_path(spans, &children, &mut order);
        let start_ns = spans.iter().map(start_of).min().unwrap_or(0);
        let end_ns = spans.iter().map(end_of).max().unwrap_or(0);
        Self { order, start_ns, total_ns: end_ns.saturating_sub(start_ns), roots: root_count }
    }

    /// What the reader should know of the trace: what is missing, what does not fit.
    pub(super) fn warnings(&self) -> Vec<String> {
        let count = |flag: u8| self.order.iter().filter(|placed| placed.flags & flag != 0).count();
        let mut warnings = Vec::new();
        let missing = count(flags::PARENT_MISSING);
        if missing > 0 {
            let spans = crate::format::counted(missing as u64, "span");
            warnings.push(format!("⁇ the parent of {spans} is not here: not sent, sampled away, or still to come"));
        }
        let skewed = count(flags::CLOCK_SKEW);
        if skewed > 0 {
            let spans = crate::format::counted(skewed as u64, "span");
            warnings.push(format!(
                "⇄ {spans} outside the time of the parent: clocks differ, or work ran on after the parent ended"
            ));
        }
        if self.roots > missing + 1 {
            warnings.push(format!("{} spans are roots, without any parent", self.roots - missing));
        }
        warnings
    }
}

fn own_flags(spans: &[SpanRow], index: usize, parent: Option<usize>, with_logs: &HashSet<&str>) -> u8 {
    let span = &spans[index];
    let is_skewed = parent.is_some_and(|parent| {
        let parent = &spans[parent];
        // A consumer may rightly start long after its producer ended.
        let is_message = span.kind == 5 || parent.kind == 4;
        let is_before = start_of(span).saturating_add(TOLERANCE_NS) < start_of(parent);
        let is_after = end_of(span) > end_of(parent).saturating_add(TOLERANCE_NS);
        is_before || (is_after && !is_message)
    });
    let facts = [
        (span.status_code == 2, flags::ERROR),
        (parent.is_none() && !span.parent_span_id.is_empty(), flags::PARENT_MISSING),
        (is_skewed, flags::CLOCK_SKEW),
        (!span.events.is_empty(), flags::EVENTS),
        (!span.links.is_empty(), flags::LINKS),
        (with_logs.contains(span.span_id.as_str()), flags::LOGS),
    ];
    facts.into_iter().filter(|(is_true, _)| *is_true).fold(0, |all, (_, flag)| all | flag)
}

/// Marks the spans that the trace's duration was waiting for: from the end of the first root backwards, at each moment
/// the child that ended last.
fn mark_critical_path(spans: &[SpanRow], children: &[Vec<usize>], order: &mut [Placed]) {
    let Some(root) = order.first().map(|placed| placed.span) else { return };
    let mut is_critical = vec![false; spans.len()];
    let mut open = vec![(root, end_of(&spans[root]))];
    while let Some((index, until)) = open.pop() {
        if std::mem::replace(&mut is_critical[index], true) {
            continue;
        }
        let mut by_end = children[index].clone();
        by_end.sort_by_key(|child| std::cmp::Reverse(end_of(&spans[*child])));
        let mut at = until;
        for child in by_end {
            // A child that starts after the moment waited for is not waited for.
            if end_of(&spans[child]) <= at && start_of(&spans[child]) < at {
                open.push((child, end_of(&spans[child])));
                at = start_of(&spans[child]);
            }
        }
    }
    for placed in order {
        if is_critical[placed.span] {
            placed.flags |= flags::CRITICAL;
        }
    }
}
