//! Joins: hash, sort-merge (by hash where no order is used above), nested-loop and cross.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::{JoinSide, JoinType, NullEquality};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinOnRef, build_join_schema};
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use staffa_common::{Reason, ReasonCode};
use staffa_engine::plan::{JoinKind, JoinSpec, NodeOp};

use super::{Lowered, Setting, dynamic_filter, reads_expression};

pub(super) fn lower(plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Option<Lowered> {
    let lowered = join(plan, setting)?;
    Some(lowered.and_then(|op| match &op {
        NodeOp::Join(spec) if !reads_its_inputs(spec) => {
            Err(Reason::new(ReasonCode::JoinOption, "the filter names a column that no input has"))
        }
        _ => Ok(op),
    }))
}

/// Whether a join's filter reads columns that there are. DataFusion's projection push-down leaves
/// sort-merge joins whose filter does not; they run until a pair of rows is tried.
fn reads_its_inputs(spec: &JoinSpec) -> bool {
    let columns = spec.filter.as_ref().map_or(&[][..], |filter| filter.column_indices());
    columns.iter().all(|column| match column.side {
        JoinSide::Left => column.index < spec.build_schema.fields().len(),
        JoinSide::Right => column.index < spec.probe_schema.fields().len(),
        JoinSide::None => false,
    })
}

fn join(plan: &Arc<dyn ExecutionPlan>, setting: Setting) -> Option<Lowered> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return Some(hash(join, plan));
    }
    if let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() {
        return Some(sort_merge(join, plan, setting));
    }
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let mut spec = base(join.left(), join.right(), *join.join_type(), plan);
        spec.filter = join.filter().cloned();
        spec.output = project(spec.output, join.projection().as_deref());
        return Some(Ok(NodeOp::Join(Arc::new(spec))));
    }
    let join = plan.downcast_ref::<CrossJoinExec>()?;
    let spec = base(join.left(), join.right(), JoinType::Inner, plan);
    Some(Ok(NodeOp::Join(Arc::new(spec))))
}

/// A join without keys, filter or projection.
fn base(
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    join_type: JoinType,
    plan: &Arc<dyn ExecutionPlan>,
) -> JoinSpec {
    let (build_schema, probe_schema): (SchemaRef, SchemaRef) = (left.schema(), right.schema());
    let (_, output) = build_join_schema(&build_schema, &probe_schema, &join_type);
    JoinSpec {
        kind: JoinKind::Loop,
        on: Vec::new(),
        filter: None,
        join_type,
        null_equality: NullEquality::NullEqualsNothing,
        null_aware: false,
        partitioned: false,
        build_schema,
        probe_schema,
        output,
        schema: plan.schema(),
        fetch: plan.fetch(),
        dynamic_filter: None,
        sideways: Vec::new(),
        for_device: false,
    }
}

fn project(output: Vec<ColumnIndex>, projection: Option<&[usize]>) -> Vec<ColumnIndex> {
    match projection {
        Some(columns) => columns.iter().map(|&i| output[i].clone()).collect(),
        None => output,
    }
}

fn hash(join: &HashJoinExec, plan: &Arc<dyn ExecutionPlan>) -> Lowered {
    if join.mode == PartitionMode::Auto {
        return Err(Reason::new(ReasonCode::JoinOption, "partition mode not decided"));
    }
    check_keys(&join.on, join.left())?;
    let mut spec = base(&join.left, &join.right, join.join_type, plan);
    spec.kind = JoinKind::Hash;
    spec.on = join.on.clone();
    spec.filter = join.filter.clone();
    spec.null_equality = join.null_equality;
    spec.null_aware = join.null_aware;
    spec.partitioned = join.mode == PartitionMode::Partitioned;
    spec.output = project(spec.output, join.projection.as_deref());
    // Filled only when somebody on the probe side reads it.
    spec.dynamic_filter = dynamic_filter(join).filter(|filter| {
        filter.expression_id().is_some_and(|id| reads_expression(&join.right, id))
    });
    Ok(NodeOp::Join(Arc::new(spec)))
}

fn sort_merge(
    join: &SortMergeJoinExec,
    plan: &Arc<dyn ExecutionPlan>,
    setting: Setting,
) -> Lowered {
    if setting.order_used {
        return Err(Reason::new(ReasonCode::OrderUsed, "the merge's order is used above"));
    }
    check_keys(&join.on, &join.left)?;
    let mut spec = base(&join.left, &join.right, join.join_type, plan);
    spec.kind = JoinKind::Hash;
    spec.on = join.on.clone();
    spec.filter = join.filter.clone();
    spec.null_equality = join.null_equality;
    spec.partitioned = true;
    Ok(NodeOp::Join(Arc::new(spec)))
}

fn check_keys(on: JoinOnRef<'_>, left: &Arc<dyn ExecutionPlan>) -> Result<(), Reason> {
    let schema = left.schema();
    for (key, _) in on {
        let Ok(of) = key.data_type(&schema) else {
            return Err(Reason::new(ReasonCode::KeyType, format!("key {key} has no type")));
        };
        if of.is_nested() {
            return Err(Reason::new(ReasonCode::KeyType, format!("key of type {of}")));
        }
    }
    Ok(())
}
