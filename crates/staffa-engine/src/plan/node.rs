//! A region's tree: one node per DataFusion node it stands for.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::{JoinType, NullEquality};
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion_physical_expr::window::WindowExpr;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use datafusion_physical_expr_common::sort_expr::{LexOrdering, PhysicalSortExpr};
use datafusion_physical_plan::aggregates::PhysicalGroupBy;
use datafusion_physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion_physical_plan::metrics::ExecutionPlanMetricsSet;

use super::scan::{Place, Scan};
use super::shared::Shared;
use super::sideways::Sideways;
use crate::bound::through;
use crate::cuda::sort::OrderRows;

/// A node of a region.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it does.
    pub op: NodeOp,
    /// Its inputs; for joins the build side, then the probe side.
    pub children: Vec<Node>,
    /// The schema of its output.
    pub schema: SchemaRef,
    /// The number of partitions that it declares.
    pub partitions: usize,
    /// Whether somebody uses the order of the rows within each partition (one that it declares, or one that it keeps of
    /// columns that it drops).
    pub ordered: bool,
    /// Where its metrics go.
    pub metrics: ExecutionPlanMetricsSet,
    /// Where it runs: of use for scans, and for what stands above one: filters, projections, joins that its rows
    /// probe, an aggregation.
    pub place: Place,
    /// Whether its state is shared with a node of another region.
    pub shared: Option<Shared>,
    /// See [`ScanRequest::least_rows`](super::ScanRequest::least_rows).
    pub least_rows: u64,
}

/// What a node does.
#[derive(Debug, Clone)]
pub enum NodeOp {
    /// Batches that a DataFusion node outside of the region makes; the index among the inputs.
    Input(usize),
    /// Reads a source.
    Scan(Arc<dyn Scan>),
    /// Keeps the rows for which a predicate holds.
    Filter(Arc<FilterSpec>),
    /// Computes columns.
    Project(Arc<ProjectSpec>),
    /// Joins two inputs.
    Join(Arc<JoinSpec>),
    /// Groups and aggregates.
    Aggregate(Arc<AggregateSpec>),
    /// Sorts, or keeps the first rows of an order.
    Sort(Arc<SortSpec>),
    /// Adds the values of window functions.
    Window(Arc<WindowSpec>),
    /// Skips and limits.
    Limit(Arc<LimitSpec>),
    /// The rows of all inputs, partition after partition.
    Union,
    /// The rows of all inputs, partition `i` of each in partition `i`.
    Interleave,
    /// Distributes rows anew.
    Repartition(Arc<RepartitionSpec>),
    /// Brings all partitions together, in any order, at most so many rows.
    Coalesce(Option<usize>),
    /// Merges ordered partitions into one, at most so many rows.
    Merge(LexOrdering, Option<usize>),
    /// Passes batches on (DataFusion's batch coalescing, which has nothing to do in a region).
    Pass,
}

/// Keeps the rows for which `predicate` holds, of them the columns in `projection`.
#[derive(Debug)]
pub struct FilterSpec {
    /// Over the input's schema.
    pub predicate: Arc<dyn PhysicalExpr>,
    /// Columns of the input to keep.
    pub projection: Option<Vec<usize>>,
    /// At most so many rows per partition.
    pub fetch: Option<usize>,
}

/// Computes columns over the input's schema.
#[derive(Debug)]
pub struct ProjectSpec {
    /// One expression per output column.
    pub exprs: Vec<Arc<dyn PhysicalExpr>>,
}

impl ProjectSpec {
    /// Whether it computes nothing: its columns are some of the input's.
    pub fn picks(&self) -> bool {
        self.exprs.iter().all(|expr| expr.is::<Column>())
    }
}

/// How matches are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinKind {
    /// By equal keys, in a hash table.
    Hash,
    /// By trying every pair (no keys): nested-loop and cross joins.
    Loop,
}

/// A join. The left input of DataFusion's node is the build side, the right one the probe side.
#[derive(Debug, Clone)]
pub struct JoinSpec {
    /// How matches are found.
    pub kind: JoinKind,
    /// Pairs of (build key, probe key), each over its side's schema.
    pub on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    /// A residual condition that a match must meet too.
    pub filter: Option<JoinFilter>,
    /// Left is the build side, right the probe side.
    pub join_type: JoinType,
    /// Whether NULL keys match each other.
    pub null_equality: NullEquality,
    /// The rule of NOT IN: a NULL on the probe side leaves no row (DataFusion's `null_aware`).
    pub null_aware: bool,
    /// True when both sides are hash-partitioned alike (partition `i` matches partition `i` only).
    pub partitioned: bool,
    /// Schema of the build side.
    pub build_schema: SchemaRef,
    /// Schema of the probe side.
    pub probe_schema: SchemaRef,
    /// Output columns: side and index there (side `None` is the mark column).
    pub output: Vec<ColumnIndex>,
    /// Schema of the output, after the projection.
    pub schema: SchemaRef,
    /// At most so many rows per partition.
    pub fetch: Option<usize>,
    /// The filter on the probe side's source that this join fills once its build side is known.
    pub dynamic_filter: Option<Arc<DynamicFilterPhysicalExpr>>,
    /// Filters on the build sides of joins above it, filled at the same time.
    pub sideways: Vec<Sideways>,
    /// Whether a device may probe it: then the sealed build side keeps its keys.
    pub for_device: bool,
}

/// Which half of an aggregation a node or a fused pair of nodes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AggregateStage {
    /// From rows to partial states.
    Partial,
    /// From partial states to values.
    Final,
    /// From rows to values.
    Single,
    /// From partial states to partial states.
    Reduce,
}

impl AggregateStage {
    /// Whether the input are partial states.
    pub fn reads_states(self) -> bool {
        matches!(self, Self::Final | Self::Reduce)
    }

    /// Whether the output are partial states.
    pub fn writes_states(self) -> bool {
        matches!(self, Self::Partial | Self::Reduce)
    }
}

/// The groups that a sort by their only aggregate, which is MIN or MAX, or by their only key where there is no
/// aggregate, keeps: it takes the first so many, functions without a value after all others. Other groups may be there or not, and with
/// whatever value that comes behind those.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopGroups {
    /// How many.
    pub limit: usize,
    /// The greatest values, else the least.
    pub greatest: bool,
}

/// An aggregation.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// Which half.
    pub stage: AggregateStage,
    /// Group keys, grouping sets included; over the input's schema.
    pub group_by: Arc<PhysicalGroupBy>,
    /// The functions, with arguments over the schema of the rows (not of the states).
    pub aggregates: Vec<Arc<AggregateFunctionExpr>>,
    /// A FILTER clause per function, over the schema of the rows.
    pub filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    /// Schema of the input.
    pub input_schema: SchemaRef,
    /// Schema of the output: keys (then the grouping id), then states or values.
    pub schema: SchemaRef,
    /// At most so many groups are wanted (any of them), when set.
    pub limit: Option<usize>,
    /// Which groups alone are wanted, when set.
    pub top: Option<TopGroups>,
    /// The filter on the source that smallest and largest values narrow as they are found. Only where there are no
    /// keys, and all functions are MIN or MAX of a column whose order is that of comparisons.
    pub dynamic_filter: Option<Arc<DynamicFilterPhysicalExpr>>,
}

/// A sort.
#[derive(Debug, Clone)]
pub struct SortSpec {
    /// The order.
    pub ordering: LexOrdering,
    /// Only the first so many rows.
    pub fetch: Option<usize>,
    /// The order as the filter on the source has it, where the input was given other columns since.
    pub told: Option<LexOrdering>,
    /// Each partition on its own.
    pub preserve_partitioning: bool,
    /// The filter on the source that a top-K narrows as it goes.
    pub dynamic_filter: Option<Arc<DynamicFilterPhysicalExpr>>,
    /// What sorts on a device, where the sort was placed on one. The CPU sorts what it cannot.
    pub device: Option<Arc<dyn OrderRows>>,
}

impl SortSpec {
    /// Whether merging partitions by `ordering`, which is over what `project` makes of them, is merging them by this
    /// order.
    pub fn is_merged_by(&self, ordering: &LexOrdering, project: Option<&ProjectSpec>) -> bool {
        let same = |(by, own): (&PhysicalSortExpr, &PhysicalSortExpr)| {
            let over = match project {
                Some(project) => through(&by.expr, &project.exprs).ok(),
                None => Some(Arc::clone(&by.expr)),
            };
            by.options == own.options && over.as_ref() == Some(&own.expr)
        };
        ordering.len() == self.ordering.len() && ordering.iter().zip(self.ordering.iter()).all(same)
    }
}

/// Window functions over rows that come ordered by the keys of their partitions, then by the functions' own.
#[derive(Debug)]
pub struct WindowSpec {
    /// The functions, all with the same partitions; their values follow the input's columns.
    pub exprs: Vec<Arc<dyn WindowExpr>>,
    /// The keys of their partitions, over the input's schema.
    pub partition_by: Vec<Arc<dyn PhysicalExpr>>,
}

/// A limit.
#[derive(Debug)]
pub struct LimitSpec {
    /// Rows to drop first.
    pub skip: usize,
    /// Rows to keep after that.
    pub fetch: Option<usize>,
    /// Counts over all partitions, not in each.
    pub global: bool,
}

/// A new distribution of rows.
#[derive(Debug)]
pub struct RepartitionSpec {
    /// Hash keys over the input's schema; none deals batches out in turn.
    pub hash: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// Number of output partitions.
    pub partitions: usize,
}
