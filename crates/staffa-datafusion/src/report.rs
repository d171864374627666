//! What runs where: a plan's nodes with their place or reason.

use std::fmt;
use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use staffa_common::ReasonCode;
use staffa_engine::plan;

use crate::kept::KeptExec;
use crate::node::StaffaExec;
use crate::place::Placement;

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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu(ordinal) => write!(f, "gpu:{ordinal}"),
            Self::DataFusion => f.write_str("datafusion"),
        }
    }
}

/// One node of a plan.
#[derive(Debug, Clone)]
pub struct NodeReport {
    /// DataFusion's name of the operator, e.g. `HashJoinExec`.
    pub name: String,
    /// Where it runs.
    pub place: Place,
    /// The coded reason, when it stays with DataFusion and the rule saw it, or on the CPU though a device
    /// is there.
    pub reason: Option<String>,
    /// The reason's code.
    pub code: Option<ReasonCode>,
    /// Rows that the node has put out so far, from its metrics.
    pub output_rows: Option<usize>,
    /// Morsels that a device has made for a scan so far, from its metrics.
    pub gpu_morsels: Option<usize>,
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

    /// How many nodes run on a device.
    pub fn gpu_nodes(&self) -> usize {
        self.nodes.iter().filter(|n| matches!(n.place, Place::Gpu(_))).count()
    }

    /// Morsels that devices have made so far.
    pub fn gpu_morsels(&self) -> usize {
        self.nodes.iter().filter_map(|n| n.gpu_morsels).sum()
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

/// Reads where each node of a plan runs.
pub fn report(root: &Arc<dyn ExecutionPlan>) -> PlanReport {
    let mut report = PlanReport::default();
    visit(root, &mut report);
    report
}

fn visit(node: &Arc<dyn ExecutionPlan>, report: &mut PlanReport) {
    let placement = StaffaExec::of(node.as_ref()).map(StaffaExec::placement);
    let place = match placement {
        Some(Some(Placement { place: plan::Place::Gpu(gpu), .. })) => Place::Gpu(gpu.ordinal()),
        Some(_) => Place::Cpu,
        None => Place::DataFusion,
    };
    let cpu = placement.flatten().and_then(|placement| placement.reason.as_ref());
    let reason = KeptExec::of(node.as_ref()).map(KeptExec::reason).or(cpu);
    let metrics = node.metrics();
    let count =
        |name: &str| metrics.as_ref().and_then(|m| m.sum_by_name(name)).map(|m| m.as_usize());
    report.nodes.push(NodeReport {
        name: node.name().to_string(),
        place,
        reason: reason.map(ToString::to_string),
        code: reason.map(|reason| reason.code),
        output_rows: metrics.as_ref().and_then(MetricsSet::output_rows),
        gpu_morsels: count("gpu_morsels"),
    });
    for child in node.children() {
        visit(child, report);
    }
}
