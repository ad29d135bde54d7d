//! The order and shape of a trace: who is whose child, what was on the critical path, what does not fit together.

use crate::islands::waterfall::flags;
use crate::nouns::counted;
use crate::text::trf;
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
    /// The time of each span in `order` that no span right below it covers.
    pub(super) self_ns: Vec<i64>,
    /// How long the trace waited for each service alone, the longest first.
    pub(super) waited: Vec<(String, i64)>,
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
        let waited = mark_critical_path(spans, &children, &mut order);
        let self_ns = order.iter().map(|placed| self_time(spans, placed.span, &children[placed.span])).collect();
        let start_ns = spans.iter().map(start_of).min().unwrap_or(0);
        let end_ns = spans.iter().map(end_of).max().unwrap_or(0);
        Self { order, start_ns, total_ns: end_ns.saturating_sub(start_ns), self_ns, waited, roots: root_count }
    }

    /// What the reader should know of the trace: what is missing, what does not fit.
    pub(super) fn warnings(&self) -> Vec<String> {
        let count = |flag: u8| self.order.iter().filter(|placed| placed.flags & flag != 0).count();
        let mut warnings = Vec::new();
        let missing = count(flags::PARENT_MISSING);
        if missing > 0 {
            let spans = counted(missing as u64, "span");
            warnings.push(trf("⁇ the parent of {0} is not here: not sent, sampled away, or still to come", &[&spans]));
        }
        let skewed = count(flags::CLOCK_SKEW);
        if skewed > 0 {
            let spans = counted(skewed as u64, "span");
            warnings.push(trf(
                "⇄ before their parents: {0}; the clocks of the hosts differ, so places in time are not exact",
                &[&spans],
            ));
        }
        let late = count(flags::LATE);
        if late > 0 {
            let spans = counted(late as u64, "span");
            warnings.push(trf("↦ ending after their parents: {0}; work that ran on, or clocks that differ", &[&spans]));
        }
        if self.roots > missing + 1 {
            warnings.push(trf("{0} are roots, without any parent", &[&counted((self.roots - missing) as u64, "span")]));
        }
        warnings
    }
}

fn own_flags(spans: &[SpanRow], index: usize, parent: Option<usize>, with_logs: &HashSet<&str>) -> u8 {
    let span = &spans[index];
    let parent_span = parent.map(|parent| &spans[parent]);
    let is_skewed = parent_span.is_some_and(|parent| start_of(span).saturating_add(TOLERANCE_NS) < start_of(parent));
    let is_late = parent_span.is_some_and(|parent| {
        // A consumer may rightly end long after its producer.
        let is_message = span.kind == 5 || parent.kind == 4;
        !is_message && end_of(span) > end_of(parent).saturating_add(TOLERANCE_NS)
    });
    let facts = [
        (span.status_code == 2, flags::ERROR),
        (parent.is_none() && !span.parent_span_id.is_empty(), flags::PARENT_MISSING),
        (is_skewed, flags::CLOCK_SKEW),
        (is_late, flags::LATE),
        (!span.events.is_empty(), flags::EVENTS),
        (!span.links.is_empty(), flags::LINKS),
        (with_logs.contains(span.span_id.as_str()), flags::LOGS),
    ];
    facts.into_iter().filter(|(is_true, _)| *is_true).fold(0, |all, (_, flag)| all | flag)
}

/// The time of a span that the spans right below it do not cover; these are in the order of their starts.
fn self_time(spans: &[SpanRow], span: usize, children: &[usize]) -> i64 {
    let (start, end) = (start_of(&spans[span]), end_of(&spans[span]));
    let mut covered = 0_i64;
    let mut until = start;
    for child in children {
        let (from, to) = (start_of(&spans[*child]).max(until), end_of(&spans[*child]).min(end));
        if to > from {
            covered = covered.saturating_add(to - from);
            until = to;
        }
    }
    end.saturating_sub(start).saturating_sub(covered).max(0)
}

/// Marks the spans that the trace's duration was waiting for: from the end of the first root backwards, at each moment
/// the child that ended last. Gives how long each service was waited for alone, the longest first.
fn mark_critical_path(spans: &[SpanRow], children: &[Vec<usize>], order: &mut [Placed]) -> Vec<(String, i64)> {
    let Some(root) = order.first().map(|placed| placed.span) else { return Vec::new() };
    let mut is_critical = vec![false; spans.len()];
    let mut waited: HashMap<&str, i64> = HashMap::new();
    let mut open = vec![(root, end_of(&spans[root]))];
    while let Some((index, until)) = open.pop() {
        if std::mem::replace(&mut is_critical[index], true) {
            continue;
        }
        let mut by_end = children[index].clone();
        by_end.sort_by_key(|child| std::cmp::Reverse(end_of(&spans[*child])));
        let own = waited.entry(&spans[index].service_name).or_default();
        let mut at = until;
        for child in by_end {
            // A child that starts after the moment waited for is not waited for.
            if end_of(&spans[child]) <= at && start_of(&spans[child]) < at {
                *own = own.saturating_add(at - end_of(&spans[child]));
                open.push((child, end_of(&spans[child])));
                at = start_of(&spans[child]);
            }
        }
        *own = own.saturating_add((at - start_of(&spans[index])).max(0));
    }
    for placed in order {
        if is_critical[placed.span] {
            placed.flags |= flags::CRITICAL;
        }
    }
    let mut waited: Vec<(String, i64)> = waited.into_iter().map(|(service, ns)| (service.to_owned(), ns)).collect();
    waited.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    waited
}
