//! What it takes to say "same answers, and how fast": workloads with their data, a cell-by-cell
//! comparison of answers, and timing with the engines interleaved in one process.
//!
//! | module | what |
//! |---|---|
//! | [`tpch`] | the 22 TPC-H queries, their tables as Parquet, made in parallel and cached |
//! | [`clickbench`] | the 43 ClickBench queries over a generated `hits` |
//! | [`tpcds`] | the 99 TPC-DS queries over data that a script makes |
//! | [`operators`] | joins, group-bys, exchanges and sorts over tables in memory, one at a time |
//! | [`workload`] | queries plus tables, registered in a session |
//! | [`engine`] | `datafusion`, `cpu`, `gpu`: each a session of its own |
//! | [`python`] | `duckdb`, `polars`: each a Python process of its own |
//! | [`run`] | one query from SQL to its answer, timed |
//! | [`compare`] | two answers as multisets (and in order where the query orders) |
//! | [`mod@bench`] | runs, medians, ratios; as JSON, text table and HTML |
#![forbid(unsafe_code)]

pub mod bench;
mod cache;
pub mod clickbench;
pub mod compare;
mod dice;
pub mod engine;
pub mod machine;
pub mod operators;
mod parallel;
pub mod python;
pub mod run;
pub mod tpcds;
pub mod tpch;
pub mod workload;

pub use cache::data_dir;
pub use engine::{Engine, SessionOptions};
pub use parallel::Progress;
pub use run::{Run, run_plan, run_query};
pub use workload::{NamedQuery, Workload};
