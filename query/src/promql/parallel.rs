//! Work on many series, spread over the processors.

use crate::QueryError;
use std::num::NonZero;

/// Values that are computed before it is worth to start threads for them.
const WORTH: usize = 200_000;
/// Threads of one piece of work at most.
const MOST_THREADS: usize = 8;

/// What `each` gives for every item, in their order; `size` is how many values an item stands for.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    size: usize,
    each: impl Fn(&T) -> Result<R, QueryError> + Sync,
) -> Result<Vec<R>, QueryError> {
    let pieces = shares(items, size, |piece| piece.iter().map(&each).collect::<Result<Vec<R>, QueryError>>())?;
    Ok(pieces.into_iter().flatten().collect())
}

/// What `share` makes of pieces that all items are cut into, one for each thread, in their order.
pub(super) fn shares<T: Sync, R: Send>(
    items: &[T],
    size: usize,
    share: impl Fn(&[T]) -> Result<R, QueryError> + Sync,
) -> Result<Vec<R>, QueryError> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS);
    if threads < 2 || items.len() < 2 * threads || items.len().saturating_mul(size) < WORTH {
        return Ok(vec![share(items)?]);
    }
    let share = &share;
    std::thread::scope(|scope| {
        let pieces: Vec<_> =
            items.chunks(items.len().div_ceil(threads)).map(|piece| scope.spawn(move || share(piece))).collect();
        pieces
            .into_iter()
            .map(|piece| piece.join().map_err(|_| QueryError::internal("a thread of the evaluation stopped"))?)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1_000).collect();
        let doubled = each(&items, WORTH, |item| Ok(item * 2)).expect("fine");
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let error = each(&items, WORTH, |item| if *item == 700 { Err(QueryError::internal("no")) } else { Ok(()) });
        assert_eq!(error.expect_err("one fails").message, "no");
    }
}
