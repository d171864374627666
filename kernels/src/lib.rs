//! Staffa's CUDA kernels: compiled ahead of time, embedded, and reached through typed launchers.
//!
//! The sources are `<operator>/*.cu` of this package; `docs/design/kernels.md` describes them. A build
//! without nvcc has no kernels and [`availability`] says why; everything else is the same.
#![expect(
    unsafe_code,
    reason = "a launch runs a kernel with raw arguments; every block names why they are sound"
)]

pub mod abi;
pub mod columns;
pub mod expression;
pub mod group_by;
mod images;
pub mod join;
mod kernels;
pub mod keys;
pub mod parquet;
pub mod partition;
pub mod sort;

pub use images::{MODULES, Module, availability, module};
pub use kernels::Kernels;
