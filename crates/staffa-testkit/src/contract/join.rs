//! Joins: every type, with and without residual condition, NULL equal or not, over every pair of
//! shapes.

use arrow::datatypes::DataType;
use datafusion::common::Result;

use super::Bench;
use super::tables::{Shape, table};
use crate::engine::Engine;

/// Join words, and what their output can name.
const JOINS: [(&str, &str); 8] = [
    ("JOIN", "l.k, l.v, l.id, r.k, r.v, r.id"),
    ("LEFT JOIN", "l.k, l.v, l.id, r.k, r.v, r.id"),
    ("RIGHT JOIN", "l.k, l.v, l.id, r.k, r.v, r.id"),
    ("FULL JOIN", "l.k, l.v, l.id, r.k, r.v, r.id"),
    ("LEFT SEMI JOIN", "l.k, l.v, l.id"),
    ("LEFT ANTI JOIN", "l.k, l.v, l.id"),
    ("RIGHT SEMI JOIN", "r.k, r.v, r.id"),
    ("RIGHT ANTI JOIN", "r.k, r.v, r.id"),
];

/// Conditions: plain, NULL equal to NULL, with a residual over both sides, with one over one side,
/// and with a second key.
const CONDITIONS: [&str; 6] = [
    "l.k = r.k",
    "(l.k IS NOT DISTINCT FROM r.k)",
    "l.k = r.k AND l.v < r.v",
    "(l.k IS NOT DISTINCT FROM r.k) AND l.v <> r.v",
    "l.k = r.k AND l.v > 0",
    "l.k = r.k AND l.v % 3 = r.v % 3",
];

/// One partition; three, collected; three, partitioned.
const MODES: [&[(&str, &str)]; 3] = [
    &[("execution.target_partitions", "1")],
    &[("execution.target_partitions", "3"), ("execution.batch_size", "7")],
    &[
        ("execution.target_partitions", "3"),
        ("optimizer.hash_join_single_partition_threshold", "0"),
        ("optimizer.hash_join_single_partition_threshold_rows", "0"),
    ],
];

fn pairs() -> Vec<(Shape, Shape)> {
    let mut pairs: Vec<(Shape, Shape)> =
        Shape::ALL.iter().map(|s| (*s, Shape::ManyBatches)).collect();
    pairs.extend([
        (Shape::ManyBatches, Shape::Empty),
        (Shape::Sliced, Shape::AllNull),
        (Shape::Skewed, Shape::Skewed),
        (Shape::Sliced, Shape::OneRow),
        (Shape::Empty, Shape::Empty),
    ]);
    pairs
}

/// Hash joins on keys of `data_type`; gives how many ran.
///
/// # Errors
/// The first answer that differs, or a join that stayed with DataFusion.
pub async fn hash_joins(engine: &Engine, data_type: &DataType) -> Result<usize> {
    let mut ran = 0;
    for (at, (left, right)) in pairs().into_iter().enumerate() {
        let tables = vec![("l", table(data_type, left, 1)?), ("r", table(data_type, right, 2)?)];
        let mut bench = Bench::new(engine, tables).with(MODES[at % MODES.len()]);
        for (word, columns) in JOINS {
            for condition in CONDITIONS {
                let sql = format!("SELECT {columns} FROM l {word} r ON {condition}");
                bench.check(&sql, &["HashJoinExec"], &[]).await?;
            }
        }
        ran += bench.finish()?;
    }
    Ok(ran)
}

/// The joins that DataFusion plans as sort-merge joins.
///
/// # Errors
/// As [`hash_joins`].
pub async fn sort_merge_joins(engine: &Engine, data_type: &DataType) -> Result<usize> {
    let mut ran = 0;
    for (left, right) in [(Shape::ManyBatches, Shape::Sliced), (Shape::Skewed, Shape::ManyBatches)]
    {
        let tables = vec![("l", table(data_type, left, 1)?), ("r", table(data_type, right, 2)?)];
        let settings =
            [("execution.target_partitions", "3"), ("optimizer.prefer_hash_join", "false")];
        let mut bench = Bench::new(engine, tables).with(&settings);
        for (word, columns) in JOINS {
            // Sums without keys ask for no order, so a merge join may run by hash.
            let sums = match columns.contains("l.id") && columns.contains("r.id") {
                true => {
                    "count(*), count(l.k), count(r.k), sum(coalesce(l.id, 77) * 101 + coalesce(r.id, 55))"
                }
                false if columns.contains("l.id") => {
                    "count(*), count(l.k), sum(l.id), sum(l.id * l.id)"
                }
                false => "count(*), count(r.k), sum(r.id), sum(r.id * r.id)",
            };
            for condition in &CONDITIONS[..3] {
                let sql = format!("SELECT {sums} FROM l {word} r ON {condition}");
                bench.check(&sql, &["SortMergeJoinExec"], &[]).await?;
            }
        }
        ran += bench.finish()?;
    }
    Ok(ran)
}

/// Cross joins, and every join type over a condition without equality.
///
/// # Errors
/// As [`hash_joins`].
pub async fn joins_without_equality(engine: &Engine) -> Result<usize> {
    let mut ran = 0;
    for (at, (left, right)) in pairs().into_iter().enumerate() {
        let int = DataType::Int32;
        let tables = vec![("l", table(&int, left, 1)?), ("r", table(&int, right, 2)?)];
        let mut bench = Bench::new(engine, tables).with(MODES[at % 2]);
        let operators = ["NestedLoopJoinExec", "CrossJoinExec"];
        for (word, columns) in JOINS {
            let sql = format!("SELECT {columns} FROM l {word} r ON l.v < r.v AND l.k <> r.k");
            bench.check(&sql, &operators, &[]).await?;
        }
        bench.check("SELECT l.id, r.id FROM l CROSS JOIN r", &operators, &[]).await?;
        ran += bench.finish()?;
    }
    Ok(ran)
}

/// IN, NOT IN with NULLs, EXISTS and their marks under OR.
///
/// # Errors
/// As [`hash_joins`].
pub async fn null_aware(engine: &Engine, data_type: &DataType) -> Result<usize> {
    let mut ran = 0;
    for (at, (left, right)) in pairs().into_iter().enumerate() {
        let tables = vec![("l", table(data_type, left, 1)?), ("r", table(data_type, right, 2)?)];
        let mut bench = Bench::new(engine, tables).with(MODES[at % MODES.len()]);
        for condition in [
            "k IN (SELECT k FROM r)",
            "k NOT IN (SELECT k FROM r)",
            "k NOT IN (SELECT k FROM r WHERE k IS NOT NULL)",
            "EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.v > l.v)",
            "NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k)",
            "EXISTS (SELECT 1 FROM r WHERE r.k = l.k) OR v = 3",
            "k IN (SELECT k FROM r) OR v > 10",
        ] {
            let sql = format!("SELECT k, v, id FROM l WHERE {condition}");
            bench.check(&sql, &["HashJoinExec"], &[]).await?;
        }
        ran += bench.finish()?;
    }
    Ok(ran)
}
