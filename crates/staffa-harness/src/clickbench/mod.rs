//! ClickBench: its 43 queries over a generated table `hits`.
//!
//! Specification: <https://github.com/ClickHouse/ClickBench>. The table has the 105 columns of
//! ClickBench's Parquet file with their names and types (no NULLs, times as seconds, dates as days
//! in a UInt16), but for strings, which are annotated as such here. Its values are made up, with
//! the shape of the original: sites, users, pages and phrases are skewed as there, one row in eight
//! has a search phrase, one in 6,000 a URL with "google", and each file is sorted by site and date.
//!
//! The queries are those of Apache DataFusion's benchmarks. There a view makes a date of
//! "EventDate"; here the queries have its expression.

mod columns;
mod hit;
mod queries;
mod site;
mod text;
mod user;
mod write;

use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result};

use crate::cache;
use crate::parallel::Progress;
use crate::workload::{NamedQuery, TableFiles, Workload};

pub use queries::QUERIES;

/// Part of a data folder's name: changes with the generator.
const DATA_VERSION: &str = "r1";

/// Rows of `hits` at scale 1: a tenth of the original.
const ROWS: f64 = 10_000_000.0;

/// Rows of `hits` at a scale.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "row counts of any scale that fits a disk are far below 2^53"
)]
pub fn rows(scale: f64) -> u64 {
    ((ROWS * scale) as u64).max(1)
}

/// The folder with `hits` of `scale` below `data_dir`, made if it is not there.
///
/// Blocking, on all cores. `progress` is called from several threads, and not at all when the data
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
    let name = format!("clickbench-{scale}-{DATA_VERSION}");
    cache::prepare(data_dir, &name, |folder| write::write(folder, rows(scale), progress))
}

/// The workload of the given queries (0 to 42) over the data that [`prepare`] left in `folder`.
///
/// # Errors
/// A query number that ClickBench does not have.
pub fn workload(folder: &Path, scale: f64, numbers: &[usize]) -> Result<Workload> {
    let queries = numbers.iter().map(|&number| query(number)).collect::<Result<_>>()?;
    let tables = vec![TableFiles { name: "hits".to_string(), path: folder.join("hits") }];
    Ok(Workload { name: format!("clickbench-{scale}"), queries, tables })
}

fn query(number: usize) -> Result<NamedQuery> {
    let sql = QUERIES.get(number).ok_or_else(|| {
        DataFusionError::Configuration(format!(
            "ClickBench has queries 0 to {}, not {number}",
            QUERIES.len() - 1
        ))
    })?;
    Ok(NamedQuery { name: format!("q{number}"), sql: (*sql).to_string() })
}
