//! What stands above a chain: joins that its rows probe, with filters and projections between them, and an
//! aggregation above those.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{ExecutionPlan, StatisticsArgs, StatisticsContext};
use staffa_common::{Reason, ReasonCode};
use staffa_engine::bound::through;
use staffa_engine::cuda::cost::{JoinSize, ScanSize};
use staffa_engine::cuda::join::{self, End};
use staffa_engine::cuda::{Gpu, aggregate};
use staffa_engine::plan::{NodeOp, Op, OpKind, Scope};

use super::{Aggregate, Chain, Placer, fault, need, output};
use crate::Device;
use crate::node::StaffaExec;

/// Bytes of a build row's value of a type without a width.
const GUESSED_VALUE_BYTES: f64 = 16.0;

/// See the module.
pub(super) struct Above<'a> {
    aggregate: Option<Aggregate<'a>>,
    /// From the lowest up; that one is a join.
    nodes: Vec<Part<'a>>,
    chain: Chain<'a>,
}

#[derive(Clone, Copy)]
struct Part<'a> {
    node: &'a StaffaExec,
    /// Whether somebody above counts on its partitions.
    partitions: bool,
}

impl<'a> Above<'a> {
    /// What has `top` as its topmost node. `partitions`: whether somebody above counts on its partitions.
    pub(super) fn of(top: &'a StaffaExec, partitions: bool) -> Option<Self> {
        let mut part = Part { node: top, partitions };
        let mut aggregate = None;
        if let NodeOp::Aggregate(spec) = top.op() {
            if spec.stage.reads_states() {
                return None;
            }
            aggregate = Some((top, spec.as_ref()));
            part = below(part, 0)?;
        }
        let mut nodes = Vec::new();
        loop {
            if let Some(chain) = Chain::from(part.node) {
                let ends = nodes.last().is_some_and(|part: &Part<'_>| is_join(part.node));
                nodes.reverse();
                return ends.then_some(Self { aggregate, nodes, chain });
            }
            let probe = match part.node.op() {
                NodeOp::Join(_) => 1,
                NodeOp::Filter(_) | NodeOp::Project(_) => 0,
                _ => return None,
            };
            nodes.push(part);
            part = below(part, probe)?;
        }
    }

    /// The build sides, and whether somebody counts on their partitions.
    pub(super) fn builds(&self) -> impl Iterator<Item = (&'a Arc<dyn ExecutionPlan>, bool)> {
        let joins = self.nodes.iter().filter(|part| is_join(part.node));
        joins.filter_map(|part| {
            let build = part.node.children_of().first()?;
            Some((build, need::partitions(part.node, 0, part.partitions)))
        })
    }

    /// The lowest `count` nodes as operators.
    fn ops(&self, count: usize) -> Result<Vec<Op>, Reason> {
        let parts = self.nodes.iter().take(count);
        let ops = parts.map(|part| operator(part.node, part.partitions));
        ops.collect()
    }
}

/// What a node is as an operator of a device. `partitions`: whether somebody above counts on its partitions.
pub(super) fn operator(node: &StaffaExec, partitions: bool) -> Result<Op, Reason> {
    let kind = match node.op() {
        NodeOp::Join(spec) if !need::partitions(node, 0, partitions) => {
            OpKind::Probe(Arc::clone(spec), 0, Scope::Shared)
        }
        NodeOp::Filter(spec) => OpKind::Filter(Arc::clone(spec)),
        NodeOp::Project(spec) => OpKind::Project(Arc::clone(spec)),
        _ => {
            let what = "each partition is joined on its own";
            return Err(Reason::new(ReasonCode::Partitioning, what));
        }
    };
    let probe = usize::from(is_join(node));
    let missing = || Reason::new(ReasonCode::LoweringFault, "a node without an input");
    let input = node.children_of().get(probe).ok_or_else(missing)?.schema();
    Ok(Op { kind, input, schema: node.schema(), metrics: ExecutionPlanMetricsSet::new() })
}

fn is_join(node: &StaffaExec) -> bool {
    matches!(node.op(), NodeOp::Join(_))
}

/// The node below, past nodes that only deal rows out where nobody sees it.
fn below(part: Part<'_>, at: usize) -> Option<Part<'_>> {
    let partitions = need::partitions(part.node, at, part.partitions);
    let mut child = StaffaExec::of(part.node.children_of().get(at)?.as_ref())?;
    loop {
        match child.op() {
            NodeOp::Pass => {}
            NodeOp::Repartition(spec) if spec.hash.is_none() || !partitions => {}
            _ => return Some(Part { node: child, partitions }),
        }
        let [only] = child.children_of() else { return None };
        child = StaffaExec::of(only.as_ref())?;
    }
}

impl Placer<'_> {
    /// Places as much as the device can do, from the scan up.
    pub(super) fn decide_above(&mut self, above: &Above<'_>, limited: bool) {
        let Above { aggregate, nodes, chain } = above;
        let stops = |part: &Part<'_>| part.node.original().fetch().is_some();
        let limited = limited && aggregate.is_none();
        let limited = limited || chain.is_limited() || nodes.iter().any(stops);
        // Without a device, and below a limit, it is the chain that says why.
        let gpu = match self.runtime.gpu(self.config.gpu_limits()) {
            Ok(gpu) if !limited => gpu,
            _ => return self.decide(chain, limited),
        };
        if aggregate.is_some() {
            match self.ask_above(above, nodes.len(), *aggregate, &gpu) {
                Ok(()) => return,
                Err(reason) => self.unless_lifted(aggregate.map(|a| a.0), &reason),
            }
        }
        for count in (1..=nodes.len()).rev() {
            match self.ask_above(above, count, None, &gpu) {
                Ok(()) => return,
                Err(reason) => self.unless_lifted(Some(nodes[count - 1].node), &reason),
            }
        }
        self.decide(chain, false);
    }

    /// Notes why a node does not go with the scan. Where a setting sends it to the device it may go in a chain of its
    /// own, or else says by itself why not.
    fn unless_lifted(&mut self, node: Option<&StaffaExec>, reason: &Reason) {
        if self.config.device != Device::Gpu {
            self.refuse([node, None, None], reason, true);
        }
    }

    /// Places the lowest `count` nodes with the whole chain, if the device does all of that.
    fn ask_above(
        &self,
        above: &Above<'_>,
        count: usize,
        aggregate: Option<Aggregate<'_>>,
        gpu: &Arc<Gpu>,
    ) -> Result<(), Reason> {
        let chain = &above.chain;
        let ops = above.ops(count)?;
        let grouping = aggregate.map(|(_, spec)| aggregate::lower(spec)).transpose()?;
        let end = grouping.as_ref().map_or(End::Rows, |grouping| End::Columns(grouping.columns()));
        let joins = join::lower(&ops, end)?;
        if let Some(grouping) = &grouping {
            grouping.check_types(&joins.types)?;
        }
        let columns = joins.entry.iter().map(|expr| match output(chain.filter, chain.project)? {
            Some(output) => through(expr, &output).map_err(fault),
            None => Ok(Arc::clone(expr)),
        });
        let columns = columns.collect::<Result<Vec<_>, Reason>>()?;
        let predicate = chain.filter.map(|(_, spec)| &spec.predicate);
        let size = chain.scan.1.on_device(predicate, Some(&columns), self.runtime.threads())?;
        if size.riding > 0.0 {
            let what = "what is joined is decoded on the host";
            return Err(Reason::new(ReasonCode::DataType, what));
        }
        let width = |of: &arrow::datatypes::DataType| of.primitive_width().unwrap_or(4) as f64;
        let (grouped, output_row_bytes) = match &grouping {
            Some(grouping) => (grouping.values() as f64, 0.0),
            None => (0.0, joins.types.iter().map(width).sum()),
        };
        let joined = join_size(above, count, &joins, size.rows);
        let size = ScanSize { grouped, output_row_bytes, joins: joined, ..size };
        let all = [chain.filter.map(|f| f.0), chain.project.map(|p| p.0), aggregate.map(|a| a.0)];
        let nodes = std::iter::once(chain.scan.0).chain(all.into_iter().flatten());
        let parts = above.nodes.iter().take(count).map(|part| part.node);
        self.put(nodes.chain(parts), size, gpu)
    }
}

/// What the lowest `count` nodes join, as far as the plan tells; a build side of which nothing is known has as many
/// rows as the scan.
fn join_size(above: &Above<'_>, count: usize, joins: &join::Chain, rows: f64) -> JoinSize {
    let nodes: Vec<_> = above.nodes.iter().take(count).map(|part| part.node).collect();
    size_of_joins(&nodes, joins, rows)
}

/// What the nodes of a chain join; a build side of which nothing is known has `rows` rows.
pub(super) fn size_of_joins(nodes: &[&StaffaExec], joins: &join::Chain, rows: f64) -> JoinSize {
    let mut size = JoinSize::default();
    for probe in joins.probes() {
        let Some(node) = nodes.get(probe.operator) else { continue };
        let NodeOp::Join(spec) = node.op() else { continue };
        let known = node.children_of().first().and_then(known_rows);
        let values = probe.keys.iter().map(|key| &key.build_type);
        let fields = spec.build_schema.fields();
        let read = probe.build_columns().len().min(fields.len());
        let bytes = values.map(|of| of.primitive_width().map_or(GUESSED_VALUE_BYTES, |w| w as f64));
        let build_rows = known.unwrap_or(rows);
        size.probes += 1.0;
        size.values += (probe.keys.len() + probe.gathers.len()) as f64;
        size.build_rows += build_rows;
        size.build_bytes += build_rows * (bytes.sum::<f64>() + read as f64 * GUESSED_VALUE_BYTES);
    }
    size
}

/// How many rows a plan is thought to give.
pub(super) fn known_rows(plan: &Arc<dyn ExecutionPlan>) -> Option<f64> {
    let found = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new()).ok()?;
    match found.num_rows {
        Precision::Exact(rows) | Precision::Inexact(rows) => Some(rows as f64),
        Precision::Absent => None,
    }
}
