//! Sqllogictest files on stock DataFusion and on Staffa, compared record by record.
//!
//! DataFusion's own files come from the `datafusion-sqllogictest` package, through its contexts,
//! parser and normalisation. A file runs whole on a stock session, then whole on one with Staffa;
//! then the two runs are laid side by side:
//!
//! - a record that passes on stock must pass with Staffa, or give the same rows where SQL leaves
//!   their order open (the sort keys that the stock plan declares must come in the same sequence);
//! - EXPLAIN records are excluded and counted: plans are meant to differ;
//! - a record that fails on stock too (mostly data that the package does not carry) may still run:
//!   then both answers are compared, and what differs is counted apart.

mod files;
mod probe;
mod report;
mod run;
mod standin;

pub use files::{Workplace, own_files};
pub use report::{FileReport, Report};
pub use run::{compare_file, compare_files};
