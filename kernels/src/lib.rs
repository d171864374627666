//! Staffa's CUDA kernels: compiled ahead of time, embedded, and reached through typed launchers.
//!
//! The sources are `<operator>/*.cu` of this package. A build without nvcc has no kernels and
//! [`availability`] says why; everything else is the same.

pub mod abi;
pub mod expression;
mod images;

pub use images::{MODULES, Module, availability, module};
