//! Speed of the Parquet kernels on a device: `cargo bench -p staffa-kernels --bench parquet [FILTER]`,
//! or the binary that it builds, on a machine that has a GPU and no Rust.
//!
//! Every figure is the median of 11 launches, timed by events on the stream after 3 that are not
//! counted, of 64 pages of 1 MiB or so: a morsel of a wide table. Figures are GB/s of *output* (what a
//! column holds), and the fraction of a device-to-device copy of 256 MiB on the same device, which
//! counts its bytes once. `--smoke` runs small pages once, to show that it works (the emulated driver's
//! figures mean nothing).

#[path = "../../tests/parquet/encode/mod.rs"]
#[expect(dead_code, unused_imports, reason = "shared with the tests, which use all of it")]
mod encode;
#[path = "../../tests/parquet/random.rs"]
mod random;

mod cases;
mod device;

use device::Bench;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let smoke = arguments.iter().any(|a| a == "--smoke");
    let filter = arguments.into_iter().find(|a| !a.starts_with("--")).unwrap_or_default();
    match Bench::open(smoke, filter) {
        Ok(bench) => cases::run(&bench),
        Err(error) => println!("no device: {error}"),
    }
}
