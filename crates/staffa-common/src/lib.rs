//! Errors with fault classes, reason codes and identifiers shared by all Staffa packages.
#![forbid(unsafe_code)]

mod fault;
mod reason;

pub use fault::{FaultClass, StaffaError};
pub use reason::{Reason, ReasonCode};
