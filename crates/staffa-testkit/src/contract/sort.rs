//! Sorts and top-K: every direction, NULL first and last, ties broken by `id`.

use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::Bench;
use super::tables::{Shape, table};
use crate::engine::Engine;

const DIRECTIONS: [&str; 4] = ["k ASC", "k DESC", "k ASC NULLS FIRST", "k DESC NULLS LAST"];

fn modes() -> [Vec<(&'static str, &'static str)>; 2] {
    [
        vec![("execution.target_partitions", "1")],
        vec![("execution.target_partitions", "3"), ("execution.batch_size", "7")],
    ]
}

/// ORDER BY a key of `data_type`; gives how many sorts and merges ran.
///
/// # Errors
/// The first answer that differs, in rows or in their order, or a sort that stayed.
pub async fn sorted(engine: &Engine, data_type: &DataType) -> Result<usize> {
    let mut ran = 0;
    for shape in Shape::ALL {
        for mode in modes() {
            let tables = vec![("t", table(data_type, shape, 4)?)];
            let mut bench = Bench::new(engine, tables).with(&mode);
            for direction in DIRECTIONS {
                let sql = format!("SELECT k, id, v FROM t ORDER BY {direction}, id");
                bench.check(&sql, &["SortExec", "SortPreservingMergeExec"], &[0, 1]).await?;
                let sql = format!("SELECT v, k FROM t ORDER BY v DESC, {direction}");
                bench.check(&sql, &["SortExec", "SortPreservingMergeExec"], &[0, 1]).await?;
                // The keys, of which no two rows have the same, are not in the answer; its order is theirs.
                for columns in ["v", "v, v || 'x' AS w"] {
                    let sql = format!("SELECT {columns} FROM t ORDER BY {direction}, id");
                    bench.check(&sql, &["SortExec", "SortPreservingMergeExec"], &[0]).await?;
                }
            }
            ran += bench.finish()?;
        }
    }
    Ok(ran)
}

/// ORDER BY with LIMIT and OFFSET: none, some, more than there are.
///
/// # Errors
/// As [`sorted`].
pub async fn top_k(engine: &Engine, data_type: &DataType) -> Result<usize> {
    let mut ran = 0;
    for shape in [Shape::OneRow, Shape::Sliced, Shape::ManyBatches, Shape::Skewed] {
        for mode in modes() {
            let tables = vec![("t", table(data_type, shape, 4)?)];
            let mut bench = Bench::new(engine, tables).with(&mode);
            for direction in DIRECTIONS {
                for limit in ["LIMIT 0", "LIMIT 1", "LIMIT 7", "LIMIT 5 OFFSET 3", "LIMIT 1000"] {
                    let sql = format!("SELECT k, id FROM t ORDER BY {direction}, id {limit}");
                    bench.check(&sql, &["SortExec", "SortPreservingMergeExec"], &[0, 1]).await?;
                }
            }
            ran += bench.finish()?;
        }
    }
    Ok(ran)
}
