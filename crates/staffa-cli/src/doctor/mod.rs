//! `staffa doctor`: what this machine offers, what is set, and whether acceleration works.

mod features;
mod gpu;
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
    let config = StaffaConfig::from_env();
    let (has_gpu, gpu) = gpu::describe(config.as_ref().ok());
    text.push_str(&gpu);
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
    if !has_gpu {
        return Ok(ok);
    }
    let (gpu_ok, lines) = match selftest::gpu().await {
        Ok(passed) => (true, passed),
        Err(failed) => (false, failed),
    };
    print(&format!("  GPU {lines}\n"))?;
    Ok(ok && gpu_ok)
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
