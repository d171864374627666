//! Starts regions: which run a call of `execute` belongs to.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use parking_lot::Mutex;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::cpu::CpuEngine;
use staffa_engine::cuda::Gpu;
use staffa_engine::run::Region;
use staffa_engine::{CancelFlag, RunContext, StaffaRuntime, plan};

use crate::StaffaConfig;
use crate::fallback::{Decision, with_fallback};
use crate::node::StaffaExec;

/// The runs of a node as a region's root.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    current: Mutex<Option<Run>>,
}

/// A run, until each of its partitions was taken by somebody.
#[derive(Clone)]
struct Run {
    region: Arc<Region>,
    decision: Arc<Decision>,
    taken: Vec<bool>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Runs {
    /// Partition `partition` of the current run; of a new one when that partition of the current
    /// run is taken, i.e. when somebody executes the plan again.
    pub(crate) fn execute(
        &self,
        node: &StaffaExec,
        partition: usize,
        context: &Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let partitions = node.properties().partitioning.partition_count();
        if partition >= partitions {
            return internal_err!("{} has no partition {partition}", node.name());
        }
        let mut current = self.current.lock();
        let mut run = match current.take() {
            Some(run) if !run.taken[partition] => run,
            _ => Run {
                region: start(node, context)?,
                decision: Arc::new(Decision::new(Arc::clone(node.original()), node.metrics_set())),
                taken: vec![false; partitions],
            },
        };
        run.taken[partition] = true;
        let stream = with_fallback(
            Arc::clone(&run.region),
            Arc::clone(&run.decision),
            partition,
            Arc::clone(context),
        );
        if run.taken.contains(&false) {
            *current = Some(run);
        }
        drop(current);
        let stream = Box::pin(RecordBatchStreamAdapter::new(node.schema(), stream));
        Ok(make_cooperative(stream))
    }
}

fn start(node: &StaffaExec, context: &Arc<TaskContext>) -> Result<Arc<Region>> {
    let mut inputs = Vec::new();
    let tree = node.tree(&mut inputs);
    let options = context.session_config().options();
    let config = options.extensions.get::<StaffaConfig>().cloned().unwrap_or_default();
    let runtime = runtime(config.threads)?;
    let counts: Vec<usize> =
        inputs.iter().map(|input| input.output_partitioning().partition_count()).collect();
    // A session that asks for fewer partitions asks for less parallelism.
    let lanes = runtime.threads().min(context.session_config().target_partitions());
    let sideways = options.optimizer.enable_join_dynamic_filter_pushdown;
    let program = plan::compile(&tree, &counts, lanes, sideways)?;
    let context = Arc::new(RunContext {
        task: Arc::clone(context),
        runtime,
        cancel: CancelFlag::default(),
        morsel_rows: config.morsel_rows.max(1),
        lifter: Some(Arc::new(crate::scan::HostLifter)),
    });
    Region::new(program, inputs, &CpuEngine, context)
}

/// The GPU that sessions with these threads and memory limits share, opened when first asked for.
///
/// # Errors
/// Why none can be used.
pub fn gpu(config: &StaffaConfig) -> Result<Arc<Gpu>, Reason> {
    let fault = |error: DataFusionError| Reason::new(ReasonCode::NoGpu, error.strip_backtrace());
    runtime(config.threads).map_err(fault)?.gpu(config.gpu_limits())
}

/// Jobs that the compute pool of so many threads has not ended: how busy the process's queries keep it.
///
/// # Errors
/// When the operating system gives no threads for the pool.
pub fn compute_jobs(threads: usize) -> Result<usize> {
    Ok(runtime(threads)?.jobs())
}

/// Closes the process's GPUs that no plan and no query holds, with all their memory, and says how many are
/// still held. The next plan that wants one opens it again.
pub fn release_gpus() -> usize {
    RUNTIMES.lock().values().map(|runtime| runtime.release_gpus()).sum()
}

/// The process's compute pools with what belongs to them, by threads.
static RUNTIMES: LazyLock<Mutex<HashMap<usize, Arc<StaffaRuntime>>>> =
    LazyLock::new(Mutex::default);

/// The process's pool of so many threads, made when first asked for.
pub(crate) fn runtime(threads: usize) -> Result<Arc<StaffaRuntime>> {
    let mut runtimes = RUNTIMES.lock();
    if let Some(runtime) = runtimes.get(&threads) {
        return Ok(Arc::clone(runtime));
    }
    let runtime = Arc::new(StaffaRuntime::new(threads)?);
    runtimes.insert(threads, Arc::clone(&runtime));
    Ok(runtime)
}
