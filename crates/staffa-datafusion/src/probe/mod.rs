//! What the node's GPU, the link to it and its cores do, measured per device and process.
//!
//! The first plan that a device could take asks for the figures; everything after is arithmetic
//! ([`staffa_engine::cuda::cost`]). They are measured on a thread of their own ([`verdict`]), for which a
//! plan waits a few seconds at most, and again from time to time. Both sides do the same small work ([`work`]): a row group in memory
//! is decoded, filtered and projected, on one core by the CPU decoder and DataFusion's expressions, on
//! the device by the kernels that a scan uses. Two sizes tell what a launch costs from what a row costs;
//! with and without the program, decoding from computing.
//!
//! Real devices take some tens of milliseconds, most of them the first loading of kernels, which a query
//! needs anyway. A device on which even the small size is slow (the emulated one) is not asked for more.

mod cpu;
mod device;
mod verdict;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use staffa_common::{Reason, StaffaError};
use staffa_engine::cuda::Gpu;
use staffa_engine::cuda::cost::Figures;

use verdict::{Pace, Verdict};

/// A device takes some tens of milliseconds, the first time perhaps a second.
const PACE: Pace = Pace {
    limit: Duration::from_secs(5),
    pause: Duration::from_secs(10),
    fresh: Duration::from_secs(60),
    longest: Duration::from_secs(3600),
};

/// The figures of a device, measured when first asked for, and again now and then beside what runs.
///
/// # Errors
/// Why there are none, yet or for some time: the device then gets nothing unless a setting says so.
pub fn figures(gpu: &Arc<Gpu>) -> Result<Figures, Reason> {
    let device = Arc::clone(gpu);
    of(gpu).ask(gpu.usage().budget_bytes, move || measure(&device))
}

/// Has plans take these figures of a device until it is measured again, a minute later or more: an embedder
/// that knows its machines spares their first plan the measuring.
pub fn set_figures(gpu: &Gpu, figures: Figures) {
    of(gpu).set(figures);
}

fn of(gpu: &Gpu) -> Arc<Verdict> {
    static KNOWN: LazyLock<Mutex<HashMap<u32, Arc<Verdict>>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock();
    Arc::clone(known.entry(gpu.ordinal()).or_insert_with(|| Arc::new(Verdict::new(PACE))))
}

fn measure(gpu: &Gpu) -> Result<Figures, StaffaError> {
    let work = work::Work::new()?;
    let core = cpu::measure(&work)?;
    let device = device::measure(gpu, &work)?;
    Ok(Figures {
        to_device_bytes_per_ns: device.to_device,
        to_host_bytes_per_ns: device.to_host,
        device_copy_bytes_per_ns: device.copy,
        launch_ns: device.launch_ns,
        wait_ns: device.wait_ns,
        gpu_value_ns: device.value_ns,
        gpu_operation_ns: device.operation_ns,
        cpu_value_ns: core.value_ns,
        cpu_operation_ns: core.operation_ns,
    })
}

/// The shortest of some runs, in nanoseconds: whatever else the machine does only adds to it.
fn shortest(
    runs: usize,
    mut run: impl FnMut() -> Result<(), StaffaError>,
) -> Result<f64, StaffaError> {
    let mut best = f64::INFINITY;
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_nanos() as f64);
    }
    // A clock that stood still would make rates infinite.
    Ok(best.max(1.0))
}
