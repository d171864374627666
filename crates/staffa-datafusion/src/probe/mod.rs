//! What the node's GPU, the link to it and its cores do, measured once per device and process.
//!
//! The first plan that a device could take asks for the figures; everything after is arithmetic
//! ([`staffa_engine::cuda::cost`]). Both sides do the same small work ([`work`]): a row group in memory
//! is decoded, filtered and projected, on one core by the CPU decoder and DataFusion's expressions, on
//! the device by the kernels that a scan uses. Two sizes tell what a launch costs from what a row costs;
//! with and without the program, decoding from computing.
//!
//! Real devices take some tens of milliseconds, most of them the first loading of kernels, which a query
//! needs anyway. A device on which even the small size is slow (the emulated one) is not asked for more.

mod cpu;
mod device;
mod work;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::Mutex;
use staffa_common::{FaultClass, Reason, ReasonCode, StaffaError};
use staffa_engine::cuda::Gpu;
use staffa_engine::cuda::cost::Figures;

/// By device.
type Known = HashMap<u32, Arc<Mutex<Option<Result<Figures, Reason>>>>>;

/// The figures of a device, measured when first asked for.
///
/// # Errors
/// Why it could not be measured: it then gets nothing unless a setting says so. Without memory for once, or
/// under a session's limit, the next one asks again.
pub fn figures(gpu: &Gpu) -> Result<Figures, Reason> {
    static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
    let known = Arc::clone(KNOWN.lock().entry(gpu.ordinal()).or_default());
    let mut known = known.lock();
    if let Some(outcome) = &*known {
        return outcome.clone();
    }
    let measured = measure(gpu);
    let lasts = !matches!(&measured, Err(error) if error.class() == FaultClass::OutOfMemory);
    let outcome = measured.map_err(|error| {
        Reason::new(ReasonCode::NoGpu, format!("measuring {} failed: {error}", gpu.name()))
    });
    if lasts {
        *known = Some(outcome.clone());
    }
    outcome
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
