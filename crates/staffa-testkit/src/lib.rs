//! Generators, the oracle and the contract tests (development only).
//!
//! Everything here compares a session with Staffa with a stock DataFusion session in the same
//! process, and takes evidence from the executed plan that Staffa nodes ran.
#![forbid(unsafe_code)]

pub mod contract;
pub mod differential;
pub mod engine;
pub mod oracle;
pub mod rng;
pub mod slt;
