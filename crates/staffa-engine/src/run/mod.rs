//! The scheduler: runs a program's pipelines, each once, on demand, and cancels what nobody reads.

mod chain;
mod merge;
mod region;
mod share;
mod steal;
mod waker;

pub(crate) use region::own;
pub use region::{Input, Region};
pub use waker::wake_apart;
