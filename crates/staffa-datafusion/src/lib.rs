//! The rule that puts Staffa into a DataFusion plan: lowering, nodes, EXPLAIN, metrics, configuration.
#![forbid(unsafe_code)]

mod config;
mod display;
mod fallback;
mod first;
mod kept;
mod lower;
mod node;
mod place;
mod probe;
mod region;
mod report;
mod rule;
mod scan;
mod share;

pub use config::{Device, OnUnsupported, StaffaConfig};
pub use kept::KeptExec;
pub use node::StaffaExec;
pub use probe::{figures, set_figures};
pub use region::{compute_jobs, gpu, release_gpus};
pub use report::{NodeReport, Place, PlanReport, report};
pub use rule::{AccelerateRule, Policy, original, register, rewrite};
