//! Staffa makes Apache DataFusion fast on NVIDIA GPUs and on plain CPUs, from one binary and one plan.
//!
//! ```no_run
//! # async fn run() -> datafusion::error::Result<()> {
//! let ctx = staffa::session()?;
//! ctx.sql("SELECT 1").await?.show().await
//! # }
//! ```
#![forbid(unsafe_code)]

use datafusion::error::Result;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;

pub use staffa_common::{FaultClass, Reason, ReasonCode, StaffaError};
pub use staffa_datafusion::{
    AccelerateRule, Device, NodeReport, OnUnsupported, Place, PlanReport, Policy, StaffaConfig,
    figures, gpu, register, release_gpus, report, rewrite, set_figures,
};
pub use staffa_engine::cuda::Gpu;
pub use staffa_engine::cuda::cost::Figures;

/// A DataFusion session with Staffa in it, configured by the `STAFFA_*` environment.
///
/// # Errors
/// An environment variable with a value that its setting cannot take.
pub fn session() -> Result<SessionContext> {
    let builder = SessionStateBuilder::new().with_default_features();
    let state = register(builder, StaffaConfig::from_env()?).build();
    Ok(SessionContext::new_with_state(state))
}

/// Compiles the README's Rust, so that it can't go stale.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
