//! What a device does behind a scan, or with the host's rows: a chain with joins, as far as their build sides are there.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::metrics::{Count, MetricBuilder};
use staffa_engine::cpu::join::BuildSide;
use staffa_engine::cuda::Gpu;
use staffa_engine::cuda::aggregate::Grouping;
use staffa_engine::cuda::join::{Chain, End, lower, lower_lifted};
use staffa_engine::plan::{Op, OpKind};
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

/// Operators that a device is to do.
pub(super) struct Wanted<'a> {
    pub(super) ops: &'a [Op],
    /// Operators of the pipeline before them.
    pub(super) before: usize,
    /// Where the host's rows are lifted, their schema; none behind a scan, which computes what the first probe reads.
    pub(super) lifted: Option<&'a SchemaRef>,
    /// The aggregation that all rows go into, if that is done too.
    pub(super) grouping: Option<&'a Grouping>,
}

impl Wanted<'_> {
    fn lower(&self, ops: &[Op], end: End<'_>) -> Option<Chain> {
        match self.lifted {
            Some(input) => lower_lifted(ops, input, end).ok(),
            None => lower(ops, end).ok(),
        }
    }
}

impl Joined {
    /// As much of what is wanted as the device can do: up to a probe whose build side it does not get.
    pub(super) async fn new(
        wanted: &Wanted<'_>,
        builds: &[Option<Arc<dyn Sealed>>],
        gpu: &Arc<Gpu>,
        context: &RunContext,
    ) -> Option<Self> {
        let mut count = wanted.ops.len();
        let mut grouped = wanted.grouping;
        'shorter: while count > 0 || (wanted.lifted.is_some() && grouped.is_some()) {
            let ops = wanted.ops.get(..count)?;
            // That it lowers was found when the plan was made.
            let end = grouped.map_or(End::Rows, |grouping| End::Columns(grouping.columns()));
            let chain = wanted.lower(ops, end)?;
            if grouped.is_some_and(|grouping| grouping.check_types(&chain.types).is_err()) {
                grouped = None;
                continue;
            }
            let mut sides = Vec::new();
            for probe in chain.probes() {
                let at = wanted.before + probe.operator;
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
            return Some(Self { before: wanted.before, chain, sides, grouped: grouped.is_some() });
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
    pub(super) fn of(ops: &[Op], lane: usize) -> Vec<Option<Self>> {
        let ops = ops.iter().map(|op| match op.kind {
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
