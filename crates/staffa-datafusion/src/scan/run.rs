//! Running a scan: lanes that take row groups from a queue, and have the next one's bytes fetched while
//! they decode one.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, UInt64Array};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion_physical_expr_adapter::DefaultPhysicalExprAdapterFactory;
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream;
use parking_lot::Mutex;
use staffa_engine::cuda::aggregate::{self, Grouping};
use staffa_engine::plan::{Place, ScanBehind, ScanLanes, ScanRequest, ScanRun};
use staffa_engine::{LaneStream, Morsel, RunContext, Sealed};

use super::advisory::Advice;
use super::chain::undone;
use super::device::{DeviceLane, Finished, Step, Work};
use super::group::GroupStream;
use super::grouping::{LaneGroups, Outcome};
use super::joined::{Joined, ProbeMetrics, Wanted};
use super::local::LocalStore;
use super::metrics::{DeviceMetrics, GroupMetrics};
use super::open::{Opener, creation_errors, halves};
use super::piece::Pieces;
use super::places;
use super::riding::Putting;
use super::together::{Parked, Together};

/// A running scan.
struct Run {
    opener: Arc<Opener>,
    context: Arc<RunContext>,
    /// By lane; lanes that share take from the same one.
    queues: Vec<Arc<Pieces>>,
    /// Whether the predicate may change while the scan runs.
    dynamic: bool,
    place: Place,
    /// What a device groups by, and where its node's metrics go.
    aggregate: Option<(Arc<Grouping>, ExecutionPlanMetricsSet)>,
    /// Where the lanes' groups meet, if all lanes are read to their ends.
    together: Option<Arc<Together<Parked<Work>>>>,
    /// What a device does behind the scan. It is known how much of that once `resolved` is set.
    behind: Option<ScanBehind>,
    resolved: Mutex<Option<Shared<BoxFuture<'static, ()>>>>,
    least_rows: u64,
}

/// Sets a scan up.
///
/// # Errors
/// An object store that is not registered.
pub(super) fn start(
    config: &FileScanConfig,
    source: &ParquetSource,
    advised: bool,
    context: &Arc<RunContext>,
    request: &ScanRequest,
) -> Result<Arc<dyn ScanRun>> {
    let store = context.task.runtime_env().object_store(&config.object_store_url)?;
    let readers = source.parquet_file_reader_factory();
    let local = LocalStore::of(&store, readers, context.runtime.buffers());
    let readers =
        readers.cloned().unwrap_or_else(|| Arc::new(DefaultParquetFileReaderFactory::new(store)));
    let adapters = config
        .expr_adapter_factory
        .clone()
        .unwrap_or_else(|| Arc::new(DefaultPhysicalExprAdapterFactory));
    // That the device does it was found when the plan was made.
    let aggregate = request.aggregate.as_ref().and_then(|aggregate| {
        let grouping = aggregate::lower(&aggregate.spec).ok()?;
        Some((Arc::new(grouping), aggregate.metrics.clone()))
    });
    let opener = Opener {
        source: source.clone(),
        readers,
        local,
        adapters,
        metrics: request.metrics.clone(),
        filter: request.filter.clone(),
        told: request.advice.clone(),
        output: request.output.clone(),
        places: request.located.then(Arc::default),
        grouping: aggregate
            .as_ref()
            .filter(|_| request.behind.is_none())
            .map(|(grouping, _)| Arc::clone(grouping)),
        joined: OnceLock::new(),
        limit: config.limit,
        preserve_order: config.preserve_order,
        creation_errors: creation_errors(&request.metrics),
        halves: halves(&request.metrics),
        advised,
        advice: Arc::new(Advice::new(&request.metrics)),
    };
    let groups = config.file_groups.iter().enumerate();
    let files = groups.map(|(at, group)| {
        // What a top-K wants first, where it pushed its order down.
        let files = source.reorder_files(group.files().to_vec());
        files.into_iter().map(move |file| (at, file)).collect::<Vec<_>>()
    });
    let both = request.from_both_ends;
    let queues = match request.lanes {
        ScanLanes::Partitions => files.map(|files| Arc::new(Pieces::new(files, both))).collect(),
        ScanLanes::Shared(lanes) => {
            let all = Arc::new(Pieces::new(files.flatten(), both));
            vec![all; lanes]
        }
    };
    let together = request
        .aggregate
        .as_ref()
        .filter(|aggregate| aggregate.together && config.limit.is_none())
        .map(|_| Arc::new(Together::new(queues.len())));
    let dynamic = source.filter().is_some_and(|predicate| {
        DynamicFilterTracking::classify(&predicate).contains_dynamic_filter()
    }) || !request.advice.is_empty();
    let context = match request.stops_early {
        true => {
            let morsel_rows = context.morsel_rows.min(context.batch_size()).max(1);
            Arc::new(RunContext { morsel_rows, ..context.as_ref().clone() })
        }
        false => Arc::clone(context),
    };
    Ok(Arc::new(Run {
        opener: Arc::new(opener),
        context,
        queues,
        dynamic,
        place: request.place.clone(),
        aggregate,
        together,
        behind: request.behind.clone(),
        resolved: Mutex::default(),
        least_rows: request.least_rows,
    }))
}

/// Morsels of a row group after which the next one's bytes are fetched: a query that stops early
/// does not ask for them.
const PREFETCH_AFTER: usize = 2;

impl Run {
    fn queue(&self, lane: usize) -> Result<&Pieces> {
        match self.queues.get(lane) {
            Some(pieces) => Ok(pieces),
            None => internal_err!("the scan has no lane {lane}"),
        }
    }

    /// Finds how much of what stands behind the scan the device can do; the build sides are there by now. Whichever
    /// lane is polled drives it: the one that asked first may never be polled again.
    async fn resolve(&self, builds: &[Option<Arc<dyn Sealed>>]) {
        let (Some(behind), Place::Gpu(gpu)) = (&self.behind, &self.place) else { return };
        let find = || {
            let (behind, builds, gpu) = (behind.clone(), builds.to_vec(), Arc::clone(gpu));
            let (opener, context) = (Arc::clone(&self.opener), Arc::clone(&self.context));
            let grouping = self.aggregate.as_ref().map(|(grouping, _)| Arc::clone(grouping));
            let find = async move {
                let ScanBehind { before, ops } = &behind;
                let grouping = grouping.as_deref();
                let wanted = Wanted { ops, before: *before, lifted: None, grouping };
                let joined = Joined::new(&wanted, &builds, &gpu, &context).await;
                if let Some(joined) = joined {
                    // Nobody else sets it.
                    let _ = opener.joined.set(Arc::new(joined));
                }
            };
            find.boxed().shared()
        };
        let resolved = self.resolved.lock().get_or_insert_with(find).clone();
        resolved.await;
    }
}

impl ScanRun for Run {
    fn fetch(
        self: Arc<Self>,
        places: UInt64Array,
        columns: Vec<usize>,
    ) -> BoxFuture<'static, Result<Vec<ArrayRef>>> {
        places::fetch(Arc::clone(&self.opener), Arc::clone(&self.context), places, columns).boxed()
    }

    fn lane(self: Arc<Self>, lane: usize, builds: Vec<Option<Arc<dyn Sealed>>>) -> LaneStream {
        let left = self.opener.limit;
        let metrics = BaselineMetrics::new(&self.opener.metrics, lane);
        let device = match &self.place {
            Place::Gpu(gpu) => {
                let groups = self.aggregate.as_ref().map(|(grouping, metrics)| {
                    let metrics = GroupMetrics::new(metrics, lane);
                    LaneGroups::new(grouping, metrics, self.context.morsel_rows)
                });
                let metrics = DeviceMetrics::new(&self.opener.metrics, lane);
                let behind = self.behind.as_ref();
                let probes =
                    behind.map_or_else(Vec::new, |behind| ProbeMetrics::of(&behind.ops, lane));
                DeviceLane::open(gpu, metrics, groups, probes, self.least_rows)
            }
            Place::Cpu => None,
        };
        let lane = Lane {
            together: self.together.clone(),
            run: self,
            lane,
            current: None,
            given: 0,
            following: None,
            device,
            steps: VecDeque::new(),
            made: VecDeque::new(),
            states: VecDeque::new(),
            left,
            metrics,
            builds,
        };
        Box::pin(stream::try_unfold(lane, |mut lane| async move {
            Ok(lane.next().await?.map(|morsel| (morsel, lane)))
        }))
    }
}

/// Device morsels that a lane has queued before it waits for the first: the next one's bytes are read and
/// copied while the device works.
const AHEAD: usize = 2;

struct Lane {
    run: Arc<Run>,
    lane: usize,
    /// A row group on the CPU.
    current: Option<GroupStream>,
    /// Morsels that `current` has given.
    given: usize,
    /// What comes after `current`: opens the file and fetches the bytes in the meantime.
    following: Option<SpawnedTask<Result<Option<GroupStream>>>>,
    device: Option<DeviceLane>,
    /// Where its groups go when it ends.
    together: Option<Arc<Together<Parked<Work>>>>,
    /// What the device has before it, and row groups that wait behind that for the CPU.
    steps: VecDeque<Step>,
    /// Morsels from the device, which go on in pieces that fit caches.
    made: VecDeque<Putting>,
    /// What came out of the device's groups.
    states: VecDeque<Morsel>,
    /// Rows that the scan's limit still lets through.
    left: Option<usize>,
    metrics: BaselineMetrics,
    /// What the operators behind the scan probe.
    builds: Vec<Option<Arc<dyn Sealed>>>,
}

impl Lane {
    async fn next(&mut self) -> Result<Option<Morsel>> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            // What is on its way already must be read first: it is nobody else's.
            let prefetches = self.left.is_none() && self.following.is_none() && !self.on_device();
            if let Some(group) = &mut self.current {
                if let Some(morsel) = group.next().await? {
                    self.given += 1;
                    if self.given == PREFETCH_AFTER && prefetches {
                        let all = group.part().needed_all();
                        self.following = Some(self.prefetch(all));
                    }
                    return self.put_out(morsel).map(Some);
                }
                self.current = None;
            }
            if let Some(morsel) = self.piece().await? {
                return self.put_out(morsel).map(Some);
            }
            if let Some(states) = self.states.pop_front() {
                let rows = states.passed().map(|passed| passed.source).or(states.states());
                self.metrics.record_output(rows.unwrap_or(0));
                return Ok(Some(states));
            }
            self.run.context.cancel.check()?;
            self.given = 0;
            self.look_ahead().await?;
            let (file, group) = match (self.steps.pop_front(), &mut self.device) {
                (None, Some(device))
                    if device.on.holds_groups()
                        && (self.together.is_none() || !device.on.lives()) =>
                {
                    let outcome = device.on.flush().await;
                    self.take(outcome);
                    continue;
                }
                (None, _) => {
                    self.current = self.following().await?;
                    if self.current.is_none() && !self.end().await {
                        return Ok(None);
                    }
                    continue;
                }
                (Some(Step::Queued(queued)), Some(device)) => match device.finish(queued).await {
                    Finished::Morsel(made) => {
                        self.made.push_back(Putting::new(*made, &self.run.context)?);
                        continue;
                    }
                    Finished::Joined(made) => {
                        for made in made {
                            self.made.push_back(Putting::new(made, &self.run.context)?);
                        }
                        continue;
                    }
                    Finished::Grouped(outcome) => {
                        self.take(outcome);
                        continue;
                    }
                    Finished::Undone(file, group) => (file, group),
                },
                (Some(Step::Undone(file, group)), _) => (file, group),
                (Some(Step::Queued(_)), None) => {
                    return internal_err!("a morsel without its device");
                }
            };
            self.current = Some(GroupStream::new(file, group, &self.run.context)?);
        }
    }

    /// States go on, and what is in none of them is read by the CPU.
    fn take(&mut self, outcome: Outcome<Work>) {
        self.states.extend(outcome.states);
        for (file, group) in outcome.undone.into_iter().rev() {
            self.steps.push_front(Step::Undone(file, group));
        }
    }

    /// Has the groups meet those of other lanes; whether that was still to be done.
    async fn end(&mut self) -> bool {
        let Some(together) = self.together.take() else { return false };
        let outcome = match &mut self.device {
            Some(device) => device.on.end(&together).await,
            None => undone(together.leave()),
        };
        self.take(outcome);
        true
    }

    fn on_device(&self) -> bool {
        self.device.as_ref().is_some_and(|device| device.on.lives())
    }

    /// Queues work for the device, as far ahead as a lane goes.
    async fn look_ahead(&mut self) -> Result<()> {
        if self.on_device() {
            self.run.resolve(&self.builds).await;
        }
        while self.steps.len() < AHEAD && self.on_device() {
            let Run { opener, dynamic, .. } = &*self.run;
            let group = self.run.queue(self.lane)?.group(opener, *dynamic).await?;
            let Some((file, group)) = group else {
                return Ok(());
            };
            if let Some(device) = &mut self.device {
                device.queue(&file, group, &mut self.steps).await?;
            }
        }
        Ok(())
    }

    /// What to read next on the CPU.
    async fn following(&mut self) -> Result<Option<GroupStream>> {
        if let Some(following) = self.following.take() {
            let group = following
                .join()
                .await
                .map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
            // Its bytes may have come before the predicate ruled them out.
            if let Some(group) = group.filter(|group| !self.run.dynamic || !group.ruled_out()) {
                return Ok(Some(group));
            }
        }
        let Run { opener, context, dynamic, .. } = &*self.run;
        self.run.queue(self.lane)?.next(opener, context, *dynamic, true).await
    }

    /// Takes what comes next, and fetches its bytes: those of all columns, or those of the tests.
    fn prefetch(&self, all: bool) -> SpawnedTask<Result<Option<GroupStream>>> {
        let (run, lane) = (Arc::clone(&self.run), self.lane);
        SpawnedTask::spawn(async move {
            let Run { opener, context, dynamic, .. } = &*run;
            let group = run.queue(lane)?.next(opener, context, *dynamic, false).await?;
            if let Some(group) = &group {
                group.part().prefetch(all).await;
            }
            Ok(group)
        })
    }

    /// The next piece of the device's morsel.
    async fn piece(&mut self) -> Result<Option<Morsel>> {
        while let Some(made) = self.made.front_mut() {
            if let Some(piece) = made.next(self.run.context.morsel_rows).await? {
                return Ok(Some(piece));
            }
            self.made.pop_front();
        }
        Ok(None)
    }

    fn put_out(&mut self, morsel: Morsel) -> Result<Morsel> {
        let morsel = match &mut self.left {
            Some(left) => {
                let rows = morsel.rows().min(*left);
                *left -= rows;
                morsel.slice(0, rows)?
            }
            None => morsel,
        };
        let rows = morsel.passed().map_or(morsel.rows(), |passed| passed.source);
        self.metrics.record_output(rows);
        Ok(morsel)
    }
}
