//! Tests in processes of their own: with faults of the emulated driver on demand, and its strictest checks when
//! the process ends.

use std::process::Command;
use std::time::{Duration, Instant};

use staffa::report;
use staffa_harness::Run;

use crate::figures;

/// An ignored test of this program, to run alone.
pub(crate) struct Child {
    command: Command,
}

impl Child {
    /// `None`, with a note, where the driver is not the emulated one.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if std::env::var_os("STAFFA_EMULATED_KERNELS").is_none() {
            eprintln!("SKIPPED: needs scripts/with-emulated-gpu");
            return None;
        }
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", test, "--ignored", "--nocapture"]);
        // What is alive when the process ends, and whatever else the driver finds, fails it.
        command.env("STAFFA_EMULATOR_LEAKS", "error").env("STAFFA_EMULATOR_STRICT_EXIT", "1");
        Some(Self { command })
    }

    /// With faults: docs/design/emulator.md says how they are written.
    pub(crate) fn faults(mut self, faults: &str) -> Self {
        self.command.env("STAFFA_EMULATOR_FAULTS", faults);
        self
    }

    /// With so many devices.
    pub(crate) fn devices(mut self, count: u32) -> Self {
        self.command.env("STAFFA_EMULATOR_DEVICES", count.to_string());
        self
    }

    /// Runs it; what it told with [`tell`].
    pub(crate) fn told(mut self) -> Vec<String> {
        let outcome = self.command.output().expect("a child");
        let text = String::from_utf8_lossy(&outcome.stdout);
        let errors = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "{:?}: {text}\n{errors}", self.command);
        let told = text.lines().filter_map(|line| line.split_once(TOLD));
        told.map(|(_, what)| what.to_string()).collect()
    }
}

const TOLD: &str = "the child tells: ";

/// A line for the parent. Starts one: the harness may have begun another.
pub(crate) fn tell(what: &str) {
    println!("\n{TOLD}{what}");
}

/// Closes the GPUs, once everything is dropped that held them: what the driver then still has, leaks.
pub(crate) fn close() {
    let began = Instant::now();
    // Tasks of a stream that was dropped may just be ending.
    while staffa::release_gpus() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "somebody holds a GPU");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Who made the rows of a query that was meant for the device: `device`, for all of it; `cpu`, since no node
/// was placed there; else what went wrong on the way.
pub(crate) fn went(run: &Run) -> &'static str {
    let figures = figures(&run.plan);
    let of = |name: &str| figures.get(name).copied().unwrap_or(0);
    match (report(&run.plan).gpu_nodes(), of("morsels"), of("failed_morsels")) {
        (0, 0, 0) => "cpu",
        (_, 0, 0) if of("refused_lanes") > 0 => "no lane",
        (_, 0, 0) => "nothing",
        (_, 0, _) => "failed",
        (_, _, 0) => "device",
        _ => "failed in part",
    }
}
