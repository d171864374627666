//! Device chains above sources that are no scan: rows that the host has go to the device, and through the operators
//! behind.

use std::fmt::Debug;
use std::sync::Arc;

use datafusion_common::Result;
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;

use super::{Pipeline, ScanAggregate};
use crate::RunContext;
use crate::cuda::Gpu;
use crate::engine::{LaneStream, Sealed};

/// What a device does with the morsels of a source that the host makes.
#[derive(Debug, Clone)]
pub struct Lift {
    /// The device.
    pub gpu: Arc<Gpu>,
    /// So many operators, the first of the pipeline.
    pub ops: usize,
    /// The aggregation that all rows go into behind those, if the device does that too.
    pub aggregate: Option<ScanAggregate>,
    /// Where what the chain asks of the device is counted: at its first node.
    pub metrics: ExecutionPlanMetricsSet,
}

/// Sets device chains up. The region knows only this of who runs them.
pub trait Lifter: Debug + Send + Sync {
    /// A run of the chain that `pipeline` begins with. Asks the device for nothing yet.
    ///
    /// # Errors
    /// What setting up raises.
    fn start(
        &self,
        lift: &Lift,
        pipeline: &Pipeline,
        context: &Arc<RunContext>,
    ) -> Result<Arc<dyn LiftRun>>;
}

/// A running chain. Dropping it, with its lanes, ends it.
pub trait LiftRun: Send + Sync {
    /// A lane over the morsels of `source`: as they come, or of rows that have passed operators
    /// ([`Morsel::with_passed`](crate::Morsel::with_passed)), or partial states
    /// ([`Morsel::from_states`](crate::Morsel::from_states)). `builds` are the build sides of the pipeline's operators,
    /// one an operator.
    fn lane(
        self: Arc<Self>,
        lane: usize,
        source: LaneStream,
        builds: Vec<Option<Arc<dyn Sealed>>>,
    ) -> LaneStream;
}
