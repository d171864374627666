//! Rows in order, by a device: keys go there, row numbers come back.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricBuilder};
use staffa_common::StaffaError;
use staffa_cuda::Snapshot;
use staffa_engine::cuda::Gpu;
use staffa_engine::cuda::sort::{OrderKey, OrderRows, value_order};
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::columns::RowList;
use staffa_kernels::sort::{SortColumn, sort_rows, top_rows};
use staffa_parquet::cuda::DecodeContext;

use super::grouping::Here;
use super::resident::column;

/// See the module.
#[derive(Debug)]
pub(crate) struct DeviceSort {
    gpu: Arc<Gpu>,
    /// Fewer rows are not worth it.
    least_rows: u64,
}

impl DeviceSort {
    pub(crate) fn new(gpu: &Arc<Gpu>, least_rows: u64) -> Self {
        Self { gpu: Arc::clone(gpu), least_rows }
    }

    fn sorted(
        &self,
        keys: Vec<OrderKey>,
        rows: usize,
        fetch: Option<usize>,
    ) -> Result<(Vec<u32>, Snapshot), StaffaError> {
        let rows = u32::try_from(rows).map_err(|_| StaffaError::unsupported("too many rows"))?;
        let lane = self.gpu.lane("sort")?;
        let mut slot = lane.memory.buffer::<ErrorSlot>(1, &lane.stream)?;
        slot.zero(&lane.stream)?;
        let context = Here { gpu: &self.gpu, lane: &lane }.context(&slot);
        // One after the other, so that only one stands twice on the host.
        let columns = keys.into_iter().map(|key| sort_column(&context, key));
        let columns = columns.collect::<Result<Vec<_>, StaffaError>>()?;
        let list = RowList::all(rows);
        let limit = fetch.and_then(|fetch| u32::try_from(fetch).ok()).unwrap_or(rows).min(rows);
        let order = match limit < rows {
            true => top_rows(&context.kernels, &columns, list, limit)?.rows,
            false => sort_rows(&context.kernels, &columns, list)?,
        };
        // What waits for it hears of every fault before.
        let order =
            order.slice(0..limit as usize)?.read(context.results, context.kernels.stream)?;
        Ok((order, lane.counters.snapshot()))
    }
}

impl OrderRows for DeviceSort {
    fn order(
        &self,
        keys: Vec<OrderKey>,
        fetch: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Option<Vec<u32>> {
        let chunks = keys.first().map(|key| key.chunks.iter());
        let rows: usize = chunks.into_iter().flatten().map(|chunk| chunk.len()).sum();
        let count = |name: &'static str, value: usize| {
            MetricBuilder::new(metrics).counter(name, 0).add(value);
        };
        if (rows as u64) < self.least_rows {
            count("gpu_small_sorts", 1);
            return None;
        }
        let began = Instant::now();
        let Ok((order, asked)) = self.sorted(keys, rows, fetch) else {
            count("gpu_refused_sorts", 1);
            return None;
        };
        let figure = |name, value| count(name, usize::try_from(value).unwrap_or(0));
        count("gpu_sorts", 1);
        count("gpu_sorted_rows", rows);
        figure("gpu_sort_launches", asked.launches);
        figure("gpu_sort_upload_bytes", asked.upload_bytes);
        figure("gpu_sort_download_bytes", asked.download_bytes);
        figure("gpu_sort_waits", asked.waits);
        let time = MetricBuilder::new(metrics).subset_time("gpu_sort_time", 0);
        time.add_duration(began.elapsed());
        Some(order)
    }
}

fn sort_column(context: &DecodeContext<'_>, key: OrderKey) -> Result<SortColumn, StaffaError> {
    let OrderKey { chunks, options } = key;
    let array = whole(&chunks).map_err(|error| StaffaError::unsupported(error.to_string()))?;
    drop(chunks);
    let order = value_order(array.data_type());
    let order = order.map_err(|reason| StaffaError::unsupported(reason.to_string()))?;
    Ok(SortColumn {
        column: column(context, &array)?,
        order,
        descending: options.descending,
        nulls_first: options.nulls_first,
    })
}

/// All values of a key as one array, a dictionary's as what they stand for.
fn whole(chunks: &[ArrayRef]) -> Result<ArrayRef, ArrowError> {
    let plain = |chunk: &ArrayRef| match chunk.data_type() {
        DataType::Dictionary(_, values) => cast(chunk, values),
        _ => Ok(Arc::clone(chunk)),
    };
    let chunks = chunks.iter().map(plain).collect::<Result<Vec<_>, _>>()?;
    match chunks.as_slice() {
        [one] => Ok(Arc::clone(one)),
        several => concat(&several.iter().map(|chunk| chunk.as_ref()).collect::<Vec<_>>()),
    }
}
