//! `staffa.*` settings: DataFusion's `SET staffa.x = y`, with `STAFFA_*` environment twins.

use std::fmt;
use std::str::FromStr;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::{DataFusionError, Result, config_err};
use staffa_engine::cuda::{Bytes, DeviceLimit, GpuLimits};

/// Where accelerated nodes may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// On a GPU where that is estimated to be faster, else on the CPU engine.
    #[default]
    Auto,
    /// On a GPU wherever it can.
    Gpu,
    /// On the CPU engine only.
    Cpu,
}

/// What to do with a node that no Staffa engine takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnsupported {
    /// Leave it with DataFusion, with a reason.
    #[default]
    Fallback,
    /// Fail the query at planning (sources and scalar-subquery wrappers excepted).
    Error,
}

macro_rules! words {
    ($t:ty { $($variant:ident = $word:literal),+ }) => {
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
        impl FromStr for $t {
            type Err = String;
            fn from_str(s: &str) -> Result<Self, String> {
                match s.to_ascii_lowercase().as_str() {
                    $($word => Ok(Self::$variant),)+
                    other => Err(format!("'{other}' is not one of: {}", [$($word),+].join(", "))),
                }
            }
        }
    };
}
words!(Device { Auto = "auto", Gpu = "gpu", Cpu = "cpu" });
words!(OnUnsupported { Fallback = "fallback", Error = "error" });

/// A setting's key behind `staffa.`: the field's name, unless it says another.
macro_rules! key {
    ($name:ident) => {
        stringify!($name)
    };
    ($name:ident $key:literal) => {
        $key
    };
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident $(as $key:literal)?: $t:ty = $default:expr),+ $(,)?) => {
        /// The `staffa.*` settings of a session.
        #[derive(Debug, Clone, PartialEq)]
        pub struct StaffaConfig { $($(#[doc = $doc])+ pub $name: $t),+ }

        impl Default for StaffaConfig {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }

        impl StaffaConfig {
            /// Every setting with its default and its documentation.
            pub fn documentation() -> Vec<(&'static str, String, &'static str)> {
                let default = Self::default();
                vec![$((concat!("staffa.", key!($name $($key)?)), default.$name.to_string(),
                        concat!($($doc, "\n"),+))),+]
            }
        }

        impl ExtensionOptions for StaffaConfig {
            fn as_any(&self) -> &dyn std::any::Any { self }
            fn as_any_mut(&mut self) -> &mut dyn std::any::Any { self }
            fn cloned(&self) -> Box<dyn ExtensionOptions> { Box::new(self.clone()) }
            fn set(&mut self, key: &str, value: &str) -> Result<()> {
                match key {
                    $(key!($name $($key)?) => {
                        self.$name = value.trim().parse().map_err(|e| DataFusionError::Configuration(
                            format!("staffa.{key}: cannot take '{value}': {e}")))?;
                        Ok(())
                    })+
                    other => config_err!("staffa.{other}: no such setting; there are: {}",
                        [$(key!($name $($key)?)),+].join(", ")),
                }
            }
            fn entries(&self) -> Vec<ConfigEntry> {
                vec![$(ConfigEntry {
                    key: concat!("staffa.", key!($name $($key)?)).to_string(),
                    value: Some(self.$name.to_string()),
                    description: concat!($($doc),+).trim_ascii(),
                }),+]
            }
        }
    };
}

settings! {
    /// Whether plans are accelerated at all.
    enabled: bool = true,
    /// Where accelerated nodes may run: auto, gpu or cpu.
    device: Device = Device::Auto,
    /// What to do with a node no engine takes: fallback (to DataFusion, with a reason) or error.
    on_unsupported: OnUnsupported = OnUnsupported::Fallback,
    /// A plan whose sources hold fewer rows stays as DataFusion made it; 0 accelerates everything.
    min_rows: usize = 4096,
    /// Threads of the CPU engine's compute pool; 0 takes one per core.
    threads: usize = 0,
    /// Rows in a morsel on the CPU engine.
    morsel_rows: usize = 16384,
    /// Device memory that may be taken: an amount, as 4GiB, or a part of what is free, as 80%.
    memory_device_limit as "memory.device_limit": DeviceLimit = GpuLimits::default().device,
    /// Host memory that may be pinned for copies to and from the device: 2GiB.
    memory_pinned_limit as "memory.pinned_limit": Bytes = GpuLimits::default().pinned,
}

impl ConfigExtension for StaffaConfig {
    const PREFIX: &'static str = "staffa";
}

impl StaffaConfig {
    /// What the GPU may take.
    pub fn gpu_limits(&self) -> GpuLimits {
        GpuLimits { device: self.memory_device_limit, pinned: self.memory_pinned_limit }
    }

    /// The defaults, overridden by the environment: `STAFFA_MIN_ROWS=0` sets `staffa.min_rows`.
    ///
    /// # Errors
    /// A value that its setting cannot take.
    pub fn from_env() -> Result<Self> {
        let mut config = Self::default();
        for (key, _, _) in Self::documentation() {
            let key = key.trim_start_matches("staffa.");
            if let Ok(value) = std::env::var(variable(key)) {
                config.set(key, &value)?;
            }
        }
        Ok(config)
    }
}

/// `memory.device_limit` is set by `STAFFA_MEMORY_DEVICE_LIMIT`.
fn variable(key: &str) -> String {
    format!("STAFFA_{}", key.replace('.', "_").to_ascii_uppercase())
}
