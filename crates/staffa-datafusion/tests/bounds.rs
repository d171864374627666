//! MIN and MAX without keys, and top-Ks, read no further than their values so far let matter, and no less.

mod pools;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa_datafusion::{Device, StaffaConfig, register};

use crate::pools::Refusing;

const ROWS: i64 = 60_000;
const GROUP: usize = 10_000;

/// Row groups whose values of `up` rise and of `down` fall; the longest `s` is in none of the first ones, `late` has
/// no value in them, and `f` is NaN in the last row.
fn write(folder: &Path) {
    let rows = 0..ROWS;
    let texts = rows.clone().map(|row| match row {
        50_007 => Some("long and the greatest".repeat(3)),
        row => Some(format!("{:05}", row / 3)),
    });
    let floats = rows.clone().map(|row| if row == ROWS - 1 { f64::NAN } else { -(row as f64) });
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("up", Arc::new(Int64Array::from_iter_values(rows.clone()))),
        ("down", Arc::new(Int64Array::from_iter_values(rows.clone().map(|row| -row)))),
        (
            "late",
            Arc::new(rows.clone().map(|row| (row > 45_000).then_some(row)).collect::<Int64Array>()),
        ),
        ("s", Arc::new(texts.collect::<StringArray>())),
        ("f", Arc::new(Float64Array::from_iter_values(floats))),
        ("none", Arc::new(Int64Array::new_null(ROWS as usize))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(GROUP)).build();
    let file = File::create(folder.join("t.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

async fn session(folder: &Path, ours: bool) -> SessionContext {
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(SessionConfig::new().with_target_partitions(2));
    let settings = StaffaConfig { min_rows: 0, device: Device::Cpu, ..StaffaConfig::default() };
    let builder = if ours { register(builder, settings) } else { builder };
    let ctx = SessionContext::new_with_state(builder.build());
    let options = ParquetReadOptions::default();
    ctx.register_parquet("t", folder.to_str().unwrap(), options).await.unwrap();
    ctx
}

async fn plan(ctx: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
}

async fn answer(ctx: &SessionContext, plan: &Arc<dyn ExecutionPlan>) -> String {
    let batches = collect(Arc::clone(plan), ctx.task_ctx()).await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// Rows that the plan's scans gave.
fn read(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().filter(|_| plan.children().is_empty());
    let rows = own.and_then(|own| own.output_rows()).unwrap_or(0);
    rows + plan.children().into_iter().map(read).sum::<usize>()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_matter_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let (stock, ours) = (session(folder.path(), false).await, session(folder.path(), true).await);
    let two = 2 * GROUP;
    for (sql, most) in [
        ("SELECT min(up), max(down) FROM t WHERE s <> 'x'", 2 * two),
        ("SELECT max(down) FROM t WHERE s <> 'x'", 2 * two),
        ("SELECT min(s) FROM t WHERE up >= 0", 2 * two),
        // The last row group has it.
        ("SELECT max(up) FROM t WHERE s <> 'x'", 2 * two),
        ("SELECT min(up) FILTER (WHERE up % 2 = 1) FROM t WHERE s <> 'x'", 2 * two),
        ("SELECT min(up) + 1 FROM (SELECT up FROM t WHERE s <> 'x') WHERE up % 4 = 2", two / 2),
        // What only one of two could do without.
        ("SELECT min(up), count(*) FROM t WHERE s <> 'x'", usize::MAX),
        ("SELECT min(up), sum(down) FROM t WHERE s <> 'x'", usize::MAX),
        ("SELECT min(up) FROM t WHERE s <> 'x' GROUP BY down % 2 ORDER BY 1", usize::MAX),
    ] {
        let expected = answer(&stock, &plan(&stock, sql).await).await;
        let mut least = usize::MAX;
        // A lane that waits for a core leaves what would rule the others' row groups out unread: not in all of these.
        for _ in 0..20 {
            let plan = plan(&ours, sql).await;
            assert_eq!(answer(&ours, &plan).await, expected, "{sql}");
            least = least.min(read(&plan));
            // A plan that runs again starts anew.
            assert_eq!(answer(&ours, &plan).await, expected, "{sql}, again");
            if least <= most {
                break;
            }
        }
        assert!(least <= most, "{sql}: {least} rows");
        assert!(most < usize::MAX || least == ROWS as usize, "{sql}: {least} rows");
    }
}

/// DataFusion leaves out rows that only another function needs, or one that has no value yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_matters_to_one_function_is_read() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let ours = session(folder.path(), true).await;
    for (sql, expected) in [
        ("SELECT max(length(s)), min(up) FROM t WHERE down <= 0", (63, 0)),
        ("SELECT max(late), min(up) FROM t WHERE down <= 0", (ROWS - 1, 0)),
        ("SELECT max(up), min(up) FROM t WHERE down <= 0", (ROWS - 1, 0)),
        ("SELECT min(late), min(up) FROM t WHERE down <= 0", (45_001, 0)),
        ("SELECT max(up + 0), min(up) FROM t WHERE down <= 0", (ROWS - 1, 0)),
    ] {
        let batches = ours.sql(sql).await.unwrap().collect().await.unwrap();
        let value = |column: usize| {
            let array =
                arrow::compute::cast(batches[0].column(column), &arrow::datatypes::DataType::Int64)
                    .unwrap();
            array.as_primitive::<Int64Type>().value(0)
        };
        assert_eq!((value(0), value(1)), expected, "{sql}");
    }
    let batches = ours.sql("SELECT max(none), min(up) FROM t WHERE down <= 0").await.unwrap();
    assert!(batches.collect().await.unwrap()[0].column(0).is_null(0));
    // Statistics say nothing of a NaN, which is the greatest.
    let batches = ours.sql("SELECT max(f) FROM t WHERE down <= 0").await.unwrap();
    let batches = batches.collect().await.unwrap();
    assert!(batches[0].column(0).as_primitive::<arrow::datatypes::Float64Type>().value(0).is_nan());
}

/// The filter that a top-K narrows looks for a NaN, too, of which statistics say nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_top_k_finds_a_nan() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let ours = session(folder.path(), true).await;
    // Files that are opened later are pruned by what is known then, as DataFusion's are.
    ours.sql("SET datafusion.execution.target_partitions = 1").await.unwrap();
    let batches = ours.sql("SELECT f FROM t ORDER BY f DESC LIMIT 1").await.unwrap();
    let batches = batches.collect().await.unwrap();
    assert!(batches[0].column(0).as_primitive::<arrow::datatypes::Float64Type>().value(0).is_nan());
}

/// What Staffa had found rules nothing out for DataFusion, which begins from the first row.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_reads_everything() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let stock = session(folder.path(), false).await;
    let ours = session(folder.path(), true).await;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(Refusing::above(1 << 20)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        )
        .build_arc()
        .unwrap();
    let state =
        SessionStateBuilder::new_from_existing(ours.state()).with_runtime_env(runtime).build();
    let refused = SessionContext::new_with_state(state);
    for found in [
        "SELECT max(up) AS m FROM t WHERE down <= 0",
        "SELECT up AS m FROM t WHERE down <= 0 ORDER BY up DESC LIMIT 1",
    ] {
        let sql = format!(
            "SELECT count(*), sum(array_length(ids)) FROM (SELECT t.up % 7 AS k, array_agg(t.s) AS ids, \
             array_agg(t.up) AS ups FROM t, ({found}) x WHERE t.up > x.m - 50000 GROUP BY t.up % 7)"
        );
        let expected = answer(&stock, &plan(&stock, &sql).await).await;
        let plan = plan(&refused, &sql).await;
        assert_eq!(answer(&refused, &plan).await, expected, "{sql}");
        let shown = displayable(plan.as_ref()).indent(true).to_string();
        let restarts = restarts(&plan);
        assert!(restarts > 0, "{sql}: no restart: {shown}");
    }
}

fn restarts(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = plan.metrics().and_then(|own| own.sum_by_name("datafusion_restarts"));
    let below = plan.children().into_iter().map(restarts).sum::<usize>();
    own.map_or(0, |value| value.as_usize()) + below
}
