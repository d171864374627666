//! `staffa.device = auto`: what was measured places scans.

use std::fs::create_dir;

use arrow::util::pretty::pretty_format_batches;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use staffa::{Figures, ReasonCode, StaffaConfig, report};
use staffa_harness::Engine;

use crate::child::{Child, close, tell, went};
use crate::faults::row_groups;
use crate::{assert_equal, figures, has_gpu, run, session, workload};

/// In `auto`, what was measured decides, and the emulated device is slow: everything stays on the CPU, with
/// both estimates. With `gpu` the setting decides, and the estimate is made to be shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_measured_places_scans_in_auto() {
    if !has_gpu() {
        return;
    }
    let gpu = staffa::gpu(&StaffaConfig::default()).expect("a GPU");
    let mut tries = 0;
    let figures = loop {
        match staffa::figures(&gpu) {
            Ok(figures) => break figures,
            // Plans do not wait for a slow measurement; this test does.
            Err(why) if tries < 20 => println!("{why}"),
            Err(why) => panic!("{why}"),
        }
        tries += 1;
        std::thread::sleep(std::time::Duration::from_secs(1));
    };
    println!("{figures}");
    let workload = workload(&[6]);
    let stock = session(Engine::DataFusion, &workload).await;
    let ours = session(Engine::Gpu, &workload).await;
    let sql = &workload.queries[0].sql;
    let plan = run(&ours, &format!("EXPLAIN {sql}")).await;
    let text = pretty_format_batches(&plan.answer.batches).expect("text").to_string();
    assert!(text.contains("DataSourceExec [gpu:0]: "), "{text}");
    let plan = run(&ours, &format!("EXPLAIN VERBOSE {sql}")).await;
    let text = pretty_format_batches(&plan.answer.batches).expect("text").to_string();
    assert!(text.contains("DataSourceExec [gpu:0, estimated "), "{text}");
    let plan = run(&ours, &format!("EXPLAIN ANALYZE {sql}")).await;
    let text = pretty_format_batches(&plan.answer.batches).expect("text").to_string();
    assert!(text.contains("gpu_morsel_time=") && text.contains("gpu_morsels=1"), "{text}");

    run(&ours, "SET staffa.device = auto").await;
    let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
    assert_equal("Q6", &expected, &actual);
    let seen = report(&actual.plan);
    if std::env::var_os("STAFFA_EMULATED_KERNELS").is_none() {
        return;
    }
    assert_eq!((seen.gpu_nodes(), seen.gpu_morsels()), (0, 0), "{seen:?}");
    let scan = seen.nodes.iter().find(|node| node.name == "DataSourceExec").expect("a scan");
    assert_eq!(scan.code, Some(ReasonCode::NotFaster), "{scan:?}");
    let why = scan.reason.as_deref().unwrap_or_default();
    assert!(why.contains("estimated ") && why.contains(" ms on the CPU"), "{why}");
}

/// A device that is lost while it is measured costs no query: they stay on the CPU with the reason.
#[test]
fn a_device_that_cannot_be_measured_gets_nothing() {
    for fault in ["cuLaunchKernel:1=700", "cuMemcpyDtoHAsync:1=700", "hostalloc:1+=2"] {
        let Some(child) = Child::new("auto::child_measures_and_runs_q6") else { return };
        let told = child.faults(fault).told();
        let [first, second, why] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!([first.as_str(), second.as_str()], ["cpu", "cpu"], "{fault}");
        let expected = match fault {
            "hostalloc:1+=2" => "A015 measuring the GPU: ",
            _ => "A015 gpu:0 lost its context: ",
        };
        assert!(why.starts_with(expected), "{fault}: {why}");
    }
}

#[ignore = "run by a_device_that_cannot_be_measured_gets_nothing, with faults"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_measures_and_runs_q6() {
    let workload = workload(&[6]);
    {
        let stock = session(Engine::DataFusion, &workload).await;
        let ours = session(Engine::Gpu, &workload).await;
        run(&ours, "SET staffa.device = auto").await;
        let sql = &workload.queries[0].sql;
        for _ in 0..2 {
            let (expected, actual) = (run(&stock, sql).await, run(&ours, sql).await);
            assert_equal("Q6", &expected, &actual);
            tell(went(&actual));
        }
        let why = staffa::gpu(&StaffaConfig::default())
            .and_then(|gpu| staffa::figures(&gpu))
            .expect_err("no figures");
        tell(&why.to_string());
    }
    close();
}

/// About a fast device and a slow host, whatever they are.
const FAST: Figures = Figures {
    to_device_bytes_per_ns: 50.0,
    to_host_bytes_per_ns: 50.0,
    device_copy_bytes_per_ns: 1_500.0,
    launch_ns: 6_000.0,
    wait_ns: 15_000.0,
    gpu_value_ns: 0.02,
    gpu_operation_ns: 0.002,
    cpu_value_ns: 10.0,
    cpu_operation_ns: 1.0,
};

/// In `auto`, many small row groups keep a scan off the device; where they are few among large ones, the scan
/// goes, and they are left to the CPU.
#[test]
fn small_row_groups_are_the_cpus_in_auto() {
    let Some(child) = Child::new("auto::child_reads_large_and_small_row_groups") else { return };
    let expected = ["small: cpu", "mixed: 2 morsels, 3 row groups too small", "gpu: 5 morsels, 0"];
    let told = child.told();
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.starts_with(expected), "{told} is not {expected}");
    }
}

#[ignore = "run by small_row_groups_are_the_cpus_in_auto"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_reads_large_and_small_row_groups() {
    let folder = tempfile::tempdir().expect("a folder");
    // Equal in rows and bytes, but for the footers.
    row_groups(&folder.path().join("small.parquet"), 400_000, 2_000);
    create_dir(folder.path().join("mixed")).expect("a folder");
    row_groups(&folder.path().join("mixed/a.parquet"), 400_000, 200_000);
    row_groups(&folder.path().join("mixed/b.parquet"), 3_000, 1_000);
    {
        let gpu = staffa::gpu(&StaffaConfig::default()).expect("a GPU");
        staffa::set_figures(&gpu, FAST);
        // One core on the CPU's side, wherever this runs.
        let config = StaffaConfig { min_rows: 0, threads: 1, ..StaffaConfig::default() };
        let builder = SessionStateBuilder::new().with_default_features();
        let state = staffa::register(builder, config).build();
        let ctx = SessionContext::new_with_state(state);
        for name in ["small.parquet", "mixed"] {
            let path = folder.path().join(name);
            let path = path.to_str().expect("a path");
            let table = name.trim_end_matches(".parquet");
            let options = ParquetReadOptions::default();
            ctx.register_parquet(table, path, options).await.expect("a table");
        }
        let small = run(&ctx, "SELECT sum(id) FROM small WHERE id % 3 <> 5").await;
        assert_eq!(
            report(&small.plan).nodes.last().expect("a scan").code,
            Some(ReasonCode::NotFaster)
        );
        tell(&format!("small: {}", went(&small)));
        let sql = "SELECT sum(id) FROM mixed WHERE id % 3 <> 5";
        for (device, shown) in [("auto", "mixed"), ("gpu", "gpu")] {
            run(&ctx, &format!("SET staffa.device = {device}")).await;
            let mixed = run(&ctx, sql).await;
            let text = pretty_format_batches(&mixed.answer.batches).expect("text").to_string();
            let sum = 400_000_i64 * 399_999 / 2 + 3_000 * 2_999 / 2;
            assert!(text.contains(&format!(" {sum} ")), "{text}");
            let figures = figures(&mixed.plan);
            let of = |name: &str| figures.get(name).copied().unwrap_or(0);
            assert_eq!(of("failed_morsels"), 0, "{figures:?}");
            let (morsels, small) = (of("morsels"), of("small_row_groups"));
            tell(&format!("{shown}: {morsels} morsels, {small} row groups too small"));
        }
    }
    close();
}
