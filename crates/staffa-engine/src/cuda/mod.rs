//! The CUDA engine: the device that regions share, where it pays, and expressions on it.
//!
//! A pipeline's scan, filter and projection go to the device together ([`crate::plan::Place`]); what
//! comes behind them reads morsels as from any scan. docs/design/engine.md says who decides what.

pub mod aggregate;
pub mod cost;
pub mod expression;
mod gpu;
pub mod join;
mod known;
mod limits;
pub mod sort;

pub use gpu::{Gpu, GpuLane, LEAST_FREE_BYTES, Refusal};
pub(crate) use known::KnownGpus;
pub use limits::{Bytes, DeviceLimit, GpuLimits};
