//! Pipelines, their scheduler and the CPU engine.
//!
//! A *region* is a connected set of Staffa nodes ([`plan::Node`]). On its first poll it is compiled
//! into pipelines ([`plan::Pipeline`]): a source, a chain of operators, and a sink that ends at a
//! breaker (hash build, aggregation, sort, exchange) or streams out. The scheduler ([`run`]) opens
//! *lanes* of a pipeline (sequential streams of [`Morsel`]s), drives them into sinks, and hands the
//! sealed result to the pipelines that read it. See docs/design/engine.md.
#![deny(unsafe_code)]

pub mod bound;
pub mod buffers;
pub mod context;
pub mod cpu;
pub mod cuda;
mod decimal;
pub mod engine;
mod extract;
mod like;
pub mod morsel;
pub mod plan;
pub mod run;

pub use context::{CancelFlag, RunContext, StaffaRuntime};
pub use engine::{Engine, LaneOp, LaneStream, Sealed, Sink, SinkLocal};
pub use morsel::{GroupSet, Morsel, Passed};
