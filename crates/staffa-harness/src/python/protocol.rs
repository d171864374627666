//! What is said to the driver and what it answers, one JSON object a line; `driver.py` says the
//! same in its head.

use serde::{Deserialize, Serialize};

/// A question.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Request<'a> {
    /// Load the engine and know these tables. The first question.
    Open { engine: &'a str, threads: usize, memory_bytes: Option<usize>, tables: &'a [TablePath] },
    /// Run this query, and write its answer to the file `result` where one is named.
    Run { sql: &'a str, result: Option<&'a str> },
}

/// A Parquet file, or a folder of them.
#[derive(Debug, Clone, Serialize)]
pub(super) struct TablePath {
    pub(super) name: String,
    pub(super) path: String,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Reply {
    /// The query ran.
    Ran { seconds: f64, rows: usize },
    /// The engine is ready.
    Ready { version: String },
    /// A Python package is not there.
    Missing { missing: String },
    /// The engine raised this.
    Error { error: String },
}
