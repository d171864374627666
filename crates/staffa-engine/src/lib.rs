//! Pipelines, their scheduler and the CPU engine.
#![forbid(unsafe_code)]
