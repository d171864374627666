//! Small tables, the queries that are troubled, and the comparison with stock.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa::{Device, StaffaConfig};
use staffa_harness::compare::{Rules, compare};
use staffa_harness::{Run, run_query};

/// Queries of different shapes; no two rows of an answer depend on the order of evaluation.
pub(crate) const QUERIES: [&str; 14] = [
    // Scan and filter.
    "SELECT id, k, amount FROM t WHERE k % 7 <> 3 AND amount > 10.00",
    // Strings made and tested.
    "SELECT id, w, upper(c), substr(c, 3, 9), length(c) FROM t WHERE w LIKE '%a%' OR c < 'comment 3'",
    // Groups: integers, strings, decimals with dates, none at all.
    "SELECT k, count(*), sum(id), min(f), max(day) FROM t GROUP BY k",
    "SELECT w, count(*), sum(amount), max(c), min(day) FROM t GROUP BY w",
    "SELECT amount, day, count(*), avg(amount) FROM t WHERE id % 2 = 0 GROUP BY amount, day",
    "SELECT count(*), sum(amount), avg(f), min(w), max(day), count(DISTINCT k) FROM t WHERE id % 3 <> 1",
    // Joins: inner below an aggregation, one row to many, full, semi, anti.
    "SELECT u.name, count(*), sum(t.amount) FROM t JOIN u ON t.k = u.k GROUP BY u.name",
    "SELECT a.id, b.id AS other FROM t a LEFT JOIN t b ON a.k = b.k AND b.id < 300 WHERE a.id % 5 = 0",
    "SELECT t.id, u.id AS uid, u.name FROM t FULL JOIN u ON t.id = u.id AND t.k < 200",
    "SELECT id, w FROM t WHERE k IN (SELECT k FROM u WHERE id < 200)",
    "SELECT id, name FROM u WHERE NOT EXISTS (SELECT 1 FROM t WHERE t.k = u.k AND t.f > 50)",
    // Top-K, union, CASE with LIKE.
    "SELECT id, c, amount FROM t WHERE w LIKE '%o%' ORDER BY amount DESC, id LIMIT 50",
    "SELECT k AS x, count(*) AS n FROM t GROUP BY k UNION ALL SELECT id, k FROM u WHERE name <> 'name 3'",
    "SELECT CASE WHEN w LIKE 'a%' THEN 'a' ELSE w END AS g, \
     sum(CASE WHEN k > 100 THEN amount ELSE 0 END), count(*) FROM t GROUP BY 1",
];

/// Rows of `t`, and of its row groups.
const ROWS: i64 = 5_000;
const GROUP_ROWS: usize = 1_250;

/// Writes `t` (two files) and `u` into a folder.
pub(crate) fn write(folder: &Path) {
    let half = ROWS / 2;
    write_file(&folder.join("t/0.parquet"), &t(0..half));
    write_file(&folder.join("t/1.parquet"), &t(half..ROWS));
    write_file(&folder.join("u/0.parquet"), &u(600));
}

fn t(rows: std::ops::Range<i64>) -> RecordBatch {
    let words = ["alpha", "bravo", "oscar", "née", "", "a", "zulu and more than twelve bytes"];
    let at = |row: i64| usize::try_from(row).expect("a row");
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone()));
    let k: ArrayRef = Arc::new(Int64Array::from_iter(
        rows.clone().map(|row| (row % 17 != 5).then_some(row * 7_919 % 311)),
    ));
    let w: ArrayRef = Arc::new(StringArray::from_iter(
        rows.clone().map(|row| (row % 23 != 7).then(|| words[at(row * 31) % words.len()])),
    ));
    let c: ArrayRef =
        Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("comment {row}"))));
    let amount = rows.clone().map(|row| i128::from(row * 37 % 4_001));
    let amount: ArrayRef = Arc::new(
        Decimal128Array::from_iter_values(amount)
            .with_precision_and_scale(15, 2)
            .expect("decimals"),
    );
    let days = rows.clone().map(|row| i32::try_from(9_000 + row % 90).expect("a day"));
    let day: ArrayRef = Arc::new(Date32Array::from_iter_values(days));
    // Halves: sums are exact in any order.
    let f: ArrayRef =
        Arc::new(Float64Array::from_iter_values(rows.map(|row| (row % 400) as f64 / 2.0)));
    let columns =
        [("id", id), ("k", k), ("w", w), ("c", c), ("amount", amount), ("day", day), ("f", f)];
    RecordBatch::try_from_iter(columns).expect("a batch")
}

fn u(rows: i64) -> RecordBatch {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    // Skewed: every other row has one key.
    let k = (0..rows).map(|row| if row % 2 == 0 { 7 } else { row });
    let k: ArrayRef = Arc::new(Int64Array::from_iter_values(k));
    let name = (0..rows).map(|row| format!("name {}", row % 40));
    let name: ArrayRef = Arc::new(StringArray::from_iter_values(name));
    RecordBatch::try_from_iter([("id", id), ("k", k), ("name", name)]).expect("a batch")
}

fn write_file(path: &Path, batch: &RecordBatch) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(GROUP_ROWS)).build();
    let file = File::create(path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(batch).expect("rows");
    writer.close().expect("a footer");
}

/// Stock DataFusion, or Staffa on a device; over the tables, with a pool of host memory if one is given.
pub(crate) async fn session(
    folder: &Path,
    device: Option<Device>,
    pool: Option<Arc<dyn MemoryPool>>,
) -> SessionContext {
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(pool) = pool {
        runtime = runtime.with_memory_pool(pool);
    }
    let mut config = SessionConfig::new().with_target_partitions(2).with_batch_size(1024);
    // Tables this small would never be joined by partitions.
    config.options_mut().optimizer.hash_join_single_partition_threshold_rows = 1_000;
    config.options_mut().optimizer.hash_join_single_partition_threshold = 10_000;
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config)
        .with_runtime_env(runtime.build_arc().expect("a runtime"));
    let builder = match device {
        Some(device) => {
            let config =
                StaffaConfig { min_rows: 0, device, morsel_rows: 1_024, ..StaffaConfig::default() };
            staffa::register(builder, config)
        }
        None => builder,
    };
    let ctx = SessionContext::new_with_state(builder.build());
    for table in ["t", "u"] {
        let path = folder.join(table);
        let path = path.to_str().expect("a path");
        let options = ParquetReadOptions::default();
        ctx.register_parquet(table, path, options).await.expect("a table");
    }
    ctx
}

/// Stock's answers to all queries.
pub(crate) async fn expected(folder: &Path) -> Vec<Run> {
    let stock = session(folder, None, None).await;
    let mut answers = Vec::new();
    for sql in QUERIES {
        answers.push(run_query(&stock, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}")));
    }
    answers
}

/// Fails unless the rows of query `number` are stock's.
pub(crate) fn assert_right(
    what: &str,
    number: usize,
    expected: &[Run],
    actual: Result<Run>,
) -> Run {
    let sql = QUERIES[number];
    let actual = actual.unwrap_or_else(|error| panic!("{what}: {sql}: {error}"));
    assert_same(what, number, &expected[number], &actual);
    actual
}

/// Fails unless both have the same rows.
pub(crate) fn assert_same(what: &str, number: usize, expected: &Run, actual: &Run) {
    let rules = Rules { order: expected.order.clone(), ..Rules::default() };
    let comparison = compare(&expected.answer, &actual.answer, &rules).expect("comparable");
    let difference = comparison.render("datafusion", "staffa");
    assert!(comparison.is_equal(), "{what}: {}: {difference}", QUERIES[number]);
}

/// The sums of all nodes' figures that begin with `gpu_`, times excepted.
pub(crate) fn figures(plan: &Arc<dyn ExecutionPlan>) -> BTreeMap<String, usize> {
    fn add(plan: &Arc<dyn ExecutionPlan>, sums: &mut BTreeMap<String, usize>) {
        for metric in plan.metrics().iter().flat_map(|metrics| metrics.iter()) {
            let value = metric.value();
            if let Some(name) = value.name().strip_prefix("gpu_").filter(|n| !n.ends_with("_time"))
            {
                *sums.entry(name.to_string()).or_default() += value.as_usize();
            }
        }
        for child in plan.children() {
            add(child, sums);
        }
    }
    let mut sums = BTreeMap::new();
    add(plan, &mut sums);
    sums
}

/// Morsels that the device made for a query.
pub(crate) fn morsels(run: &Run) -> usize {
    figures(&run.plan).get("morsels").copied().unwrap_or(0)
}

/// Where a child finds the tables.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os("STAFFA_TEST_TABLES").expect("the parent's tables"))
}
