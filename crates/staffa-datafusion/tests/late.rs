//! A top-K above a scan reads most columns for the rows that are left: the same rows, and no others.

use std::fs::{File, create_dir_all};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Int64Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SessionStateBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa_datafusion::{Device, StaffaConfig, register};

const ROWS: i64 = 60_000;

/// A row's number, in no order.
fn mixed(row: i64, of: i64) -> i64 {
    (row.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()) >> 20).rem_euclid(of)
}

/// The file `number`, in row groups of 7,000 rows; the last file lacks the last column.
fn write(folder: &Path, number: i64) {
    let rows = || number * ROWS..(number + 1) * ROWS;
    let some = |row: i64| mixed(row, 11) != 0;
    let mut columns: Vec<(String, ArrayRef)> = vec![
        ("id".into(), Arc::new(Int64Array::from_iter_values(rows()))),
        (
            "time".into(),
            Arc::new(Int64Array::from_iter_values(rows().map(|row| mixed(row, 1 << 40)))),
        ),
        ("tie".into(), Arc::new(Int64Array::from_iter_values(rows().map(|row| mixed(row, 5))))),
        (
            "part".into(),
            Arc::new(rows().map(|row| some(row).then(|| mixed(row, 1000))).collect::<Int64Array>()),
        ),
        (
            "text".into(),
            Arc::new(
                rows()
                    .map(|row| some(row).then(|| format!("ä{} of {row}", mixed(row, 3000))))
                    .collect::<StringArray>(),
            ),
        ),
        (
            "few".into(),
            Arc::new(
                rows().map(|row| Some(format!("kind {}", mixed(row, 30)))).collect::<StringArray>(),
            ),
        ),
        (
            "f".into(),
            Arc::new(Float64Array::from_iter_values(
                rows().map(
                    |row| if row % 50_000 == 7 { f64::NAN } else { mixed(row, 100_000) as f64 },
                ),
            )),
        ),
        ("u".into(), Arc::new(UInt64Array::from_iter_values(rows().map(i64::cast_unsigned)))),
        (
            "list".into(),
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
                rows().map(|row| some(row).then(|| vec![Some(row), None])),
            )),
        ),
        (
            "money".into(),
            Arc::new(
                rows()
                    .map(|row| Some(i128::from(mixed(row, 1 << 30))))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(15, 2)
                    .unwrap(),
            ),
        ),
    ];
    for extra in 0..4 {
        let values = rows().map(|row| some(row + extra).then_some(row * (extra + 1)));
        columns.push((format!("x{extra}"), Arc::new(values.collect::<Int64Array>())));
    }
    if number == 2 {
        columns.pop();
    }
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(7_000))
        .set_data_page_row_count_limit(1_000)
        .build();
    let folder = folder.join(format!("day={number}"));
    create_dir_all(&folder).unwrap();
    let file = File::create(folder.join("part.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

async fn session(folder: &Path, ours: bool, partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let builder = SessionStateBuilder::new().with_default_features().with_config(config);
    let settings = StaffaConfig { min_rows: 0, device: Device::Cpu, ..StaffaConfig::default() };
    let builder = if ours { register(builder, settings) } else { builder };
    let ctx = SessionContext::new_with_state(builder.build());
    let options = ParquetReadOptions::default()
        .table_partition_cols(vec![("day".to_string(), DataType::Int64)]);
    ctx.register_parquet("t", folder.to_str().unwrap(), options).await.unwrap();
    ctx
}

async fn run(ctx: &SessionContext, sql: &str) -> (Arc<dyn ExecutionPlan>, Vec<RecordBatch>) {
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let batches = collect(Arc::clone(&plan), ctx.task_ctx()).await.unwrap();
    (plan, batches)
}

/// Rows that were read by their places.
fn late(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|own| own.sum_by_name("late_rows"));
    let own = own.map_or(0, |rows| rows.as_usize());
    own + plan.children().into_iter().map(late).sum::<usize>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_completed_once_they_are_known() {
    let folder = tempfile::tempdir().unwrap();
    (0..3).for_each(|number| write(folder.path(), number));
    // With how many rows are read late; all orders are total.
    for (sql, rows) in [
        ("SELECT * FROM t ORDER BY time, id LIMIT 10", 10),
        ("SELECT * FROM t WHERE text LIKE '%77%' ORDER BY time DESC, id LIMIT 10", 10),
        (
            "SELECT * FROM t WHERE few = 'kind 3' AND part < 500 ORDER BY f DESC NULLS FIRST, id LIMIT 9",
            9,
        ),
        ("SELECT * FROM t ORDER BY part NULLS FIRST, id DESC LIMIT 8", 8),
        ("SELECT * FROM t ORDER BY tie, time % 1000, id LIMIT 6 OFFSET 4", 10),
        ("SELECT * FROM t WHERE id < 0 ORDER BY time LIMIT 10", 0),
        ("SELECT * FROM t WHERE id = 100000 ORDER BY time LIMIT 10", 1),
        ("SELECT * FROM t WHERE day <> 7 ORDER BY text, id LIMIT 5", 5),
        (
            "SELECT x3, x3 AS again, text, few, f, u, list, money, x0, x1, x2, day FROM t ORDER BY time DESC, id LIMIT 10",
            10,
        ),
        (
            "SELECT * FROM (SELECT * FROM t WHERE tie = 2 ORDER BY time, id LIMIT 10) WHERE x3 IS NULL ORDER BY id",
            10,
        ),
        (
            "SELECT count(*), sum(x0), max(text) FROM (SELECT * FROM t ORDER BY money, id LIMIT 9)",
            0,
        ),
        (
            "SELECT a.text, b.text FROM (SELECT * FROM t ORDER BY time, id LIMIT 9) a JOIN (SELECT * FROM t ORDER BY time, id LIMIT 9) b ON a.id = b.id ORDER BY a.id",
            0,
        ),
        // Not: too many rows, too few columns, no limit.
        ("SELECT * FROM t WHERE tie = 1 ORDER BY time, id LIMIT 11", 0),
        ("SELECT id, text, few FROM t ORDER BY time, id LIMIT 10", 0),
        ("SELECT * FROM t WHERE tie = 1 AND few = 'kind 3' ORDER BY time, id", 0),
    ] {
        for partitions in [1, 3] {
            let (_, expected) = run(&session(folder.path(), false, partitions).await, sql).await;
            let (plan, answer) = run(&session(folder.path(), true, partitions).await, sql).await;
            let text =
                |batches: &[RecordBatch]| pretty_format_batches(batches).unwrap().to_string();
            assert_eq!(text(&answer), text(&expected), "{sql}, {partitions} partitions");
            assert_eq!(late(&plan), rows, "{sql}, {partitions} partitions: rows read late");
            // A plan that runs again starts anew.
            let ctx = session(folder.path(), true, partitions).await;
            let again = collect(plan, ctx.task_ctx()).await.unwrap();
            assert_eq!(text(&again), text(&expected), "{sql}, again");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_ties_the_keys_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    (0..3).for_each(|number| write(folder.path(), number));
    let (stock, ours) =
        (session(folder.path(), false, 3).await, session(folder.path(), true, 3).await);
    let sql = "SELECT * FROM t WHERE few <> 'kind 4' ORDER BY tie DESC, part LIMIT 10";
    let (_, expected) = run(&stock, sql).await;
    let (plan, answer) = run(&ours, sql).await;
    assert_eq!(late(&plan), 10);
    let keys = |batches: &[RecordBatch]| {
        let keys: Vec<RecordBatch> =
            batches.iter().map(|batch| batch.project(&[2, 3]).unwrap()).collect();
        pretty_format_batches(&keys).unwrap().to_string()
    };
    assert_eq!(keys(&answer), keys(&expected));
    // Each row is one of the table's, whole.
    for batch in &answer {
        let ids = batch.column(0);
        let ids: &Int64Array = ids.as_any().downcast_ref().unwrap();
        for (row, id) in ids.values().iter().enumerate() {
            let (_, whole) = run(&stock, &format!("SELECT * FROM t WHERE id = {id}")).await;
            let whole = pretty_format_batches(&whole).unwrap().to_string();
            assert_eq!(pretty_format_batches(&[batch.slice(row, 1)]).unwrap().to_string(), whole);
        }
    }
}
