//! Rows on their way to those who watch them come in: a bounded number of bytes for all watchers together.

use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// Bytes of batches that are kept for watchers who lag; the newest batch is kept whatever its size.
const KEPT_BYTES: usize = 16 << 20;

/// What a watcher is given.
#[derive(Clone, Debug)]
pub enum Tailed {
    /// The next rows.
    Rows(RecordBatch),
    /// So many rows are gone, because the watcher was too slow.
    Lost(u64),
}

/// The end that rows come in by. When it is dropped, watchers get what is left and then nothing.
#[derive(Default)]
pub(crate) struct Tail(Arc<Shared>);

/// The end that a watcher takes rows from.
pub struct TailReader {
    shared: Arc<Shared>,
    /// How many rows it has been given or told of, counted as [`State::rows`].
    seen: u64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// Each batch with how many rows came before it.
    batches: VecDeque<(u64, RecordBatch)>,
    bytes: usize,
    /// All rows that came, watched or not.
    rows: u64,
    readers: usize,
    is_closed: bool,
}

impl Tail {
    /// Hands rows to those who watch.
    pub(crate) fn send(&self, rows: RecordBatch) {
        let mut state = self.0.state.lock();
        let before = state.rows;
        state.rows += rows.num_rows() as u64;
        if state.readers == 0 || rows.num_rows() == 0 {
            return;
        }
        state.bytes += rows.get_array_memory_size();
        state.batches.push_back((before, rows));
        while state.bytes > KEPT_BYTES && state.batches.len() > 1 {
            if let Some((_, gone)) = state.batches.pop_front() {
                state.bytes -= gone.get_array_memory_size();
            }
        }
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Watches what comes from now on.
    pub(crate) fn watch(&self) -> TailReader {
        let mut state = self.0.state.lock();
        state.readers += 1;
        TailReader { shared: Arc::clone(&self.0), seen: state.rows }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.changed.notify_waiters();
    }
}

impl TailReader {
    /// The next rows, or how many were lost before them; `None` when there will be no more. It can be dropped at any time without loss.
    pub async fn next(&mut self) -> Option<Tailed> {
        loop {
            // Made before the look, so that what comes in between is not missed.
            let changed = self.shared.changed.notified();
            {
                let state = self.shared.state.lock();
                let next = state.batches.partition_point(|(before, _)| *before < self.seen);
                if let Some((before, rows)) = state.batches.get(next) {
                    if *before > self.seen {
                        let lost = before - self.seen;
                        self.seen = *before;
                        return Some(Tailed::Lost(lost));
                    }
                    self.seen += rows.num_rows() as u64;
                    return Some(Tailed::Rows(rows.clone()));
                }
                if state.is_closed {
                    return None;
                }
            }
            changed.await;
        }
    }
}

impl Drop for TailReader {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.readers -= 1;
        if state.readers == 0 {
            state.batches = VecDeque::new();
            state.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    fn rows(count: usize, bytes: usize) -> RecordBatch {
        let texts = StringArray::from_iter_values((0..count).map(|_| "x".repeat(bytes / count)));
        RecordBatch::try_from_iter([("text", Arc::new(texts) as _)]).expect("a batch")
    }

    /// The rows that a reader is given, and those that it is told are lost, until there is nothing for it.
    async fn drained(reader: &mut TailReader) -> (u64, u64) {
        let (mut given, mut lost) = (0, 0);
        while let Ok(Some(next)) = tokio::time::timeout(std::time::Duration::from_millis(50), reader.next()).await {
            match next {
                Tailed::Rows(rows) => given += rows.num_rows() as u64,
                Tailed::Lost(rows) => lost += rows,
            }
        }
        (given, lost)
    }

    #[tokio::test]
    async fn what_a_slow_reader_loses_is_counted_in_rows_and_bounded_in_bytes() {
        let tail = Tail::default();
        tail.send(rows(5, 100));
        let (mut quick, mut slow) = (tail.watch(), tail.watch());
        let mut of_quick = 0;
        for _ in 0..40 {
            tail.send(rows(7, 1 << 20));
            if let Some(Tailed::Rows(rows)) = quick.next().await {
                of_quick += rows.num_rows();
            }
        }
        assert_eq!(of_quick, 280, "whoever keeps up gets all");
        assert!(tail.0.state.lock().bytes <= KEPT_BYTES);
        let (given, lost) = drained(&mut slow).await;
        assert!(lost > 0 && lost.is_multiple_of(7), "{lost}");
        assert_eq!(given + lost, 280);
        tail.send(rows(3, 64 << 20));
        assert_eq!(drained(&mut slow).await, (3, 0), "the newest is kept whatever its size");
        drop((quick, slow));
        assert_eq!(tail.0.state.lock().bytes, 0, "nothing is kept for nobody");
    }

    #[tokio::test]
    async fn readers_end_when_the_store_does() {
        let tail = Tail::default();
        let mut reader = tail.watch();
        tail.send(rows(2, 10));
        drop(tail);
        assert!(matches!(reader.next().await, Some(Tailed::Rows(_))));
        assert!(reader.next().await.is_none());
    }
}
