//! TPC-H and single statements: equal to stock DataFusion, on the device where EXPLAIN says so, and what a
//! morsel asks of it.

use staffa::{Place, report};
use staffa_harness::{Engine, run_query};

use crate::{assert_equal, figures, has_gpu, run, session, workload};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tpch_equals_stock_with_scans_on_the_device() {
    if !has_gpu() {
        return;
    }
    let all: Vec<usize> = (1..=22).collect();
    let workload = workload(&all);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    for query in &workload.queries {
        let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
        assert_equal(&query.name, &expected, &actual);
        let seen = report(&actual.plan);
        assert!(seen.gpu_nodes() > 0, "{}: no node on a GPU", query.name);
        let figures = figures(&actual.plan);
        // Dynamic filters may leave nothing to read.
        let read = figures.get("launches").copied().unwrap_or(0);
        assert!(read == 0 || seen.gpu_morsels() > 0, "{}: {figures:?}", query.name);
        assert_eq!(figures.get("failed_morsels"), Some(&0), "{}: {figures:?}", query.name);
    }
}

/// Any change to these figures is a decision: what a morsel of TPC-H's scans asks of the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_morsel_of_q1_and_q6_asks_of_the_device() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[1, 6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    let pinned: [&[(&str, usize)]; 2] = [
        &[
            ("morsels", 1),
            ("failed_morsels", 0),
            ("launches", 54),
            ("uploads", 22),
            ("upload_bytes", 535_669),
            ("downloads", 21),
            ("download_bytes", 584),
            ("awaits", 4),
            ("blocking_waits", 0),
        ],
        &[
            ("morsels", 1),
            ("failed_morsels", 0),
            ("launches", 23),
            ("uploads", 15),
            ("upload_bytes", 479_285),
            ("downloads", 4),
            ("download_bytes", 56),
            ("awaits", 3),
            ("blocking_waits", 0),
        ],
    ];
    for (query, pinned) in workload.queries.iter().zip(pinned) {
        let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
        assert_equal(&query.name, &expected, &actual);
        let figures = figures(&actual.plan);
        let found: Vec<(&str, usize)> = pinned
            .iter()
            .map(|(name, _)| (*name, figures.get(*name).copied().unwrap_or(0)))
            .collect();
        assert_eq!(found, pinned, "{}", query.name);
        let places: Vec<_> = report(&actual.plan)
            .nodes
            .into_iter()
            .filter(|node| ["FilterExec", "DataSourceExec"].contains(&node.name.as_str()))
            .map(|node| node.place)
            .collect();
        assert_eq!(places, [Place::Gpu(0), Place::Gpu(0)], "{}", query.name);
    }
}

/// Where rows are dealt out between scan and filter, the filter reaches the device all the same; plain
/// strings come back by offsets and bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_runs_where_explain_says() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    for (sql, most_bytes) in [
        ("SELECT o_orderkey, o_comment FROM orders WHERE o_totalprice < 5000", 100_000),
        ("SELECT c_name, upper(c_mktsegment) FROM customer WHERE c_acctbal > 9000", 100_000),
        ("SELECT p_name, p_size + 1 FROM part WHERE p_name LIKE '%green%'", 100_000),
        ("SELECT n_name, n_comment FROM nation", 10_000),
    ] {
        let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
        assert_equal(sql, &expected, &actual);
        let seen = report(&actual.plan);
        let wrong = seen.nodes.iter().find(|node| {
            ["FilterExec", "DataSourceExec"].contains(&node.name.as_str())
                && node.place != Place::Gpu(0)
        });
        assert!(wrong.is_none(), "{sql}: {wrong:?}");
        let figures = figures(&actual.plan);
        assert_eq!(figures.get("failed_morsels"), Some(&0), "{sql}: {figures:?}");
        let bytes = figures.get("download_bytes").copied().unwrap_or(0);
        assert!(bytes > 0 && bytes < most_bytes, "{sql}: {figures:?}");
    }
}

/// What the device has no program for stays on the CPU with a reason; the scan below still goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_lower_says_why() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    let sql = "SELECT l_shipmode, l_quantity FROM lineitem \
               WHERE regexp_like(l_shipmode, '^A.R') ORDER BY 1, 2";
    let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
    assert_equal(sql, &expected, &actual);
    let seen = report(&actual.plan);
    let filter = seen.nodes.iter().find(|node| node.name == "FilterExec").expect("a filter");
    assert_eq!(filter.place, Place::Cpu);
    assert!(filter.reason.as_ref().is_some_and(|why| why.starts_with('A')), "{filter:?}");
    assert!(seen.gpu_morsels() > 0, "{seen:?}");
    let strict = "SET staffa.on_unsupported = error";
    run(&ours, strict).await;
    let error = run_query(&ours, sql).await.map(drop).expect_err("refused").to_string();
    assert!(error.contains("FilterExec is not on a GPU: A0"), "{error}");
}

/// A row on which DataFusion errs: the device asks for a rerun, and DataFusion decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_are_datafusions() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    let sql = "SELECT sum(100 / (l_linenumber - 1)) FROM lineitem WHERE l_quantity < 10";
    let expected = run_query(&stock, sql).await.map(drop).expect_err("stock errs").to_string();
    let actual = run_query(&ours, sql).await.map(drop).expect_err("ours errs").to_string();
    assert_eq!(actual, expected);
    let sql = "SELECT count(*) FROM lineitem WHERE 100 / (l_linenumber - 1) > 3";
    let expected = run_query(&stock, sql).await.map(drop).expect_err("stock errs").to_string();
    let actual = run_query(&ours, sql).await.map(drop).expect_err("ours errs").to_string();
    assert_eq!(actual, expected);
}
