//! What a device does of a pipeline. A scan there does the nodes right above it, which stay in the pipeline, with
//! nothing left to do, so that they count their rows. Above any other source, rows are lifted there: see [`Lift`].

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;

use super::{Compiler, Draft};
use crate::bound::through;
use crate::cuda::aggregate as device_aggregate;
use crate::cuda::join::{End, lower, lower_lifted};
use crate::plan::lift::Lift;
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
            // What is behind a join that gives its rows at the end begins a chain of its own. Columns that nobody
            // reads in the end need not be there.
            let ends = [End::Rows, End::Columns(&[])];
            if !ends.into_iter().any(|end| lower(&behind.ops, end).is_ok()) {
                behind.ops.pop();
            }
        }
        (None, OpKind::Probe(_, _, Scope::Shared)) => {
            request.behind = Some(ScanBehind { before: before.len(), ops: vec![op.clone()] });
        }
        _ => {}
    }
}

/// Has a device do the operator that `node` has just become where no scan does it: with the chain that is there, if
/// that is lifted and goes on, else in a chain of its own.
pub(super) fn lifted(compiler: &mut Compiler<'_>, mut draft: Draft, node: &Node) -> Draft {
    let (Place::Gpu(gpu), Some(last)) = (&node.place, draft.ops.last()) else { return draft };
    if matches!(&draft.source, Source::Scan(_, request) if does_all(request, &draft.ops))
        || matches!(last.kind, OpKind::Probe(_, _, Scope::PerLane))
    {
        return draft;
    }
    if let Source::Lift(_, lift) = &mut draft.source
        && lift.ops + 1 == draft.ops.len()
        && lower_lifted(&draft.ops, &draft.source_schema, End::Rows).is_ok()
    {
        lift.ops += 1;
        return draft;
    }
    // Copies there and back would be all there is.
    if matches!(&draft.ops.last(), Some(Op { kind: OpKind::Project(spec), .. }) if spec.picks()) {
        return draft;
    }
    let Some(op) = draft.ops.pop() else { return draft };
    draft.schema = Arc::clone(&op.input);
    let lift = Lift { gpu: Arc::clone(gpu), ops: 1, aggregate: None, metrics: op.metrics.clone() };
    let mut draft = cut(compiler, draft, lift);
    draft.schema = Arc::clone(&op.schema);
    draft.ops.push(op);
    draft
}

/// A draft over the lanes of another one, whose rows are lifted.
fn cut(compiler: &mut Compiler<'_>, draft: Draft, lift: Lift) -> Draft {
    let (schema, lanes) = (Arc::clone(&draft.schema), draft.lanes);
    let id = compiler.stream(draft);
    Compiler::draft(Source::Lift(id, lift), lanes, &schema)
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

/// Has a device aggregate too, where rows go right into the aggregation: with the scan or the lifted chain that does
/// all before, else in a chain of its own. `node` is the one of the plan that reads rows, `scope` the sink's.
pub(super) fn aggregate(
    compiler: &mut Compiler<'_>,
    mut draft: Draft,
    node: &Node,
    spec: &Arc<AggregateSpec>,
    scope: Scope,
) -> Draft {
    let Place::Gpu(gpu) = &node.place else { return draft };
    if spec.stage.reads_states() {
        return draft;
    }
    let (spec, metrics) = (Arc::clone(spec), node.metrics.clone());
    let together = scope == Scope::Shared;
    let states =
        Some(ScanAggregate { spec: Arc::clone(&spec), together, metrics: metrics.clone() });
    match &mut draft.source {
        Source::Scan(_, request) if does_all(request, &draft.ops) => {
            let lowers = request
                .behind
                .as_ref()
                .is_none_or(|behind| groups(&spec, |end| lower(&behind.ops, end).is_ok()));
            // A scan of the host's makes rows only.
            if lowers && matches!(request.place, Place::Gpu(_)) {
                request.aggregate = states;
                return draft;
            }
        }
        Source::Lift(_, lift) if lift.ops == draft.ops.len() => {
            let (ops, input) = (&draft.ops, &draft.source_schema);
            if groups(&spec, |end| lower_lifted(ops, input, end).is_ok()) {
                lift.aggregate = states;
                return draft;
            }
        }
        _ => {}
    }
    cut(compiler, draft, Lift { gpu: Arc::clone(gpu), ops: 0, aggregate: states, metrics })
}

/// Whether a chain lowers that ends with what an aggregation reads.
fn groups(spec: &AggregateSpec, lowers: impl FnOnce(End<'_>) -> bool) -> bool {
    device_aggregate::lower(spec).is_ok_and(|grouping| lowers(End::Columns(grouping.columns())))
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
