//! What reads no further than DataFusion would: rows that a limit is content with are not kept back for more,
//! rows behind the first batch are not computed, and windows hold no more than peers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::Result;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryPool, MemoryReservation, UnboundedMemoryPool,
};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext, col};
use staffa_datafusion::{Device, StaffaConfig, register};

/// Records the most that window operators held.
#[derive(Debug, Default)]
struct Watched {
    inner: UnboundedMemoryPool,
    peak: AtomicUsize,
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl MemoryPool for Watched {
    fn name(&self) -> &str {
        "watched"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.inner.register(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        if reservation.consumer().name() == "StaffaWindow" {
            self.peak.fetch_max(reservation.size() + additional, Ordering::Relaxed);
        }
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.inner.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }
}

fn session(staffa: Option<StaffaConfig>, partitions: usize) -> (SessionContext, Arc<Watched>) {
    let pool = Arc::new(Watched::default());
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool) as _).build_arc();
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(SessionConfig::new().with_target_partitions(partitions))
        .with_runtime_env(runtime.unwrap());
    let builder = match staffa {
        Some(settings) => register(builder, settings),
        None => builder,
    };
    (SessionContext::new_with_state(builder.build()), pool)
}

fn cpu() -> StaffaConfig {
    StaffaConfig { min_rows: 0, device: Device::Cpu, ..StaffaConfig::default() }
}

async fn rows(ctx: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    ctx.sql(sql).await?.collect().await
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Sources without an end in sight: each query is done when its first rows are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_takes_the_first_rows_there_are() {
    let endless = "generate_series(1, 1000000000000) t(y)";
    let few = "(VALUES (1), (2), (9000000000000)) v(x)";
    let queries = [
        (3, format!("SELECT y FROM {endless} WHERE y % 1000000000 < 4 LIMIT 3")),
        (1, format!("SELECT y + 1 FROM {endless} WHERE y % 1000000000 < 4 LIMIT 1 OFFSET 2")),
        (2, format!("SELECT x, y FROM {few} JOIN {endless} ON x = y LIMIT 2")),
        (2, format!("SELECT x, y FROM {few} RIGHT JOIN {endless} ON x = y WHERE x > 0 LIMIT 2")),
        (2, format!("SELECT y, sum(y) OVER (ORDER BY y) FROM {endless} LIMIT 2")),
        (
            2,
            format!(
                "SELECT y, avg(y) OVER (ORDER BY y), max(y) OVER (ORDER BY y) FROM {endless} LIMIT 2"
            ),
        ),
        (
            2,
            format!(
                "SELECT y, stddev(y) OVER (ORDER BY y ROWS UNBOUNDED PRECEDING) FROM {endless} LIMIT 2"
            ),
        ),
        (2, format!("SELECT lag(y) OVER (ORDER BY y) FROM {endless} LIMIT 2")),
        (
            2,
            format!("SELECT sum(y) OVER (ORDER BY y ROWS 3 PRECEDING) AS s FROM {endless} LIMIT 2"),
        ),
        (2, format!("SELECT first_value(y) OVER (ORDER BY y) FROM {endless} LIMIT 2")),
    ];
    for partitions in [1, 3] {
        let (ctx, _) = session(Some(cpu()), partitions);
        for (wanted, query) in &queries {
            let run = tokio::time::timeout(Duration::from_secs(60), rows(&ctx, query));
            let Ok(batches) = run.await else { panic!("reads to the end: {query}") };
            assert_eq!(count(&batches.unwrap()), *wanted, "{query}");
        }
    }
}

/// A row in the second batch of DataFusion's errs; the first batch has all that is asked for.
#[tokio::test]
async fn rows_behind_the_first_batch_are_not_computed() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!("{}/t.parquet", folder.path().display());
    let (stock, _) = session(None, 1);
    let (ctx, _) = session(Some(cpu()), 1);
    let all = stock.sql("SELECT value AS id FROM generate_series(1, 100000)").await.unwrap();
    all.write_parquet(&path, DataFrameWriteOptions::new(), None).await.unwrap();
    for ctx in [&stock, &ctx] {
        ctx.register_parquet("t", &path, ParquetReadOptions::default()).await.unwrap();
    }
    for query in [
        "SELECT id FROM t WHERE 10 / (id - 9000) > -5 LIMIT 3",
        "SELECT * FROM (SELECT id, 10 / (id - 9000) AS x FROM t) WHERE x < 1000 LIMIT 3",
        "SELECT id FROM t WHERE CASE WHEN id < 4 THEN true WHEN id = 25000 THEN 1 / (id - 25000) > 0 \
         ELSE false END LIMIT 3",
    ] {
        let expected = rows(&stock, query).await.unwrap();
        let got = rows(&ctx, query).await.unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(pretty(&got), pretty(&expected), "{query}");
        // One that has to come to the row errs.
        let all = query.replace("LIMIT 3", "LIMIT 99999");
        assert!(rows(&stock, &all).await.is_err(), "{all}");
        assert!(rows(&ctx, &all).await.is_err(), "{all}");
    }
}

fn pretty(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

/// Rows in order, with `g`, `k` and `k2`, of which peers and partitions are made: runs of rows from three to many
/// morsels.
const ORDERED: &str = "SELECT value AS id, value / 7000 AS g, value / 3 AS k, value / 900 AS k2, \
                       CASE WHEN value % 5 > 0 THEN value % 101 END AS v, 'v' || (value % 71) AS s, \
                       CAST(value % 89 AS DOUBLE) / 7 AS f, CAST(value % 97 AS DECIMAL(20, 2)) AS d \
                       FROM generate_series(1, 20000)";

/// The rows as a table that declares their orders: nothing sorts them again, so that ties stay where they are.
async fn ordered(ctx: &SessionContext) -> Arc<MemTable> {
    let batches = rows(ctx, ORDERED).await.unwrap();
    let order = |keys: &[&str]| keys.iter().map(|key| col(*key).sort(true, false)).collect();
    let orders = [&["id"][..], &["k", "id"], &["k2", "id"], &["g", "k"], &["g", "k2"]];
    let all = one(&batches);
    let cuts = (0..all.num_rows()).step_by(500);
    let slices = cuts.map(|at| all.slice(at, 500.min(all.num_rows() - at))).collect();
    let table = MemTable::try_new(all.schema(), vec![slices]).unwrap();
    Arc::new(table.with_sort_order(orders.into_iter().map(order).collect()))
}

/// What functions keep of earlier rows, for windows whose partitions and peers are cut by morsels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_of_peers_give_the_same_in_parts() {
    let functions = [
        "sum(v)",
        "count(v)",
        "avg(v)",
        "min(v)",
        "max(v)",
        "sum(f)",
        "max(s)",
        "stddev(v)",
        "first_value(v)",
        "first_value(s)",
        "last_value(s)",
        "rank()",
        "dense_rank()",
        "row_number()",
        "sum(d)",
        "count(*)",
    ];
    let (stock, _) = session(None, 1);
    let table = ordered(&stock).await;
    stock.register_table("t", Arc::clone(&table) as _).unwrap();
    for morsel_rows in [64, 16384] {
        let (ctx, _) = session(Some(StaffaConfig { morsel_rows, ..cpu() }), 1);
        ctx.register_table("t", Arc::clone(&table) as _).unwrap();
        for window in [
            "ORDER BY id",
            "ORDER BY k",
            "ORDER BY k2",
            "PARTITION BY g ORDER BY k",
            "PARTITION BY g ORDER BY k2",
            "PARTITION BY k ORDER BY id",
            "ORDER BY k ROWS UNBOUNDED PRECEDING",
        ] {
            // Alone, and all in one node.
            let mut lists: Vec<String> = functions
                .iter()
                .map(|function| format!("{function} OVER ({window}) AS f"))
                .collect();
            lists.push(
                functions
                    .iter()
                    .enumerate()
                    .map(|(at, function)| format!("{function} OVER ({window}) AS f{at}"))
                    .collect::<Vec<_>>()
                    .join(", "),
            );
            for list in lists {
                let query = format!("SELECT id, {list} FROM t");
                let expected = rows(&stock, &query).await.unwrap();
                let plan = ctx.sql(&query).await.unwrap().create_physical_plan().await.unwrap();
                let text = displayable(plan.as_ref()).indent(false).to_string();
                assert!(
                    text.contains("WindowAggExec [cpu]") && !text.contains("SortExec"),
                    "{text}"
                );
                let got = rows(&ctx, &query).await.unwrap();
                let (expected, got) = (one(&expected), one(&got));
                assert!(expected == got, "{morsel_rows}: {query}");
            }
        }
    }
}

fn one(batches: &[RecordBatch]) -> RecordBatch {
    arrow::compute::concat_batches(&batches[0].schema(), batches).unwrap()
}

/// One partition of a million rows, of which an operator needs the last peers only.
#[tokio::test]
async fn a_running_window_holds_peers_only() {
    for functions in [
        "sum(y) OVER w AS a, first_value(y) OVER w AS b",
        "stddev(y) OVER w AS a, max(y) OVER w AS b",
    ] {
        let (ctx, pool) = session(Some(cpu()), 1);
        let query = format!(
            "SELECT max(a), max(b) FROM (SELECT {functions} FROM generate_series(1, 1000000) t(y) \
             WINDOW w AS (ORDER BY y))"
        );
        let plan = ctx.sql(&query).await.unwrap().create_physical_plan().await.unwrap();
        assert_eq!(count(&rows(&ctx, &query).await.unwrap()), 1);
        let text = displayable(plan.as_ref()).indent(false).to_string();
        assert!(text.contains("BoundedWindowAggExec [cpu]"), "{text}");
        let peak = pool.peak.load(Ordering::Relaxed);
        assert!((1..1 << 20).contains(&peak), "{functions}: {peak} bytes");
    }
}

/// DataFusion merges no more of the sorted batches than a limit asks for; so the sort is its own then, and only then.
#[tokio::test]
async fn a_sort_whose_rows_a_limit_ends_stays_with_datafusion() {
    let (ctx, _) = session(Some(cpu()), 2);
    ctx.register_table("ordered", ordered(&ctx).await).unwrap();
    let ranks =
        "SELECT id, row_number() OVER (PARTITION BY id % 7 ORDER BY id DESC) AS r FROM ordered";
    for (sql, ours) in [
        (format!("{ranks} LIMIT 5"), false),
        (format!("SELECT id + r FROM ({ranks}) WHERE r < 3 LIMIT 5"), false),
        (format!("SELECT max(r) FROM ({ranks}) LIMIT 5"), true),
        (format!("{ranks} ORDER BY id, r LIMIT 5"), true),
        (ranks.to_string(), true),
    ] {
        let plan = ctx.sql(&sql).await.unwrap().create_physical_plan().await.unwrap();
        let shown = displayable(plan.as_ref()).indent(false).to_string();
        assert_eq!(shown.contains("SortExec [cpu]"), ours, "{sql}\n{shown}");
        assert!(shown.contains("WindowAggExec [cpu]"), "{sql}\n{shown}");
        assert!(count(&rows(&ctx, &sql).await.unwrap()) > 0, "{sql}");
    }
    // Nor does a window wait for all rows of such a sort.
    let sql = "SELECT id, lag(id) OVER (ORDER BY v DESC, id) FROM ordered LIMIT 5";
    let plan = ctx.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let shown = displayable(plan.as_ref()).indent(false).to_string();
    assert!(shown.contains("WindowAggExec [datafusion: A014"), "{shown}");
    assert_eq!(count(&rows(&ctx, sql).await.unwrap()), 5);
}
