//! What a scan or a lifted chain asked of the device, as metrics of its node.

use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder, Time};
use parking_lot::Mutex;
use staffa_cuda::Snapshot;

/// A lane's figures. They appear only where a device was used.
pub(super) struct DeviceMetrics {
    /// Morsels that the device made.
    pub(super) morsels: Count,
    /// Times the lane waited for the device, without holding its thread.
    pub(super) awaits: Count,
    /// Morsels that were done again on the CPU: bad bytes, a row that DataFusion decides, memory, faults.
    pub(super) failed_morsels: Count,
    /// Row groups of files that the device does not read.
    pub(super) refused_groups: Count,
    /// Columns that the CPU decoded beside those of the device, counted once a morsel.
    pub(super) riding: Count,
    /// Row groups of which the page index leaves scattered pages, which the CPU reads.
    pub(super) selected_groups: Count,
    /// Row groups too small to pay on the device, which the CPU reads in `auto`.
    pub(super) small_groups: Count,
    /// Lanes for which the device had no stream or memory.
    pub(super) lanes_refused: Count,
    launches: Count,
    uploads: Count,
    upload_bytes: Count,
    downloads: Count,
    download_bytes: Count,
    waits: Count,
    wait_time: Time,
    kernel_time: Time,
    /// From asking for a morsel's work until its rows are on the host: what the estimate stands beside.
    pub(super) morsel_time: Time,
    last: Mutex<Snapshot>,
}

/// A lane's figures of an aggregation, which appear at its node.
pub(super) struct GroupMetrics {
    /// Morsels that the device has counted.
    pub(super) morsels: Count,
    /// Their rows.
    pub(super) rows: Count,
    /// Groups that came to the host as partial states.
    pub(super) groups: Count,
    /// Times that groups came to the host.
    pub(super) downloads: Count,
    /// Groups of other lanes that the device has merged with this one's.
    pub(super) merged: Count,
    /// Times that a table got more room.
    pub(super) growths: Count,
    /// Morsels that found no room, or whose groups were lost: the CPU does them.
    pub(super) left: Count,
}

/// A lane's figures of a chain that the host's rows are lifted to, which appear at its first node.
pub(super) struct LiftMetrics {
    /// Morsels of the device's, each of many of the host's.
    pub(super) morsels: Count,
    /// Their rows.
    pub(super) rows: Count,
    /// Rows that went on as they came, with the CPU doing the chain: those of groups that came to nothing included.
    pub(super) left: Count,
}

impl LiftMetrics {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, lane: usize) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, lane);
        Self {
            morsels: count("gpu_lifted_morsels"),
            rows: count("gpu_lifted_rows"),
            left: count("gpu_unlifted_rows"),
        }
    }
}

impl GroupMetrics {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, lane: usize) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, lane);
        Self {
            morsels: count("gpu_grouped_morsels"),
            rows: count("gpu_grouped_rows"),
            groups: count("gpu_groups"),
            downloads: count("gpu_group_downloads"),
            merged: count("gpu_merged_groups"),
            growths: count("gpu_table_growths"),
            left: count("gpu_ungrouped_morsels"),
        }
    }
}

impl DeviceMetrics {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, lane: usize) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, lane);
        let time = |name: &'static str| MetricBuilder::new(metrics).subset_time(name, lane);
        Self {
            morsels: count("gpu_morsels"),
            awaits: count("gpu_awaits"),
            failed_morsels: count("gpu_failed_morsels"),
            refused_groups: count("gpu_refused_row_groups"),
            riding: count("gpu_riding_columns"),
            selected_groups: count("gpu_page_selected_row_groups"),
            small_groups: count("gpu_small_row_groups"),
            lanes_refused: count("gpu_refused_lanes"),
            launches: count("gpu_launches"),
            uploads: count("gpu_uploads"),
            upload_bytes: count("gpu_upload_bytes"),
            downloads: count("gpu_downloads"),
            download_bytes: count("gpu_download_bytes"),
            waits: count("gpu_blocking_waits"),
            wait_time: time("gpu_blocking_wait_time"),
            kernel_time: time("gpu_kernel_time"),
            morsel_time: time("gpu_morsel_time"),
            last: Mutex::default(),
        }
    }

    /// Adds what came since the last call.
    pub(super) fn record(&self, now: &Snapshot) {
        let mut last = self.last.lock();
        let added = now.since(*last);
        *last = *now;
        drop(last);
        let figure = |count: &Count, value: u64| count.add(usize::try_from(value).unwrap_or(0));
        figure(&self.launches, added.launches);
        figure(&self.uploads, added.uploads);
        figure(&self.upload_bytes, added.upload_bytes);
        figure(&self.downloads, added.downloads);
        figure(&self.download_bytes, added.download_bytes);
        figure(&self.waits, added.waits);
        self.wait_time.add_duration(std::time::Duration::from_nanos(added.wait_ns));
        self.kernel_time.add_duration(std::time::Duration::from_nanos(added.device_ns));
    }
}
