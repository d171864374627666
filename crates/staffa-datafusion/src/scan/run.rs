//! Running a scan: lanes that take row groups from a queue.

use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_plan::metrics::BaselineMetrics;
use datafusion_physical_expr_adapter::DefaultPhysicalExprAdapterFactory;
use futures::stream;
use staffa_engine::plan::{ScanLanes, ScanRequest, ScanRun};
use staffa_engine::{LaneStream, Morsel, RunContext};

use super::group::GroupStream;
use super::open::{Opener, creation_errors};
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
    Ok(Arc::new(Run { opener: Arc::new(opener), context: Arc::clone(context), queues, dynamic }))
}

impl ScanRun for Run {
    fn lane(self: Arc<Self>, lane: usize) -> LaneStream {
        let left = self.opener.limit;
        let metrics = BaselineMetrics::new(&self.opener.metrics, lane);
        let lane = Lane { run: self, lane, current: None, left, metrics };
        Box::pin(stream::try_unfold(lane, |mut lane| async move {
            Ok(lane.next().await?.map(|morsel| (morsel, lane)))
        }))
    }
}

struct Lane {
    run: Arc<Run>,
    lane: usize,
    current: Option<GroupStream>,
    /// Rows that the scan's limit still lets through.
    left: Option<usize>,
    metrics: BaselineMetrics,
}

impl Lane {
    async fn next(&mut self) -> Result<Option<Morsel>> {
        let Some(pieces) = self.run.queues.get(self.lane) else {
            return internal_err!("the scan has no lane {}", self.lane);
        };
        loop {
            if self.left == Some(0) {
                return Ok(None);
            }
            if let Some(group) = &mut self.current {
                if let Some(morsel) = group.next().await? {
                    let morsel = self.limited(morsel)?;
                    self.metrics.record_output(morsel.rows());
                    return Ok(Some(morsel));
                }
                self.current = None;
            }
            self.run.context.cancel.check()?;
            let Some((file, group)) = pieces.next(&self.run.opener).await? else {
                return Ok(None);
            };
            if self.run.dynamic && ruled_out(&file, group.index) {
                file.metrics.row_groups_pruned_dynamic_filter.add(1);
                continue;
            }
            self.current = Some(GroupStream::new(file, group, &self.run.context)?);
        }
    }

    fn limited(&mut self, morsel: Morsel) -> Result<Morsel> {
        let Some(left) = &mut self.left else {
            return Ok(morsel);
        };
        let rows = morsel.rows().min(*left);
        *left -= rows;
        morsel.slice(0, rows)
    }
}
