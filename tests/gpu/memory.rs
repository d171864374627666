//! Limits of device and pinned memory.

use std::time::{Duration, Instant};

use staffa::{StaffaConfig, report};
use staffa_harness::{Engine, run_query};

use crate::{assert_equal, has_gpu, run, session, workload};

/// Limits below what a scan needs leave it to the CPU with a reason; at and above, they hold, and what does
/// not fit runs on the CPU too. Never an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_limits_cost_speed_and_no_row() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[1, 6]);
    let stock = session(Engine::DataFusion, &workload).await;
    for (setting, value) in [
        ("memory.device_limit", "16MiB"),
        ("memory.device_limit", "0%"),
        ("memory.pinned_limit", "8MiB"),
    ] {
        let ours = session(Engine::Gpu, &workload).await;
        run(&ours, &format!("SET staffa.{setting} = '{value}'")).await;
        for query in &workload.queries {
            let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
            assert_equal(&query.name, &expected, &actual);
            let seen = report(&actual.plan);
            assert_eq!(seen.gpu_nodes(), 0, "{setting} = {value}: {seen:?}");
            let scan = seen.nodes.iter().find(|node| node.name == "DataSourceExec");
            let why = scan.and_then(|scan| scan.reason.as_deref()).unwrap_or_default();
            assert!(
                why.starts_with("A015 ") && why.contains(&format!("staffa.{setting}")),
                "{why}"
            );
        }
    }
    let ours = session(Engine::Gpu, &workload).await;
    let config = StaffaConfig {
        memory_device_limit: "32MiB".parse().expect("a limit"),
        memory_pinned_limit: "32MiB".parse().expect("a limit"),
        ..StaffaConfig::default()
    };
    run(&ours, "SET staffa.memory.device_limit = '32MiB'").await;
    run(&ours, "SET staffa.memory.pinned_limit = '32MiB'").await;
    for query in &workload.queries {
        let (expected, actual) = (run(&stock, &query.sql).await, run(&ours, &query.sql).await);
        assert_equal(&query.name, &expected, &actual);
        assert!(report(&actual.plan).gpu_nodes() > 0, "{}", query.name);
    }
    let gpu = staffa::gpu(&config).expect("the same pools");
    let (device, (_, pinned)) = (gpu.usage(), gpu.pinned().pinned_bytes());
    assert_eq!(device.budget_bytes, 32 << 20);
    assert!(device.held_high_bytes > 0 && device.held_high_bytes <= 32 << 20, "{device:?}");
    assert!(pinned > 0 && pinned <= 32 << 20, "{pinned}");
    let wrong = run_query(&ours, "SET staffa.memory.device_limit = 'much'").await;
    let error = wrong.map(drop).expect_err("no amount").to_string();
    assert!(error.contains("staffa.memory.device_limit: cannot take 'much'"), "{error}");
}

/// What a session's pools keep for later is given back, pinned memory too, once no query uses them and another
/// session plans with other limits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_that_nobody_uses_keep_nothing() {
    if !has_gpu() {
        return;
    }
    let workload = workload(&[6]);
    let ours = session(Engine::Gpu, &workload).await;
    run(&ours, "SET staffa.memory.pinned_limit = '48MiB'").await;
    let actual = run(&ours, &workload.queries[0].sql).await;
    assert!(report(&actual.plan).gpu_morsels() > 0);
    let limit = |text: &str| StaffaConfig {
        memory_pinned_limit: text.parse().expect("a limit"),
        ..StaffaConfig::default()
    };
    let gpu = staffa::gpu(&limit("48MiB")).expect("the same pools");
    let (_, most) = gpu.pinned().pinned_bytes();
    assert!(most > 0 && gpu.usage().held_high_bytes > 0);
    let began = Instant::now();
    while !gpu.is_idle() {
        assert!(began.elapsed() < Duration::from_secs(60), "a lane outlives its query");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    staffa::gpu(&limit("47MiB")).expect("other pools");
    assert_eq!((gpu.pinned().pinned_bytes().0, gpu.usage().cached_bytes), (0, 0));
    // They are as good as new.
    let again = run(&ours, &workload.queries[0].sql).await;
    assert_equal("Q6", &actual, &again);
    assert!(report(&again.plan).gpu_morsels() > 0);
}
