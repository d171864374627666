//! The CUDA engine.

pub mod expression;
