//! TPC-H: every aggregation that stands above a scan, or above joins that its rows probe.

use staffa::{Place, report};
use staffa_harness::{Engine, Workload, tpch};

use crate::common::{Seen, assert_equal, has_gpu, run, session};

const SCALE: f64 = 0.01;

fn workload(queries: &[usize]) -> Workload {
    let folder = tpch::prepare(&tpch::data_dir(), SCALE, &|_| {}).expect("TPC-H data");
    tpch::workload(&folder, SCALE, queries).expect("queries")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregations_above_scans_run_on_the_device() {
    if !has_gpu() {
        return;
    }
    let all: Vec<usize> = (1..=22).collect();
    let workload = workload(&all);
    for partitions in [2, 8] {
        let (stock, ours) =
            (session(Engine::DataFusion, partitions), session(Engine::Gpu, partitions));
        for ctx in [&stock, &ours] {
            workload.register(ctx).await.expect("tables");
        }
        let mut on_device = Vec::new();
        for (number, query) in all.iter().zip(&workload.queries) {
            let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
            assert_equal(&query.name, &expected, &actual);
            let seen = Seen::of(&actual);
            assert_eq!(seen.of_name("failed_morsels"), 0, "{}: {seen:?}", query.name);
            assert_eq!(seen.of_name("ungrouped_morsels"), 0, "{}: {seen:?}", query.name);
            if seen.aggregates_on_gpu > 0 {
                on_device.push((*number, seen.of_name("grouped_morsels") > 0));
            }
        }
        assert_eq!(on_device, ON_DEVICE, "{partitions} partitions");
    }
}

/// The queries of which an aggregation stands above a scan, or joins that its rows probe, and whether there was
/// anything to aggregate: at this scale nothing is left for Q17's.
const ON_DEVICE: [(usize, bool); 22] = [
    (1, true),
    (2, true),
    (3, true),
    (4, true),
    (5, true),
    (6, true),
    (7, true),
    (8, true),
    (9, true),
    (10, true),
    (11, true),
    (12, true),
    (13, true),
    (14, true),
    (15, true),
    (16, true),
    (17, false),
    (18, true),
    (19, true),
    (20, true),
    (21, true),
    (22, true),
];

/// Any change to these figures is a decision: what Q1 and Q6 ask of the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_q1_and_q6_ask_of_the_device() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[1, 6]);
    let (stock, ours) = (session(Engine::DataFusion, 2), session(Engine::Gpu, 2));
    for ctx in [&stock, &ours] {
        workload.register(ctx).await.expect("tables");
    }
    let pinned: [&[(&str, usize)]; 2] = [
        &[
            ("morsels", 1),
            ("grouped_morsels", 1),
            ("groups", 4),
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
            ("grouped_morsels", 1),
            ("groups", 1),
            ("launches", 23),
            ("uploads", 15),
            ("upload_bytes", 479_285),
            ("downloads", 4),
            ("download_bytes", 56),
            ("awaits", 3),
            ("blocking_waits", 0),
        ],
    ];
    let mut all = Vec::new();
    for (query, pinned) in workload.queries.iter().zip(pinned) {
        let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
        assert_equal(&query.name, &expected, &actual);
        let seen = Seen::of(&actual);
        let found: Vec<(&str, usize)> =
            pinned.iter().map(|(name, _)| (*name, seen.of_name(name))).collect();
        all.push(found);
        // The scan, all that is right above it, and both halves of the aggregation.
        let on_gpu = |name: &str| {
            let nodes = report(&actual.plan).nodes.into_iter();
            nodes.filter(|n| n.name == name && n.place == Place::Gpu(0)).count()
        };
        for (name, nodes) in [("AggregateExec", 2), ("FilterExec", 1), ("DataSourceExec", 1)] {
            assert_eq!(on_gpu(name), nodes, "{} {name}: {}", query.name, seen.plan);
        }
    }
    assert_eq!(all, pinned);
}
