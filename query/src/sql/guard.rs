//! What keeps a statement in its bounds while it runs: a guard behind every operator.

use super::provider::external;
use crate::scan::Control;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::Stream;
use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Batches between two pauses, in which others on the same threads get their turn.
const BATCHES_BETWEEN_PAUSES: u32 = 8;

/// How long a thread computes before it makes way for younger queries.
const COMPUTES_FOR: Duration = Duration::from_millis(20);

thread_local! {
    /// When this thread last made way: it belongs to one statement.
    static MADE_WAY: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Lets younger queries pass, when this thread has computed for a while.
pub(super) fn make_way(control: &Control) {
    let now = Instant::now();
    let since = MADE_WAY.get().unwrap_or_else(|| {
        MADE_WAY.set(Some(now));
        now
    });
    if now.duration_since(since) >= COMPUTES_FOR {
        control.make_way();
        MADE_WAY.set(Some(Instant::now()));
    }
}

/// Puts a guard behind every operator of a plan.
pub(super) fn guarded(plan: Arc<dyn ExecutionPlan>, control: &Control) -> Result<Arc<dyn ExecutionPlan>> {
    let guard = |inner: Arc<dyn ExecutionPlan>| -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
        let inner = super::pairs::checked(inner, control)?;
        Ok(Transformed::yes(Arc::new(Guard { inner, control: control.clone() }) as Arc<dyn ExecutionPlan>))
    };
    Ok(plan.transform_up(guard)?.data)
}

/// An operator whose batches are looked at: whether the deadline has passed, the caller went away, or one is too large.
#[derive(Debug)]
struct Guard {
    inner: Arc<dyn ExecutionPlan>,
    control: Control,
}

impl DisplayAs for Guard {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard")
    }
}

impl ExecutionPlan for Guard {
    fn name(&self) -> &'static str {
        "Guard"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.inner]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = children.pop().unwrap_or_else(|| Arc::clone(&self.inner));
        Ok(Arc::new(Self { inner, control: self.control.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let stream = self.inner.execute(partition, context)?;
        Ok(Box::pin(GuardedStream { stream, control: self.control.clone(), batches: 0 }))
    }
}

struct GuardedStream {
    stream: SendableRecordBatchStream,
    control: Control,
    batches: u32,
}

impl Stream for GuardedStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Err(error) = self.control.check() {
            return Poll::Ready(Some(Err(external(error))));
        }
        make_way(&self.control);
        self.batches += 1;
        if self.batches.is_multiple_of(BATCHES_BETWEEN_PAUSES) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = std::task::ready!(self.stream.as_mut().poll_next(context));
        if let Some(Ok(batch)) = &next
            && batch.get_array_memory_size() > self.control.memory().max_bytes() / 2
        {
            return Poll::Ready(Some(Err(external(crate::scan::exhausted(self.control.memory())))));
        }
        Poll::Ready(next)
    }
}

impl RecordBatchStream for GuardedStream {
    fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }
}
