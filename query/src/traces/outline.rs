//! A trace as a tree, row by row in the order a person reads it, with its critical path; large ones by windows.

use super::is_outgoing;
use super::whole::{MAX_SPANS, Whole, WholeRequest};
use crate::cells::Cells;
use crate::language::KINDS;
use crate::scan;
use crate::{Coverage, QueryError, QueryService};
use arrow::array::{Array as _, AsArray as _, FixedSizeBinaryArray, RecordBatch};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use mangru_store::{SpanId, TraceId};
use serde::Serialize;

/// A request for some rows of a trace.
#[derive(Clone, Copy, Debug)]
pub struct OutlineRequest {
    /// The trace.
    pub id: TraceId,
    /// Rows before the first one that is given.
    pub offset: usize,
    /// How many rows at most.
    pub limit: usize,
}

/// A trace in rows: each span behind its parent, siblings by their start.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Outline {
    /// The trace, in hex.
    pub trace_id: String,
    /// When its first span started, nanoseconds since the Unix epoch.
    pub start_unix_nano: String,
    /// From its first start to its last end.
    pub duration_ns: i64,
    /// Its spans, each once however often it was sent.
    pub spans: usize,
    /// Its spans with the status error.
    pub errors: usize,
    /// How deep it is; a trace of roots alone has the depth 1.
    pub depth: usize,
    /// Its services with the time each spends on the critical path, the longest first.
    pub services: Vec<OutlineService>,
    /// The rows that were asked for.
    pub rows: Vec<OutlineRow>,
    /// What was looked at.
    #[serde(flatten)]
    pub coverage: Coverage,
}

/// A service's part of a trace.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OutlineService {
    /// `service.name`.
    pub name: String,
    /// Its spans.
    pub spans: usize,
    /// How long the trace waited for it alone.
    pub critical_ns: i64,
}

/// A span in a trace.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct OutlineRow {
    /// The span, in hex.
    pub span_id: String,
    /// Its parent, in hex; empty for a root.
    pub parent_span_id: String,
    /// Whether its parent was not received.
    pub parent_is_missing: bool,
    /// How many spans stand above it.
    pub depth: usize,
    /// Spans right below it.
    pub children: usize,
    /// Spans below it.
    pub descendants: usize,
    /// `service.name`.
    pub service_name: String,
    /// What it does.
    pub name: String,
    /// The kind's name.
    pub kind_text: String,
    /// Whether its status is error.
    pub is_error: bool,
    /// From the trace's first start to its start.
    pub offset_ns: i64,
    /// From its start to its end.
    pub duration_ns: i64,
    /// Its duration without the time that spans right below it cover.
    pub self_ns: i64,
    /// How long the trace waited for this span itself: the time it is on the critical path, and none below it is.
    pub critical_ns: i64,
}

/// A span while the tree is built.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    start: i64,
    end: i64,
    parent: Option<usize>,
    depth: usize,
    descendants: usize,
    self_ns: i64,
    critical_ns: i64,
}

/// The tree of a trace: its nodes, the children of each, and the order in which rows are read.
#[derive(Debug, Default)]
struct Tree {
    nodes: Vec<Node>,
    children: Vec<Vec<usize>>,
    order: Vec<usize>,
}

impl Tree {
    /// Builds the tree of spans with start, end and parent. A parent that stands below its own child is none.
    fn new(spans: &[(i64, i64, Option<usize>)]) -> Self {
        let mut tree = Self {
            nodes: spans
                .iter()
                .map(|(start, end, parent)| Node {
                    start: *start,
                    end: (*end).max(*start),
                    parent: *parent,
                    ..Node::default()
                })
                .collect(),
            children: vec![Vec::new(); spans.len()],
            order: Vec::with_capacity(spans.len()),
        };
        tree.break_circles();
        let mut roots = Vec::new();
        for place in 0..tree.nodes.len() {
            match tree.nodes[place].parent {
                Some(parent) => tree.children[parent].push(place),
                None => roots.push(place),
            }
        }
        let by_start = |nodes: &[Node], places: &mut Vec<usize>| {
            places.sort_by_key(|place| (nodes[*place].start, std::cmp::Reverse(nodes[*place].end)));
        };
        by_start(&tree.nodes, &mut roots);
        for children in &mut tree.children {
            by_start(&tree.nodes, children);
        }
        tree.read(&roots);
        tree.count();
        tree.critical(&roots);
        tree
    }

    fn break_circles(&mut self) {
        // 0 not seen, 1 on the way up, 2 known to end.
        let mut state = vec![0_u8; self.nodes.len()];
        for place in 0..self.nodes.len() {
            let (mut at, mut path) = (place, Vec::new());
            while state[at] == 0 {
                state[at] = 1;
                path.push(at);
                let Some(parent) = self.nodes[at].parent else { break };
                if state[parent] == 1 {
                    self.nodes[at].parent = None;
                    break;
                }
                at = parent;
            }
            for place in path {
                state[place] = 2;
            }
        }
    }

    /// Puts the rows in order, and sets their depths.
    fn read(&mut self, roots: &[usize]) {
        let mut waiting: Vec<(usize, usize)> = roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((place, depth)) = waiting.pop() {
            self.nodes[place].depth = depth;
            self.order.push(place);
            waiting.extend(self.children[place].iter().rev().map(|child| (*child, depth + 1)));
        }
    }

    /// Counts descendants and the time that no child covers.
    fn count(&mut self) {
        for at in (0..self.order.len()).rev() {
            let place = self.order[at];
            let node = self.nodes[place];
            if let Some(parent) = node.parent {
                self.nodes[parent].descendants += node.descendants + 1;
            }
            let (mut covered, mut until) = (0, node.start);
            for child in &self.children[place] {
                let child = self.nodes[*child];
                let (start, end) = (child.start.max(until), child.end.min(node.end));
                if end > start {
                    covered += end - start;
                    until = end;
                }
            }
            self.nodes[place].self_ns = node.end - node.start - covered;
        }
    }

    /// The time of each span that its parent was there for, as far as that of its own parent goes.
    fn within_parents(&self) -> Vec<(i64, i64)> {
        let mut within: Vec<(i64, i64)> = self.nodes.iter().map(|node| (node.start, node.end)).collect();
        for place in &self.order {
            if let Some(parent) = self.nodes[*place].parent {
                let (start, end) = within[parent];
                let node = &mut within[*place];
                *node = (node.0.clamp(start, end), node.1.clamp(start, end));
            }
        }
        within
    }

    /// Shares out the time between the first start and the last end: going back from an end, the child that ended last is
    /// what its parent waited for, as CRISP does it (Z. Zhang et al., "CRISP: Critical Path Analysis of Large-Scale
    /// Microservice Architectures", USENIX ATC 2022). What goes on behind its parent's end counts up to there.
    fn critical(&mut self, roots: &[usize]) {
        /// A span, of which the time up to `until` is still to be shared out among it and the children that are left.
        struct Step {
            place: usize,
            until: i64,
            by_end: Vec<usize>,
        }
        let within = self.within_parents();
        let by_end = |places: &[usize]| {
            let mut places = places.to_vec();
            places.sort_by_key(|place| (within[*place].1, within[*place].0));
            places
        };
        let mut until = i64::MAX;
        let mut roots = by_end(roots);
        while let Some(root) = roots.pop() {
            let (start, end) = within[root];
            if start >= until {
                continue;
            }
            let mut steps = vec![Step { place: root, until: end.min(until), by_end: by_end(&self.children[root]) }];
            while let Some(step) = steps.last_mut() {
                let start = within[step.place].0;
                let child = loop {
                    match step.by_end.pop() {
                        // It went on while what came after it had begun already, or took no time: it was not waited for.
                        Some(child) if within[child].1 > step.until || within[child].0 == within[child].1 => {}
                        other => break other,
                    }
                };
                let Some(child) = child else {
                    self.nodes[step.place].critical_ns += (step.until - start).max(0);
                    steps.pop();
                    continue;
                };
                let (child_start, child_end) = within[child];
                self.nodes[step.place].critical_ns += step.until - child_end;
                step.until = child_start;
                let children = by_end(&self.children[child]);
                steps.push(Step { place: child, until: child_end, by_end: children });
            }
            until = start;
        }
    }
}

/// The memory of a span while the outline is made: its node, its children, its ids and their places.
const SPAN_BYTES: usize = 320;

impl QueryService {
    /// Some rows of a trace, whenever it was; `None` when no span of it is there.
    ///
    /// # Errors
    /// Beside those of all queries: no span of it was found, and there are parts that could not be read.
    pub async fn outline(&self, request: OutlineRequest) -> Result<Option<Outline>, QueryError> {
        let limit = self.checked_limit(request.limit)?;
        let columns = vec![
            "time",
            "duration_ns",
            "trace_id",
            "span_id",
            "parent_span_id",
            "name",
            "kind",
            "status_code",
            "service_name",
        ];
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let whole = WholeRequest { id: request.id, columns, limit: MAX_SPANS, span_bytes: SPAN_BYTES };
        let whole = self.whole(&whole, &control).await?;
        if whole.spans.num_rows() == 0 {
            return Ok(None);
        }
        scan::blocking(move || Ok(Some(outline(&whole, request, limit)))).await
    }
}

/// A span's own id and its parent's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Ids {
    span: Option<[u8; 8]>,
    parent: Option<[u8; 8]>,
}

impl Ids {
    fn hex(id: Option<[u8; 8]>) -> String {
        id.map_or_else(String::new, |id| SpanId(id).to_string())
    }
}

/// The rows of a batch with their ids, each span once: of those with the same ids and the same side of a call the longest stays.
fn spans_once(batch: &RecordBatch) -> Vec<(usize, Ids)> {
    let cells = Cells::new(batch);
    let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_fixed_size_binary_opt());
    let (spans, parents) = (column("span_id"), column("parent_span_id"));
    let duration = |row: usize| cells.integer("duration_ns", row).unwrap_or_default();
    let mut once: Vec<(usize, Ids)> = Vec::with_capacity(batch.num_rows());
    let mut known: HashMap<(Ids, bool), usize> = HashMap::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let id = |ids: Option<&FixedSizeBinaryArray>| -> Option<[u8; 8]> {
            ids.filter(|ids| ids.is_valid(row)).and_then(|ids| ids.value(row).try_into().ok())
        };
        let ids = Ids { span: id(spans), parent: id(parents) };
        match known.entry((ids, cells.integer("kind", row).is_some_and(is_outgoing))) {
            Entry::Occupied(place) if ids.span.is_some() => {
                let place = &mut once[*place.get()].0;
                if duration(row) > duration(*place) {
                    *place = row;
                }
            }
            Entry::Occupied(_) => once.push((row, ids)),
            Entry::Vacant(place) => {
                place.insert(once.len());
                once.push((row, ids));
            }
        }
    }
    once
}

fn outline(whole: &Whole, request: OutlineRequest, limit: usize) -> Outline {
    let mut coverage = whole.coverage.clone();
    let cells = Cells::new(&whole.spans);
    let once = spans_once(&whole.spans);
    // Client and server may share an id: the span that started first is the one above.
    let mut places: HashMap<[u8; 8], usize> = HashMap::with_capacity(once.len());
    let start = |place: usize| cells.integer("time", once[place].0).unwrap_or_default();
    for (number, (_, ids)) in once.iter().enumerate() {
        let Some(id) = ids.span else { continue };
        let place = places.entry(id).or_insert(number);
        if start(number) < start(*place) {
            *place = number;
        }
    }
    let place_of = |id: Option<[u8; 8]>| id.and_then(|id| places.get(&id).copied());
    let spans: Vec<(i64, i64, Option<usize>)> = once
        .iter()
        .enumerate()
        .map(|(number, (row, ids))| {
            let duration = cells.integer("duration_ns", *row).unwrap_or_default();
            let shared = place_of(ids.span).filter(|place| *place != number);
            let parent = place_of(ids.parent).filter(|place| *place != number);
            (start(number), start(number).saturating_add(duration), shared.or(parent))
        })
        .collect();
    let tree = Tree::new(&spans);
    let first = tree.nodes.iter().map(|node| node.start).min().unwrap_or_default();
    let last = tree.nodes.iter().map(|node| node.end).max().unwrap_or_default();
    let is_error = |row: usize| cells.integer("status_code", row) == Some(2);
    let text = |name: &str, row: usize| cells.text(name, row).unwrap_or_default().to_owned();
    let mut services: HashMap<&str, OutlineService> = HashMap::new();
    for ((row, _), node) in once.iter().zip(&tree.nodes) {
        let name = cells.text("service_name", *row).unwrap_or_default();
        let service =
            services.entry(name).or_insert_with(|| OutlineService { name: name.to_owned(), spans: 0, critical_ns: 0 });
        service.spans += 1;
        service.critical_ns += node.critical_ns;
    }
    let mut services: Vec<OutlineService> = services.into_values().collect();
    services.sort_by(|left, right| right.critical_ns.cmp(&left.critical_ns).then_with(|| left.name.cmp(&right.name)));
    let shown = tree.order.iter().skip(request.offset).take(limit);
    let outline_rows: Vec<OutlineRow> = shown
        .map(|number| {
            let ((row, ids), node) = (once[*number], &tree.nodes[*number]);
            let kind = usize::try_from(cells.integer("kind", row).unwrap_or_default()).ok();
            OutlineRow {
                span_id: Ids::hex(ids.span),
                parent_span_id: Ids::hex(ids.parent),
                parent_is_missing: ids.parent.is_some() && place_of(ids.parent).is_none(),
                depth: node.depth,
                children: tree.children[*number].len(),
                descendants: node.descendants,
                service_name: text("service_name", row),
                name: text("name", row),
                kind_text: kind.and_then(|kind| KINDS.get(kind)).map_or_else(String::new, |kind| (*kind).to_owned()),
                is_error: is_error(row),
                offset_ns: node.start - first,
                duration_ns: node.end - node.start,
                self_ns: node.self_ns,
                critical_ns: node.critical_ns,
            }
        })
        .collect();
    if request.offset + outline_rows.len() < once.len() {
        coverage.cut(format!("limit of {limit} rows from row {}", request.offset));
    }
    Outline {
        trace_id: request.id.to_string(),
        start_unix_nano: first.to_string(),
        duration_ns: last.saturating_sub(first),
        spans: once.len(),
        errors: once.iter().filter(|(row, _)| is_error(*row)).count(),
        depth: tree.nodes.iter().map(|node| node.depth + 1).max().unwrap_or_default(),
        services,
        rows: outline_rows,
        coverage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn figures(spans: &[(i64, i64, Option<usize>)]) -> Vec<(usize, i64, i64)> {
        let tree = Tree::new(spans);
        tree.nodes.iter().map(|node| (node.depth, node.self_ns, node.critical_ns)).collect()
    }

    #[test]
    fn the_path_goes_back_from_the_end_through_what_ended_last() {
        // A root with two calls after each other, of which the first has one that overlaps, and one that outlives it.
        let spans = [
            (0, 100, None),
            (10, 40, Some(0)),
            (20, 50, Some(0)),
            (60, 90, Some(0)),
            (65, 95, Some(3)),
            (95, 200, Some(0)),
        ];
        let expected = [
            (0, 25, 35), // 0..20, 50..60, 90..95
            (1, 30, 0),  // was not waited for: the other went on after it
            (1, 30, 30), // 20..50
            (1, 5, 5),   // 60..65
            (2, 30, 25), // 65..90, where its parent ends
            (1, 105, 5), // 95..100, where its parent ends
        ];
        assert_eq!(figures(&spans), expected);
    }

    proptest! {
        #[test]
        fn every_tree_is_read_once_and_its_time_is_shared_out(
            spans in proptest::collection::vec((0..100_i64, 0..60_i64, proptest::option::of(0..20_usize)), 1..20),
        ) {
            let count = spans.len();
            let spans: Vec<_> = spans
                .into_iter()
                .enumerate()
                .map(|(place, (start, length, parent))| {
                    (start, start + length, parent.map(|parent| parent % count).filter(|parent| *parent != place))
                })
                .collect();
            let tree = Tree::new(&spans);
            let mut order = tree.order.clone();
            order.sort_unstable();
            prop_assert_eq!(order, (0..count).collect::<Vec<_>>());
            for (at, place) in tree.order.iter().enumerate() {
                let node = tree.nodes[*place];
                prop_assert!(node.self_ns >= 0 && node.self_ns <= node.end - node.start);
                prop_assert!(node.critical_ns >= 0 && node.critical_ns <= node.end - node.start);
                // All below a span follow it.
                let below = &tree.order[at + 1..at + 1 + node.descendants];
                prop_assert!(below.iter().all(|place| tree.nodes[*place].depth > node.depth));
            }
            // No moment is on the path twice.
            let first = spans.iter().map(|(start, ..)| *start).min().unwrap_or_default();
            let last = spans.iter().map(|(_, end, _)| *end).max().unwrap_or_default();
            prop_assert!(tree.nodes.iter().map(|node| node.critical_ns).sum::<i64>() <= last - first);
            // A single root's time is shared out in full.
            if let [root] = tree.nodes.iter().filter(|node| node.parent.is_none()).collect::<Vec<_>>()[..] {
                prop_assert_eq!(tree.nodes.iter().map(|node| node.critical_ns).sum::<i64>(), root.end - root.start);
            }
        }
    }
}
