//! Speed of the kernels that move whole rows, on a device: `cargo bench -p staffa-kernels --bench rows [FILTER]`.
//!
//! As the Parquet kernels' benchmark: the median of 11 launches after 3 that are not counted, `--smoke` to show
//! that it works. Cases take 32 M rows. GB/s count what a case must at least read and write once: keys or
//! columns and row numbers, both directions; a device copy counts its bytes once, so the same work is at most
//! 200 % of it.

#[path = "../parquet/device.rs"]
#[expect(
    dead_code,
    reason = "shared with the benchmark of the Parquet kernels, which uses all of it"
)]
mod device;
mod partition;
#[path = "../../tests/parquet/random.rs"]
#[expect(dead_code, reason = "shared with the tests, which use all of it")]
mod random;
mod sort;

use device::Bench;

/// Rows of a case.
fn rows(bench: &Bench) -> u32 {
    if bench.smoke { 5000 } else { 32 << 20 }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let smoke = arguments.iter().any(|a| a == "--smoke");
    let filter = arguments.into_iter().find(|a| !a.starts_with("--")).unwrap_or_default();
    match Bench::open(smoke, filter) {
        Ok(bench) => {
            for case in [partition::ids, partition::columns, sort::numbers, sort::columns] {
                if let Err(error) = case(&bench) {
                    println!("failed: {error}");
                }
            }
        }
        Err(error) => println!("no device: {error}"),
    }
}
