//! Sort, top-K and the merge of sorted partitions.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use staffa_engine::plan::{NodeOp, SortSpec};

use super::{Lowered, Setting, dynamic_filter};

pub(super) fn lower(plan: &Arc<dyn ExecutionPlan>, _: Setting) -> Option<Lowered> {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        return Some(Ok(NodeOp::Sort(Arc::new(SortSpec {
            ordering: sort.expr().clone(),
            fetch: sort.fetch(),
            preserve_partitioning: sort.preserve_partitioning(),
            dynamic_filter: dynamic_filter(sort),
            device: None,
        }))));
    }
    let merge = plan.downcast_ref::<SortPreservingMergeExec>()?;
    Some(Ok(NodeOp::Merge(merge.expr().clone(), merge.fetch())))
}
