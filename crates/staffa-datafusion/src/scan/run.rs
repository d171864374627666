//! Running a scan: lanes that take row groups from a queue.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion_physical_expr_adapter::DefaultPhysicalExprAdapterFactory;
use futures::stream;
use staffa_engine::plan::{Place, ScanLanes, ScanRequest, ScanRun};
use staffa_engine::{LaneStream, Morsel, RunContext};

use super::device::{DeviceLane, Finished, Step};
use super::group::GroupStream;
use super::metrics::DeviceMetrics;
use super::open::{GroupToRead, OpenFile, Opener, creation_errors};
use super::piece::Pieces;
use super::prune::ruled_out;

/// A running scan.
struct Run {
    opener: Arc<Opener>,
    context: Arc<RunContext>,
    /// By lane; lanes that share take from the same one.
    queues: Vec<Arc<Pieces>>,
    /// Whether the predicate may change while the scan runs.
    dynamic: bool,
    place: Place,
}

/// Sets a scan up.
///
/// # Errors
/// An object store that is not registered.
pub(super) fn start(
    config: &FileScanConfig,
    source: &ParquetSource,
    context: &Arc<RunContext>,
    request: &ScanRequest,
) -> Result<Arc<dyn ScanRun>> {
    let store = context.task.runtime_env().object_store(&config.object_store_url)?;
    let readers = source
        .parquet_file_reader_factory()
        .cloned()
        .unwrap_or_else(|| Arc::new(DefaultParquetFileReaderFactory::new(store)));
    let adapters = config
        .expr_adapter_factory
        .clone()
        .unwrap_or_else(|| Arc::new(DefaultPhysicalExprAdapterFactory));
    let opener = Opener {
        source: source.clone(),
        readers,
        adapters,
        metrics: request.metrics.clone(),
        filter: request.filter.clone(),
        output: request.output.clone(),
        limit: config.limit,
        preserve_order: config.preserve_order,
        creation_errors: creation_errors(&request.metrics),
    };
    let groups = config.file_groups.iter().enumerate();
    let files = groups.map(|(at, group)| {
        // What a top-K wants first, where it pushed its order down.
        let files = source.reorder_files(group.files().to_vec());
        files.into_iter().map(move |file| (at, file)).collect::<Vec<_>>()
    });
    let queues = match request.lanes {
        ScanLanes::Partitions => files.map(|files| Arc::new(Pieces::new(files))).collect(),
        ScanLanes::Shared(lanes) => {
            let all = Arc::new(Pieces::new(files.flatten()));
            vec![all; lanes]
        }
    };
    let dynamic = source.filter().is_some_and(|predicate| {
        DynamicFilterTracking::classify(&predicate).contains_dynamic_filter()
    });
    Ok(Arc::new(Run {
        opener: Arc::new(opener),
        context: Arc::clone(context),
        queues,
        dynamic,
        place: request.place.clone(),
    }))
}

impl ScanRun for Run {
    fn lane(self: Arc<Self>, lane: usize) -> LaneStream {
        let left = self.opener.limit;
        let metrics = BaselineMetrics::new(&self.opener.metrics, lane);
        let device = match &self.place {
            Place::Gpu(gpu) => {
                DeviceLane::open(gpu, DeviceMetrics::new(&self.opener.metrics, lane))
            }
            Place::Cpu => None,
        };
        let lane = Lane {
            run: self,
            lane,
            current: None,
            device,
            steps: VecDeque::new(),
            made: None,
            left,
            metrics,
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
    device: Option<DeviceLane>,
    /// What the device has before it, and row groups that wait behind that for the CPU.
    steps: VecDeque<Step>,
    /// A morsel from the device and how many rows of it went on: it goes on in pieces that fit caches.
    made: Option<(Morsel, usize)>,
    /// Rows that the scan's limit still lets through.
    left: Option<usize>,
    metrics: BaselineMetrics,
}

impl Lane {
    async fn next(&mut self) -> Result<Option<Morsel>> {
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            if let Some(group) = &mut self.current {
                if let Some(morsel) = group.next().await? {
                    return self.put_out(morsel).map(Some);
                }
                self.current = None;
            }
            if let Some(morsel) = self.piece()? {
                return self.put_out(morsel).map(Some);
            }
            self.run.context.cancel.check()?;
            self.look_ahead().await?;
            let step = match self.steps.pop_front() {
                Some(step) => step,
                None => match self.group().await? {
                    Some((file, group)) => Step::Undone(file, group),
                    None => return Ok(None),
                },
            };
            let (file, group) = match (step, &mut self.device) {
                (Step::Queued(queued), Some(device)) => match device.finish(queued).await {
                    Finished::Morsel(morsel) => {
                        self.made = Some((morsel, 0));
                        continue;
                    }
                    Finished::Undone(file, group) => (file, group),
                },
                (Step::Undone(file, group), _) => (file, group),
                (Step::Queued(_), None) => return internal_err!("a morsel without its device"),
            };
            self.current = Some(GroupStream::new(file, group, &self.run.context)?);
        }
    }

    /// Queues work for the device, as far ahead as a lane goes.
    async fn look_ahead(&mut self) -> Result<()> {
        while self.steps.len() < AHEAD && self.device.as_ref().is_some_and(DeviceLane::lives) {
            let Some((file, group)) = self.group().await? else {
                return Ok(());
            };
            if let Some(device) = &mut self.device {
                device.queue(&file, group, &mut self.steps).await?;
            }
        }
        Ok(())
    }

    /// The next row group that may hold something.
    async fn group(&mut self) -> Result<Option<(Arc<OpenFile>, GroupToRead)>> {
        let Some(pieces) = self.run.queues.get(self.lane) else {
            return internal_err!("the scan has no lane {}", self.lane);
        };
        loop {
            let Some((file, group)) = pieces.next(&self.run.opener).await? else {
                return Ok(None);
            };
            if self.run.dynamic && ruled_out(&file, group.index) {
                file.metrics.row_groups_pruned_dynamic_filter.add(1);
                continue;
            }
            return Ok(Some((file, group)));
        }
    }

    /// The next piece of the device's morsel.
    fn piece(&mut self) -> Result<Option<Morsel>> {
        let Some((morsel, done)) = &mut self.made else {
            return Ok(None);
        };
        let rows = self.run.context.morsel_rows.min(morsel.rows() - *done);
        if rows == 0 {
            self.made = None;
            return Ok(None);
        }
        let piece = morsel.slice(*done, rows)?;
        *done += rows;
        Ok(Some(piece))
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
        self.metrics.record_output(morsel.rows());
        Ok(morsel)
    }
}
