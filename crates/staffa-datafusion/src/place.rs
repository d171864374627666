//! Which scans, with the filter, projection, joins and aggregation right above them, go to the device, which chains
//! of such nodes above other sources, and which sorts.
//!
//! Decided once, when the plan is rewritten, so that EXPLAIN shows what will run; the region that
//! compiles later follows the nodes.

mod above;
mod halves;
mod lifted;
mod need;
mod rest;
mod sort;

use std::sync::Arc;

use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::StaffaRuntime;
use staffa_engine::bound::through;
use staffa_engine::cuda::cost::{Estimate, ScanSize};
use staffa_engine::cuda::{Gpu, aggregate};
use staffa_engine::plan::{AggregateSpec, FilterSpec, NodeOp, Place, ProjectSpec, Scan};

use crate::node::StaffaExec;
use crate::{Device, OnUnsupported, StaffaConfig, probe};
use above::Above;
use lifted::Seen;

/// On a device that is estimated to be this much faster, in `auto`; estimates are coarse.
const MARGIN: f64 = 1.5;

/// Where a node runs, and why.
#[derive(Debug, Clone, Default)]
pub(crate) struct Placement {
    pub(crate) place: Place,
    /// Why a scan, what is right above it, or a sort is not on a device, where one was asked for or is there.
    pub(crate) reason: Option<Reason>,
    /// How much work the chain is to which the node belongs.
    pub(crate) size: Option<ScanSize>,
    /// What that was estimated to take, where the estimate decided.
    pub(crate) estimate: Option<Estimate>,
    /// Rows of a row group below which the device leaves it to the CPU, where the estimate decided.
    pub(crate) least_rows: u64,
}

impl Placement {
    /// As EXPLAIN shows it: `cpu`, `cpu: A020 function ..`, `gpu:0, estimated ..`. Where a setting decided and
    /// not the estimate, that is made only to be shown.
    pub(crate) fn text(&self, verbose: bool) -> String {
        match (&self.place, &self.reason) {
            (Place::Gpu(gpu), _) => match self.estimate.map_or_else(
                || self.size.filter(|_| verbose).map(|size| estimate(gpu, &size)),
                |estimate| Some(Ok(estimate)),
            ) {
                Some(Ok(estimate)) => format!("{}, {estimate}", gpu.name()),
                Some(Err(reason)) => format!("{}, {reason}", gpu.name()),
                None => gpu.name(),
            },
            (Place::Cpu, Some(reason)) => format!("cpu: {reason}"),
            (Place::Cpu, None) => "cpu".to_string(),
        }
    }
}

fn estimate(gpu: &Arc<Gpu>, size: &ScanSize) -> Result<Estimate, Reason> {
    Ok(size.estimate(&probe::figures(gpu)?))
}

/// A scan and what of the nodes above it could go to the device with it.
struct Chain<'a> {
    project: Option<(&'a StaffaExec, &'a ProjectSpec)>,
    filter: Option<(&'a StaffaExec, &'a FilterSpec)>,
    scan: (&'a StaffaExec, &'a dyn Scan),
}

/// Places the nodes of `plan`.
///
/// # Errors
/// With `staffa.device = gpu` and `staffa.on_unsupported = error`, a node that no device takes.
pub(crate) fn place(
    plan: &Arc<dyn ExecutionPlan>,
    config: &StaffaConfig,
    runtime: &StaffaRuntime,
) -> Result<()> {
    if config.device == Device::Cpu {
        return Ok(());
    }
    // In `auto` a plan that scans nothing opens no device.
    let opens = config.device == Device::Gpu || scans(plan);
    let mut placer = Placer { config, runtime, opens, refused: None };
    placer.visit(plan, plan.fetch().is_some(), true);
    if opens {
        let gpu = runtime.gpu(config.gpu_limits());
        if let Ok(gpu) = &gpu {
            let seen = Seen { limited: plan.fetch().is_some(), partitions: true };
            placer.lift(plan, seen, gpu);
        }
        if config.device == Device::Gpu {
            placer.show_rest(plan, true, &gpu);
        }
    }
    match placer.refused {
        Some((name, reason)) if config.on_unsupported == OnUnsupported::Error => plan_err!(
            "staffa.on_unsupported is error, staffa.device is gpu, and {name} is not on a GPU: {reason}"
        ),
        _ => Ok(()),
    }
}

/// Whether a scan of ours is in `plan`.
fn scans(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let node = StaffaExec::of(plan.as_ref());
    node.is_some_and(|node| matches!(node.op(), NodeOp::Scan(_)))
        || plan.children().into_iter().any(scans)
}

/// An aggregation's node and what it does.
type Aggregate<'a> = (&'a StaffaExec, &'a AggregateSpec);

struct Placer<'a> {
    config: &'a StaffaConfig,
    runtime: &'a StaffaRuntime,
    /// Whether the plan may open a device for what scans nothing.
    opens: bool,
    /// The first node that was meant for the device and is not on it.
    refused: Option<(String, Reason)>,
}

impl Placer<'_> {
    /// `limited`: somebody above may stop early, with nothing in between that reads to the end. `partitions`: somebody
    /// above counts on which partition a row is in.
    fn visit(&mut self, plan: &Arc<dyn ExecutionPlan>, limited: bool, partitions: bool) {
        let node = StaffaExec::of(plan.as_ref());
        let limited = limited || plan.fetch().is_some();
        if let Some(node) = node.filter(|_| self.opens) {
            self.visit_sort(node);
        }
        if let Some(above) = node.and_then(|node| Above::of(node, partitions)) {
            self.decide_above(&above, limited);
            for (build, partitions) in above.builds() {
                self.visit(build, false, partitions);
            }
            return;
        }
        if let Some((aggregate, chain)) = node.and_then(Chain::below_aggregate) {
            if !self.decide_aggregate(aggregate, &chain) {
                self.decide(&chain, chain.is_limited());
            }
            return;
        }
        if let Some(chain) = node.and_then(Chain::from) {
            self.decide(&chain, limited || chain.is_limited());
            return;
        }
        for (at, child) in plan.children().into_iter().enumerate() {
            let limited = match node.map(StaffaExec::op) {
                Some(NodeOp::Aggregate(_) | NodeOp::Sort(_)) => false,
                Some(NodeOp::Join(_)) if at == 0 => false,
                _ => limited,
            };
            let partitions = node.is_none_or(|node| need::partitions(node, at, partitions));
            self.visit(child, limited, partitions);
        }
    }

    /// Places an aggregation of rows with the whole chain below it, if the device does all of that.
    fn decide_aggregate(&mut self, aggregate: Aggregate<'_>, chain: &Chain<'_>) -> bool {
        // Without a device, and below a limit, it is the chain that says why.
        let Ok(gpu) = self.runtime.gpu(self.config.gpu_limits()) else { return false };
        if chain.is_limited() {
            return false;
        }
        let asked = self.ask(chain, chain.filter, chain.project, Some(aggregate), &gpu);
        if let Err(reason) = &asked {
            self.refuse([Some(aggregate.0), None, None], reason, true);
        }
        asked.is_ok()
    }

    /// As much of the chain as the device can do, from the scan up.
    fn decide(&mut self, chain: &Chain<'_>, limited: bool) {
        let gpu = match self.runtime.gpu(self.config.gpu_limits()) {
            Ok(gpu) => gpu,
            Err(reason) => return self.refuse(chain.nodes(), &reason, false),
        };
        if limited {
            let reason = Reason::new(ReasonCode::ScanOption, "a limit above stops early");
            return self.refuse(chain.nodes(), &reason, true);
        }
        let whole = self.ask(chain, chain.filter, chain.project, None, &gpu);
        let Err(mut reason) = whole else { return };
        // That the device cannot be measured has to do with no part of the chain either.
        let of_all = |why: &Reason| matches!(why.code, ReasonCode::NotFaster | ReasonCode::NoGpu);
        if of_all(&reason) {
            return self.refuse(chain.nodes(), &reason, true);
        }
        let filter = chain.filter.map(|filter| filter.0);
        if let Some(project) = chain.project {
            self.refuse([Some(project.0), None, None], &reason, true);
            // Each node shows its own reason, not that of the node above.
            match self.ask(chain, chain.filter, None, None, &gpu) {
                Ok(()) => return,
                Err(of_the_rest) => reason = of_the_rest,
            }
        }
        if filter.is_none() || of_all(&reason) {
            return self.refuse([Some(chain.scan.0), filter, None], &reason, true);
        }
        self.refuse([filter, None, None], &reason, true);
        if let Err(reason) = self.ask(chain, None, None, None, &gpu) {
            self.refuse([Some(chain.scan.0), None, None], &reason, true);
        }
    }

    /// Places part of a chain, if the device can do it and it is thought to pay.
    fn ask(
        &self,
        chain: &Chain<'_>,
        filter: Option<(&StaffaExec, &FilterSpec)>,
        project: Option<(&StaffaExec, &ProjectSpec)>,
        aggregate: Option<Aggregate<'_>>,
        gpu: &Arc<Gpu>,
    ) -> Result<(), Reason> {
        let output = output(filter, project)?;
        let predicate = filter.map(|(_, spec)| &spec.predicate);
        let threads = self.runtime.threads();
        let size = match aggregate {
            None => chain.scan.1.on_device(predicate, output.as_deref(), threads)?,
            Some((_, spec)) => {
                let grouping = aggregate::lower(spec)?;
                let columns = grouping.columns().iter().map(|expr| match &output {
                    Some(output) => through(expr, output),
                    None => Ok(Arc::clone(expr)),
                });
                let columns = columns.collect::<Result<Vec<_>>>().map_err(fault)?;
                let size = chain.scan.1.on_device(predicate, Some(&columns), threads)?;
                if size.riding > 0.0 {
                    let what = "what is aggregated is decoded on the host";
                    return Err(Reason::new(ReasonCode::DataType, what));
                }
                ScanSize { grouped: grouping.values() as f64, output_row_bytes: 0.0, ..size }
            }
        };
        let nodes = [
            Some(chain.scan.0),
            filter.map(|(node, _)| node),
            project.map(|(node, _)| node),
            aggregate.map(|(node, _)| node),
        ];
        self.put(nodes.into_iter().flatten(), size, gpu)
    }

    /// Places nodes, if that is thought to pay.
    fn put<'n>(
        &self,
        nodes: impl Iterator<Item = &'n StaffaExec>,
        size: ScanSize,
        gpu: &Arc<Gpu>,
    ) -> Result<(), Reason> {
        let (estimate, least_rows) = match self.config.device {
            Device::Auto => {
                let figures = probe::figures(gpu)?;
                (Some(size.estimate(&figures)), size.least_rows(&figures))
            }
            _ => (None, 0),
        };
        if let Some(estimate) = estimate.filter(|estimate| !estimate.favours_gpu(MARGIN)) {
            let what = format!("{estimate}, which is not {MARGIN} times as fast on {}", gpu.name());
            return Err(Reason::new(ReasonCode::NotFaster, what));
        }
        for node in nodes {
            node.set_placement(Placement {
                place: Place::Gpu(Arc::clone(gpu)),
                reason: None,
                size: Some(size),
                estimate,
                least_rows,
            });
        }
        Ok(())
    }

    /// Notes why nodes stay on the CPU. In `auto`, only what has to do with the plan: that there is no
    /// GPU is known.
    fn refuse(&mut self, nodes: [Option<&StaffaExec>; 3], reason: &Reason, of_plan: bool) {
        let shown = of_plan || self.config.device == Device::Gpu;
        for node in nodes.into_iter().flatten() {
            if shown {
                node.set_placement(Placement {
                    place: Place::Cpu,
                    reason: Some(reason.clone()),
                    ..Placement::default()
                });
            }
            if self.config.device == Device::Gpu && self.refused.is_none() {
                self.refused = Some((node.original().name().to_string(), reason.clone()));
            }
        }
    }
}

/// What a filter and a projection above it put out, over the filter's input; none for its columns as they are.
fn output(
    filter: Option<(&StaffaExec, &FilterSpec)>,
    project: Option<(&StaffaExec, &ProjectSpec)>,
) -> Result<Option<Vec<Arc<dyn PhysicalExpr>>>, Reason> {
    let columns = filter.and_then(|(_, spec)| spec.projection.as_deref());
    Ok(match (project, columns) {
        (None, None) => None,
        (None, Some(columns)) => Some(
            columns
                .iter()
                .map(|&at| Arc::new(Column::new("", at)) as Arc<dyn PhysicalExpr>)
                .collect(),
        ),
        (Some((_, spec)), None) => Some(spec.exprs.clone()),
        (Some((_, spec)), Some(columns)) => Some(
            spec.exprs
                .iter()
                .map(|expr| behind(expr, columns))
                .collect::<Result<Vec<_>, Reason>>()?,
        ),
    })
}

/// `expr`, over some columns of a schema, over the schema.
fn behind(
    expr: &Arc<dyn PhysicalExpr>,
    columns: &[usize],
) -> Result<Arc<dyn PhysicalExpr>, Reason> {
    use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
    let moved = Arc::clone(expr).transform_up(|node| match node.downcast_ref::<Column>() {
        Some(column) => match columns.get(column.index()) {
            Some(&at) => {
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), at));
                Ok(Transformed::yes(column))
            }
            None => datafusion::common::internal_err!("no column {column}"),
        },
        None => Ok(Transformed::no(node)),
    });
    moved.data().map_err(fault)
}

fn fault(error: DataFusionError) -> Reason {
    Reason::new(ReasonCode::LoweringFault, error.strip_backtrace())
}

impl<'a> Chain<'a> {
    /// The chain whose topmost node is `top`.
    fn from(top: &'a StaffaExec) -> Option<Self> {
        let mut node = top;
        let mut chain = (None, None);
        if let NodeOp::Project(spec) = node.op() {
            chain.0 = Some((node, spec.as_ref()));
            node = below(node)?;
        }
        if let NodeOp::Filter(spec) = node.op() {
            chain.1 = Some((node, spec.as_ref()));
            node = below(node)?;
        }
        match node.op() {
            NodeOp::Scan(scan) => {
                Some(Self { project: chain.0, filter: chain.1, scan: (node, scan.as_ref()) })
            }
            _ => None,
        }
    }

    /// An aggregation of rows, and the chain right below it.
    fn below_aggregate(node: &'a StaffaExec) -> Option<(Aggregate<'a>, Self)> {
        match node.op() {
            NodeOp::Aggregate(spec) if !spec.stage.reads_states() => {
                Some(((node, spec.as_ref()), Self::from(below(node)?)?))
            }
            _ => None,
        }
    }

    fn is_limited(&self) -> bool {
        self.filter.is_some_and(|(_, spec)| spec.fetch.is_some())
    }

    fn nodes(&self) -> [Option<&'a StaffaExec>; 3] {
        let (project, filter) = (self.project.map(|p| p.0), self.filter.map(|f| f.0));
        [Some(self.scan.0), filter, project]
    }
}

/// The node below, past nodes that only deal rows out.
fn below(node: &StaffaExec) -> Option<&StaffaExec> {
    let [child] = node.children_of() else { return None };
    let child = StaffaExec::of(child.as_ref())?;
    match child.op() {
        NodeOp::Pass => below(child),
        NodeOp::Repartition(spec) if spec.hash.is_none() => below(child),
        _ => Some(child),
    }
}
