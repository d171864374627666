//! The GPU: driver, devices, kernels, memory, and what the engine makes of them.

use std::fmt::Write;
use std::time::Instant;

use staffa::StaffaConfig;
use staffa_cuda::{DeviceReport, probe};

/// The findings, and whether sessions can use a GPU.
pub(super) fn describe(config: Option<&StaffaConfig>) -> (bool, String) {
    let mut text = String::from("\nGPU\n");
    let found = probe(true);
    let driver = match &found.driver {
        Ok(version) => format!("CUDA {}.{}", version / 1000, version % 1000 / 10),
        Err(reason) => reason.to_string(),
    };
    // Writing to a String does not fail.
    let _ = writeln!(text, "  driver           {driver}");
    for device in &found.devices {
        let _ = writeln!(text, "  {:<16} {}", format!("gpu:{}", device.ordinal), line(device));
    }
    let _ = writeln!(text, "  kernels          {}", kernels());
    let config = config.cloned().unwrap_or_default();
    let gpu = match staffa::gpu(&config) {
        Ok(gpu) => gpu,
        Err(reason) => {
            let _ = writeln!(text, "  engine           none, everything runs on the CPU: {reason}");
            return (false, text);
        }
    };
    let budget = mib(gpu.usage().budget_bytes);
    let _ = writeln!(text, "  engine           {} with a budget of {budget} MiB", gpu.name());
    let began = Instant::now();
    let measured = match staffa::figures(&gpu) {
        Ok(figures) => format!("{figures} (in {} ms)", began.elapsed().as_millis()),
        Err(reason) => reason.to_string(),
    };
    let _ = writeln!(text, "  measured         {measured}");
    (true, text)
}

fn line(device: &DeviceReport) -> String {
    let Some(limits) = &device.limits else {
        let why = device.unusable.as_ref().map_or_else(String::new, ToString::to_string);
        return format!("unknown: {why}");
    };
    let mut line = format!(
        "{}, compute capability {}, {} multiprocessors, {} MiB",
        limits.name,
        limits.capability,
        limits.multiprocessors,
        mib(limits.memory_bytes)
    );
    if let Some(free) = device.free_bytes {
        let _ = write!(line, ", {} MiB free", mib(free));
    }
    if let Some(why) = &device.unusable {
        let _ = write!(line, "; not usable: {why}");
    }
    line
}

fn kernels() -> String {
    match staffa_kernels::availability() {
        Ok(()) => {
            let modules = staffa_kernels::MODULES;
            let kernels: usize = modules.iter().map(|module| module.kernels.len()).sum();
            format!("{kernels} in {} modules", modules.len())
        }
        Err(why) => format!("none in this build: {why}"),
    }
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}
