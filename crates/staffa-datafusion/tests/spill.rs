//! Joins that spill, through whole sessions: below a LIMIT, partition by partition, and with a dynamic
//! filter on the probe side's Parquet scan. The engine's own tests have the join alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Int64Array, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_plan::{ExecutionPlan, collect, displayable, execute_stream_partitioned};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use futures::TryStreamExt;
use staffa_datafusion::{Device, StaffaConfig, register};
use tempfile::TempDir;

const ROWS: i64 = 100_000;

/// Sessions over the same `t (id, k)` in memory and `p (id, k)` in Parquet files.
struct Tables {
    folder: TempDir,
    memory: Arc<MemTable>,
}

impl Tables {
    async fn new() -> Self {
        let part = |p: i64| {
            let ids = (0..ROWS / 4).map(|i| i * 4 + p);
            let keys = (0..ROWS / 4).map(|i| (i * 7919 + p) % 50_021);
            RecordBatch::try_from_iter([
                ("id", Arc::new(Int64Array::from_iter_values(ids)) as _),
                ("k", Arc::new(Int64Array::from_iter_values(keys)) as _),
            ])
            .unwrap()
        };
        let slices = |batch: RecordBatch| {
            let at = (0..batch.num_rows()).step_by(4096);
            at.map(|at| batch.slice(at, 4096.min(batch.num_rows() - at))).collect::<Vec<_>>()
        };
        let schema = part(0).schema();
        let memory = MemTable::try_new(schema, (0..4).map(|p| slices(part(p))).collect()).unwrap();
        let tables = Self { folder: tempfile::tempdir().unwrap(), memory: Arc::new(memory) };
        let ctx = SessionContext::new();
        ctx.register_table("t", Arc::clone(&tables.memory) as _).unwrap();
        let frame = ctx.sql("SELECT * FROM t").await.unwrap();
        frame.write_parquet(&tables.path(), DataFrameWriteOptions::new(), None).await.unwrap();
        tables
    }

    fn path(&self) -> String {
        format!("{}/p/", self.folder.path().display())
    }

    /// Staffa's CPU engine with a pool of `limit` bytes, or stock DataFusion with no limit.
    async fn session(&self, limit: Option<usize>, settings: &[(&str, &str)]) -> Session {
        let pool: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(limit.unwrap_or(usize::MAX)));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc().unwrap();
        let mut config = SessionConfig::new().with_target_partitions(4).with_batch_size(1024);
        for (key, value) in settings {
            config = config.set_str(key, value);
        }
        let builder = SessionStateBuilder::new()
            .with_default_features()
            .with_config(config)
            .with_runtime_env(Arc::clone(&runtime));
        let staffa = StaffaConfig { min_rows: 0, device: Device::Cpu, ..StaffaConfig::default() };
        let builder = if limit.is_some() { register(builder, staffa) } else { builder };
        let ctx = SessionContext::new_with_state(builder.build());
        ctx.register_table("t", Arc::clone(&self.memory) as _).unwrap();
        ctx.register_parquet("p", self.path(), ParquetReadOptions::default()).await.unwrap();
        Session { ctx, runtime }
    }
}

struct Session {
    ctx: SessionContext,
    runtime: Arc<RuntimeEnv>,
}

impl Session {
    async fn plan(&self, sql: &str) -> Arc<dyn ExecutionPlan> {
        self.ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap()
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        let plan = self.plan(sql).await;
        lines(&collect(plan, self.ctx.task_ctx()).await.unwrap())
    }

    /// Once the plan is dropped, nothing is left of it in memory or on disk.
    async fn is_clean(&self, sql: &str) {
        let ended = Instant::now();
        let held =
            || (self.runtime.memory_pool.reserved(), self.runtime.disk_manager.used_disk_space());
        while held() != (0, 0) {
            assert!(ended.elapsed() < Duration::from_secs(10), "{sql} leaves {:?} bytes", held());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let text = pretty_format_batches(batches).unwrap().to_string();
    // Without the padding, which depends on the widest cell.
    let rows = text.lines().filter(|line| line.starts_with('|')).skip(1);
    let mut lines: Vec<String> = rows.map(|line| line.replace(' ', "")).collect();
    lines.sort_unstable();
    lines
}

/// Files that the joins of a plan have written.
fn spills(plan: &Arc<dyn ExecutionPlan>) -> usize {
    let own = match plan.name() {
        "HashJoinExec" => plan.metrics().and_then(|m| m.spill_count()).unwrap_or(0),
        _ => 0,
    };
    own + plan.children().into_iter().map(spills).sum::<usize>()
}

fn text(plan: &Arc<dyn ExecutionPlan>) -> String {
    displayable(plan.as_ref()).indent(true).to_string()
}

/// What the joins take is several times as much.
const LIMIT: usize = 1 << 20;

const PARTITIONED: &[(&str, &str)] = &[
    ("datafusion.optimizer.hash_join_single_partition_threshold", "0"),
    ("datafusion.optimizer.hash_join_single_partition_threshold_rows", "0"),
];

/// A LIMIT stops a join whose lanes are at their files, or have not come to them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_above_a_spilled_join_takes_rows_of_its_answer() {
    let tables = Tables::new().await;
    for (kind, settings) in [("JOIN", &[][..]), ("JOIN", PARTITIONED), ("FULL JOIN", &[])] {
        let all = format!("SELECT a.id, b.id AS other FROM t a {kind} t b ON a.k = b.k + 7");
        let expected = tables.session(None, settings).await.rows(&all).await;
        for limit in [1, 1000, expected.len() + 1] {
            let sql = format!("{all} LIMIT {limit}");
            let session = tables.session(Some(LIMIT), settings).await;
            let plan = session.plan(&sql).await;
            let rows = lines(&collect(Arc::clone(&plan), session.ctx.task_ctx()).await.unwrap());
            assert!(spills(&plan) > 0, "{sql} does not spill:\n{}", text(&plan));
            assert_eq!(rows.len(), limit.min(expected.len()), "{sql}");
            let mut rest = expected.iter();
            let foreign = rows.iter().find(|row| !rest.any(|known| known == *row));
            assert_eq!(foreign, None, "{sql} has a row that the join does not, or not so often");
            drop(plan);
            session.is_clean(&sql).await;
        }
    }
}

/// Both sides are partitioned; the partitions are read together, and one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_of_a_spilled_join_have_their_own_rows() {
    let tables = Tables::new().await;
    for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN"]
    {
        let list = if kind.contains("SEMI") || kind.contains("ANTI") { "a.k" } else { "a.k, b.id" };
        let sql = format!("SELECT a.id, {list} FROM t a {kind} t b ON a.k = b.k + 7");
        let stock = tables.session(None, PARTITIONED).await;
        let expected = stock.rows(&sql).await;
        let session = tables.session(Some(LIMIT), PARTITIONED).await;
        let plan = session.plan(&sql).await;
        assert!(text(&plan).contains("mode=Partitioned"), "{}", text(&plan));
        let streams =
            execute_stream_partitioned(Arc::clone(&plan), session.ctx.task_ctx()).unwrap();
        let read = streams.into_iter().map(|stream| tokio::spawn(stream.try_collect::<Vec<_>>()));
        let mut batches = vec![];
        for task in read.collect::<Vec<_>>() {
            batches.extend(task.await.unwrap().unwrap());
        }
        assert!(spills(&plan) > 0, "{sql} does not spill:\n{}", text(&plan));
        assert!(lines(&batches) == expected, "{sql}: other rows");
        drop(plan);
        session.is_clean(&sql).await;
    }
}

/// The filter that a spilled build side sends to the probe side's scan must let every partner pass,
/// those on disk too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spilled_build_side_filters_the_probe_side_rightly() {
    let tables = Tables::new().await;
    for settings in [&[][..], PARTITIONED] {
        for sql in [
            "SELECT count(*), sum(t.id), sum(p.id) FROM t JOIN p ON t.k = p.k WHERE t.id % 2 = 0",
            "SELECT count(*), sum(p.id) FROM t RIGHT JOIN p ON t.k = p.k AND t.id < 50000",
        ] {
            let expected = tables.session(None, settings).await.rows(sql).await;
            let session = tables.session(Some(LIMIT), settings).await;
            let plan = session.plan(sql).await;
            let answer = collect(Arc::clone(&plan), session.ctx.task_ctx()).await;
            let rows =
                lines(&answer.unwrap_or_else(|error| panic!("{sql}: {error}\n{}", text(&plan))));
            assert!(spills(&plan) > 0, "{sql} does not spill:\n{}", text(&plan));
            assert!(rows == expected, "{sql}: other rows");
            drop(plan);
            session.is_clean(sql).await;
        }
    }
}
