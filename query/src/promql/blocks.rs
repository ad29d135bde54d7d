//! What is remembered of parts: all series of a name, decoded, so that the next question for the same metric need not read them again.
//!
//! Parts never change, so what is remembered stays true. Only metrics of which a question wants a good share are remembered, in a bounded
//! piece of the memory of queries; what is not asked for again is forgotten.

use super::labels::Labels;
use super::read::Column;
use super::series::Samples;
use hashbrown::HashMap;
use mangru_store::{MemoryBudget, MemoryPermit, Part, PartId, TimeRange};
use std::sync::Arc;
use std::time::Duration;

/// The share of the memory of queries that blocks may take.
const SHARE: usize = 4;
/// Blocks take no more than this, whatever there is.
const MOST_BYTES: usize = 256 << 20;
/// A block that is not asked for is forgotten after so long.
const IDLE: Duration = Duration::from_mins(10);
/// Of a part's time a question must want one in so many, for a whole block to be read for it: points of a part are sorted by series, so
/// that less time is hardly less to read.
const WORTH: i64 = 32;
/// Metrics that were too large to remember.
const REFUSED: u64 = 10_000;

/// All series of one name in a part, or in several parts.
pub(super) struct Block {
    /// By labels, each with whether its samples are differences.
    pub(super) series: Vec<(Samples, bool)>,
    /// Points that were read for it.
    pub(super) matched: u64,
    pub(super) rows_in_range: u64,
    bytes: usize,
    permit: Option<MemoryPermit>,
}

impl Block {
    /// Of series as they were read.
    pub(super) fn new(series: Vec<Column>, matched: u64, rows_in_range: u64) -> Self {
        let mut texts = Texts::default();
        let mut times: HashMap<u64, Arc<Vec<i64>>> = HashMap::new();
        let mut bytes = 0;
        let mut series: Vec<(Samples, bool)> = series
            .into_iter()
            .map(|column| {
                let is_delta = column.is_delta;
                let mut samples = Column { is_delta: false, ..column }.ordered();
                samples.labels = texts.shared(&samples.labels);
                samples.nameless = texts.shared(&samples.nameless);
                // Series that are told of together have the same times.
                let hash = xxhash_rust::xxh3::xxh3_64(
                    &samples.times.iter().flat_map(|t| t.to_le_bytes()).collect::<Vec<u8>>(),
                );
                let known = times.entry(hash).or_insert_with(|| Arc::clone(&samples.times));
                if **known == *samples.times {
                    samples.times = Arc::clone(known);
                }
                bytes += 64 + 64 * samples.labels.pairs().len() + 8 * samples.values.len();
                bytes += samples.histograms.iter().map(|(_, histogram)| histogram.bytes()).sum::<usize>();
                (samples, is_delta)
            })
            .collect();
        series.sort_by(|(left, _), (right, _)| left.labels.cmp(&right.labels));
        // Questions go through the series in this order: made anew in it, before the others go, their values lie behind one another in memory.
        let in_order: Vec<Arc<[f64]>> = series.iter().map(|(samples, _)| Arc::from(&*samples.values)).collect();
        for ((samples, _), values) in series.iter_mut().zip(in_order) {
            samples.values = values;
        }
        bytes += texts.bytes + times.values().map(|times| 8 * times.capacity()).sum::<usize>();
        Self { series, matched, rows_in_range, bytes, permit: None }
    }
}

impl Block {
    /// The same series of several blocks, the oldest first, as one.
    pub(super) fn joined(blocks: &[Arc<Self>]) -> Self {
        let mut all: HashMap<Labels, Column> = HashMap::new();
        for (samples, is_delta) in blocks.iter().flat_map(|block| &block.series) {
            let column = all.entry(samples.labels.clone()).or_insert_with(|| Column {
                labels: samples.labels.clone(),
                is_delta: *is_delta,
                ..Column::default()
            });
            column.times.extend_from_slice(&samples.times);
            column.values.extend_from_slice(&samples.values);
            column.histograms.extend_from_slice(&samples.histograms);
        }
        let matched = blocks.iter().map(|block| block.matched).sum();
        let rows_in_range = blocks.iter().map(|block| block.rows_in_range).sum();
        Self::new(all.into_values().collect(), matched, rows_in_range)
    }
}

/// Names and values of labels, each kept once.
#[derive(Default)]
struct Texts {
    known: HashMap<Arc<str>, ()>,
    bytes: usize,
}

impl Texts {
    fn one(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some((known, ())) = self.known.get_key_value(text) {
            return Arc::clone(known);
        }
        self.bytes += 32 + text.len();
        self.known.insert(Arc::clone(text), ());
        Arc::clone(text)
    }

    fn shared(&mut self, labels: &Labels) -> Labels {
        Labels::new(labels.pairs().iter().map(|(name, value)| (self.one(name), self.one(value))))
    }
}

/// The parts of a block, the oldest first, and the name.
type Key = (Arc<[PartId]>, Arc<str>);

/// The blocks that are remembered.
#[derive(Debug)]
pub(crate) struct Blocks {
    all: moka::sync::Cache<Key, Arc<Block>>,
    /// What was too large, so that it is not read as a whole each time.
    refused: moka::sync::Cache<Key, ()>,
    memory: MemoryBudget,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} series, {} bytes", self.series.len(), self.bytes)
    }
}

impl Blocks {
    /// None yet; they take their memory from that of queries.
    pub(crate) fn new(queries: &MemoryBudget) -> Self {
        let most = (queries.max_bytes() / SHARE).min(MOST_BYTES);
        // What gives way to a new block is there for a moment beside it.
        let all = moka::sync::Cache::builder()
            .max_capacity(most as u64 / 5 * 4)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .weigher(|_, block: &Arc<Block>| u32::try_from(block.bytes).unwrap_or(u32::MAX))
            .time_to_idle(IDLE)
            .build();
        let refused = moka::sync::Cache::builder().max_capacity(REFUSED).time_to_live(IDLE).build();
        Self { all, refused, memory: queries.share(most) }
    }

    /// What is remembered of a name in these parts together.
    pub(super) fn known(&self, parts: &[PartId], name: &str) -> Option<Arc<Block>> {
        self.all.get(&(Arc::from(parts), Arc::from(name)))
    }

    /// Whether a question wants enough of a part to read all of a metric in it.
    pub(super) fn is_worth(&self, part: &Part, name: &str, asked: TimeRange) -> bool {
        let length = part.max_time().saturating_sub(part.min_time());
        let overlap = asked.end.min(part.max_time()).saturating_sub(asked.start.max(part.min_time()));
        let key: Key = (Arc::from([part.id()]), Arc::from(name));
        overlap >= length / WORTH && !self.refused.contains_key(&key)
    }

    /// Remembers that a metric is too large to be remembered.
    pub(super) fn refuse(&self, part: PartId, name: &str) {
        self.refused.insert((Arc::from([part]), Arc::from(name)), ());
    }

    /// Remembers a block, in the place of that of the first of its parts; `None` when there is no room for it.
    pub(super) fn remember(&self, parts: &[PartId], first: usize, name: &str, mut block: Block) -> Option<Arc<Block>> {
        if block.bytes > self.memory.max_bytes() / 5 * 4 {
            return None;
        }
        block.permit = self.memory.try_reserve(block.bytes);
        if block.permit.is_none() {
            // Those that are asked for will be read again.
            self.all.invalidate_all();
            self.all.run_pending_tasks();
            block.permit = Some(self.memory.try_reserve(block.bytes)?);
        }
        let block = Arc::new(block);
        if first > 0 {
            self.all.invalidate(&(Arc::from(&parts[..first]), Arc::from(name)));
        }
        self.all.insert((Arc::from(parts), Arc::from(name)), Arc::clone(&block));
        // Those that give way give their memory back now.
        self.all.run_pending_tasks();
        Some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, count: i64) -> Column {
        let labels = Labels::new([(Arc::from("a"), Arc::from(name))]);
        let times: Vec<i64> = (0..count).collect();
        Column { labels, values: times.iter().map(|time| *time as f64).collect(), times, ..Column::default() }
    }

    #[test]
    fn blocks_are_forgotten_when_others_need_their_room() {
        let queries = MemoryBudget::new(SHARE * 100_000);
        let blocks = Blocks::new(&queries);
        let part = |number: u64| PartId(ulid::Ulid::from_parts(number, 0));
        for number in 0..50 {
            let block = Block::new(vec![column("x", 1_000)], 0, 0);
            assert!(blocks.remember(&[part(number)], 0, "m", block).is_some());
            assert!(blocks.known(&[part(number)], "m").is_some(), "the newest is remembered");
            assert!(queries.used_bytes() <= 100_000, "{}", queries.used_bytes());
        }
        assert!(blocks.known(&[part(0)], "m").is_none(), "the oldest gave way");
        assert!(blocks.remember(&[part(99)], 0, "m", Block::new(vec![column("x", 100_000)], 0, 0)).is_none());
        let both = Block::new(vec![column("x", 1_100)], 0, 0);
        assert!(blocks.remember(&[part(49), part(50)], 1, "m", both).is_some());
        assert!(blocks.known(&[part(49)], "m").is_none(), "it is in the block of both");
    }

    #[test]
    fn blocks_of_several_parts_are_one() {
        let first = Arc::new(Block::new(vec![column("x", 3)], 3, 10));
        let mut later = column("x", 2);
        later.times = vec![2, 3];
        let second = Arc::new(Block::new(vec![later, column("y", 1)], 3, 5));
        let both = Block::joined(&[first, second]);
        assert_eq!((both.series.len(), both.matched, both.rows_in_range), (2, 6, 15));
        let (x, _) = &both.series[0];
        // Of two samples at the same time the one of the later part counts.
        assert_eq!((x.times.as_slice(), &*x.values), (&[0, 1, 2, 3][..], &[0.0, 1.0, 0.0, 1.0][..]));
    }

    #[test]
    fn series_of_the_same_times_share_them() {
        let block = Block::new(vec![column("y", 10), column("x", 10), column("z", 11)], 0, 0);
        let names: Vec<&str> = block.series.iter().map(|(samples, _)| samples.labels.get("a")).collect();
        assert_eq!(names, ["x", "y", "z"]);
        assert!(Arc::ptr_eq(&block.series[0].0.times, &block.series[1].0.times));
        assert!(!Arc::ptr_eq(&block.series[0].0.times, &block.series[2].0.times));
    }
}
