//! The node that stands for a DataFusion node which a Staffa engine runs.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{OrderingRequirements, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions,
    replace_children_if_necessary,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::{
    ChildStats, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, Statistics, StatisticsArgs,
};
use staffa_engine::plan::{Node, NodeOp, Place, Shared, SortSpec};

use crate::display::with_place;
use crate::kept::KeptExec;
use crate::place::Placement;
use crate::region::Runs;
use crate::rule::holds_order;
use crate::scan::DeviceSort;

/// One DataFusion node, run by a Staffa engine. It keeps the original, with the original's inputs,
/// and has its properties. Connected Staffa nodes run together, as a region, when the topmost of
/// them is executed; each can be executed on its own.
#[derive(Debug)]
pub struct StaffaExec {
    original: Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
    op: NodeOp,
    /// Whether the order that the original declares is used by somebody above.
    ordered: bool,
    metrics: ExecutionPlanMetricsSet,
    runs: Runs,
    /// Set when the plan is rewritten; the CPU until then.
    placement: OnceLock<Placement>,
    /// Set when the plan is rewritten, where another region does the same.
    shared: OnceLock<Shared>,
}

/// For a change of children that may change what the node declares.
pub(crate) const fn recompute() -> ReplaceChildrenOptions {
    ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute)
}

impl StaffaExec {
    /// The twin of `original` that does `op` over `children`.
    pub(crate) fn new(
        original: Arc<dyn ExecutionPlan>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        op: NodeOp,
        ordered: bool,
    ) -> Self {
        Self {
            original,
            children,
            op,
            ordered,
            metrics: ExecutionPlanMetricsSet::new(),
            runs: Runs::default(),
            placement: OnceLock::new(),
            shared: OnceLock::new(),
        }
    }

    /// `plan` as a Staffa node.
    pub fn of(plan: &dyn ExecutionPlan) -> Option<&Self> {
        (plan as &dyn Any).downcast_ref()
    }

    /// DataFusion's node, with its own inputs: the plan without Staffa.
    pub fn original(&self) -> &Arc<dyn ExecutionPlan> {
        &self.original
    }

    /// What it does.
    pub(crate) fn op(&self) -> &NodeOp {
        &self.op
    }

    /// Whether somebody above uses the order that the original declares.
    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// What it does where it was placed.
    fn placed_op(&self) -> NodeOp {
        match (&self.op, self.placement()) {
            (NodeOp::Sort(spec), Some(Placement { place: Place::Gpu(gpu), least_rows, .. })) => {
                let device = Arc::new(DeviceSort::new(gpu, *least_rows));
                NodeOp::Sort(Arc::new(SortSpec { device: Some(device), ..(**spec).clone() }))
            }
            (op, _) => op.clone(),
        }
    }

    /// Where its metrics go.
    pub(crate) fn metrics_set(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    /// Its inputs.
    pub(crate) fn children_of(&self) -> &[Arc<dyn ExecutionPlan>] {
        &self.children
    }

    /// Where it runs, if that was decided.
    pub(crate) fn placement(&self) -> Option<&Placement> {
        self.placement.get()
    }

    /// Decides where it runs; the first decision stays.
    pub(crate) fn set_placement(&self, placement: Placement) {
        let _ = self.placement.set(placement);
    }

    /// Has it share its state with a node of another region; the first decision stays.
    pub(crate) fn set_shared(&self, shared: Shared) {
        let _ = self.shared.set(shared);
    }

    /// The region's tree from this node down. Appends what stands outside of it to `inputs`.
    pub(crate) fn tree(&self, inputs: &mut Vec<Arc<dyn ExecutionPlan>>) -> Node {
        let children = self.children.iter().map(|child| subtree(child, inputs)).collect();
        Node {
            op: self.placed_op(),
            children,
            schema: self.schema(),
            partitions: self.original.output_partitioning().partition_count(),
            ordered: self.ordered,
            metrics: self.metrics.clone(),
            place: self.placement().map(|placement| placement.place.clone()).unwrap_or_default(),
            shared: self.shared.get().cloned(),
            least_rows: self.placement().map_or(0, |placement| placement.least_rows),
        }
    }

    fn with_parts(
        &self,
        original: Arc<dyn ExecutionPlan>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Arc<dyn ExecutionPlan> {
        let node = Self::new(original, children, self.op.clone(), self.ordered);
        if let Some(placement) = self.placement() {
            node.set_placement(placement.clone());
        }
        Arc::new(node)
    }
}

fn subtree(plan: &Arc<dyn ExecutionPlan>, inputs: &mut Vec<Arc<dyn ExecutionPlan>>) -> Node {
    if let Some(node) = StaffaExec::of(plan.as_ref()) {
        return node.tree(inputs);
    }
    inputs.push(Arc::clone(plan));
    Node {
        op: NodeOp::Input(inputs.len() - 1),
        children: Vec::new(),
        schema: plan.schema(),
        partitions: plan.output_partitioning().partition_count(),
        ordered: holds_order(plan),
        metrics: ExecutionPlanMetricsSet::new(),
        place: Place::Cpu,
        shared: None,
        least_rows: 0,
    }
}

/// The plan as DataFusion made it, at this node: takes a Staffa or kept node back.
pub(crate) fn vanilla(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    if let Some(node) = StaffaExec::of(plan.as_ref()) {
        Arc::clone(node.original())
    } else if let Some(kept) = KeptExec::of(plan.as_ref()) {
        Arc::clone(kept.inner())
    } else {
        Arc::clone(plan)
    }
}

impl DisplayAs for StaffaExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.placement() {
            Some(placement) => placement.text(format == DisplayFormatType::Verbose),
            None => "cpu".to_string(),
        };
        with_place(self.original.as_ref(), &place, format, f)
    }
}

impl ExecutionPlan for StaffaExec {
    fn name(&self) -> &str {
        self.original.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.original.properties()
    }

    fn dynamic_expressions_produced(&self) -> Vec<Arc<dyn PhysicalExpr>> {
        self.original.dynamic_expressions_produced()
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        self.original.input_distribution_requirements()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        self.original.required_input_ordering()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.original.maintains_input_order()
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        self.original.benefits_from_input_partitioning()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.children.iter().collect()
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let below = children.iter().map(vanilla).collect();
        let original = replace_children_if_necessary(Arc::clone(&self.original), below)?;
        Ok(self.with_parts(original, children))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, recompute())
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.original.apply_expressions(f)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        // The original keeps its expressions: dynamic filters stay connected to their scans.
        Ok(self.with_parts(Arc::clone(&self.original), self.children.clone()))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        self.runs.execute(self, partition, &context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        input_stats: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        self.original.statistics_from_inputs(input_stats, args)
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        self.original.child_stats_requests(partition)
    }

    fn supports_limit_pushdown(&self) -> bool {
        self.original.supports_limit_pushdown()
    }

    fn fetch(&self) -> Option<usize> {
        self.original.fetch()
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        self.original.cardinality_effect()
    }
}
