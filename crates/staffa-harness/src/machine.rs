//! What a result was measured on.

use serde::Serialize;

/// The machine and the build, as far as they can be read without privileges.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Operating system, e.g. `linux`.
    pub os: &'static str,
    /// Instruction set, e.g. `x86_64`.
    pub arch: &'static str,
    /// The processor's own name, where the system tells it.
    pub cpu: Option<String>,
    /// Hardware threads that this process may use.
    pub cores: usize,
    /// Physical memory, where the system tells it.
    pub memory_bytes: Option<u64>,
    /// Version of Staffa.
    pub staffa: &'static str,
    /// Version of DataFusion.
    pub datafusion: &'static str,
    /// `release` when debug assertions are off, else `debug`: figures of the latter mean nothing.
    pub build: &'static str,
}

impl Machine {
    /// Reads the machine that this process runs on.
    pub fn read() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            cpu: field(&cpuinfo, "model name").map(str::to_string),
            cores: cores(),
            memory_bytes: field(&meminfo, "MemTotal").and_then(kibibytes),
            staffa: env!("CARGO_PKG_VERSION"),
            datafusion: datafusion::DATAFUSION_VERSION,
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }
}

/// Hardware threads that this process may use; 1 where the system does not tell.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// Bytes of a value like `16384 kB`.
fn kibibytes(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
