//! The scheduler: runs a program's pipelines, each once, on demand, and cancels what nobody reads.

mod chain;
mod independent;
mod merge;
mod region;
mod rows;
mod share;
mod steal;
mod waker;

use std::any::Any;

use datafusion_common::{Result, internal_err};
pub use region::{Input, Region};
pub use waker::wake_apart;

use crate::engine::SinkLocal;

/// For sinks: turns the lanes' states back into their own type.
///
/// # Errors
/// An internal error when a state is of another sink's type.
pub(crate) fn own<T: Any>(locals: Vec<Box<dyn SinkLocal>>) -> Result<Vec<T>> {
    locals
        .into_iter()
        .map(|local| match local.into_any().downcast::<T>() {
            Ok(local) => Ok(*local),
            Err(_) => internal_err!("a sink got another sink's state"),
        })
        .collect()
}
