//! The differential generator: one seed is one case - random tables, settings and SQL - that runs
//! on stock DataFusion and on Staffa, compared cell by cell, with evidence from the executed plan.
//!
//! ```text
//! seed -> pools of values -> tables (memory or Parquet) -> settings -> SQL
//!      -> stock answer        \
//!      -> Staffa plan, answer -> oracle -> equal | vacuous | both err | failed
//! ```
//!
//! Several engines may be under test: then each runs the same case, and the oracle is one.
//!
//! SQL is written so that its answer does not depend on the order of evaluation: a generator whose
//! queries do would accuse the innocent. Float sums run over values whose sums are exact; LIMIT
//! stands only under a total order; STDDEV and its like are compared within a tolerance and never
//! feed a comparison. A test runs stock DataFusion against itself under other settings to prove it.

mod aggregate;
mod case;
mod catalogue;
mod consume;
mod from;
mod generator;
mod order;
pub(crate) mod pool;
mod predicate;
mod progress;
mod query;
mod scalar;
mod scope;
mod settings;
mod subquery;
mod suite;
mod table;
mod window;

pub use case::{Case, Outcome, Source, Verdict};
pub use consume::Consumption;
pub use generator::Coverage;
pub use progress::Progress;
pub use suite::{Report, Suite};
