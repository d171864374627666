//! TPC-H: its 22 queries with the validation parameters, and its tables.
//!
//! Specification: TPC Benchmark H, revision 3. Query 15's view is a common table expression;
//! query 11 keeps the fraction of scale 1 at every scale.

mod cache;
mod generate;
mod tables;

use std::path::Path;

use datafusion::common::{DataFusionError, Result};

use crate::workload::{NamedQuery, TableFiles, Workload};

pub use cache::{data_dir, prepare};
pub use generate::Progress;
pub use tables::Table;

/// The queries' SQL; index 0 holds query 1.
pub const QUERIES: [&str; 22] = [
    include_str!("queries/q01.sql"),
    include_str!("queries/q02.sql"),
    include_str!("queries/q03.sql"),
    include_str!("queries/q04.sql"),
    include_str!("queries/q05.sql"),
    include_str!("queries/q06.sql"),
    include_str!("queries/q07.sql"),
    include_str!("queries/q08.sql"),
    include_str!("queries/q09.sql"),
    include_str!("queries/q10.sql"),
    include_str!("queries/q11.sql"),
    include_str!("queries/q12.sql"),
    include_str!("queries/q13.sql"),
    include_str!("queries/q14.sql"),
    include_str!("queries/q15.sql"),
    include_str!("queries/q16.sql"),
    include_str!("queries/q17.sql"),
    include_str!("queries/q18.sql"),
    include_str!("queries/q19.sql"),
    include_str!("queries/q20.sql"),
    include_str!("queries/q21.sql"),
    include_str!("queries/q22.sql"),
];

/// The workload of the given queries (1 to 22) over the data that [`prepare`] left in `folder`.
///
/// # Errors
/// A query number that TPC-H does not have.
pub fn workload(folder: &Path, scale: f64, numbers: &[usize]) -> Result<Workload> {
    let queries = numbers.iter().map(|&number| query(number)).collect::<Result<_>>()?;
    let tables = Table::ALL
        .iter()
        .map(|table| TableFiles { name: table.name().to_string(), path: folder.join(table.name()) })
        .collect();
    Ok(Workload { name: format!("tpch-sf{scale}"), queries, tables })
}

fn query(number: usize) -> Result<NamedQuery> {
    let sql = number.checked_sub(1).and_then(|index| QUERIES.get(index)).ok_or_else(|| {
        DataFusionError::Configuration(format!(
            "TPC-H has queries 1 to {}, not {number}",
            QUERIES.len()
        ))
    })?;
    Ok(NamedQuery { name: format!("q{number}"), sql: (*sql).to_string() })
}
