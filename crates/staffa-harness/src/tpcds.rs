//! TPC-DS: its 99 queries and 24 tables, as `scripts/tpcds-data` leaves them in a folder.
//!
//! Specification: TPC Benchmark DS, revision 3. There is no generator of it that fits our build's
//! feature set, so data and queries are DuckDB's, and a script makes both.

use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result};

use crate::workload::{NamedQuery, TableFiles, Workload};

/// How many queries TPC-DS has.
pub const QUERIES: usize = 99;

/// The tables.
pub const TABLES: [&str; 24] = [
    "call_center",
    "catalog_page",
    "catalog_returns",
    "catalog_sales",
    "customer",
    "customer_address",
    "customer_demographics",
    "date_dim",
    "household_demographics",
    "income_band",
    "inventory",
    "item",
    "promotion",
    "reason",
    "ship_mode",
    "store",
    "store_returns",
    "store_sales",
    "time_dim",
    "warehouse",
    "web_page",
    "web_returns",
    "web_sales",
    "web_site",
];

/// The folder of `scale` below `data_dir`.
///
/// # Errors
/// A folder that is not there; the message says how it is made.
pub fn folder(data_dir: &Path, scale: f64) -> Result<PathBuf> {
    crate::cache::check_scale(scale)?;
    let folder = data_dir.join(format!("tpcds-sf{scale}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    Err(DataFusionError::Configuration(format!(
        "'{}' is not there: scripts/tpcds-data --scale {scale} makes it",
        folder.display()
    )))
}

/// The workload of the given queries (1 to 99) over the data in `folder`.
///
/// # Errors
/// A query number that TPC-DS does not have, or a query's file that cannot be read.
pub fn workload(folder: &Path, scale: f64, numbers: &[usize]) -> Result<Workload> {
    let queries = numbers.iter().map(|&number| query(folder, number)).collect::<Result<_>>()?;
    let tables = TABLES
        .iter()
        .map(|name| TableFiles { name: (*name).to_string(), path: folder.join(name) })
        .collect();
    Ok(Workload { name: format!("tpcds-sf{scale}"), queries, tables })
}

fn query(folder: &Path, number: usize) -> Result<NamedQuery> {
    if !(1..=QUERIES).contains(&number) {
        return Err(DataFusionError::Configuration(format!(
            "TPC-DS has queries 1 to {QUERIES}, not {number}"
        )));
    }
    let file = folder.join("queries").join(format!("q{number:02}.sql"));
    let sql = std::fs::read_to_string(&file).map_err(|error| {
        DataFusionError::Configuration(format!("cannot read '{}': {error}", file.display()))
    })?;
    Ok(NamedQuery { name: format!("q{number}"), sql })
}
