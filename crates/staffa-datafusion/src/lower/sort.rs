//! Sort, top-K and the merge of sorted partitions.

use std::sync::Arc;

use datafusion::physical_expr::{AcrossPartitions, LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use staffa_common::{Reason, ReasonCode};
use staffa_engine::plan::{NodeOp, SortSpec};

use super::{Lowered, Setting, dynamic_filter};

pub(super) fn lower(plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Option<Lowered> {
    if let Some(sort) = plan.downcast_ref::<SortExec>() {
        // DataFusion sorts batches and merges no more of them than is asked for.
        if setting.limited && sort.fetch().is_none() {
            let why = "a limit above may stop it early, and its twin would sort all rows first";
            return Some(Err(Reason::new(ReasonCode::NotFaster, why)));
        }
        return Some(Ok(NodeOp::Sort(Arc::new(SortSpec {
            ordering: sort.expr().clone(),
            fetch: sort.fetch(),
            told: None,
            preserve_partitioning: sort.preserve_partitioning(),
            dynamic_filter: dynamic_filter(sort),
            device: None,
        }))));
    }
    let merge = plan.downcast_ref::<SortPreservingMergeExec>()?;
    Some(Ok(NodeOp::Merge(varying(merge), merge.fetch())))
}

/// What partitions are merged by: without what has one value in all rows, which the sorts below leave out too.
fn varying(merge: &SortPreservingMergeExec) -> LexOrdering {
    let known = merge.input().equivalence_properties();
    let varies = |by: &&PhysicalSortExpr| {
        !matches!(known.is_expr_constant(&by.expr), Some(AcrossPartitions::Uniform(_)))
    };
    let varying = LexOrdering::new(merge.expr().iter().filter(varies).cloned());
    varying.unwrap_or_else(|| merge.expr().clone())
}
