//! Chains above sources that are no scan: groups, windows, unions, batches of DataFusion's. The host's rows go to the
//! device, and what must come out is stock DataFusion's.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::datasource::MemTable;
use staffa::{StaffaConfig, report};

use crate::common::{Both, Seen, child, has_gpu, is_emulated, on_gpu, run, table, text};
use crate::shared::stride;
use crate::types::columns;

/// Keys that match several times, once and never, with NULLs among them and one that a third of the rows has.
fn side(rows: i64, of: i64) -> RecordBatch {
    let key = (0..rows).map(|row| match row % 13 {
        5 => None,
        4 | 6 | 8 | 10 => Some(7),
        _ => Some(row * 7 % of - 1),
    });
    let key: ArrayRef = Arc::new(Int64Array::from_iter(key));
    let words = ["", "ä", "größe", "a much longer string than fits", "日本語"];
    let word = (0..rows).map(|row| (row % 11 != 3).then(|| words[row as usize % words.len()]));
    let word: ArrayRef = Arc::new(StringArray::from_iter(word));
    let value: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    table(&[("k", key), ("w", word), ("v", value)])
}

async fn both(partitions: usize) -> Both {
    let tables = [("a", side(300, 90)), ("b", side(5_000, 140)), ("e", side(0, 1))];
    let both = Both::new(&tables, 2_000, partitions).await;
    both.set(&["SET datafusion.optimizer.join_reordering = false"]).await;
    both
}

/// Runs a query on both; the device must have lifted rows, so many of these nodes at least must be on it, and nothing may be
/// left to the CPU.
async fn lifted(both: &Both, sql: &str, nodes: &[(&str, usize)]) -> Seen {
    let seen = both.equal(sql).await;
    let ran = run(&both.ours, sql).await;
    let plan = report(&ran.plan);
    for (name, count) in nodes {
        assert!(on_gpu(&plan, name) >= *count, "{name} of {sql}: {plan:?}");
    }
    assert!(seen.of_name("lifted_rows") > 0, "{sql}: {seen:?}");
    for left in [
        "unlifted_rows",
        "failed_morsels",
        "ungrouped_morsels",
        "unprobed_morsels",
        "refused_builds",
    ] {
        assert_eq!(seen.of_name(left), 0, "{left} of {sql}: {seen:?}");
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_groups() {
    if !has_gpu() {
        return;
    }
    let grouped = "(SELECT k, w, sum(v) s, count(*) c FROM b GROUP BY k, w)";
    for partitions in [1, 2, 8] {
        let both = both(partitions).await;
        let sql = format!("SELECT k + 1, s * c, w FROM {grouped} WHERE c > 2 AND w <> 'ä'");
        lifted(&both, &sql, &[("FilterExec", 1), ("ProjectionExec", 1)]).await;
        // One aggregation above another; the rows of the inner one are counted once.
        let sql = format!("SELECT c, count(*), sum(s), min(w), max(k) FROM {grouped} GROUP BY c");
        let seen = lifted(&both, &sql, &[("AggregateExec", 2)]).await;
        assert!(seen.of_name("grouped_rows") > 5_000, "{seen:?}");
        let sql = format!("SELECT count(*), sum(s) FROM {grouped} WHERE k IS NULL OR s % 2 = 0");
        lifted(&both, &sql, &[("FilterExec", 1)]).await;
        let sql = "SELECT w, count(DISTINCT k) FROM b GROUP BY w";
        lifted(&both, sql, &[]).await;
        // A value that is known at run time only.
        let sql = "SELECT k, sum(v) FROM b GROUP BY k HAVING sum(v) > (SELECT avg(v) * 10 FROM a)";
        lifted(&both, sql, &[("FilterExec", 1)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_probe() {
    if !has_gpu() {
        return;
    }
    let grouped = "(SELECT k, sum(v) s, count(*) c FROM b GROUP BY k)";
    for partitions in [1, 2, 8] {
        let both = both(partitions).await;
        for sql in [
            format!("SELECT a.w, a.v, x.s FROM a JOIN {grouped} x ON a.k = x.k"),
            format!("SELECT a.w, a.v, x.s FROM a RIGHT JOIN {grouped} x ON a.k + 1 = x.k * 2"),
            format!("SELECT a.w, a.v, x.s FROM a FULL JOIN {grouped} x ON a.k = x.k"),
            format!("SELECT a.v FROM a LEFT ANTI JOIN {grouped} x ON a.k = x.c % 90"),
            format!("SELECT x.s FROM a RIGHT SEMI JOIN {grouped} x ON a.k = x.c % 90"),
            format!("SELECT a.w, x.s FROM a JOIN {grouped} x ON a.k = x.k AND a.v * 20 < x.s"),
            format!(
                "SELECT a.w, count(*), sum(x.s) FROM a JOIN (SELECT * FROM {grouped} WHERE c > 2) x \
                 ON a.k = x.k WHERE a.v + x.s > 10 GROUP BY a.w"
            ),
        ] {
            let sql = format!("SELECT * FROM ({sql}) ORDER BY 1, 2");
            let sql = if sql.contains("a.v FROM") || sql.contains("x.s FROM a RIGHT SEMI") {
                sql.replace(", 2", "")
            } else {
                sql
            };
            let seen = lifted(&both, &sql, &[]).await;
            assert_eq!(seen.joins_on_gpu, 1, "{sql}: {}", seen.plan);
            assert!(seen.of_name("probed_morsels") > 0, "{sql}: {seen:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unions_windows_and_sorts() {
    if !has_gpu() {
        return;
    }
    let both = both(2).await;
    let union = "(SELECT k, v FROM a UNION ALL SELECT k, v FROM b UNION ALL SELECT k, v FROM e)";
    let sql = format!("SELECT k, count(*), sum(v) FROM {union} GROUP BY k");
    lifted(&both, &sql, &[("UnionExec", 1)]).await;
    let sql = format!("SELECT a.w, count(*) FROM a JOIN {union} x ON a.k = x.k GROUP BY a.w");
    let seen = lifted(&both, &sql, &[]).await;
    assert_eq!(seen.joins_on_gpu, 1, "{}", seen.plan);
    let sql = "SELECT k, v FROM (SELECT k, v, rank() OVER (PARTITION BY k ORDER BY v DESC) r FROM b) \
               WHERE r <= 2 AND v % 2 = 0";
    lifted(&both, sql, &[("FilterExec", 1)]).await;
    // A top-K in the middle of the plan: no limit above it stops early.
    let sql = "SELECT w, count(*) FROM (SELECT w, v FROM b ORDER BY v DESC LIMIT 700) GROUP BY w";
    lifted(&both, sql, &[]).await;
    // No rows, and one.
    let seen =
        both.equal("SELECT s + 1 FROM (SELECT k, sum(v) s FROM e GROUP BY k) WHERE s > 0").await;
    assert_eq!(seen.of_name("lifted_rows"), 0, "{seen:?}");
    let sql = "SELECT s * 2 FROM (SELECT sum(v) s, count(*) c FROM b) WHERE c > 1";
    let seen = lifted(&both, sql, &[("FilterExec", 1)]).await;
    assert_eq!(seen.of_name("lifted_rows"), 1, "{seen:?}");
}

/// Batches that a node of DataFusion's makes, of every type at its edges.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_datafusions() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&[("a", side(40, 90))], 2_000, 2).await;
    for ctx in [&both.stock, &both.ours] {
        for (name, shift) in [("l", 0), ("r", 1)] {
            let mut columns = columns(shift);
            let rows = columns[0].1.len() as i64;
            columns.push(("n", Arc::new(Int64Array::from_iter_values(0..rows))));
            let batch = table(&columns);
            let (one, two) = (batch.slice(0, 90), batch.slice(90, batch.num_rows() - 90));
            let parts = vec![vec![one.clone(), one], vec![two]];
            let of = MemTable::try_new(batch.schema(), parts).expect("a table");
            ctx.register_table(name, Arc::new(of)).expect("a table");
        }
    }
    let sql = "SELECT * FROM l WHERE n % 3 <> 1 ORDER BY n";
    let seen = both.equal(sql).await;
    assert!(
        seen.of_name("lifted_rows") + seen.of_name("unlifted_rows") == 0
            || seen.of_name("unlifted_rows") == 0
    );
    for (name, _) in columns(0) {
        let sql =
            format!("SELECT {name}, count(*), sum(n) FROM l WHERE n % 5 <> 2 GROUP BY {name}");
        // Programs have no register for this one.
        lifted(&both, &sql, &[("FilterExec", usize::from(name != "wider"))]).await;
        if name == "wider" {
            continue;
        }
        let sql = format!("SELECT l.{name}, r.n FROM l JOIN r ON l.n = r.n WHERE l.n + r.n > 20");
        let seen = lifted(&both, &sql, &[]).await;
        assert_eq!(seen.joins_on_gpu, 1, "{sql}: {}", seen.plan);
        let sql = format!("SELECT count(*), sum(l.n) FROM l JOIN r ON l.{name} = r.{name}");
        lifted(&both, &sql, &[]).await;
    }
}

/// Rows that the pool has no room for go on to the CPU.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_memory_of_the_host() {
    if !has_gpu() {
        return;
    }
    let both = Both::new(&[("a", side(40, 90))], 2_000, 2).await;
    let batch = side(60_000, 140);
    for ctx in [&both.stock, &both.ours] {
        let parts = vec![vec![batch.clone()], vec![batch.slice(0, 7)]];
        let of = MemTable::try_new(batch.schema(), parts).expect("a table");
        ctx.register_table("m", Arc::new(of)).expect("a table");
    }
    let sql = "SELECT k, count(*), sum(v), min(w) FROM m WHERE v % 7 <> 3 GROUP BY k";
    lifted(&both, sql, &[("FilterExec", 1)]).await;
    run(&both.ours, "SET datafusion.runtime.memory_limit = '512K'").await;
    let seen = both.equal(sql).await;
    assert!(seen.of_name("unlifted_rows") >= 60_000, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_shows_every_node() {
    if !has_gpu() {
        return;
    }
    let both = both(2).await;
    let sql =
        "SELECT k + 1, s FROM (SELECT k, sum(v) s FROM b GROUP BY k) WHERE s > 100 ORDER BY 1";
    let plan = text(&run(&both.ours, &format!("EXPLAIN {sql}")).await);
    for shown in
        ["FilterExec [gpu:0]", "ProjectionExec [gpu:0]", "SortExec [gpu:0]", "mode=Partial"]
    {
        assert!(plan.contains(shown), "{shown}: {plan}");
    }
    assert!(!plan.contains("[cpu]"), "{plan}");
    // A limit that may stop early keeps its rows.
    let sql = "SELECT k + 1 FROM (SELECT k, sum(v) s FROM b GROUP BY k) WHERE s > 100 LIMIT 2";
    let plan = text(&run(&both.ours, &format!("EXPLAIN {sql}")).await);
    assert!(plan.contains("FilterExec [cpu: A018 a limit above stops early]"), "{plan}");
    // In `auto` the device is not used for rows of which nobody knows how many they are.
    run(&both.ours, "SET staffa.device = auto").await;
    let seen =
        both.equal("SELECT s FROM (SELECT k, sum(v) s FROM b GROUP BY k) WHERE s > 100").await;
    assert_eq!(seen.of_name("lifted_rows"), 0, "{seen:?}");
}

#[test]
fn faults_cost_no_row() {
    if !is_emulated() {
        return;
    }
    let lost = [5, 30, 70, 120, 170].map(|at| format!("cuLaunchKernel:{at}=700"));
    let copies = [10, 40, 90].map(|at| format!("copy:{at}=700"));
    let once = (2..80).step_by(6).map(|at| format!("alloc:{at}=2"));
    let from = (3..120).step_by(12).map(|at| format!("alloc:{at}+=2"));
    let (mut troubled, mut tried) = (0, 0);
    for fault in lost.into_iter().chain(copies).chain(once).chain(from).step_by(stride()) {
        tried += 1;
        let told = child("lifted::child_lifted", &fault);
        assert!(told.contains("all rows are right"), "{fault}: {told}");
        assert!(!told.contains("left behind"), "{fault}: {told}");
        troubled += usize::from(told.contains("left to the CPU: true"));
    }
    assert!(troubled * 3 >= tried, "{troubled} of {tried}");
}

#[ignore = "run with faults by the test above"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_lifted() {
    let mut left = false;
    // A session wants a device that works.
    for both in [both(2).await, both(8).await] {
        for sql in [
            "SELECT k + 1, s FROM (SELECT k, sum(v) s FROM b GROUP BY k) WHERE s % 3 <> 1",
            "SELECT c, count(*), sum(s) FROM (SELECT k, w, count(*) c, sum(v) s FROM b GROUP BY k, w) \
             GROUP BY c",
            "SELECT a.w, count(*), sum(x.s) FROM a JOIN (SELECT k, sum(v) s FROM b GROUP BY k) x \
             ON a.k = x.k GROUP BY a.w",
        ] {
            let seen = both.equal(sql).await;
            println!("{sql}: {:?}", seen.figures);
            let of_lift =
                ["unlifted_rows", "refused_builds", "failed_morsels", "ungrouped_morsels"];
            left |= of_lift.iter().any(|name| seen.of_name(name) > 0);
        }
    }
    println!("all rows are right, left to the CPU: {left}");
    if let Ok(gpu) = staffa::gpu(&StaffaConfig::default()) {
        let used = gpu.usage().used_bytes;
        if used > 0 {
            println!("left behind: {used} bytes");
        }
    }
}
