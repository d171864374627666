//! What a scan costs on the device and on the CPU, as far as it can be told before it runs.
//!
//! Pure arithmetic over [`Figures`], which a probe measures on the node itself; what is not measured is
//! structural (launches a column, waits a morsel) and pinned by tests of the engine.

mod sort;

use std::fmt;

pub use sort::SortSize;

use crate::engine::Cost;

/// Launches for a column of a morsel: decompression, levels, indexes, values. TPC-H Q1 has 37 for 7
/// columns, Q6 22 for 4.
const LAUNCHES_PER_COLUMN: f64 = 5.0;
/// Launches for a morsel's program and the lengths of its strings.
const LAUNCHES_PER_MORSEL: f64 = 2.0;
/// A morsel waits for its count and for its columns.
const WAITS_PER_MORSEL: f64 = 2.0;

/// Launches of a morsel that goes into groups, beside one for each key and each accumulator.
const LAUNCHES_PER_GROUPED: f64 = 4.0;
/// Launches of a probe, its keys and its pairs; one more a column that is gathered.
const LAUNCHES_PER_PROBE: f64 = 5.0;
/// Launches that copy and build a table, beside one a column.
const LAUNCHES_PER_BUILD: f64 = 10.0;
/// Rows over which what a row costs is worked out.
const ROWS: f64 = 1e6;

/// What a device, the link to it and a core of the CPU do, as measured on the node. None is zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Bytes a nanosecond from pinned host memory to the device.
    pub to_device_bytes_per_ns: f64,
    /// Bytes a nanosecond from the device to pinned host memory.
    pub to_host_bytes_per_ns: f64,
    /// Bytes a nanosecond that a copy within the device's memory moves.
    pub device_copy_bytes_per_ns: f64,
    /// A launch of a morsel with its arguments, descriptors and their copies.
    pub launch_ns: f64,
    /// From posting a value on an idle stream until the host has it.
    pub wait_ns: f64,
    /// The device's time for decoding a value.
    pub gpu_value_ns: f64,
    /// The device's time for an operation of a filter or projection on a row.
    pub gpu_operation_ns: f64,
    /// A core's time for decoding a value.
    pub cpu_value_ns: f64,
    /// A core's time for an operation of a filter or projection on a row.
    pub cpu_operation_ns: f64,
}

impl Figures {
    /// The better of two measurements, figure by figure.
    pub fn best(&self, other: &Self) -> Self {
        let (rate, time) = (f64::max, f64::min);
        Self {
            to_device_bytes_per_ns: rate(self.to_device_bytes_per_ns, other.to_device_bytes_per_ns),
            to_host_bytes_per_ns: rate(self.to_host_bytes_per_ns, other.to_host_bytes_per_ns),
            device_copy_bytes_per_ns: rate(
                self.device_copy_bytes_per_ns,
                other.device_copy_bytes_per_ns,
            ),
            launch_ns: time(self.launch_ns, other.launch_ns),
            wait_ns: time(self.wait_ns, other.wait_ns),
            gpu_value_ns: time(self.gpu_value_ns, other.gpu_value_ns),
            gpu_operation_ns: time(self.gpu_operation_ns, other.gpu_operation_ns),
            cpu_value_ns: time(self.cpu_value_ns, other.cpu_value_ns),
            cpu_operation_ns: time(self.cpu_operation_ns, other.cpu_operation_ns),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} GB/s to the device, {:.2} GB/s back, {:.1} GB/s within it; launch {:.1} us, wait \
             {:.1} us; decode {:.4} ns/value, compute {:.4} ns/operation; a core: {:.3} ns/value, \
             {:.3} ns/operation",
            self.to_device_bytes_per_ns,
            self.to_host_bytes_per_ns,
            self.device_copy_bytes_per_ns,
            self.launch_ns / 1e3,
            self.wait_ns / 1e3,
            self.gpu_value_ns,
            self.gpu_operation_ns,
            self.cpu_value_ns,
            self.cpu_operation_ns,
        )
    }
}

/// What is known of a scan before it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ScanSize {
    /// Rows, all row groups together.
    pub rows: f64,
    /// Row groups.
    pub morsels: f64,
    /// Columns that are decoded.
    pub columns: f64,
    /// Operations of the filter and the projection: nodes of their trees that are no leaves.
    pub operations: f64,
    /// Values of a row that go into groups: keys, and one per accumulator. 0 where the rows go on.
    pub grouped: f64,
    /// Columns that the CPU decodes at either place.
    pub riding: f64,
    /// Bytes, in the files, of the columns that are not.
    pub file_bytes: f64,
    /// Bytes of a row of the columns that go on.
    pub output_row_bytes: f64,
    /// Threads of the CPU engine.
    pub threads: f64,
    /// Joins that the rows probe.
    pub joins: JoinSize,
}

/// What is known of the joins behind a scan, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct JoinSize {
    /// How many they are.
    pub probes: f64,
    /// Keys, and columns that are gathered of a match.
    pub values: f64,
    /// Rows of the build sides.
    pub build_rows: f64,
    /// Bytes of their keys and of the columns that are read.
    pub build_bytes: f64,
}

/// What the front of a pipeline, or a sort, costs at either place.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// On the device.
    pub gpu: Cost,
    /// On the CPU engine.
    pub cpu: Cost,
}

impl ScanSize {
    /// At both places.
    pub fn estimate(&self, figures: &Figures) -> Estimate {
        Estimate { gpu: self.gpu(figures), cpu: self.cpu(figures) }
    }

    /// Rows that a morsel must have, so that the device takes no longer for it than the CPU: what it costs whatever
    /// its size, over what each row gains. All there are where no row gains.
    pub fn least_rows(&self, figures: &Figures) -> u64 {
        let of = |rows: f64| {
            let part = rows / self.rows.max(1.0);
            // Build sides are there whether this morsel goes or not.
            let joins = JoinSize { build_rows: 0.0, build_bytes: 0.0, ..self.joins };
            Self { rows, morsels: 1.0, file_bytes: self.file_bytes * part, joins, ..*self }
        };
        let (none, some) = (of(0.0).estimate(figures), of(ROWS).estimate(figures));
        let fixed = none.gpu.total_ns() - none.cpu.total_ns();
        let gain = some.cpu.total_ns() - (some.gpu.total_ns() - fixed);
        if gain <= 0.0 {
            return u64::MAX;
        }
        (fixed * ROWS / gain).ceil() as u64
    }

    /// On the device. One lane's morsels at a time: that a lane copies while another's kernels run is
    /// not counted on. All rows go back, as if the filter dropped none; those that go into groups stay. A
    /// grouped value is taken to cost what decoding one does, on both sides: neither was measured. So is a key that
    /// is probed, and a value that is gathered; no probe drops rows or makes more. Build sides are copied there, and
    /// that the CPU makes them is the same at either place.
    fn gpu(&self, figures: &Figures) -> Cost {
        let groups = if self.grouped > 0.0 { LAUNCHES_PER_GROUPED + self.grouped } else { 0.0 };
        let JoinSize { probes, values, build_rows, build_bytes } = self.joins;
        let joins = probes * LAUNCHES_PER_PROBE + values;
        let launches = self.morsels
            * (self.columns * LAUNCHES_PER_COLUMN + LAUNCHES_PER_MORSEL + groups + joins)
            + probes * LAUNCHES_PER_BUILD;
        let back = self.rows * self.output_row_bytes;
        Cost {
            run_ns: launches * figures.launch_ns
                + (self.morsels * (WAITS_PER_MORSEL + probes) + probes) * figures.wait_ns
                + self.rows * (self.columns + self.grouped + values) * figures.gpu_value_ns
                + build_rows * figures.gpu_value_ns
                + self.rows * self.operations * figures.gpu_operation_ns
                + self.riding(figures),
            transfer_ns: (self.file_bytes + build_bytes) / figures.to_device_bytes_per_ns
                + back / figures.to_host_bytes_per_ns,
        }
    }

    /// On the CPU engine, whose threads share the work evenly: morsels of a row group are dealt to all.
    fn cpu(&self, figures: &Figures) -> Cost {
        let values = self.columns + self.grouped + self.joins.values;
        let work = values * figures.cpu_value_ns + self.operations * figures.cpu_operation_ns;
        let work_ns = self.rows * work / self.threads.max(1.0);
        Cost { run_ns: work_ns + self.riding(figures), transfer_ns: 0.0 }
    }

    /// What the CPU decodes at either place: no less than any other column.
    fn riding(&self, figures: &Figures) -> f64 {
        self.rows * self.riding * figures.cpu_value_ns / self.threads.max(1.0)
    }
}

impl Estimate {
    /// Whether the device is so much faster; estimates are coarse.
    pub fn favours_gpu(&self, margin: f64) -> bool {
        self.gpu.total_ns() * margin <= self.cpu.total_ns()
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "estimated {:.2} ms with {:.2} ms of copies, {:.2} ms on the CPU",
            self.gpu.total_ns() / 1e6,
            self.gpu.transfer_ns / 1e6,
            self.cpu.total_ns() / 1e6
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// About what an H100 on PCIe 5 and a core of its host do.
    const FAST: Figures = Figures {
        to_device_bytes_per_ns: 50.0,
        to_host_bytes_per_ns: 50.0,
        device_copy_bytes_per_ns: 1_500.0,
        launch_ns: 6_000.0,
        wait_ns: 15_000.0,
        gpu_value_ns: 0.02,
        gpu_operation_ns: 0.002,
        cpu_value_ns: 1.5,
        cpu_operation_ns: 0.4,
    };

    fn scan(rows: f64) -> ScanSize {
        ScanSize {
            rows,
            morsels: (rows / 1e6).ceil(),
            columns: 4.0,
            operations: 5.0,
            grouped: 0.0,
            riding: 0.0,
            file_bytes: rows * 20.0,
            output_row_bytes: 16.0,
            threads: 4.0,
            joins: JoinSize::default(),
        }
    }

    #[test]
    fn large_scans_go_and_tiny_ones_stay() {
        assert!(scan(6e7).estimate(&FAST).favours_gpu(1.5));
        let tiny = scan(1e4).estimate(&FAST);
        assert!(!tiny.favours_gpu(1.0), "{tiny}");
        // Of a tiny one, launches and waits are all there is.
        assert!(tiny.gpu.run_ns > 22.0 * FAST.launch_ns && tiny.gpu.transfer_ns < 1e4, "{tiny}");
    }

    #[test]
    fn small_row_groups_do_not_pay() {
        let large = scan(6e7);
        let least = large.least_rows(&FAST) as f64;
        let of = |rows: f64| {
            let one = ScanSize { rows, morsels: 1.0, file_bytes: rows * 20.0, ..large };
            one.estimate(&FAST)
        };
        assert!(least > 1e4 && least < 1e6, "{least}");
        assert!(of(least + 1.0).favours_gpu(1.0) && !of(least - 1.0).favours_gpu(1.0), "{least}");
        // As many rows in so many more row groups cost their launches and waits.
        let many = ScanSize { morsels: 6e7 / (least / 2.0), ..large };
        assert!(!many.estimate(&FAST).favours_gpu(1.0));
        let slow = Figures { gpu_value_ns: 10.0, ..FAST };
        assert_eq!(large.least_rows(&slow), u64::MAX);
    }

    #[test]
    fn a_slow_link_keeps_scans_off_a_fast_device() {
        let slow = Figures { to_device_bytes_per_ns: 1.5, to_host_bytes_per_ns: 1.5, ..FAST };
        let large = scan(6e7);
        assert_eq!(large.estimate(&slow).gpu.run_ns, large.estimate(&FAST).gpu.run_ns);
        assert!(!large.estimate(&slow).favours_gpu(1.0));
        // It is the bytes: what is small in the file and leaves little goes all the same.
        let packed = ScanSize { file_bytes: 6e7, output_row_bytes: 0.0, ..large };
        assert!(packed.estimate(&slow).favours_gpu(1.5));
        // And it is the slower direction that counts.
        let back = Figures { to_host_bytes_per_ns: 0.5, ..FAST };
        assert!(!large.estimate(&back).favours_gpu(1.0));
    }

    #[test]
    fn a_device_that_computes_slowly_gets_nothing() {
        // As the emulated driver: tens of nanoseconds a value, a millisecond a launch.
        let slow = Figures {
            launch_ns: 1e6,
            gpu_value_ns: 2_000.0,
            gpu_operation_ns: 500.0,
            to_device_bytes_per_ns: 5.0,
            ..FAST
        };
        for rows in [1e3, 1e6, 1e9] {
            assert!(!scan(rows).estimate(&slow).favours_gpu(1.0));
        }
    }

    #[test]
    fn what_rides_along_dilutes_the_gain() {
        let alone = scan(6e7).estimate(&FAST);
        let with = ScanSize { riding: 20.0, ..scan(6e7) }.estimate(&FAST);
        let (on, off) = (with.gpu.run_ns - alone.gpu.run_ns, with.cpu.run_ns - alone.cpu.run_ns);
        assert!((on - off).abs() < 1.0 && on > 0.0);
        assert!(alone.favours_gpu(1.5) && !with.favours_gpu(1.5), "{with}");
    }

    #[test]
    fn what_is_grouped_need_not_come_back() {
        let slow = Figures { to_host_bytes_per_ns: 1.0, ..FAST };
        let back = scan(6e7).estimate(&slow);
        let grouped = ScanSize { grouped: 6.0, output_row_bytes: 0.0, ..scan(6e7) };
        assert!(!back.favours_gpu(1.0) && grouped.estimate(&slow).favours_gpu(1.5));
        let more = ScanSize { grouped: 12.0, ..grouped }.estimate(&slow);
        assert!(more.gpu.run_ns > grouped.estimate(&slow).gpu.run_ns);
        assert!(more.cpu.run_ns > grouped.estimate(&slow).cpu.run_ns);
        // Of a tiny one the launches decide.
        let tiny = ScanSize { grouped: 6.0, ..scan(1e4) }.estimate(&FAST).gpu.run_ns;
        assert!(tiny > scan(1e4).estimate(&FAST).gpu.run_ns + 9.0 * FAST.launch_ns);
    }

    #[test]
    fn build_sides_are_copied_there() {
        let joins = JoinSize { probes: 1.0, values: 3.0, build_rows: 1e6, build_bytes: 3e7 };
        let joined = ScanSize { joins, ..scan(6e7) };
        let (with, without) = (joined.estimate(&FAST), scan(6e7).estimate(&FAST));
        assert_eq!(with.gpu.transfer_ns - without.gpu.transfer_ns, 3e7 / 50.0);
        assert!(with.cpu.run_ns > without.cpu.run_ns && with.favours_gpu(1.5), "{with}");
        // A build side that is larger than what is saved on the rows stays where it is.
        let large = JoinSize { build_rows: 1e9, build_bytes: 3e10, ..joins };
        let large = ScanSize { joins: large, ..scan(6e7) };
        assert!(!large.estimate(&FAST).favours_gpu(1.0));
        // For a morsel it does not count.
        assert_eq!(large.least_rows(&FAST), joined.least_rows(&FAST));
    }

    #[test]
    fn threads_and_operations_count_for_the_cpu() {
        let one = ScanSize { threads: 1.0, ..scan(1e7) };
        let ratio = one.estimate(&FAST).cpu.run_ns / scan(1e7).estimate(&FAST).cpu.run_ns;
        assert_eq!(ratio, 4.0);
        let plain = ScanSize { operations: 0.0, ..one }.estimate(&FAST).cpu.run_ns;
        assert_eq!(plain, 1e7 * 4.0 * FAST.cpu_value_ns);
        assert!(one.estimate(&FAST).cpu.run_ns > plain);
    }
}
