//! What it takes to say "same answers, and how fast": workloads with their data, a cell-by-cell
//! comparison of answers, and timing with the engines interleaved in one process.
//!
//! | module | what |
//! |---|---|
//! | [`tpch`] | the 22 TPC-H queries, their tables as Parquet, made in parallel and cached |
//! | [`workload`] | queries plus tables, registered in a session |
//! | [`engine`] | `datafusion`, `cpu`, `gpu`: each a session of its own |
//! | [`run`] | one query from SQL to its answer, timed |
//! | [`compare`] | two answers as multisets (and in order where the query orders) |
//! | [`mod@bench`] | runs, medians, ratios; as JSON, text table and HTML |
#![forbid(unsafe_code)]

pub mod bench;
pub mod compare;
pub mod engine;
pub mod machine;
pub mod run;
pub mod tpch;
pub mod workload;

pub use engine::{Engine, SessionOptions};
pub use run::{Run, run_plan, run_query};
pub use workload::{NamedQuery, Workload};
