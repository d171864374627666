//! The engines that answers and times are taken from, each in a session of its own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use staffa::{Device, Reason, StaffaConfig};

/// Who runs a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// DataFusion as published, with no Staffa in the session: the reference.
    DataFusion,
    /// Staffa with `staffa.device = cpu`.
    Cpu,
    /// Staffa with `staffa.device = gpu`.
    Gpu,
    /// DuckDB, through Python: [`crate::python`].
    DuckDb,
    /// Polars' streaming engine, through Python.
    Polars,
}

/// What all sessions of a comparison have in common.
#[derive(Debug, Clone, Default)]
pub struct SessionOptions {
    /// `datafusion.execution.target_partitions`; the number of cores when `None`.
    pub target_partitions: Option<usize>,
    /// `datafusion.execution.batch_size`, in rows; DataFusion's default when `None`.
    pub batch_size: Option<usize>,
    /// Limit of each session's memory pool, in bytes; no limit when `None`.
    pub memory_limit_bytes: Option<usize>,
}

impl Engine {
    /// All engines, the reference first.
    pub const ALL: [Self; 5] = [Self::DataFusion, Self::Cpu, Self::Gpu, Self::DuckDb, Self::Polars];

    /// The name used on command lines and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::DataFusion => "datafusion",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::DuckDb => "duckdb",
            Self::Polars => "polars",
        }
    }

    /// Whether Staffa is expected to run nodes of the plan.
    pub fn is_accelerated(self) -> bool {
        matches!(self, Self::Cpu | Self::Gpu)
    }

    /// Whether it runs in a process of its own, and has no session.
    pub fn is_python(self) -> bool {
        matches!(self, Self::DuckDb | Self::Polars)
    }

    /// What a name stands for that a report has only as text.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// A fresh session of this engine. Accelerated ones take the `STAFFA_*` environment, then
    /// their device and `staffa.min_rows = 0`, so that small inputs are accelerated too.
    ///
    /// # Errors
    /// [`Engine::Gpu`] where no GPU can be used, with the reason; a bad value in the environment; an
    /// engine in Python.
    pub fn session(self, options: &SessionOptions) -> Result<SessionContext> {
        let device = match self {
            Self::DataFusion => None,
            Self::Cpu => Some(Device::Cpu),
            Self::Gpu => Some(Device::Gpu),
            Self::DuckDb | Self::Polars => {
                return Err(DataFusionError::Configuration(format!(
                    "engine '{self}' runs in Python, so only staffa bench has it"
                )));
            }
        };
        if device == Some(Device::Gpu) {
            staffa::gpu(&StaffaConfig::from_env()?).map_err(no_gpu)?;
        }
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = options.memory_limit_bytes {
            runtime = runtime.with_memory_pool(Arc::new(FairSpillPool::new(bytes)));
        }
        let builder = SessionStateBuilder::new()
            .with_default_features()
            .with_config(options.config())
            .with_runtime_env(runtime.build_arc()?);
        let builder = match device {
            None => builder,
            Some(device) => {
                let config = StaffaConfig { device, min_rows: 0, ..StaffaConfig::from_env()? };
                staffa::register(builder, config)
            }
        };
        Ok(SessionContext::new_with_state(builder.build()))
    }
}

impl SessionOptions {
    fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::new();
        if let Some(partitions) = self.target_partitions {
            config = config.with_target_partitions(partitions);
        }
        if let Some(rows) = self.batch_size {
            config = config.with_batch_size(rows);
        }
        config
    }
}

fn no_gpu(reason: Reason) -> DataFusionError {
    DataFusionError::NotImplemented(format!("engine 'gpu': {reason}; use 'datafusion' and 'cpu'"))
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|e| e.name().eq_ignore_ascii_case(word.trim()));
        known.ok_or_else(|| {
            format!("'{word}' is not one of: {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}
