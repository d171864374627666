//! Device chains above sources that are no scan: what all lanes share.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream;
use parking_lot::Mutex;
use staffa_engine::cuda::Gpu;
use staffa_engine::cuda::aggregate::{self, Grouping};
use staffa_engine::plan::{Lift, LiftRun, Lifter, Op, Pipeline};
use staffa_engine::{LaneStream, RunContext, Sealed};

use super::chain::DeviceChain;
use super::grouping::LaneGroups;
use super::joined::{Joined, ProbeMetrics, Wanted};
use super::lift_lane::{Held, LiftLane};
use super::metrics::{DeviceMetrics, GroupMetrics, LiftMetrics};
use super::together::{Parked, Together};

/// Sets chains up for the host's rows.
#[derive(Debug)]
pub(crate) struct HostLifter;

impl Lifter for HostLifter {
    fn start(
        &self,
        lift: &Lift,
        pipeline: &Pipeline,
        context: &Arc<RunContext>,
    ) -> Result<Arc<dyn LiftRun>> {
        // That the device does it was found when the plan was made.
        let aggregate = lift.aggregate.as_ref().and_then(|aggregate| {
            let grouping = aggregate::lower(&aggregate.spec).ok()?;
            Some((Arc::new(grouping), aggregate.metrics.clone()))
        });
        Ok(Arc::new(LiftedRun {
            gpu: Arc::clone(&lift.gpu),
            ops: pipeline.ops.iter().take(lift.ops).cloned().collect(),
            input: Arc::clone(&pipeline.source_schema),
            together: lift
                .aggregate
                .as_ref()
                .filter(|aggregate| aggregate.together)
                .map(|_| Arc::new(Together::new(pipeline.lanes))),
            aggregate,
            metrics: lift.metrics.clone(),
            context: Arc::clone(context),
            resolved: Mutex::default(),
        }))
    }
}

type Resolved = Shared<BoxFuture<'static, Option<Arc<Joined>>>>;

/// A running chain.
pub(super) struct LiftedRun {
    gpu: Arc<Gpu>,
    ops: Vec<Op>,
    pub(super) input: SchemaRef,
    aggregate: Option<(Arc<Grouping>, ExecutionPlanMetricsSet)>,
    /// Where the lanes' groups meet, if all lanes are read to their ends.
    pub(super) together: Option<Arc<Together<Parked<Held>>>>,
    metrics: ExecutionPlanMetricsSet,
    pub(super) context: Arc<RunContext>,
    resolved: Mutex<Option<Resolved>>,
}

impl LiftedRun {
    /// How much of the chain the device can do; the build sides are there by now. Whichever lane is polled drives it:
    /// the one that asked first may never be polled again.
    pub(super) async fn resolve(&self, builds: &[Option<Arc<dyn Sealed>>]) -> Option<Arc<Joined>> {
        let find = || {
            let (ops, input, builds) = (self.ops.clone(), Arc::clone(&self.input), builds.to_vec());
            let (gpu, context) = (Arc::clone(&self.gpu), Arc::clone(&self.context));
            let grouping = self.aggregate.as_ref().map(|(grouping, _)| Arc::clone(grouping));
            let find = async move {
                let grouping = grouping.as_deref();
                let wanted = Wanted { ops: &ops, before: 0, lifted: Some(&input), grouping };
                Joined::new(&wanted, &builds, &gpu, &context).await.map(Arc::new)
            };
            find.boxed().shared()
        };
        let resolved = self.resolved.lock().get_or_insert_with(find).clone();
        resolved.await
    }

    pub(super) fn metrics(&self, lane: usize) -> LiftMetrics {
        LiftMetrics::new(&self.metrics, lane)
    }

    /// A lane's part of the device.
    pub(super) fn chain(&self, lane: usize) -> Option<DeviceChain<Held>> {
        let groups = self.aggregate.as_ref().map(|(grouping, metrics)| {
            let metrics = GroupMetrics::new(metrics, lane);
            LaneGroups::new(grouping, metrics, self.context.morsel_rows)
        });
        let metrics = DeviceMetrics::new(&self.metrics, lane);
        let probes = ProbeMetrics::of(&self.ops, lane);
        DeviceChain::open(&self.gpu, "chain", metrics, groups, probes)
    }
}

impl LiftRun for LiftedRun {
    fn lane(
        self: Arc<Self>,
        lane: usize,
        source: LaneStream,
        builds: Vec<Option<Arc<dyn Sealed>>>,
    ) -> LaneStream {
        let lane = LiftLane::new(self, lane, source, builds);
        Box::pin(stream::try_unfold(lane, |mut lane| async move {
            Ok(lane.next().await?.map(|morsel| (morsel, lane)))
        }))
    }
}
