//! Build sides are read through the keys of joins below: fewer rows, the same answers.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa_datafusion::{Device, StaffaConfig, register};

/// Rows of `fact`, four an order, and of `stock`.
const FACTS: i64 = 400_000;
const STOCK: i64 = 70_000;
const PARTS: i64 = 35_000;

fn write(folder: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(40_000)).build();
    let file = File::create(folder.join(format!("{name}.parquet"))).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A row's number, in no order.
fn mixed(row: i64, of: i64) -> i64 {
    (row.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()) >> 20).rem_euclid(of)
}

fn numbers(rows: i64, value: impl Fn(i64) -> Option<i64>) -> ArrayRef {
    Arc::new((0..rows).map(value).collect::<Int64Array>())
}

/// One key in so many is NULL.
fn write_all(folder: &Path) {
    let some = |value: i64| move |row: i64| (row % 97 != 0).then_some(value);
    let text = |rows: i64| -> ArrayRef {
        Arc::new(
            (0..rows)
                .map(|row| (row % 89 != 0).then(|| format!("p{}", row % 500)))
                .collect::<StringArray>(),
        )
    };
    write(
        folder,
        "fact",
        vec![
            ("f_order", numbers(FACTS, |row| some(row / 4)(row))),
            ("f_part", numbers(FACTS, |row| some(mixed(row, PARTS))(row))),
            ("f_place", numbers(FACTS, |row| Some(mixed(row, 3)))),
            ("f_late", numbers(FACTS, |row| Some(mixed(row + 1, 3)))),
        ],
    );
    write(
        folder,
        "stock",
        vec![
            ("s_part", numbers(STOCK, |row| some(row % PARTS)(row))),
            ("s_place", numbers(STOCK, |row| Some(row / PARTS))),
            ("s_cost", numbers(STOCK, |row| Some(mixed(row, 1000)))),
        ],
    );
    write(
        folder,
        "part",
        vec![
            ("p_part", numbers(PARTS, Some)),
            ("p_kind", numbers(PARTS, |row| Some(mixed(row, 20)))),
            // Few of the values that its bounds promise.
            ("p_rare", numbers(PARTS, |row| Some(if row % 20 == 3 { row } else { 0 }))),
            ("p_name", text(PARTS)),
        ],
    );
}

async fn session(folder: &Path, ours: bool, partitions: usize, follows: bool) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions);
    config.options_mut().optimizer.enable_join_dynamic_filter_pushdown = follows;
    let builder = SessionStateBuilder::new().with_default_features().with_config(config);
    let settings = StaffaConfig { min_rows: 0, device: Device::Cpu, ..StaffaConfig::default() };
    let builder = if ours { register(builder, settings) } else { builder };
    let ctx = SessionContext::new_with_state(builder.build());
    for table in ["fact", "stock", "part"] {
        let path = folder.join(format!("{table}.parquet"));
        let options = ParquetReadOptions::default();
        ctx.register_parquet(table, path.to_str().unwrap(), options).await.unwrap();
    }
    ctx
}

async fn run(ctx: &SessionContext, sql: &str) -> (Arc<dyn ExecutionPlan>, String) {
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let batches = collect(Arc::clone(&plan), ctx.task_ctx()).await.unwrap();
    (plan, pretty_format_batches(&batches).unwrap().to_string())
}

/// The greatest number of rows that a join of the plan built a table of.
fn built(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|own| own.sum_by_name("build_input_rows"));
    let own = own.map_or(0, |rows| rows.as_usize());
    plan.children().into_iter().map(built).fold(own, usize::max)
}

/// Joins of two keys above one of one key, as TPC-H's Q9.
const STAR: &str = "SELECT count(*), sum(s_cost), count(p_kind) FROM part \
    JOIN fact ON p_part = f_part JOIN stock ON s_part = f_part AND s_place = f_place WHERE p_kind % 20 = 3";

/// An anti join above a semi join that gives its own rows, as TPC-H's Q21.
const ORDERS: &str = "SELECT count(*), sum(f_part) FROM fact a JOIN part ON p_part = f_part WHERE p_rare > 20000 \
    AND EXISTS (SELECT * FROM fact b WHERE b.f_order = a.f_order AND b.f_place <> a.f_place) \
    AND NOT EXISTS (SELECT * FROM fact c WHERE c.f_order = a.f_order AND c.f_part <> a.f_part AND c.f_late = 1)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn build_sides_hold_only_what_joins_below_know() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path());
    for (sql, most) in [(STAR, 20_000), (ORDERS, 120_000)] {
        for partitions in [1, 2, 8] {
            let (_, expected) =
                run(&session(folder.path(), false, partitions, true).await, sql).await;
            let ours = session(folder.path(), true, partitions, true).await;
            let (plan, answer) = run(&ours, sql).await;
            assert_eq!(answer, expected, "{sql}, {partitions} partitions");
            let rows = built(&plan);
            assert!(rows <= most, "{sql}, {partitions} partitions: a table of {rows} rows");
            // A session that wants no filters from joins gets none.
            let (plan, answer) =
                run(&session(folder.path(), true, partitions, false).await, sql).await;
            assert_eq!(answer, expected, "{sql}, {partitions} partitions, without filters");
            assert!(built(&plan) > most, "{sql}: nothing to leave out");
        }
    }
}

/// Every kind of join above and below, with what may stand between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_join_loses_a_row() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path());
    let (stock, ours) =
        (session(folder.path(), false, 2, true).await, session(folder.path(), true, 2, true).await);
    let few = "(SELECT * FROM part WHERE p_kind % 20 = 3)";
    let many = "(SELECT * FROM stock WHERE s_cost < 900)";
    let mut queries = Vec::new();
    for upper in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        for lower in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
            // On either side, and on a column of either input of the lower join.
            for key in ["p_part", "f_part"] {
                queries.push(format!(
                    "SELECT count(*), sum(s_cost), sum(f_place), count(p_kind) FROM \
                     (SELECT * FROM {few} p {lower} fact f ON p_part = f_part) x {upper} {many} s ON s_part = {key}"
                ));
                queries.push(format!(
                    "SELECT count(*), sum(s_cost), sum(f_place), count(p_kind) FROM \
                     {many} s {upper} (SELECT * FROM fact f {lower} {few} p ON p_part = f_part) x ON s_part = {key}"
                ));
            }
        }
    }
    for lower in ["LEFT SEMI JOIN", "LEFT ANTI JOIN", "RIGHT SEMI JOIN", "RIGHT ANTI JOIN"] {
        for upper in [
            "JOIN",
            "LEFT SEMI JOIN",
            "LEFT ANTI JOIN",
            "RIGHT SEMI JOIN",
            "RIGHT ANTI JOIN",
            "LEFT JOIN",
        ] {
            let (a, b) =
                if lower.starts_with("LEFT") { ("fact f", "part p") } else { ("part p", "fact f") };
            queries.push(format!(
                "SELECT count(*) FROM (SELECT f.f_part AS k, f_place FROM {a} {lower} {b} ON p_part = f_part AND p_kind % 20 = 3) x \
                 {upper} {many} s ON s_part = k"
            ));
            queries.push(format!(
                "SELECT count(*) FROM {many} s {upper} \
                 (SELECT f.f_part AS k, f_place FROM {a} {lower} {b} ON p_part = f_part AND p_kind % 20 = 3) x ON s_part = k"
            ));
        }
    }
    for other in [
        // NULL meets NULL.
        "SELECT count(*) FROM part JOIN fact ON p_part = f_part JOIN stock ON s_part IS NOT DISTINCT FROM f_part WHERE p_kind % 20 = 3",
        "SELECT count(*) FROM stock WHERE s_part NOT IN (SELECT f_part FROM fact JOIN part ON p_part = f_part WHERE p_kind % 20 = 3)",
        // Text, expressions, conditions, unions, groups, limits and sorts in between.
        "SELECT count(*) FROM part a JOIN part b ON a.p_name = b.p_name JOIN part c ON c.p_name = b.p_name WHERE a.p_kind % 20 = 3 AND a.p_part < 500",
        "SELECT count(*) FROM part JOIN fact ON p_part = f_part JOIN stock ON s_part + 0 = f_part WHERE p_kind % 20 = 3",
        "SELECT count(*), sum(s_cost) FROM part JOIN fact ON p_part = f_part JOIN stock ON s_part = f_part AND s_cost > f_place * 100 WHERE p_kind % 20 = 3",
        "SELECT count(*), sum(s_cost) FROM part JOIN fact ON p_part = f_part \
         JOIN (SELECT * FROM stock UNION ALL SELECT s_part + 1, s_place, s_cost FROM stock) s ON s_part = f_part WHERE p_kind % 20 = 3",
        "SELECT count(*), sum(n) FROM part JOIN fact ON p_part = f_part \
         JOIN (SELECT s_part, count(*) AS n FROM stock GROUP BY s_part) s ON s_part = f_part WHERE p_kind % 20 = 3",
        "SELECT count(*) FROM part JOIN fact ON p_part = f_part \
         JOIN (SELECT * FROM stock ORDER BY s_cost, s_part, s_place LIMIT 90000) s ON s_part = f_part WHERE p_kind % 20 = 3",
        // The same sub-plan with and without a filter from outside.
        "WITH s AS (SELECT s_part, sum(s_cost) AS c FROM stock GROUP BY s_part) \
         SELECT count(*), sum(a.c), max(b.c) FROM part JOIN fact ON p_part = f_part JOIN s a ON a.s_part = f_part \
         JOIN s b ON b.s_part = f_place WHERE p_kind % 20 = 3",
        // Nothing below, and nothing above.
        "SELECT count(*) FROM part JOIN fact ON p_part = f_part JOIN stock ON s_part = f_part WHERE p_kind % 20 = 300",
        "SELECT count(*) FROM part JOIN fact ON p_part = f_part JOIN stock ON s_part = f_part WHERE s_cost < 0",
    ] {
        queries.push(other.to_string());
    }
    for sql in queries {
        let (_, expected) = run(&stock, &sql).await;
        let (_, answer) = run(&ours, &sql).await;
        assert_eq!(answer, expected, "{sql}");
    }
}
