//! Sorts and top-Ks: their input ends on the host, and their keys go to the device from there.

use std::sync::Arc;

use datafusion::common::stats::Precision;
use datafusion::physical_plan::{ExecutionPlanProperties, StatisticsArgs, StatisticsContext};
use staffa_common::{Reason, ReasonCode};
use staffa_engine::cuda::cost::{Estimate, SortSize};
use staffa_engine::cuda::{Gpu, sort};
use staffa_engine::plan::{NodeOp, Place, SortSpec};

use super::{MARGIN, Placement, Placer};
use crate::node::StaffaExec;
use crate::{Device, probe};

/// A top-K that is sorted at the end has so many times as many rows, or fewer.
const KEPT: f64 = 2.0;

impl Placer<'_> {
    /// Places a sort whose order somebody sees, and the merge of its partitions with it: the region does both as one.
    pub(super) fn visit_sort(&mut self, node: &StaffaExec) {
        match node.op() {
            NodeOp::Sort(spec) => self.decide_sort(node, spec, None),
            NodeOp::Merge(ordering, fetch) => {
                let child = node.children_of().first();
                let Some(child) = child.and_then(|child| StaffaExec::of(child.as_ref())) else {
                    return;
                };
                // A projection in between keeps the order.
                let (project, sort) = match child.op() {
                    NodeOp::Project(spec) => {
                        let below = child.children_of().first();
                        (Some(spec), below.and_then(|below| StaffaExec::of(below.as_ref())))
                    }
                    _ => (None, Some(child)),
                };
                // Where nobody sees the order there is nothing to merge.
                let seen = node.is_ordered() || fetch.is_some();
                if let Some(sort) = sort
                    && let NodeOp::Sort(spec) = sort.op()
                    && spec.is_merged_by(ordering, project.map(Arc::as_ref))
                    && seen
                {
                    self.decide_sort(sort, spec, Some(node));
                }
            }
            _ => {}
        }
    }

    fn decide_sort(&mut self, node: &StaffaExec, spec: &SortSpec, merge: Option<&StaffaExec>) {
        let gone = !node.is_ordered() && spec.fetch.is_none() && merge.is_none();
        if gone || node.placement().is_some() {
            return;
        }
        let nodes = [Some(node), merge];
        let gpu = match self.runtime.gpu(self.config.gpu_limits()) {
            Ok(gpu) => gpu,
            Err(reason) => return self.refuse([nodes[0], nodes[1], None], &reason, false),
        };
        match self.ask_sort(node, spec, merge.is_some(), &gpu) {
            Ok((estimate, least_rows)) => {
                for node in nodes.into_iter().flatten() {
                    node.set_placement(Placement {
                        place: Place::Gpu(Arc::clone(&gpu)),
                        reason: None,
                        size: None,
                        estimate,
                        least_rows,
                    });
                }
            }
            Err(reason) => self.refuse([nodes[0], nodes[1], None], &reason, true),
        }
    }

    /// Whether the device has the order and is thought to pay; then by which estimate, and from how many rows on.
    fn ask_sort(
        &self,
        node: &StaffaExec,
        spec: &SortSpec,
        merged: bool,
        gpu: &Arc<Gpu>,
    ) -> Result<(Option<Estimate>, u64), Reason> {
        let missing = || Reason::new(ReasonCode::LoweringFault, "a sort without an input");
        let input = node.children_of().first().ok_or_else(missing)?;
        let types = sort::key_types(&spec.ordering, &input.schema())?;
        if self.config.device != Device::Auto {
            return Ok((None, 0));
        }
        let found = StatisticsContext::new().compute(input.as_ref(), &StatisticsArgs::new());
        let rows = match found.map(|found| found.num_rows) {
            Ok(Precision::Exact(rows) | Precision::Inexact(rows)) => rows as f64,
            _ => {
                let what = "how many rows are sorted is not known before";
                return Err(Reason::new(ReasonCode::NotFaster, what));
            }
        };
        let rows = spec.fetch.map_or(rows, |fetch| rows.min(KEPT * fetch as f64));
        let sorts = match spec.preserve_partitioning && !merged {
            true => node.original().output_partitioning().partition_count(),
            false => 1,
        };
        let size = SortSize::new(rows, sorts as f64, &types, self.runtime.threads());
        let figures = probe::figures(gpu)?;
        let estimate = size.estimate(&figures);
        if !estimate.favours_gpu(MARGIN) {
            let what = format!("{estimate}, which is not {MARGIN} times as fast on {}", gpu.name());
            return Err(Reason::new(ReasonCode::NotFaster, what));
        }
        Ok((Some(estimate), size.least_rows(&figures)))
    }
}
