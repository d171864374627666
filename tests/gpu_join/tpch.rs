//! TPC-H: every join that lineitem's and the other tables' rows probe.

use std::collections::BTreeMap;

use staffa::{Place, report};
use staffa_harness::{Engine, Workload, tpch};

use crate::common::{Seen, assert_equal, has_gpu, on_gpu, run, session};

const SCALE: f64 = 0.01;

fn workload(queries: &[usize]) -> Workload {
    let folder = tpch::prepare(&tpch::data_dir(), SCALE, &|_| {}).expect("TPC-H data");
    tpch::workload(&folder, SCALE, queries).expect("queries")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_run_on_the_device() {
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
            for left in
                ["failed_morsels", "ungrouped_morsels", "unprobed_morsels", "refused_builds"]
            {
                assert_eq!(seen.of_name(left), 0, "{left} of {}: {seen:?}", query.name);
            }
            let joins =
                report(&actual.plan).nodes.iter().filter(|n| n.name == "HashJoinExec").count();
            if joins > 0 {
                on_device.push((*number, seen.joins_on_gpu, joins));
            }
        }
        assert_eq!(on_device, ON_DEVICE, "{partitions} partitions");
    }
}

/// Queries, joins on the device, and all joins.
const ON_DEVICE: [(usize, usize, usize); 20] = [
    (2, 8, 8),
    (3, 2, 2),
    (4, 1, 1),
    (5, 5, 5),
    (7, 5, 5),
    (8, 7, 7),
    (9, 5, 5),
    (10, 3, 3),
    (11, 4, 4),
    (12, 1, 1),
    (13, 1, 1),
    (14, 1, 1),
    (15, 1, 1),
    (16, 2, 2),
    (17, 2, 2),
    (18, 3, 3),
    (19, 1, 1),
    (20, 4, 4),
    (21, 5, 5),
    (22, 1, 1),
];

/// What is not on the device of each query, and why. Any change to this list is a decision.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_on_the_device() {
    if !has_gpu() {
        return;
    }
    let all: Vec<usize> = (1..=22).collect();
    let workload = workload(&all);
    let ours = session(Engine::Gpu, 2);
    workload.register(&ours).await.expect("tables");
    let mut found = String::new();
    for (number, query) in all.iter().zip(&workload.queries) {
        let plan = ours.sql(&query.sql).await.expect("a plan").create_physical_plan().await;
        let mut left = BTreeMap::<String, usize>::new();
        for node in report(&plan.expect("a plan")).nodes {
            if !matches!(node.place, Place::Gpu(_)) {
                let why = node.code.map_or("nothing", |code| code.code());
                *left.entry(format!("{} {why}", node.name)).or_default() += 1;
            }
        }
        let left: Vec<_> = left.iter().map(|(what, count)| format!("{count} {what}")).collect();
        if !left.is_empty() {
            found += &format!("{number}: {}\n", left.join(", "));
        }
    }
    assert_eq!(found, NOT_THERE, "{found}");
}

/// What runs a plan's scalar subqueries first is DataFusion's.
const NOT_THERE: &str = "\
11: 1 ScalarSubqueryExec A008
15: 1 ScalarSubqueryExec A008
22: 1 ScalarSubqueryExec A008
";

/// Any change to these figures is a decision: what Q3, Q9 and Q18 ask of the device.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_joins_ask_of_the_device() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[3, 9, 18]);
    let (stock, ours) = (session(Engine::DataFusion, 2), session(Engine::Gpu, 2));
    for ctx in [&stock, &ours] {
        workload.register(ctx).await.expect("tables");
    }
    let names = [
        "morsels",
        "build_uploads",
        "build_rows",
        "build_upload_bytes",
        "build_launches",
        "probed_morsels",
        "probed_rows",
        "joined_rows",
        "grouped_morsels",
        "launches",
        "uploads",
        "upload_bytes",
        "downloads",
        "download_bytes",
        "awaits",
        "blocking_waits",
    ];
    let mut all = Vec::new();
    for query in &workload.queries {
        let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
        assert_equal(&query.name, &expected, &actual);
        let seen = Seen::of(&actual);
        all.push(names.map(|name| (name, seen.of_name(name))));
        assert!(on_gpu(&report(&actual.plan), "AggregateExec") > 0, "{}", seen.plan);
    }
    assert_eq!(all, PINNED);
}

const PINNED: [[(&str, usize); 16]; 3] = [
    [
        ("morsels", 3),
        ("build_uploads", 2),
        ("build_rows", 2_134),
        ("build_upload_bytes", 31_848),
        ("build_launches", 10),
        ("probed_morsels", 2),
        ("probed_rows", 39_546),
        ("joined_rows", 2_153),
        ("grouped_morsels", 1),
        ("launches", 80),
        ("uploads", 51),
        ("upload_bytes", 739_040),
        ("downloads", 26),
        ("download_bytes", 36_832),
        ("awaits", 12),
        ("blocking_waits", 0),
    ],
    [
        ("morsels", 6),
        ("build_uploads", 5),
        ("build_rows", 23_232),
        ("build_upload_bytes", 440_433),
        ("build_launches", 26),
        ("probed_morsels", 5),
        ("probed_rows", 73_067),
        ("joined_rows", 16_115),
        ("grouped_morsels", 1),
        ("launches", 149),
        ("uploads", 69),
        ("upload_bytes", 911_199),
        ("downloads", 32),
        ("download_bytes", 445_215),
        ("awaits", 20),
        ("blocking_waits", 0),
    ],
    [
        ("morsels", 4),
        ("build_uploads", 3),
        ("build_rows", 16_502),
        ("build_upload_bytes", 1_245_616),
        ("build_launches", 15),
        ("probed_morsels", 3),
        ("probed_rows", 135_350),
        ("joined_rows", 75_189),
        ("grouped_morsels", 2),
        ("launches", 101),
        ("uploads", 45),
        ("upload_bytes", 1_027_446),
        ("downloads", 46),
        ("download_bytes", 1_321_712),
        ("awaits", 21),
        ("blocking_waits", 0),
    ],
];
