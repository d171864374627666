//! Many queries at once on one device: some are dropped midway, and the context is lost while they run. All
//! others give the right rows, on the CPU where they must.

use std::sync::Arc;
use std::time::Duration;

use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use staffa::Device;
use staffa_harness::{Run, run_query};
use staffa_testkit::rng::Rng;

use crate::allocations::LIMIT;
use crate::child::{Child, close, tell};
use crate::emulator::Emulator;
use crate::sample::{amount, seed};
use crate::tables::{QUERIES, assert_right, expected, folder, morsels, session, write};

/// Queries at once.
const AT_ONCE: usize = 16;
/// Seeds tried in CI, and in a night.
const USUAL: usize = 16;
const NIGHT: usize = 400;

#[test]
fn queries_at_once_are_right_whatever_becomes_of_the_others() {
    if !Emulator::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let seeds = amount(USUAL).unwrap_or(NIGHT) as u64;
    let first = seed() * 1_000;
    let (mut lost, mut halfway, mut dropped) = (0, 0, 0);
    for seed in first..first + seeds {
        let told = Child::new("concurrency::child_runs_many", folder.path())
            .env("STAFFA_TEST_SEED", seed)
            .told();
        println!("seed {seed}: {told:?}");
        let told = told.join(" ");
        lost += usize::from(told.contains("lost"));
        halfway += usize::from(told.contains("lost halfway"));
        dropped += usize::from(!told.contains(" 0 dropped"));
    }
    println!("{seeds} seeds: {lost} lost the context, {halfway} of them halfway");
    if seeds >= 4 {
        assert!(halfway > 0, "no context was lost in the middle");
        assert!(lost < seeds as usize, "every context was lost");
    }
    assert!(dropped > 0, "no query was dropped midway");
}

/// What one task does, as the seed says.
struct Task {
    number: usize,
    /// Dropped after so many batches, or after so many microseconds.
    cancel: Option<(usize, u64)>,
}

impl Task {
    fn random(rng: &mut Rng) -> Self {
        let cancel = rng.chance(30).then(|| (rng.below(3), rng.below(30_000) as u64));
        Self { number: rng.below(QUERIES.len()), cancel }
    }
}

#[ignore = "run by queries_at_once_are_right_whatever_becomes_of_the_others"]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn child_runs_many() {
    let seed = std::env::var("STAFFA_TEST_SEED").expect("the parent's choice");
    let mut rng = Rng::new(seed.parse().expect("a number"));
    let folder = folder();
    let emulator = Emulator::new();
    let expected = Arc::new(expected(&folder).await);
    {
        // Sessions with a device of their own limits, and with the same, as it comes.
        let mut sessions = Vec::new();
        for _ in 0..3 {
            let ctx = session(&folder, Some(Device::Gpu), None).await;
            if rng.chance(25) {
                let set = format!("SET staffa.memory.device_limit = '{}MiB'", 32 + rng.below(64));
                run_query(&ctx, &set).await.expect("a setting");
            }
            sessions.push(ctx);
        }
        if rng.chance(70) {
            let what = *rng.pick(&["kernel", "copy", "cuLaunchKernel", "cuEventRecord"]);
            let code = *rng.pick(&[700, 716, 719, 999]);
            emulator.plan(&format!("{what}:{}={code}", 1 + rng.below(600)));
        }
        let mut running = Vec::new();
        for at in 0..AT_ONCE {
            let tasks = [Task::random(&mut rng), Task::random(&mut rng)];
            let (ctx, expected) = (sessions[at % sessions.len()].clone(), Arc::clone(&expected));
            running.push(tokio::spawn(async move { run_all(&ctx, &tasks, &expected).await }));
        }
        let (mut made, mut dropped) = (0, 0);
        for task in running {
            let ended = tokio::time::timeout(LIMIT, task).await.expect("a query hangs");
            let (of_device, cancelled) = ended.expect("right rows");
            made += of_device;
            dropped += cancelled;
        }
        tell(&format!("{made} morsels, {dropped} dropped"));
        let gone = staffa::gpu(&staffa::StaffaConfig::default()).is_err();
        if gone {
            tell(if made > 0 { "lost halfway" } else { "lost" });
        }
    }
    close();
}

/// Runs queries one after the other; morsels that a device made, and how many queries were dropped midway.
async fn run_all(ctx: &SessionContext, tasks: &[Task], expected: &[Run]) -> (usize, usize) {
    let (mut made, mut dropped) = (0, 0);
    for task in tasks {
        let sql = QUERIES[task.number];
        match task.cancel {
            None => {
                let run = run_query(ctx, sql).await;
                made += morsels(&assert_right("at once", task.number, expected, run));
            }
            Some((batches, micros)) => {
                let reading = read_some(ctx, sql, batches);
                let _ = tokio::time::timeout(Duration::from_micros(micros), reading).await;
                dropped += 1;
            }
        }
    }
    (made, dropped)
}

/// Reads so many batches of a query, and drops the rest.
async fn read_some(ctx: &SessionContext, sql: &str, batches: usize) {
    let plan = ctx.sql(sql).await.expect("a plan").create_physical_plan().await.expect("a plan");
    let mut stream = execute_stream(plan, ctx.task_ctx()).expect("a stream");
    for _ in 0..batches {
        let Some(batch) = stream.next().await else { return };
        batch.expect("rows");
    }
}
