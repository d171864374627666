//! `staffa doctor`: what this machine offers, what is set, and whether acceleration works.

mod features;
mod memory;
mod selftest;
mod settings;

use std::fmt::Write;

use datafusion::common::Result;
use staffa::StaffaConfig;
use staffa_harness::machine::{Machine, cores};

use crate::output::print;

/// Options of `staffa doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The exit code is 1 if a setting is wrong or the self-test fails.")]
pub(crate) struct Args {}

/// Prints the findings; false if something does not work.
pub(crate) async fn run(_args: Args) -> Result<bool> {
    let mut text = machine();
    text.push_str(&gpu());
    let config = StaffaConfig::from_env();
    text.push_str(&settings::describe(config.as_ref().ok()));
    print(&text)?;
    if let Err(error) = config {
        print(&format!("\nself-test\n  not run: {error}\n"))?;
        return Ok(false);
    }
    let (ok, lines) = match selftest::run().await {
        Ok(passed) => (true, passed),
        Err(failed) => (false, failed),
    };
    print(&format!("\nself-test\n  {lines}\n"))?;
    Ok(ok)
}

/// Version, processor, memory and threads.
fn machine() -> String {
    let machine = Machine::read();
    let unknown = || "unknown".to_string();
    let memory = memory::describe(machine.memory_bytes).unwrap_or_else(unknown);
    let (threads, origin) = compute_threads();
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write!(
        text,
        "Staffa {}, DataFusion {}, {} build\n\nmachine\n  system           {} {}\n  \
         processor        {}\n  features         {}\n  cores            {}\n  \
         memory           {memory}\n  compute threads  {threads} ({origin})\n",
        machine.staffa,
        machine.datafusion,
        machine.build,
        machine.os,
        machine.arch,
        machine.cpu.unwrap_or_else(unknown),
        features::found().join(" "),
        machine.cores,
    );
    text
}

fn compute_threads() -> (usize, &'static str) {
    match StaffaConfig::from_env().map_or(0, |config| config.threads) {
        0 => (cores(), "one per core"),
        threads => (threads, "staffa.threads"),
    }
}

/// The NVIDIA driver, found by its files: nothing is loaded.
fn gpu() -> String {
    let kernel = std::fs::read_to_string("/proc/driver/nvidia/version").ok();
    let driver = kernel.as_deref().and_then(|text| text.lines().next()).map_or_else(
        || "no NVIDIA driver found".to_string(),
        |line| line.trim_start_matches("NVRM version:").trim().to_string(),
    );
    format!(
        "\nGPU\n  driver           {driver}\n  engine           this build has no CUDA engine yet: \
         everything runs on the CPU\n"
    )
}
