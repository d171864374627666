//! What is left when chains are placed: with `staffa.device = gpu` every node shows where it runs, and why not on the
//! device.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::cuda::Gpu;
use staffa_engine::plan::{NodeOp, Place};

use super::lifted::is_there;
use super::{Placement, Placer, need};
use crate::node::StaffaExec;

impl Placer<'_> {
    /// Gives every node a place, from the root down, then those that only pass rows on from the leaves up: these are
    /// where the rows come from.
    pub(super) fn show_rest(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        partitions: bool,
        gpu: &Result<Arc<Gpu>, Reason>,
    ) {
        let node = StaffaExec::of(plan.as_ref());
        let passes = node.is_some_and(|node| passes(node, partitions));
        if let Some(node) = node.filter(|node| node.placement().is_none() && !passes) {
            let reason = match gpu {
                Ok(_) => why(node),
                Err(reason) => reason.clone(),
            };
            self.refuse([Some(node), None, None], &reason, true);
        }
        for (at, child) in plan.children().into_iter().enumerate() {
            let partitions = node.is_none_or(|node| need::partitions(node, at, partitions));
            self.show_rest(child, partitions, gpu);
        }
        let Some(node) = node.filter(|node| node.placement().is_none()) else { return };
        let children = plan.children().into_iter();
        let below: Vec<_> = children.map(|child| StaffaExec::of(child.as_ref())).collect();
        let there = !below.is_empty() && below.iter().all(|below| below.is_some_and(is_there));
        match gpu {
            Ok(gpu) if there => node.set_placement(Placement {
                place: Place::Gpu(Arc::clone(gpu)),
                ..Placement::default()
            }),
            _ => {
                let mut of_below = below.iter().flatten().filter_map(|below| below.placement());
                let reason = of_below.find_map(|placement| placement.reason.clone());
                let reason = reason.unwrap_or_else(|| why(node));
                self.refuse([Some(node), None, None], &reason, true);
            }
        }
    }
}

/// Whether a node does nothing where the region runs: it passes rows on.
fn passes(node: &StaffaExec, partitions: bool) -> bool {
    match node.op() {
        NodeOp::Pass | NodeOp::Coalesce(None) | NodeOp::Union | NodeOp::Interleave => true,
        NodeOp::Repartition(spec) => spec.hash.is_none() || !partitions,
        NodeOp::Project(spec) => spec.picks(),
        // An order that nobody sees.
        NodeOp::Sort(spec) => !node.is_ordered() && spec.fetch.is_none(),
        NodeOp::Merge(_, fetch) => !node.is_ordered() && fetch.is_none(),
        _ => false,
    }
}

/// Why a node runs on the CPU engine wherever it stands.
fn why(node: &StaffaExec) -> Reason {
    let no_twin = |what: &str| Reason::new(ReasonCode::NoTwin, what);
    match node.op() {
        NodeOp::Aggregate(spec) if spec.stage.reads_states() => merged(node),
        NodeOp::Sort(_) => no_twin("this sort runs on the CPU engine"),
        NodeOp::Merge(..) => no_twin("ordered rows are merged on the CPU engine"),
        NodeOp::Window(_) => no_twin("window functions run on the CPU engine"),
        NodeOp::Limit(_) | NodeOp::Coalesce(Some(_)) => no_twin("limits run on the CPU engine"),
        NodeOp::Repartition(_) => {
            Reason::new(ReasonCode::Partitioning, "rows are dealt out on the CPU engine")
        }
        _ => no_twin("its rows come from the CPU"),
    }
}

/// An aggregation of states is one with the one that makes them: what keeps that one from the device comes first.
fn merged(node: &StaffaExec) -> Reason {
    let mut below = node.children_of().first();
    while let Some(node) = below.and_then(|child| StaffaExec::of(child.as_ref())) {
        if let NodeOp::Aggregate(_) = node.op() {
            let reason = node.placement().and_then(|placement| placement.reason.clone());
            return reason.unwrap_or_else(merges);
        }
        below = node.children_of().first();
    }
    merges()
}

fn merges() -> Reason {
    Reason::new(ReasonCode::AggregateOption, "states are merged on the CPU engine")
}
