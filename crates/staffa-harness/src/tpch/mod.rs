//! TPC-H: its 22 queries with the validation parameters, and its tables.
//!
//! Specification: TPC Benchmark H, revision 3. Query 15's view is a common table expression;
//! query 11 keeps the fraction of scale 1 at every scale.

mod generate;
mod tables;

use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result};

use crate::cache;
use crate::workload::{NamedQuery, TableFiles, Workload};

pub use crate::cache::data_dir;
pub use crate::parallel::Progress;
pub use tables::Table;

/// Part of a data folder's name: changes with the generator (tpchgen 4.0) and with our file layout,
/// so that older data is never taken for the current one.
const DATA_VERSION: &str = "tpchgen4.0-r1";

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

/// The folder with all tables of `scale` below `data_dir`, made if it is not there.
///
/// Blocking, on all cores; memory is the generator's text (300 MB) and one row group (about 100 MB)
/// per core at any scale. `progress` is called from several threads, and not at all when the data
/// is there already.
///
/// # Errors
/// A scale that is not a positive number, or an I/O error.
pub fn prepare(
    data_dir: &Path,
    scale: f64,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<PathBuf> {
    cache::check_scale(scale)?;
    let name = format!("tpch-sf{scale}-{DATA_VERSION}");
    cache::prepare(data_dir, &name, |folder| generate::write_tables(folder, scale, progress))
}

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
