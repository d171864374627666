//! Sources that make morsels themselves: the seam between a region and what reads files.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array};
use datafusion_common::Result;
use datafusion_physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::future::BoxFuture;
use staffa_common::Reason;

use super::{AggregateSpec, Op, Same};
use crate::RunContext;
use crate::cuda::Gpu;
use crate::cuda::cost::ScanSize;
use crate::engine::{LaneStream, Sealed};

/// How the rows of a scan are split over lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanLanes {
    /// Lane `i` gives partition `i`, in its order, and nothing else.
    Partitions,
    /// So many lanes take the next piece of work there is, whatever partition it belongs to.
    Shared(usize),
}

/// Where the front of a pipeline runs: its scan, and the filter, projection and aggregation right above it.
#[derive(Debug, Clone, Default)]
pub enum Place {
    /// On the CPU engine.
    #[default]
    Cpu,
    /// On this device; a row group that it cannot do is done on the CPU.
    Gpu(Arc<Gpu>),
}

/// What a pipeline wants of a scan.
#[derive(Debug, Clone)]
pub struct ScanRequest {
    /// How rows are split over lanes.
    pub lanes: ScanLanes,
    /// Only rows for which this holds, over the scan's output columns. The scan tests every row, and
    /// need not decode what the rows that fail hold in other columns.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Dynamic filters over the scan's columns: rows for which one of them does not hold may be left out, or not.
    pub advice: Vec<Arc<dyn PhysicalExpr>>,
    /// What the scan puts out in place of its columns, over them: on a device, which computes it with the filter,
    /// anything; else some of the columns.
    pub output: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// Whether a column of UInt64 follows the others that says where a row lies, for [`ScanRun::fetch`].
    pub located: bool,
    /// The aggregation that all rows go into. Only asked for on a device, which may then put out partial states
    /// ([`Morsel::from_states`](crate::Morsel::from_states)) in the place of some of the rows.
    pub aggregate: Option<ScanAggregate>,
    /// Joins that the rows probe, and what stands between them. Only asked for on a device, which may then put out
    /// rows that have passed them ([`Morsel::with_passed`](crate::Morsel::with_passed)).
    pub behind: Option<ScanBehind>,
    /// Where morsels are made.
    pub place: Place,
    /// A row group of which fewer rows are wanted is left to the CPU: what a morsel costs whatever its size
    /// would not come in again. 0 where a setting sent the scan to the device.
    pub least_rows: u64,
    /// Whether a limit may end the scan before its rows do: its morsels are then no larger than the batches that
    /// DataFusion would have read, so that no row is computed that DataFusion would not have come to.
    pub stops_early: bool,
    /// Whether to take row groups from either end in turn. Of files that are written in the order of time, the last
    /// row group has the latest one, which rules all others out.
    pub from_both_ends: bool,
    /// Where the metrics of the scan's node go.
    pub metrics: ExecutionPlanMetricsSet,
}

/// Operators behind a scan on a device, which the device may do too. The first is a probe.
#[derive(Debug, Clone)]
pub struct ScanBehind {
    /// Operators of the pipeline before them, which have nothing left to do.
    pub before: usize,
    /// The operators.
    pub ops: Vec<Op>,
}

/// An aggregation right above a scan on a device, which the device may do too.
#[derive(Debug, Clone)]
pub struct ScanAggregate {
    /// The aggregation, over what the scan puts out.
    pub spec: Arc<AggregateSpec>,
    /// Whether all lanes are read to their ends, into one state: then what they come to may be merged on the device, and
    /// put out by any of them.
    pub together: bool,
    /// Where the metrics of its node go.
    pub metrics: ExecutionPlanMetricsSet,
}

/// A source of morsels: what is read, and from where. Nothing runs before [`Scan::start`].
pub trait Scan: Debug + Send + Sync {
    /// How many pieces of work there are at least, as far as known: more lanes are not worth having.
    fn pieces(&self) -> usize;

    /// How many rows there are before any filter, as far as known.
    fn rows(&self) -> Option<u64>;

    /// Whether its output is more than columns of what it reads.
    fn computes(&self) -> bool;

    /// Whether its predicate has `filter` in it.
    fn reads(&self, filter: &DynamicFilterPhysicalExpr) -> bool;

    /// Whether lanes may take each other's pieces. A scan that stops after so many rows of a
    /// partition may not.
    fn shares(&self) -> bool;

    /// Whether `other` reads the same rows of the same versions of the same files, predicates compared by
    /// `same`.
    fn is_same(&self, other: &dyn Scan, same: &Same) -> bool;

    /// For [`Scan::is_same`].
    fn as_any(&self) -> &dyn Any;

    /// Whether a device can make this scan's morsels with this filter and these outputs (over the
    /// scan's columns; `None`: the columns), and how much work that is. Asks no device.
    ///
    /// # Errors
    /// The coded reason why not.
    fn on_device(
        &self,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        output: Option<&[Arc<dyn PhysicalExpr>]>,
        threads: usize,
    ) -> Result<ScanSize, Reason>;

    /// A run of the scan. Opens nothing yet.
    ///
    /// # Errors
    /// What setting up raises.
    fn start(&self, context: &Arc<RunContext>, request: &ScanRequest) -> Result<Arc<dyn ScanRun>>;
}

/// A running scan. Dropping it, with its lanes, ends it.
pub trait ScanRun: Send + Sync {
    /// A lane; each is opened once, at its first poll. `builds` are the build sides of the pipeline's operators, one an
    /// operator.
    fn lane(self: Arc<Self>, lane: usize, builds: Vec<Option<Arc<dyn Sealed>>>) -> LaneStream;

    /// The scan's columns `columns` of the rows at `places`, which lanes have given, in that order. Of a scan that was
    /// asked for places only.
    fn fetch(
        self: Arc<Self>,
        places: UInt64Array,
        columns: Vec<usize>,
    ) -> BoxFuture<'static, Result<Vec<ArrayRef>>>;
}
