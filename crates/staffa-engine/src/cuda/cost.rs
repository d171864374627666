//! What a scan costs on the device and on the CPU, as far as it can be told before it runs.
//!
//! The figures are those of a PCIe 4 card and of one core of this decade, rounded against the device:
//! until a start-up probe measures the node, they only have to keep small scans off the device.

use crate::engine::Cost;

/// Bytes a nanosecond over the link, from pinned memory: PCIe 4 x16 gives 22 to 25.
const LINK_BYTES_PER_NS: f64 = 12.0;
/// A launch with its arguments, descriptors and the stream's work for it.
const LAUNCH_NS: f64 = 8_000.0;
/// Waiting for a count and for the columns, per morsel.
const MORSEL_WAIT_NS: f64 = 60_000.0;
/// Bytes a nanosecond that decoding and evaluating write, all kernels together.
const KERNEL_BYTES_PER_NS: f64 = 50.0;
/// Launches for a column of a morsel: decompression, levels, indexes, values.
const LAUNCHES_PER_COLUMN: f64 = 5.0;
/// What the CPU decoder and DataFusion's expressions take per value, on one core.
const CPU_VALUE_NS: f64 = 2.0;

/// What is known of a scan before it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ScanSize {
    /// Rows, all row groups together.
    pub rows: f64,
    /// Row groups.
    pub morsels: f64,
    /// Columns that are decoded.
    pub columns: f64,
    /// Bytes of them in the files.
    pub file_bytes: f64,
    /// Bytes of a row of the columns that go on.
    pub output_row_bytes: f64,
    /// Threads of the CPU engine.
    pub threads: f64,
}

impl ScanSize {
    /// On the device.
    pub fn gpu(&self) -> Cost {
        let decoded = self.rows * self.columns * 8.0;
        let launches = self.morsels * (self.columns * LAUNCHES_PER_COLUMN + 2.0);
        let back = self.rows * self.output_row_bytes;
        Cost {
            run_ns: launches * LAUNCH_NS
                + self.morsels * MORSEL_WAIT_NS
                + decoded / KERNEL_BYTES_PER_NS,
            transfer_ns: (self.file_bytes + back) / LINK_BYTES_PER_NS,
        }
    }

    /// On the CPU engine.
    pub fn cpu(&self) -> Cost {
        let values = self.rows * (self.columns + 1.0);
        Cost { run_ns: values * CPU_VALUE_NS / self.threads.max(1.0), transfer_ns: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_scans_stay_and_large_ones_go() {
        let scan = |rows: f64| ScanSize {
            rows,
            morsels: (rows / 1e6).ceil(),
            columns: 4.0,
            file_bytes: rows * 20.0,
            output_row_bytes: 16.0,
            threads: 4.0,
        };
        let total = |cost: Cost| cost.run_ns + cost.transfer_ns;
        assert!(total(scan(6e4).gpu()) > total(scan(6e4).cpu()));
        let one_core = ScanSize { threads: 1.0, ..scan(6e7) };
        assert!(total(one_core.gpu()) < total(one_core.cpu()));
    }
}
