//! What runs where: a plan's nodes with their place or reason.

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use staffa_common::ReasonCode;

use crate::kept::KeptExec;
use crate::node::StaffaExec;

/// Where a node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On Staffa's CPU engine.
    Cpu,
    /// On a GPU, by ordinal.
    Gpu(u32),
    /// On DataFusion's own operator.
    DataFusion,
}

/// One node of a plan.
#[derive(Debug, Clone)]
pub struct NodeReport {
    /// DataFusion's name of the operator, e.g. `HashJoinExec`.
    pub name: String,
    /// Where it runs.
    pub place: Place,
    /// The coded reason, when it stays with DataFusion and the rule saw it.
    pub reason: Option<String>,
    /// The reason's code.
    pub code: Option<ReasonCode>,
    /// Rows that the node has put out so far, from its metrics.
    pub output_rows: Option<usize>,
}

/// All nodes of a plan, in pre-order.
#[derive(Debug, Clone, Default)]
pub struct PlanReport {
    /// Pre-order list of nodes.
    pub nodes: Vec<NodeReport>,
}

impl PlanReport {
    /// How many nodes run on a Staffa engine.
    pub fn staffa_nodes(&self) -> usize {
        self.nodes.iter().filter(|n| n.place != Place::DataFusion).count()
    }

    /// How many nodes run on DataFusion.
    pub fn datafusion_nodes(&self) -> usize {
        self.nodes.len() - self.staffa_nodes()
    }

    /// `name: reason` for each node that stays with DataFusion.
    pub fn reasons(&self) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|n| n.place == Place::DataFusion)
            .map(|n| match &n.reason {
                Some(reason) => format!("{}: {reason}", n.name),
                None => n.name.clone(),
            })
            .collect()
    }
}

/// Reads where each node of `plan` runs.
pub fn report(plan: &Arc<dyn ExecutionPlan>) -> PlanReport {
    let mut report = PlanReport::default();
    visit(plan, &mut report);
    report
}

fn visit(plan: &Arc<dyn ExecutionPlan>, report: &mut PlanReport) {
    let place = match StaffaExec::of(plan.as_ref()) {
        Some(_) => Place::Cpu,
        None => Place::DataFusion,
    };
    let reason = KeptExec::of(plan.as_ref()).map(KeptExec::reason);
    report.nodes.push(NodeReport {
        name: plan.name().to_string(),
        place,
        reason: reason.map(ToString::to_string),
        code: reason.map(|reason| reason.code),
        output_rows: plan.metrics().and_then(|m| m.output_rows()),
    });
    for child in plan.children() {
        visit(child, report);
    }
}
