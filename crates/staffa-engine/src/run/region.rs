//! A running region: its states, each made once, and its output lanes.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use datafusion_common::{DataFusionError, Result, internal_err};
use datafusion_physical_plan::ExecutionPlan;
use datafusion_physical_plan::metrics::BaselineMetrics;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::chain::{Chain, Stage};
use super::independent::independent;
use super::merge::merge;
use super::rows::{fetched, morsels};
use super::share::Share;
use super::steal::Steal;
use crate::bound::BoundExpr;
use crate::context::panic_error;
use crate::cpu::exchange::Exchange;
use crate::engine::{Compiled, Engine, Lane, Sealed, SinkLocal};
use crate::plan::{
    LiftRun, OpKind, Pipeline, PipelineId, Program, ScanRun, Scope, Shared as SharedWith, SinkKind,
    Source,
};
use crate::{LaneStream, RunContext};

/// A node outside of the region whose batches the region reads.
pub type Input = Arc<dyn ExecutionPlan>;

type State = Arc<dyn Sealed>;
type SharedState = Shared<BoxFuture<'static, Result<State, Arc<DataFusionError>>>>;

/// A region that runs. Dropping it (with the last of its output lanes) stops all its work.
pub struct Region {
    inner: Arc<Inner>,
}

/// What the region's own tasks hold. They must not hold the [`Region`], or it would never drop.
struct Inner {
    program: Program,
    compiled: Vec<Compiled>,
    inputs: Vec<Input>,
    context: Arc<RunContext>,
    states: Vec<Mutex<Option<SharedState>>>,
    shares: Vec<Mutex<Option<Arc<Share>>>>,
    scans: Vec<Mutex<Option<Arc<dyn ScanRun>>>>,
    lifts: Vec<Mutex<Option<Arc<dyn LiftRun>>>>,
    steals: Vec<Arc<Steal>>,
    exchanges: Vec<Mutex<Option<Arc<Exchange>>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Drop for Region {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Region {
    /// Compiles every pipeline of `program`. Nothing runs before an output lane is polled.
    ///
    /// # Errors
    /// Expressions that do not bind.
    pub fn new(
        program: Program,
        inputs: Vec<Input>,
        engine: &dyn Engine,
        context: Arc<RunContext>,
    ) -> Result<Arc<Self>> {
        let compiled = program
            .pipelines
            .iter()
            .map(|pipeline| engine.compile(pipeline, &context))
            .collect::<Result<Vec<_>>>()?;
        let cells = program.pipelines.len();
        let inner = Inner {
            program,
            compiled,
            inputs,
            context,
            states: (0..cells).map(|_| Mutex::default()).collect(),
            shares: (0..cells).map(|_| Mutex::default()).collect(),
            scans: (0..cells).map(|_| Mutex::default()).collect(),
            lifts: (0..cells).map(|_| Mutex::default()).collect(),
            steals: (0..cells).map(|_| Arc::default()).collect(),
            exchanges: (0..cells).map(|_| Mutex::default()).collect(),
            tasks: Mutex::default(),
        };
        Ok(Arc::new(Self { inner: Arc::new(inner) }))
    }

    /// Ends all work and lets the region's states go. Output lanes that go on being read err.
    pub fn stop(&self) {
        self.inner.context.cancel.cancel();
        self.inner.tasks.lock().abort_all();
        // Cells may hold what holds `inner`: this breaks the circle.
        for cell in &self.inner.shares {
            cell.lock().take();
        }
        for cell in &self.inner.scans {
            cell.lock().take();
        }
        for cell in &self.inner.lifts {
            cell.lock().take();
        }
        for cell in &self.inner.exchanges {
            cell.lock().take();
        }
        for cell in &self.inner.states {
            cell.lock().take();
        }
    }

    /// An output partition, as record batches. Keeps the region alive.
    pub fn output(
        self: &Arc<Self>,
        partition: usize,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send + use<> {
        let root = self.inner.program.root();
        let schema = Arc::clone(&self.inner.program.pipelines[root].schema);
        let lane = Arc::clone(&self.inner).lane(root, partition);
        let region = Arc::clone(self);
        AssertUnwindSafe(lane)
            .catch_unwind()
            .map(move |item| {
                let _alive = &region;
                match item {
                    Ok(morsel) => morsel?.into_batch(&schema),
                    Err(panic) => Err(panic_error(panic.as_ref())),
                }
            })
            .scan(false, |failed, item| {
                let ended = std::mem::replace(failed, item.is_err());
                futures::future::ready((!ended).then_some(item))
            })
    }
}

impl Inner {
    /// A lane of a streaming pipeline. Opens what it needs at its first poll.
    fn lane(self: Arc<Self>, id: PipelineId, lane: usize) -> LaneStream {
        Box::pin(futures::stream::once(self.open(id, lane)).try_flatten())
    }

    fn open(
        self: Arc<Self>,
        id: PipelineId,
        lane: usize,
    ) -> BoxFuture<'static, Result<LaneStream>> {
        async move {
            let pipeline = &self.program.pipelines[id];
            // The outermost join first: its dynamic filter may prune what the inner ones read, and
            // where its build side decides that nothing comes out, nothing below need run.
            let mut stages = VecDeque::with_capacity(pipeline.ops.len());
            let mut builds = VecDeque::with_capacity(pipeline.ops.len());
            let mut decided = false;
            for (op, factory) in pipeline.ops.iter().zip(&self.compiled[id].ops).rev() {
                let (build, alone) = match op.kind {
                    OpKind::Probe(_, build, scope) => {
                        let state = Arc::clone(&self).state_for(build, scope, lane).await?;
                        (Some(state), matches!(scope, Scope::PerLane))
                    }
                    _ => (None, false),
                };
                let sharers = if alone { 1 } else { pipeline.lanes };
                let stage = Stage {
                    op: factory.lane(Lane { index: lane, sharers }, build.as_ref())?,
                    metrics: BaselineMetrics::new(&op.metrics, lane),
                };
                // What all lanes share is decided for all of them alike.
                decided = build.is_some() && !alone && stage.op.done();
                stages.push_front(stage);
                builds.push_front(build);
                if decided {
                    break;
                }
            }
            let source = match decided {
                true => Box::pin(futures::stream::empty()),
                false => Arc::clone(&self).source(pipeline, lane, builds.into()).await?,
            };
            let chain: LaneStream = Box::pin(Chain::new(source, stages.into()));
            Ok(chain)
        }
        .boxed()
    }

    /// `builds`: the build sides of the pipeline's operators.
    async fn source(
        self: Arc<Self>,
        pipeline: &Pipeline,
        lane: usize,
        builds: Vec<Option<State>>,
    ) -> Result<LaneStream> {
        match &pipeline.source {
            Source::Input(input) => {
                let stream = self.inputs[*input].execute(lane, Arc::clone(&self.context.task))?;
                Ok(self.stealing(pipeline, morsels(stream)))
            }
            Source::Scan(..) => {
                let run = self.scan(pipeline)?;
                Ok(self.stealing(pipeline, run.lane(lane, builds)))
            }
            Source::Fetched(id, late) => {
                let found = self.shared_state(*id).await?.open(0, 1);
                let from = &self.program.pipelines[*id];
                let (run, late) = (self.scan(from)?, Arc::clone(late));
                let schema = Arc::clone(&from.schema);
                let rows = async move { fetched(found, &schema, &late, run).await };
                Ok(Box::pin(futures::stream::once(rows)))
            }
            Source::Lanes(ids) => {
                let mut lane = lane;
                for &id in ids {
                    let lanes = self.program.pipelines[id].lanes;
                    if lane < lanes {
                        return self.open(id, lane).await;
                    }
                    lane -= lanes;
                }
                internal_err!("no lane {lane} in {}", pipeline.source)
            }
            Source::Zip(ids) => {
                let lanes: Vec<_> =
                    ids.iter().map(|&id| Arc::clone(&self).lane(id, lane)).collect();
                Ok(Box::pin(futures::stream::iter(lanes).flatten()))
            }
            Source::Sealed(id, Scope::PerLane) => {
                let state = Arc::clone(&self).state(*id, Some(lane)).await?;
                Ok(self.counted(*id, lane, state.open(0, 1)))
            }
            Source::Sealed(id, Scope::Shared) => {
                let state = self.shared_state(*id).await?;
                Ok(self.counted(*id, lane, state.open(lane, pipeline.lanes)))
            }
            Source::Groups(id, keys) => {
                let keys = BoundExpr::all(keys, &self.program.pipelines[*id].schema)?;
                self.shared_state(*id).await?.open_groups(&keys, lane, pipeline.lanes)
            }
            Source::Lift(id, lift) => {
                let source = Arc::clone(&self).lane(*id, lane);
                let Some(lifter) = &self.context.lifter else { return Ok(source) };
                let mut cell = self.lifts[pipeline.id].lock();
                let run = match &*cell {
                    Some(run) => Arc::clone(run),
                    None => Arc::clone(cell.insert(lifter.start(lift, pipeline, &self.context)?)),
                };
                Ok(run.lane(lane, source, builds))
            }
            Source::Share(id) => {
                let mut cell = self.shares[pipeline.id].lock();
                let share = cell.get_or_insert_with(|| {
                    Arc::new(Share::start(self.lanes(*id), 2 * pipeline.lanes))
                });
                Ok(share.open())
            }
            Source::Exchange(id) => {
                let SinkKind::Exchange(keys, partitions) = &self.program.pipelines[*id].sink else {
                    return internal_err!("pipeline {id} is no exchange");
                };
                let mut cell = self.exchanges[*id].lock();
                if cell.is_none() {
                    let from = &self.program.pipelines[*id];
                    let lanes = self.lanes(*id);
                    *cell = Some(Arc::new(Exchange::start(
                        lanes,
                        keys,
                        *partitions,
                        from,
                        &self.context,
                    )?));
                }
                match cell.as_ref() {
                    Some(exchange) => Ok(exchange.open(lane)),
                    None => internal_err!("the exchange did not start"),
                }
            }
            Source::Merge(id, ordering, fetch) => {
                let schema = &self.program.pipelines[*id].schema;
                merge(self.lanes(*id), schema, ordering, *fetch, &self.context)
            }
        }
    }

    /// The scan that a pipeline begins with, running.
    fn scan(&self, pipeline: &Pipeline) -> Result<Arc<dyn ScanRun>> {
        let Source::Scan(scan, request) = &pipeline.source else {
            return internal_err!("{} is no scan", pipeline.source);
        };
        let mut cell = self.scans[pipeline.id].lock();
        Ok(match &*cell {
            Some(run) => Arc::clone(run),
            None => Arc::clone(cell.insert(scan.start(&self.context, request)?)),
        })
    }

    /// The rows of a state, where no operator and not the sink counts what the node puts out.
    fn counted(&self, id: PipelineId, lane: usize, rows: LaneStream) -> LaneStream {
        let from = &self.program.pipelines[id];
        if !matches!(from.sink, SinkKind::Aggregate(_)) {
            return rows;
        }
        let metrics = BaselineMetrics::new(&from.metrics, lane);
        Box::pin(rows.inspect_ok(move |morsel| {
            metrics.record_output(morsel.rows());
        }))
    }

    /// A source's lane, of which idle lanes may take morsels where nobody can tell.
    fn stealing(&self, pipeline: &Pipeline, lane: LaneStream) -> LaneStream {
        match self.steals(pipeline) {
            true => self.steals[pipeline.id].lane(lane),
            false => lane,
        }
    }

    /// Whether a pipeline's lanes may exchange morsels: its own tasks drive them all together, into
    /// one state.
    fn steals(&self, pipeline: &Pipeline) -> bool {
        let breaks = !matches!(pipeline.sink, SinkKind::Stream | SinkKind::Exchange(..));
        breaks && pipeline.scope == Scope::Shared && pipeline.lanes > 1
    }

    fn lanes(self: &Arc<Self>, id: PipelineId) -> Vec<LaneStream> {
        (0..self.program.pipelines[id].lanes).map(|lane| Arc::clone(self).lane(id, lane)).collect()
    }

    async fn state_for(
        self: Arc<Self>,
        id: PipelineId,
        scope: Scope,
        lane: usize,
    ) -> Result<State> {
        match scope {
            Scope::Shared => self.shared_state(id).await,
            Scope::PerLane => self.state(id, Some(lane)).await,
        }
    }

    /// The state that a shared breaker leaves; the first to ask starts it, in a task of its own,
    /// so that it goes on when the asker is dropped and others wait.
    async fn shared_state(self: &Arc<Self>, id: PipelineId) -> Result<State> {
        let state = {
            let mut cell = self.states[id].lock();
            if cell.is_none() {
                let ready = |state| futures::future::ready(Ok(state)).boxed().shared();
                *cell = self.made_elsewhere(id).map(ready);
            }
            match &*cell {
                Some(state) => state.clone(),
                None => {
                    let (sender, receiver) = tokio::sync::oneshot::channel();
                    let inner = Arc::clone(self);
                    self.tasks.lock().spawn(async move {
                        let state = Arc::clone(&inner).state(id, None);
                        let made = AssertUnwindSafe(state).catch_unwind().await;
                        let made = made.unwrap_or_else(|panic| Err(panic_error(panic.as_ref())));
                        if let Ok(state) = &made {
                            inner.leave_for_others(id, state);
                        }
                        // Nobody listens once the region is dropped.
                        let _ = sender.send(made.map_err(Arc::new));
                    });
                    let state = async move {
                        receiver.await.unwrap_or_else(|_| {
                            let gone = DataFusionError::Execution("cancelled".to_string());
                            Err(Arc::new(gone))
                        })
                    }
                    .boxed()
                    .shared();
                    cell.insert(state).clone()
                }
            }
        };
        state.await.map_err(|error| DataFusionError::from(&error))
    }

    /// The state of a breaker that a region before this one has run already.
    fn made_elsewhere(&self, id: PipelineId) -> Option<State> {
        match self.program.shared.get(&id) {
            Some(SharedWith::Reads(slot)) => slot.take(&self.context.task),
            _ => None,
        }
    }

    /// Keeps a breaker's state for a region after this one.
    fn leave_for_others(&self, id: PipelineId, state: &State) {
        if let Some(SharedWith::Makes(slot)) = self.program.shared.get(&id)
            && state.outlives_region()
        {
            slot.put(&self.context.task, Arc::clone(state));
        }
    }

    /// Waits for the states that are made before a breaker runs.
    fn before(self: Arc<Self>, id: PipelineId) -> BoxFuture<'static, Result<()>> {
        async move {
            for &filling in &self.program.pipelines[id].after {
                self.shared_state(filling).await?;
            }
            Ok(())
        }
        .boxed()
    }

    /// Runs a breaker over all lanes of its pipeline, or over one.
    async fn state(self: Arc<Self>, id: PipelineId, lane: Option<usize>) -> Result<State> {
        let Some(sink) = self.compiled[id].sink.clone() else {
            return internal_err!("pipeline {id} has no sink");
        };
        if let Some(lane) = lane {
            let local =
                self.drain(id, sink.local(lane)?, |turn| (turn == 0).then_some(lane)).await?;
            return sink.seal(vec![local]).await;
        }
        Arc::clone(&self).before(id).await?;
        let lanes = self.program.pipelines[id].lanes;
        let workers = self.workers(id);
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for worker in 0..workers {
            let inner = Arc::clone(&self);
            let local = sink.local(worker)?;
            let next = Arc::clone(&next);
            let claim = move |_| {
                let lane = next.fetch_add(1, Ordering::Relaxed);
                (lane < lanes).then_some(lane)
            };
            tasks.spawn(async move { (worker, inner.drain(id, local, claim).await) });
        }
        let mut locals: Vec<Option<Box<dyn SinkLocal>>> = (0..workers).map(|_| None).collect();
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok((worker, local)) => locals[worker] = Some(local?),
                Err(error) if error.is_panic() => {
                    return Err(panic_error(error.into_panic().as_ref()));
                }
                Err(error) => return Err(DataFusionError::Execution(error.to_string())),
            }
        }
        self.context.cancel.check()?;
        sink.seal(locals.into_iter().flatten().collect()).await
    }

    /// How many tasks drive a pipeline's lanes: where lanes do not depend on being read together,
    /// no more than there are threads, each with one state for all the lanes it takes.
    fn workers(&self, id: PipelineId) -> usize {
        let lanes = self.program.pipelines[id].lanes;
        let threads = self.context.runtime.threads();
        if lanes > threads && independent(&self.program, &self.inputs, id) {
            threads
        } else {
            lanes
        }
    }

    /// Reads the lanes that `claim` names into `local`, one after the other.
    async fn drain(
        self: &Arc<Self>,
        id: PipelineId,
        mut local: Box<dyn SinkLocal>,
        claim: impl Fn(usize) -> Option<usize> + Send,
    ) -> Result<Box<dyn SinkLocal>> {
        let metrics = BaselineMetrics::new(&self.program.pipelines[id].metrics, 0);
        let mut turn = 0;
        while let Some(lane) = claim(turn) {
            turn += 1;
            let mut stream = Arc::clone(self).open(id, lane).await?;
            let mut since_yield = 0;
            while let Some(morsel) = stream.next().await {
                let timer = metrics.elapsed_compute().timer();
                local.push(morsel?).await?;
                timer.done();
                if local.done() {
                    return Ok(local);
                }
                since_yield += 1;
                if since_yield == YIELD_EVERY {
                    // Lets a cancel, and other queries, in.
                    since_yield = 0;
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(local)
    }
}

/// Morsels between two yields of a draining task: some milliseconds of work.
const YIELD_EVERY: usize = 8;
