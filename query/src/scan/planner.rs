//! The plans of many parts.

use super::Control;
use super::plan::{self, PartPlan};
use crate::QueryError;
use crate::language::Expr;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use mangru_store::{Part, TimeRange};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Threads that plan at the same time.
const PARALLEL: usize = 2;
/// Parts that one thread plans in one go, at most.
const MOST_PARTS: usize = 16;
/// A thread takes no more parts once they have so many rows: long lists of one part are work enough.
const MOST_ROWS: u64 = 1 << 20;

/// A part with its plan: none when nothing in it can match.
pub(super) type Planned = (Arc<Part>, Result<Option<PartPlan>, QueryError>);

/// The parts of a thread, and the thread.
type Begun = (Vec<Arc<Part>>, JoinHandle<Vec<Planned>>);

/// Plans parts ahead of who takes the plans, in the order of the parts.
///
/// Most parts have no row for a rare word or a trace, and to find that out takes less time than to wake a thread for it: so a thread
/// plans several in one go, few at first, since the first ones may be all that is needed.
pub(super) struct Planner {
    parts: VecDeque<Arc<Part>>,
    filter: Arc<Expr>,
    range: TimeRange,
    control: Control,
    at_once: usize,
    begun: VecDeque<Begun>,
    ready: VecDeque<Planned>,
}

impl Planner {
    /// Plans those of the parts that touch the range; the first thread takes so many.
    pub(super) fn new(parts: &[Arc<Part>], filter: &Expr, range: TimeRange, first: usize, control: &Control) -> Self {
        let parts = parts.iter().filter(|part| range.touches(part.min_time(), part.max_time())).cloned().collect();
        Self {
            parts,
            filter: Arc::new(filter.clone()),
            range,
            control: control.clone(),
            at_once: first,
            begun: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next part with its plan. Parts that are not wanted any more when their turn comes to be planned are left out.
    pub(super) async fn next(&mut self, mut is_wanted: impl FnMut(&Part) -> bool) -> Option<Planned> {
        loop {
            while self.begun.len() < PARALLEL {
                let parts = self.take(&mut is_wanted);
                if parts.is_empty() {
                    break;
                }
                self.begin(parts);
            }
            if let Some(planned) = self.ready.pop_front() {
                return Some(planned);
            }
            let (parts, planned) = self.begun.pop_front()?;
            self.ready = match planned.await {
                Ok(planned) => planned.into(),
                Err(error) => {
                    let stopped = || QueryError::internal(format!("query work stopped: {error}"));
                    parts.into_iter().map(|part| (part, Err(stopped()))).collect()
                }
            };
        }
    }

    /// The parts of the next thread.
    fn take(&mut self, is_wanted: &mut impl FnMut(&Part) -> bool) -> Vec<Arc<Part>> {
        let (mut taken, mut rows) = (Vec::new(), 0);
        while taken.len() < self.at_once
            && rows < MOST_ROWS
            && let Some(part) = self.parts.pop_front()
        {
            if is_wanted(&part) {
                rows += u64::from(part.rows());
                taken.push(part);
            }
        }
        taken
    }

    fn begin(&mut self, parts: Vec<Arc<Part>>) {
        let (filter, range, control) = (Arc::clone(&self.filter), self.range, self.control.clone());
        let (runtime, own) = (tokio::runtime::Handle::current(), parts.clone());
        let plan = async move |part: &Arc<Part>| {
            control.check()?;
            plan::plan_here(Arc::clone(part), &filter, range).await
        };
        let work = move || own.into_iter().map(|part| (Arc::clone(&part), runtime.block_on(plan(&part)))).collect();
        self.begun.push_back((parts, tokio::task::spawn_blocking(work)));
        self.at_once = (self.at_once * 2).min(MOST_PARTS);
    }

    /// All parts with their plans.
    pub(super) fn stream(self) -> BoxStream<'static, Planned> {
        let next = async |mut planner: Self| {
            let planned = planner.next(|_| true).await?;
            Some((planned, planner))
        };
        futures::stream::unfold(self, next).boxed()
    }
}
