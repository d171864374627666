//! Chains above sources that are no scan: which filters, projections, joins that rows probe and aggregations have the
//! host's rows brought to the device.
//!
//! From the leaves up, after the scans' chains were placed: a node joins the chain right below it if the device does
//! both together, else begins one. The region's compiler asks the same questions (`plan/compile/device.rs`).

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_plan::ExecutionPlan;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::cuda::cost::ScanSize;
use staffa_engine::cuda::join::{self, End, lower_lifted};
use staffa_engine::cuda::{Gpu, aggregate};
use staffa_engine::plan::{NodeOp, Op, Place};

use super::above::{known_rows, operator, size_of_joins};
use super::{Placement, Placer, halves, need};
use crate::Device;
use crate::node::StaffaExec;

/// Bytes of a value of a type without a width.
const GUESSED_VALUE_BYTES: f64 = 16.0;
/// What a byte costs on its way to the device, as times of the link's: a core gathers it, copies it into an array of
/// many morsels' rows and from there into pinned memory. Not measured on a GPU.
const COPIES: f64 = 8.0;
/// Rows of a morsel that is lifted.
const MORSEL_ROWS: f64 = 1e6;

/// A chain that the next node may go on.
pub(super) struct Open<'a> {
    input: SchemaRef,
    source: &'a Arc<dyn ExecutionPlan>,
    ops: Vec<Op>,
    nodes: Vec<&'a StaffaExec>,
}

/// What is asked of a node: as [`Placer::visit`](super::Placer) goes down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Somebody above may stop early.
    pub(super) limited: bool,
    /// Somebody above counts on the partitions.
    pub(super) partitions: bool,
}

impl Placer<'_> {
    /// Places what stands above sources that are no scan, and the chain that ends with `plan`, if one does.
    pub(super) fn lift<'a>(
        &mut self,
        plan: &'a Arc<dyn ExecutionPlan>,
        seen: Seen,
        gpu: &Arc<Gpu>,
    ) -> Option<Open<'a>> {
        let node = StaffaExec::of(plan.as_ref());
        let limited = seen.limited || plan.fetch().is_some();
        let mut open = None;
        for (at, child) in plan.children().into_iter().enumerate() {
            let reads_all = match node.map(StaffaExec::op) {
                Some(NodeOp::Aggregate(_) | NodeOp::Sort(_)) => true,
                Some(NodeOp::Join(_)) => at == 0,
                _ => false,
            };
            let below = Seen {
                limited: limited && !reads_all,
                partitions: node.is_none_or(|node| need::partitions(node, at, seen.partitions)),
            };
            // The last input is the one whose rows go on.
            open = self.lift(child, below, gpu);
        }
        let node = node?;
        match node.op() {
            NodeOp::Pass | NodeOp::Coalesce(None) => open,
            NodeOp::Repartition(spec) if spec.hash.is_none() || !seen.partitions => open,
            NodeOp::Aggregate(spec) if spec.stage.reads_states() => {
                // With the half that reads rows, if they are one.
                let first = halves::first(node, spec, seen.partitions);
                if first.is_some_and(is_there) {
                    node.set_placement(Placement {
                        place: Place::Gpu(Arc::clone(gpu)),
                        ..Placement::default()
                    });
                }
                None
            }
            NodeOp::Filter(_) | NodeOp::Project(_) | NodeOp::Join(_) | NodeOp::Aggregate(_)
                if node.placement().is_none() =>
            {
                match self.go_on(node, open, Seen { limited, ..seen }, gpu) {
                    Ok(open) => open,
                    Err(reason) => {
                        self.refuse([Some(node), None, None], &reason, false);
                        None
                    }
                }
            }
            _ => None,
        }
    }

    /// Places a node: with the chain below, or with one of its own.
    fn go_on<'a>(
        &self,
        node: &'a StaffaExec,
        open: Option<Open<'a>>,
        seen: Seen,
        gpu: &Arc<Gpu>,
    ) -> Result<Option<Open<'a>>, Reason> {
        let limited = seen.limited && !matches!(node.op(), NodeOp::Aggregate(_));
        if let Some(open) = open.filter(|_| !limited)
            && let Ok(open) = self.with(node, open, seen, gpu)
        {
            return Ok(open);
        }
        if matches!(node.op(), NodeOp::Project(spec) if spec.picks()) {
            // Copies there and back would be all there is: it passes rows on.
            return Ok(None);
        }
        if limited {
            return Err(Reason::new(ReasonCode::ScanOption, "a limit above stops early"));
        }
        let probe = usize::from(matches!(node.op(), NodeOp::Join(_)));
        let missing = || Reason::new(ReasonCode::LoweringFault, "a node without an input");
        let source = node.children_of().get(probe).ok_or_else(missing)?;
        let alone = Open { input: source.schema(), source, ops: vec![], nodes: vec![] };
        self.with(node, alone, seen, gpu)
    }

    /// Places a node as the next one of a chain; the chain, if more may follow.
    fn with<'a>(
        &self,
        node: &'a StaffaExec,
        mut open: Open<'a>,
        seen: Seen,
        gpu: &Arc<Gpu>,
    ) -> Result<Option<Open<'a>>, Reason> {
        let grouping = match node.op() {
            NodeOp::Aggregate(spec) => Some(aggregate::lower(spec)?),
            _ => {
                open.ops.push(operator(node, seen.partitions)?);
                open.nodes.push(node);
                None
            }
        };
        let end = grouping.as_ref().map_or(End::Rows, |grouping| End::Columns(grouping.columns()));
        let chain = lower_lifted(&open.ops, &open.input, end)?;
        if let Some(grouping) = &grouping {
            grouping.check_types(&chain.types)?;
        }
        let grouped = grouping.as_ref().map(|grouping| grouping.values() as f64);
        let size = self.lifted_size(&open, &chain, grouped)?;
        self.put(std::iter::once(node), size, gpu)?;
        Ok(grouping.is_none().then_some(open))
    }

    /// How much work a chain is. Where the estimate decides, how many rows come must be known.
    fn lifted_size(
        &self,
        open: &Open<'_>,
        chain: &join::Chain,
        grouped: Option<f64>,
    ) -> Result<ScanSize, Reason> {
        let rows = match (known_rows(open.source), self.config.device) {
            (Some(rows), _) => rows,
            (None, Device::Gpu) => 0.0,
            (None, _) => {
                let what = "how many rows come is not known";
                return Err(Reason::new(ReasonCode::NotFaster, what));
            }
        };
        let width = |of: &DataType| of.primitive_width().map_or(GUESSED_VALUE_BYTES, |w| w as f64);
        let entering = chain.entry.iter().filter_map(|expr| expr.data_type(&open.input).ok());
        let back = chain.types.iter().map(width).sum();
        Ok(ScanSize {
            rows,
            morsels: (rows / MORSEL_ROWS).ceil().max(1.0),
            file_bytes: COPIES * rows * entering.map(|of| width(&of)).sum::<f64>(),
            operations: open.ops.len() as f64,
            grouped: grouped.unwrap_or(0.0),
            output_row_bytes: if grouped.is_some() { 0.0 } else { back },
            threads: self.runtime.threads() as f64,
            joins: size_of_joins(&open.nodes, chain, rows),
            ..ScanSize::default()
        })
    }
}

/// Whether a node is placed on a device.
pub(super) fn is_there(node: &StaffaExec) -> bool {
    node.placement().is_some_and(|placement| matches!(placement.place, Place::Gpu(_)))
}
