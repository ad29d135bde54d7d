//! Reading the samples of a selector.

use super::blocks::{Block, Blocks};
use super::labels::{Labels, NAME};
use super::names::{self, Naming};
use super::parallel;
use super::read::{Column, Read, Wanted, series_columns};
use super::series::Samples;
use super::target_info::TARGET_INFO;
use crate::language::{Expr, FieldRef, Matcher as FieldMatcher};
use crate::scan::{self, Control, Held, ScanCoverage, ScanRequest};
use crate::{ErrorCode, QueryError};
use arrow::array::RecordBatch;
use hashbrown::HashMap;
use mangru_store::{Part, PartId, Signal, Snapshot, Store, TimeRange};
use promql_parser::label::{MatchOp, Matcher};
use std::sync::Arc;

/// The size of the expression that names are looked for by.
const MAX_FILTER_BYTES: usize = 64 << 20;

/// The name that all series of a selector have, when it says one.
pub(super) fn name_of(matchers: &[Matcher]) -> Option<&str> {
    matchers
        .iter()
        .find(|matcher| matcher.name == NAME && matcher.op == MatchOp::Equal)
        .map(|found| found.value.as_str())
}

/// Whose names the series of a selector have; `None` when it says no name.
pub(super) fn naming_of(matchers: &[Matcher]) -> Option<Naming> {
    name_of(matchers).map(Naming::of)
}

/// The rows that any of the selectors could want: one expression over all of their names, so that each name is looked at once.
pub(super) fn name_filter(selectors: &[Vec<Matcher>]) -> Result<Expr, QueryError> {
    let mut sources: Vec<String> = Vec::new();
    for matchers in selectors {
        let Some(name) = name_of(matchers) else { return Ok(Expr::All) };
        sources.push(format!("(?:{})", names::sources(name)));
    }
    sources.sort();
    sources.dedup();
    let most = if sources.len() > 1 { MAX_FILTER_BYTES } else { MAX_FILTER_BYTES / 8 };
    let mut regex = regex::RegexBuilder::new(&sources.join("|"));
    let regex = regex.size_limit(most).dfa_size_limit(most).build().map_err(|error| {
        QueryError::invalid("query", format!("the metrics' names are too long to look for: {error}"))
    })?;
    Ok(Expr::Field(FieldRef::Column("metric_name"), FieldMatcher::Regex(regex)))
}

/// What a selector found.
pub(super) struct Selected {
    pub(super) series: Vec<Samples>,
    pub(super) coverage: ScanCoverage,
    /// Keeps the memory of the samples taken.
    pub(super) held: Vec<Held>,
}

/// Whether labels fulfil all matchers.
pub(super) fn is_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.is_match(labels.get(&matcher.name)))
}

impl Selected {
    /// Series that were computed elsewhere.
    pub(super) fn computed(series: Vec<Samples>) -> Self {
        Self { series, coverage: ScanCoverage::default(), held: Vec::new() }
    }
}

/// Where samples are, and what is remembered of them.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) store: &'a Arc<Store>,
    pub(super) blocks: &'a Blocks,
}

/// The series that match within a range (milliseconds, both ends included), with their samples.
pub(super) async fn select(
    source: Source<'_>,
    matchers: &[Matcher],
    range: (i64, i64),
    control: &Control,
) -> Result<Selected, QueryError> {
    let found = match name_of(matchers) {
        Some(name) => by_blocks(source, name, matchers, range, control).await?,
        None => {
            let snapshot = source.store.snapshot(Signal::MetricPoints);
            let raw = raw(snapshot, vec![matchers.to_vec()], range, control).await?;
            let mut found = put_together(Vec::new(), raw, matchers, range).await?;
            let mut of_name = matchers.iter().filter(|matcher| matcher.name == NAME);
            let is_stored = || found.series.iter().any(|samples| samples.labels.get(NAME) == TARGET_INFO);
            if of_name.all(|matcher| matcher.is_match(TARGET_INFO)) && !is_stored() {
                let (series, _, held) = super::target_info::select(source.store, matchers, range, control).await?;
                found.series.extend(series);
                found.held.extend(held);
            }
            found
        }
    };
    if found.series.is_empty()
        && let Some(computed) = computed(source.store, matchers, range, control).await?
    {
        return Ok(computed);
    }
    Ok(found)
}

/// The series of a name: of parts as they are remembered, or worth to be; of all others as they are read now.
async fn by_blocks(
    source: Source<'_>,
    name: &str,
    matchers: &[Matcher],
    range: (i64, i64),
    control: &Control,
) -> Result<Selected, QueryError> {
    let mut snapshot = source.store.snapshot(Signal::MetricPoints);
    let asked = nanoseconds(range);
    let touched = |part: &Arc<Part>| asked.touches(part.min_time(), part.max_time());
    // The oldest first: of samples at the same time the newest write counts.
    let parts: Vec<Arc<Part>> = snapshot.parts.drain(..).rev().filter(touched).collect();
    let (worth, rest): (Vec<Arc<Part>>, Vec<Arc<Part>>) =
        parts.into_iter().partition(|part| source.blocks.is_worth(part, name, asked));
    snapshot.parts = rest;
    let ids: Vec<PartId> = worth.iter().map(|part| part.id()).collect();
    // What is remembered of the oldest parts stays true when newer ones come.
    let known = (1..=ids.len()).rev().find_map(|count| Some((count, source.blocks.known(&ids[..count], name)?)));
    let first = known.as_ref().map_or(0, |(count, _)| *count);
    let mut blocks: Vec<Arc<Block>> = known.into_iter().map(|(_, block)| block).collect();
    let (mut held, mut is_whole) = (Vec::new(), true);
    for part in worth.into_iter().skip(first) {
        match read_block(&part, name, control).await? {
            Some((block, more)) => {
                blocks.push(Arc::new(block));
                held.extend(more);
            }
            // What is too large is read as far as it is asked for.
            None => {
                source.blocks.refuse(part.id(), name);
                snapshot.parts.push(part);
                is_whole = false;
            }
        }
    }
    if is_whole && first < ids.len() {
        let pieces = blocks.clone();
        let whole = scan::blocking(move || Ok(Block::joined(&pieces))).await?;
        match source.blocks.remember(&ids, first, name, whole) {
            Some(whole) => blocks = vec![whole],
            None => ids[first..].iter().for_each(|part| source.blocks.refuse(*part, name)),
        }
    }
    snapshot.parts.sort_by_key(|part| std::cmp::Reverse(part.max_time()));
    let raw = raw(snapshot, vec![matchers.to_vec()], range, control).await?;
    drop(held);
    put_together(blocks, raw, matchers, range).await
}

/// All series of a name in a part, with their memory; `None` when there is no room for them, or the part cannot be read.
async fn read_block(part: &Arc<Part>, name: &str, control: &Control) -> Result<Option<(Block, Vec<Held>)>, QueryError> {
    let of_name = Matcher::new(MatchOp::Equal, NAME, name);
    let snapshot = Snapshot { signal: Signal::MetricPoints, hot: Vec::new(), parts: vec![Arc::clone(part)] };
    let all_time = (i64::MIN / 1_000_000 + 1, i64::MAX / 1_000_000 - 1);
    let found = match raw(snapshot, vec![vec![of_name]], all_time, control).await {
        Ok(found) if found.coverage.unreadable_parts.is_empty() => found,
        Ok(_) => return Ok(None),
        Err(error) if error.code == ErrorCode::ResourceExhausted => return Ok(None),
        Err(error) => return Err(error),
    };
    let Raw { series, coverage, held } = found;
    let block = scan::blocking(move || Ok(Block::new(series, coverage.matched, coverage.rows_in_range))).await?;
    Ok(Some((block, held)))
}

/// The series of blocks and those that were read, as one.
async fn put_together(
    blocks: Vec<Arc<Block>>,
    raw: Raw,
    matchers: &[Matcher],
    (from, to): (i64, i64),
) -> Result<Selected, QueryError> {
    let asks_labels = matchers.iter().any(|matcher| matcher.name != NAME || matcher.op != MatchOp::Equal);
    let matchers = matchers.to_vec();
    scan::blocking(move || {
        let Raw { series: read, mut coverage, held } = raw;
        for block in &blocks {
            coverage.matched += block.matched;
            coverage.rows_in_range += block.rows_in_range;
        }
        let is_single = read.is_empty() && blocks.len() == 1;
        let mut sources: HashMap<Labels, (Vec<Samples>, bool)> = HashMap::new();
        let mut series: Vec<Samples> = Vec::new();
        for block in &blocks {
            for (samples, is_delta) in &block.series {
                let is_wanted = samples.is_within(from, to) && (!asks_labels || is_match(&matchers, &samples.labels));
                if !is_wanted {
                    continue;
                }
                if is_single && !is_delta {
                    series.push(samples.clone());
                } else {
                    let known = sources.entry(samples.labels.clone()).or_insert_with(|| (Vec::new(), *is_delta));
                    known.0.push(samples.clone());
                }
            }
        }
        for column in read {
            let is_delta = column.is_delta;
            let samples = Column { is_delta: false, ..column }.ordered();
            if samples.is_within(from, to) {
                sources.entry(samples.labels.clone()).or_insert_with(|| (Vec::new(), is_delta)).0.push(samples);
            }
        }
        let is_sorted = sources.is_empty();
        let sources: Vec<(Labels, (Vec<Samples>, bool))> = sources.into_iter().collect();
        let size = sources.first().map_or(0, |(_, (pieces, _))| pieces.iter().map(|piece| piece.times.len()).sum());
        series.extend(parallel::each(&sources, size, |(labels, (pieces, is_delta))| {
            Ok(joined(labels, pieces, *is_delta, (from, to)))
        })?);
        if !is_sorted {
            series.sort_by(|left, right| left.labels.cmp(&right.labels));
        }
        Ok(Selected { series, coverage, held })
    })
    .await
}

/// The pieces of a series as one; differences are added up from the beginning of what is asked.
fn joined(labels: &Labels, pieces: &[Samples], is_delta: bool, (from, to): (i64, i64)) -> Samples {
    if let [piece] = pieces
        && !is_delta
    {
        return piece.clone();
    }
    let mut column = Column { labels: labels.clone(), is_delta, ..Column::default() };
    for piece in pieces {
        let piece = piece.within(from, to);
        column.times.extend_from_slice(&piece.times);
        column.values.extend_from_slice(&piece.values);
        column.histograms.extend_from_slice(&piece.histograms);
    }
    column.ordered()
}

/// The series that are computed when they are asked for: names of Tempo's metrics generator from spans, and `target_info` from resources; for selectors
/// that find nothing written under them.
pub(super) async fn computed(
    store: &Arc<Store>,
    matchers: &[Matcher],
    range: (i64, i64),
    control: &Control,
) -> Result<Option<Selected>, QueryError> {
    let found = match name_of(matchers) {
        Some(TARGET_INFO) => Some(super::target_info::select(store, matchers, range, control).await?),
        Some(name) if name.starts_with("traces_") => {
            super::span_metrics::select(store, name, matchers, range, control).await?
        }
        _ => None,
    };
    Ok(found.map(|(series, coverage, held)| Selected { series, coverage, held }))
}

/// Series as they were read: samples in no order.
pub(super) struct Raw {
    pub(super) series: Vec<Column>,
    pub(super) coverage: ScanCoverage,
    /// Keeps the memory of the samples taken.
    pub(super) held: Vec<Held>,
}

/// A range in milliseconds, both ends included, as one of nanoseconds.
pub(super) const fn nanoseconds((from, to): (i64, i64)) -> TimeRange {
    TimeRange { start: from.saturating_mul(1_000_000), end: to.saturating_add(1).saturating_mul(1_000_000) }
}

/// The series that any of these selectors wants, read once, within a range in milliseconds, both ends included.
pub(super) async fn select_raw(
    store: &Arc<Store>,
    selectors: Vec<Vec<Matcher>>,
    range: (i64, i64),
    control: &Control,
) -> Result<Raw, QueryError> {
    raw(store.snapshot(Signal::MetricPoints), selectors, range, control).await
}

async fn raw(
    snapshot: Snapshot,
    selectors: Vec<Vec<Matcher>>,
    range: (i64, i64),
    control: &Control,
) -> Result<Raw, QueryError> {
    let wanted = selectors.iter().map(|one| name_of(one).map_or(Wanted::ALL, Wanted::of));
    let wanted = wanted.fold(Wanted::default(), Wanted::or);
    let mut columns = series_columns();
    columns.extend(wanted.columns());
    let filter = name_filter(&selectors)?;
    let scan = ScanRequest { signal: Signal::MetricPoints, filter, range: nanoseconds(range), columns };
    let (selectors, nothing) = (Arc::new(selectors), control.clone());
    // Selectors that are read together have names of the same sort.
    let naming = selectors.first().and_then(|one| naming_of(one)).unwrap_or_default();
    let init = move || Read::new(Arc::clone(&selectors), wanted, naming, nothing.held());
    let each = |read: &mut Read, batch: &RecordBatch| read.batch(batch);
    let (states, coverage) = scan::for_each_in(snapshot, &scan, control, init, each).await?;
    let mut all: HashMap<Labels, Column> = HashMap::new();
    let mut held = Vec::new();
    for state in states {
        held.push(state.held);
        for column in state.all.into_iter().filter(|column| !column.times.is_empty() || !column.histograms.is_empty()) {
            match all.get_mut(&column.labels) {
                Some(into) => into.append(column),
                None => {
                    all.insert(column.labels.clone(), column);
                }
            }
        }
    }
    Ok(Raw { series: all.into_values().collect(), coverage, held })
}
