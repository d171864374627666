//! What a scan on a device does of the nodes right above it. They stay in the pipeline, with nothing
//! left to do, so that they count their rows.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use super::Draft;
use crate::bound::through;
use crate::plan::node::{AggregateSpec, FilterSpec, Node, ProjectSpec};
use crate::plan::pipeline::{Op, OpKind, Scope, Source};
use crate::plan::scan::{Place, ScanAggregate, ScanBehind, ScanLanes, ScanRequest};

/// The request of a scan on a device that is all there is of the draft but for filters that it does.
fn request<'a>(draft: &'a mut Draft, node: &Node) -> Option<&'a mut ScanRequest> {
    let idle = draft.ops.iter().all(
        |op| matches!(&op.kind, OpKind::Filter(spec) if super::holds(spec) && spec.projection.is_none()),
    );
    match &mut draft.source {
        Source::Scan(_, request)
            if idle && matches!(request.place, Place::Gpu(_)) && super::on_device(node) =>
        {
            Some(request)
        }
        _ => None,
    }
}

/// Whether a scan on a device deals its rows out by itself, so that a filter above still reaches it: its lanes
/// take row groups from one queue. `visible`: somebody counts the lanes.
pub(super) fn deals_rows(draft: &mut Draft, lanes: usize, visible: bool) -> bool {
    let Source::Scan(_, request) = &mut draft.source else {
        return false;
    };
    let shared = matches!(request.lanes, ScanLanes::Shared(_));
    if !does_all(request, &draft.ops) || !shared || !matches!(request.place, Place::Gpu(_)) {
        return false;
    }
    if visible {
        request.lanes = ScanLanes::Shared(lanes);
        draft.lanes = lanes;
    }
    true
}

/// Whether a scan does all operators of its draft.
fn does_all(request: &ScanRequest, ops: &[Op]) -> bool {
    match &request.behind {
        Some(behind) => behind.before + behind.ops.len() == ops.len(),
        None => ops.iter().all(idle),
    }
}

/// Has a scan on a device do the operator that `node` has just become, where it does all before: a join that its
/// rows probe, or what stands above one.
pub(super) fn behind(draft: &mut Draft, node: &Node) {
    let Source::Scan(_, request) = &mut draft.source else { return };
    let there = matches!(request.place, Place::Gpu(_)) && super::on_device(node);
    let Some((op, before)) = draft.ops.split_last().filter(|_| there) else { return };
    if !does_all(request, before) {
        return;
    }
    match (&mut request.behind, &op.kind) {
        (
            Some(behind),
            OpKind::Probe(_, _, Scope::Shared) | OpKind::Filter(_) | OpKind::Project(_),
        ) => {
            behind.ops.push(op.clone());
        }
        (None, OpKind::Probe(_, _, Scope::Shared)) => {
            request.behind = Some(ScanBehind { before: before.len(), ops: vec![op.clone()] });
        }
        _ => {}
    }
}

/// Whether nothing is left to do for an operator: the scan does it.
fn idle(op: &Op) -> bool {
    match &op.kind {
        OpKind::Filter(spec) => super::holds(spec) && spec.projection.is_none(),
        OpKind::Project(spec) => {
            let same = |(at, expr): (usize, &Arc<dyn PhysicalExpr>)| {
                expr.downcast_ref::<Column>().is_some_and(|column| column.index() == at)
            };
            op.input.fields().len() == spec.exprs.len() && spec.exprs.iter().enumerate().all(same)
        }
        OpKind::Probe(..) | OpKind::Window(_) | OpKind::Limit(_) => false,
    }
}

/// Has a scan on a device aggregate too, where its rows go right into the aggregation. `node` is the one of the
/// plan that reads rows.
pub(super) fn aggregate(draft: &mut Draft, node: &Node, spec: &Arc<AggregateSpec>) {
    let Source::Scan(_, request) = &mut draft.source else { return };
    let there = matches!(request.place, Place::Gpu(_)) && super::on_device(node);
    if there && !spec.stage.reads_states() && does_all(request, &draft.ops) {
        let (spec, metrics) = (Arc::clone(spec), node.metrics.clone());
        request.aggregate = Some(ScanAggregate { spec, metrics });
    }
}

/// The draft gives rows of `schema` from its source on.
fn becomes(draft: &mut Draft, schema: &SchemaRef) {
    draft.source_schema = Arc::clone(schema);
    draft.schema = Arc::clone(schema);
    for op in &mut draft.ops {
        op.input = Arc::clone(schema);
        op.schema = Arc::clone(schema);
    }
}

/// Has the scan put out only the columns that a filter keeps; what is left of the filter, whose
/// predicate the scan tests already.
pub(super) fn filter(draft: &mut Draft, node: &Node, spec: Arc<FilterSpec>) -> Arc<FilterSpec> {
    let Some(columns) = spec.projection.clone().filter(|_| super::holds(&spec)) else {
        return spec;
    };
    let schema = Arc::clone(&draft.schema);
    let Some(request) = request(draft, node).filter(|request| request.output.is_none()) else {
        return spec;
    };
    let column = |&at: &usize| -> Arc<dyn PhysicalExpr> {
        Arc::new(Column::new(schema.field(at).name(), at))
    };
    request.output = Some(columns.iter().map(column).collect());
    becomes(draft, &node.schema);
    Arc::new(FilterSpec {
        predicate: Arc::clone(&spec.predicate),
        projection: None,
        fetch: spec.fetch,
    })
}

/// Has the scan compute a projection; what is left of it.
pub(super) fn project(
    draft: &mut Draft,
    node: &Node,
    spec: &Arc<ProjectSpec>,
) -> Result<Arc<ProjectSpec>> {
    let Some(request) = request(draft, node) else {
        return Ok(Arc::clone(spec));
    };
    let exprs = spec.exprs.iter();
    request.output = Some(match &request.output {
        Some(output) => exprs.map(|expr| through(expr, output)).collect::<Result<_>>()?,
        None => exprs.cloned().collect(),
    });
    becomes(draft, &node.schema);
    let fields = node.schema.fields().iter().enumerate();
    let exprs = fields
        .map(|(at, field)| Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>)
        .collect();
    Ok(Arc::new(ProjectSpec { exprs }))
}
