//! Faults of the device: they cost speed, never a row, and leak nothing.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::collect;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use staffa::StaffaConfig;
use staffa_harness::{Engine, SessionOptions, Workload};

use crate::child::{Child, close, tell, went};
use crate::{assert_equal, figures, run, session, workload};

/// What each fault does to Q1, Q6, and both once more, in a process of its own.
#[test]
fn faults_cost_speed_and_no_row() {
    let lost = ["failed", "cpu", "cpu", "cpu"];
    let faults = [
        // The context is lost in the middle of a decode, as a kernel runs, and at a copy back.
        ("cuLaunchKernel:5=700", lost),
        ("kernel:7=719", lost),
        ("copy:9=700", lost),
        ("cuMemcpyDtoHAsync:1=700", lost),
        // Codes after which the driver goes on: what is queued must have run before its memory is given back.
        ("cuMemcpyDtoHAsync:1=999", lost),
        ("cuLaunchKernel:9=999", lost),
        ("cuEventRecord:4=709", lost),
        // No memory for once: the pool makes room and asks again. And none from some call on.
        ("alloc:3=2", ["device"; 4]),
        ("alloc:4+=2", ["failed"; 4]),
        ("hostalloc:1+=2", ["no lane"; 4]),
    ];
    for (fault, expected) in faults {
        let Some(child) = Child::new("faults::child_runs_q1_and_q6") else { return };
        assert_eq!(child.faults(fault).told(), expected, "{fault}");
    }
}

#[ignore = "run by faults_cost_speed_and_no_row, with faults"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_runs_q1_and_q6() {
    let workload = workload(&[1, 6]);
    {
        let stock = session(Engine::DataFusion, &workload).await;
        let ours = session(Engine::Gpu, &workload).await;
        for _ in 0..2 {
            for query in &workload.queries {
                let expected = run(&stock, &query.sql).await;
                let actual = run(&ours, &query.sql).await;
                assert_equal(&query.name, &expected, &actual);
                println!("{}: {:?}", query.name, figures(&actual.plan));
                tell(went(&actual));
            }
        }
    }
    close();
}

/// The context is lost while a lane has row groups queued: those are read on the CPU, each once, also when
/// the lane fetches what comes after them in the meantime.
#[test]
fn a_device_lost_between_row_groups_costs_no_row() {
    // In the middle it is up to the schedule whether a lane has counted a row group before.
    let middle = ["failed", "failed in part"];
    for (fault, expected) in [
        ("cuLaunchKernel:1=700", &middle[..1]),
        ("kernel:12=719", &middle),
        ("copy:20=700", &middle),
        ("cuLaunchKernel:30=700", &middle),
        ("alloc:9999=2", &["device"]),
    ] {
        let Some(child) = Child::new("faults::child_reads_many_row_groups") else { return };
        let told = child.faults(fault).told();
        let as_expected = matches!(told.as_slice(), [told] if expected.contains(&told.as_str()));
        assert!(as_expected, "{fault}: {told:?}");
    }
}

#[ignore = "run by a_device_lost_between_row_groups_costs_no_row, with faults"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_reads_many_row_groups() {
    const ROWS: i64 = 500_000;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.parquet");
    row_groups(&path, ROWS, 50_000);
    {
        let options = SessionOptions { target_partitions: Some(2), ..SessionOptions::default() };
        let ctx = Engine::Gpu.session(&options).expect("a session");
        let path = path.to_str().expect("a path");
        ctx.register_parquet("t", path, ParquetReadOptions::default()).await.expect("a table");
        let sql = "SELECT count(*), sum(id) FROM t WHERE id % 5 <> 9";
        let actual = run(&ctx, sql).await;
        let text = pretty_format_batches(&actual.answer.batches).expect("text").to_string();
        assert!(text.contains(&format!(" {ROWS} ")), "{text}");
        assert!(text.contains(&format!(" {} ", ROWS * (ROWS - 1) / 2)), "{text}");
        println!("{:?}", figures(&actual.plan));
        tell(went(&actual));
    }
    close();
}

/// A file of one column `id`, from 0 on, with row groups of so many rows.
pub(crate) fn row_groups(path: &Path, rows: i64, in_group: usize) {
    let id: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
    let batch = RecordBatch::try_from_iter([("id", id)]).expect("a batch");
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(in_group)).build();
    let file = File::create(path).expect("a file");
    let mut writer =
        ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
}

/// A device that was busy or full when it was first asked for is asked again, after a pause; one that is not
/// there is not.
#[test]
fn a_passing_refusal_passes() {
    for (fault, code) in [
        ("cuDevicePrimaryCtxRetain:1=46", "D007"),
        ("cuDevicePrimaryCtxRetain:1=2", "D008"),
        ("cuDevicePrimaryCtxRetain:1=304", "D009"),
    ] {
        let Some(child) = Child::new("faults::child_asks_for_the_gpu") else { return };
        let told = child.faults(fault).told();
        let [first, again, later] = told.as_slice() else { panic!("{told:?}") };
        assert!(first.contains(code), "{fault}: {told:?}");
        assert_eq!(first, again, "{fault}");
        assert_eq!(later, "gpu:0", "{fault}");
    }
    let Some(child) = Child::new("faults::child_asks_for_the_gpu") else { return };
    let told = child.devices(0).told();
    assert!(told.len() == 3 && told.iter().all(|why| why.contains("D003")), "{told:?}");
}

#[ignore = "run by a_passing_refusal_passes, with faults"]
#[test]
fn child_asks_for_the_gpu() {
    let ask = || match staffa::gpu(&StaffaConfig::default()) {
        Ok(gpu) => tell(&gpu.name()),
        Err(reason) => tell(&reason.to_string()),
    };
    ask();
    // It is not asked at once, though it would answer.
    ask();
    std::thread::sleep(Duration::from_millis(1100));
    ask();
    close();
}

/// Streams that end early, statements that fail, other limits, and a GPU that is closed and opened again: no
/// allocation of the driver's outlives them.
#[test]
fn nothing_leaks() {
    let Some(child) = Child::new("faults::child_uses_and_closes_the_gpu") else { return };
    assert_eq!(child.told(), ["device", "failed", "device", "device"]);
}

#[ignore = "run by nothing_leaks"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_uses_and_closes_the_gpu() {
    let workload = workload(&[1, 6]);
    let stock = session(Engine::DataFusion, &workload).await;
    for errs in [true, false] {
        use_the_gpu(&stock, &workload, errs).await;
        close();
    }
}

async fn use_the_gpu(stock: &SessionContext, workload: &Workload, errs: bool) {
    let ours = session(Engine::Gpu, workload).await;
    let query = &workload.queries[usize::from(errs)];
    let expected = run(stock, &query.sql).await;
    let actual = run(&ours, &query.sql).await;
    assert_equal(&query.name, &expected, &actual);
    tell(went(&actual));
    let sql = "SELECT l_orderkey, l_comment FROM lineitem WHERE l_quantity < 40";
    let mut stream = ours.sql(sql).await.expect("a plan").execute_stream().await.expect("a stream");
    stream.next().await.expect("a batch").expect("rows");
    drop(stream);
    if errs {
        let sql = "SELECT count(*) FROM lineitem WHERE 100 / (l_linenumber - 1) > 3";
        let plan = ours.sql(sql).await.expect("a plan").create_physical_plan().await;
        let plan = plan.expect("a plan");
        let ran = collect(Arc::clone(&plan), ours.task_ctx()).await;
        let error = ran.expect_err("a division by zero").to_string();
        assert!(error.to_lowercase().contains("zero"), "{error}");
        let figures = figures(&plan);
        assert!(figures.get("failed_morsels").is_some_and(|n| *n > 0), "{figures:?}");
        tell("failed");
    } else {
        run(&ours, "SET staffa.memory.device_limit = '64MiB'").await;
        let actual = run(&ours, &query.sql).await;
        assert_equal(&query.name, &expected, &actual);
        tell(went(&actual));
    }
}
