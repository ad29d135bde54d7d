//! A scan in a plan: what it leaves out, and by what. `EXPLAIN` shows it.

use crate::scan::PartLeft;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;

/// Rows that the steps of planning leave, added up over parts while a statement runs.
#[derive(Clone, Debug)]
pub(super) struct Left {
    after_time: Count,
    after_bloom_filters: Count,
    after_index: Count,
    after_statistics: Count,
    to_read: Count,
}

impl Left {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).global_counter(name);
        Self {
            after_time: count("rows_after_time"),
            after_bloom_filters: count("rows_after_bloom_filters"),
            after_index: count("rows_after_index"),
            after_statistics: count("rows_after_statistics"),
            to_read: count("rows_to_read"),
        }
    }

    /// A part was planned. A step that cannot say leaves what the one before left.
    pub(super) fn add(&self, part: &PartLeft) {
        self.after_time.add(part.time as usize);
        let after_bloom_filters = part.bloom_filters.unwrap_or(part.time);
        self.after_bloom_filters.add(after_bloom_filters as usize);
        let after_index = part.index.unwrap_or(after_bloom_filters);
        self.after_index.add(after_index as usize);
        self.after_statistics.add(part.statistics.unwrap_or(after_index) as usize);
        self.to_read.add(part.to_read as usize);
    }
}

/// A scan with what is known of it before it runs.
#[derive(Debug)]
pub(super) struct Pruned {
    pub(super) inner: Arc<dyn ExecutionPlan>,
    /// Table, filters that the scan has taken, time, parts and rows.
    pub(super) says: String,
    pub(super) metrics: ExecutionPlanMetricsSet,
}

impl DisplayAs for Pruned {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableScan: {}", self.says)
    }
}

impl ExecutionPlan for Pruned {
    fn name(&self) -> &'static str {
        "TableScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.inner.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.inner.execute(partition, context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
