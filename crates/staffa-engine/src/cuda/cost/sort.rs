//! What a sort costs on the device and on the CPU.

use arrow::datatypes::DataType;

use super::{Estimate, Figures};
use crate::engine::Cost;

/// Launches beside one a digit: keys, counts, starts.
const LAUNCHES_PER_ROUND: f64 = 3.0;
/// Launches of what is sorted again because it tied: who ties, their list, keys, counts, starts, places.
const LAUNCHES_PER_TIES: f64 = 7.0;
/// Bytes of a key and a row number that a pass reads and writes, of 64 and of 128 bits.
const NARROW_PASS_BYTES: f64 = 24.0;
const WIDE_PASS_BYTES: f64 = 40.0;
/// A pass is thought to reach half of what a copy does; nothing was measured.
const PASS_PART: f64 = 2.0;
/// Bits that the first round sorts by.
const FIRST_BITS: f64 = 128.0;
/// What a string is taken for: its first bytes, and one more round of as many.
const STRING_BITS: f64 = 68.0;
const STRING_BYTES: f64 = 32.0;
/// Operations that comparing two entries takes on the CPU: some 2 ns where one takes 0.4.
const COMPARE_OPERATIONS: f64 = 5.0;
/// The same for keys in row format, which are made first.
const WIDE_COMPARE_OPERATIONS: f64 = 10.0;
/// Rows over which what a row costs is worked out.
const ROWS: f64 = 1e6;

/// What is known of a sort before it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SortSize {
    /// Rows, all sorts together.
    pub rows: f64,
    /// Sorts that these rows are dealt to.
    pub sorts: f64,
    /// Key columns.
    pub keys: f64,
    /// Bits of a row's key, as far as its first round goes.
    pub bits: f64,
    /// Rounds behind the first one.
    pub rounds: f64,
    /// Bytes of a row's key columns.
    pub bytes: f64,
    /// Threads of the CPU engine.
    pub threads: f64,
}

impl SortSize {
    /// Of sorts by keys of these types.
    pub fn new(rows: f64, sorts: f64, types: &[DataType], threads: usize) -> Self {
        let (mut bits, mut bytes, mut strings) = (0.0, 0.0, 0.0);
        for of in types {
            match of.primitive_width() {
                Some(width) => {
                    bits += 8.0 * width as f64 + 1.0;
                    bytes += width as f64;
                }
                None if *of == DataType::Boolean => bits += 2.0,
                None => {
                    bits += STRING_BITS;
                    bytes += STRING_BYTES;
                    strings += 1.0;
                }
            }
        }
        let rounds = strings + ((bits - FIRST_BITS) / FIRST_BITS).ceil().max(0.0);
        let (keys, threads) = (types.len() as f64, threads as f64);
        Self { rows, sorts, keys, bits: bits.min(FIRST_BITS), rounds, bytes, threads }
    }

    /// At both places. Gathering the rows in order is the CPU's at either.
    pub fn estimate(&self, figures: &Figures) -> Estimate {
        Estimate { gpu: self.gpu(figures), cpu: self.cpu(figures) }
    }

    /// Rows that a sort must have so that the device takes no longer for it; all there are where no row gains.
    pub fn least_rows(&self, figures: &Figures) -> u64 {
        let of = |rows: f64| Self { rows, sorts: 1.0, ..*self }.estimate(figures);
        let (none, some) = (of(0.0), of(ROWS));
        let fixed = none.gpu.total_ns();
        let gain = some.cpu.total_ns() - (some.gpu.total_ns() - fixed);
        if gain <= 0.0 {
            return u64::MAX;
        }
        (fixed * ROWS / gain).ceil() as u64
    }

    fn gpu(&self, figures: &Figures) -> Cost {
        let digits = (self.bits / 8.0).ceil();
        let wide = self.bits > 64.0;
        let pass_bytes = if wide { WIDE_PASS_BYTES } else { NARROW_PASS_BYTES };
        let rounds = self.rounds + 1.0;
        let launches =
            self.sorts * (LAUNCHES_PER_ROUND + digits * rounds + LAUNCHES_PER_TIES * self.rounds);
        let moved = self.rows * digits * rounds * pass_bytes * PASS_PART;
        let there = self.rows * self.bytes;
        Cost {
            run_ns: launches * figures.launch_ns
                + self.sorts * rounds * figures.wait_ns
                + self.rows * self.keys * figures.gpu_value_ns
                + moved / figures.device_copy_bytes_per_ns,
            // Keys are copied to pinned memory before, at a rate like the link's.
            transfer_ns: 2.0 * there / figures.to_device_bytes_per_ns
                + 4.0 * self.rows / figures.to_host_bytes_per_ns,
        }
    }

    fn cpu(&self, figures: &Figures) -> Cost {
        let narrow = self.keys <= 1.0 && self.bits <= 65.0;
        let compare = if narrow { COMPARE_OPERATIONS } else { WIDE_COMPARE_OPERATIONS };
        let compares = self.rows * (self.rows / self.sorts.max(1.0)).max(2.0).log2();
        let run_ns = compares * compare * figures.cpu_operation_ns / self.threads.max(1.0);
        Cost { run_ns, transfer_ns: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    fn of(rows: f64, types: &[DataType]) -> SortSize {
        SortSize::new(rows, 1.0, types, 4)
    }

    #[test]
    fn large_sorts_go_and_small_ones_stay() {
        for types in [&[DataType::Int64][..], &[DataType::Utf8, DataType::Int32]] {
            assert!(of(6e7, types).estimate(&FAST).favours_gpu(1.5));
            assert!(!of(1e3, types).estimate(&FAST).favours_gpu(1.0));
            let least = of(6e7, types).least_rows(&FAST) as f64;
            assert!(least > 1e3 && least < 1e6, "{types:?}: {least}");
        }
        let dealt = SortSize { sorts: 1e5, ..of(6e7, &[DataType::Int64]) };
        assert!(!dealt.estimate(&FAST).favours_gpu(1.0));
    }

    #[test]
    fn slow_links_and_slow_devices_get_nothing() {
        let slow = Figures { to_device_bytes_per_ns: 0.2, to_host_bytes_per_ns: 0.2, ..FAST };
        assert!(!of(6e7, &[DataType::Utf8]).estimate(&slow).favours_gpu(1.0));
        let slow = Figures { launch_ns: 1e6, gpu_value_ns: 2_000.0, ..FAST };
        for rows in [1e3, 1e6, 1e9] {
            assert!(!of(rows, &[DataType::Int64]).estimate(&slow).favours_gpu(1.0));
        }
        assert_eq!(of(1e6, &[DataType::Int64]).least_rows(&slow), u64::MAX);
    }

    #[test]
    fn what_ties_costs_rounds() {
        let numbers = of(1e6, &[DataType::Int64, DataType::Int32]);
        let strings = of(1e6, &[DataType::Utf8, DataType::Int32]);
        assert_eq!((numbers.rounds, strings.rounds), (0.0, 1.0));
        let wide = of(1e6, &[DataType::Decimal256(40, 2), DataType::Int64]);
        assert_eq!((wide.bits, wide.rounds), (128.0, 2.0));
        let (a, b) = (numbers.estimate(&FAST), strings.estimate(&FAST));
        assert!(b.gpu.run_ns > a.gpu.run_ns && b.gpu.transfer_ns > a.gpu.transfer_ns);
    }
}
