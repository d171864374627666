//! What a scan on a device does behind itself: joins that its rows probe, as far as their build sides are there.

use std::sync::Arc;

use datafusion::physical_plan::metrics::{Count, MetricBuilder};
use staffa_engine::cpu::join::BuildSide;
use staffa_engine::cuda::Gpu;
use staffa_engine::cuda::aggregate::Grouping;
use staffa_engine::cuda::join::{Chain, End, lower};
use staffa_engine::plan::{OpKind, ScanBehind};
use staffa_engine::{Passed, RunContext, Sealed};

use super::resident::Resident;

/// A chain whose build sides the device has.
pub(super) struct Joined {
    /// Operators of the pipeline before it.
    before: usize,
    pub(super) chain: Chain,
    /// One a probe, in the chain's order.
    pub(super) sides: Vec<Side>,
    /// Whether its rows go into an aggregation's groups.
    pub(super) grouped: bool,
}

/// A build side.
pub(super) struct Side {
    pub(super) build: BuildSide,
    pub(super) resident: Arc<Resident>,
}

impl Joined {
    /// As much of what stands behind the scan as the device can do: up to a probe whose build side it does not get.
    /// `grouping` is the aggregation that all rows go into, if that is done too.
    pub(super) async fn new(
        behind: &ScanBehind,
        grouping: Option<&Grouping>,
        builds: &[Option<Arc<dyn Sealed>>],
        gpu: &Arc<Gpu>,
        context: &RunContext,
    ) -> Option<Self> {
        let mut count = behind.ops.len();
        let mut grouped = grouping;
        'shorter: while count > 0 {
            let ops = behind.ops.get(..count)?;
            // That it lowers was found when the plan was made.
            let end = grouped.map_or(End::Rows, |grouping| End::Columns(grouping.columns()));
            let chain = lower(ops, end).ok()?;
            if grouped.is_some_and(|grouping| grouping.check_types(&chain.types).is_err()) {
                grouped = None;
                continue;
            }
            let mut sides = Vec::new();
            for probe in chain.probes() {
                let at = behind.before + probe.operator;
                let build = builds.get(at).and_then(Option::as_ref).and_then(BuildSide::of);
                let resident = match &build {
                    Some(build) => {
                        let metrics = &ops.get(probe.operator)?.metrics;
                        Resident::of(build, probe, gpu, context, metrics).await
                    }
                    None => None,
                };
                let (Some(build), Some(resident)) = (build, resident) else {
                    count = probe.operator;
                    grouped = None;
                    continue 'shorter;
                };
                sides.push(Side { build, resident });
            }
            let before = behind.before;
            return Some(Self { before, chain, sides, grouped: grouped.is_some() });
        }
        None
    }

    /// What a morsel tells of the operators that it has passed.
    pub(super) fn passed(&self, source: u32, counts: &[usize]) -> Passed {
        let source = source as usize;
        let mut operators = vec![source; self.before];
        operators.extend_from_slice(counts);
        Passed { source, operators }
    }
}

/// A lane's figures of a join, which appear at its node.
pub(super) struct ProbeMetrics {
    /// Morsels that were probed on the device.
    pub(super) morsels: Count,
    /// Their rows.
    pub(super) rows: Count,
    /// Rows that came out.
    pub(super) joined: Count,
    /// Morsels that the device was to probe, and that the CPU joins.
    pub(super) left: Count,
}

impl ProbeMetrics {
    /// Of each operator that is a probe.
    pub(super) fn of(behind: &ScanBehind, lane: usize) -> Vec<Option<Self>> {
        let ops = behind.ops.iter().map(|op| match op.kind {
            OpKind::Probe(..) => {
                let count =
                    |name: &'static str| MetricBuilder::new(&op.metrics).counter(name, lane);
                Some(Self {
                    morsels: count("gpu_probed_morsels"),
                    rows: count("gpu_probed_rows"),
                    joined: count("gpu_joined_rows"),
                    left: count("gpu_unprobed_morsels"),
                })
            }
            _ => None,
        });
        ops.collect()
    }
}
