//! No memory: at each allocation of the driver's, for once or from then on, and under every budget.

use std::time::Duration;

use datafusion::prelude::SessionContext;
use staffa::{Device, StaffaConfig};
use staffa_harness::{Run, run_query};

use crate::child::{Child, close, tell};
use crate::emulator::Emulator;
use crate::sample::sample;
use crate::tables::{QUERIES, assert_right, expected, folder, morsels, session, write};

/// A query that takes longer hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Runs in which a fault may be met.
const TIMES: usize = 3;

/// Faults tried in CI.
const USUAL: usize = 300;

#[test]
fn no_memory_at_any_allocation_costs_no_row() {
    if !Emulator::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let told = Child::new("allocations::child_has_no_memory", folder.path()).told();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    println!("{told}");
    let numbers: Vec<usize> = told.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [tried, met, device] = numbers[..] else { panic!("{told}") };
    // A plan that names an allocation which this run did not come to says nothing; few may.
    assert!(met * 10 + 20 >= tried * 9, "{told}");
    // Where memory was short for once, the device goes on.
    assert!(device * 4 + 8 >= tried, "{told}");
}

#[ignore = "run by no_memory_at_any_allocation_costs_no_row"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_has_no_memory() {
    let folder = folder();
    let emulator = Emulator::new();
    let expected = expected(&folder).await;
    let mut faults = Vec::new();
    let (mut met, mut device) = (0, 0);
    {
        let ours = session(&folder, Some(Device::Gpu), None).await;
        for number in 0..QUERIES.len() {
            emulator.plan("");
            troubled("no fault", number, &ours, &expected).await;
            let calls = emulator.calls();
            let of = |name: &str| calls.get(name).copied().unwrap_or(0);
            for at in 1..=of("cuMemAllocFromPoolAsync") {
                faults.push((number, format!("alloc:{at}=2")));
                faults.push((number, format!("alloc:{at}+=2")));
            }
            for at in 1..=of("cuMemHostAlloc") {
                faults.push((number, format!("hostalloc:{at}=2")));
                faults.push((number, format!("hostalloc:{at}+=2")));
            }
        }
        println!("{} faults there are", faults.len());
        let tried = sample(faults, USUAL);
        for (number, fault) in &tried {
            let before = emulator.counter("faults_injected");
            // The parent takes a child that is silent for one that hangs.
            println!("{fault}: {}", QUERIES[*number]);
            // Lanes share a query out anew each time: one that made fewer allocations is run again.
            let mut run = None;
            for _ in 0..TIMES {
                emulator.plan(fault);
                run = Some(troubled(fault, *number, &ours, &expected).await);
                if emulator.counter("faults_injected") > before {
                    met += 1;
                    break;
                }
            }
            device += usize::from(run.is_some_and(|run| morsels(&run) > 0));
        }
        emulator.plan("");
        tell(&format!("{} faults: {met} met, {device} ran on the device", tried.len()));
    }
    close();
    assert_eq!(emulator.counter("live_bytes"), 0, "device or pinned memory is left");
}

/// Runs a query on pools that keep nothing from the one before, so that it allocates.
async fn troubled(what: &str, number: usize, ctx: &SessionContext, expected: &[Run]) -> Run {
    let run = tokio::time::timeout(LIMIT, run_query(ctx, QUERIES[number])).await;
    let run = run.unwrap_or_else(|_| panic!("{what}: {} hangs", QUERIES[number]));
    let run = assert_right(what, number, expected, run);
    let gpu = staffa::gpu(&StaffaConfig::default()).expect("out of memory is no lost context");
    let began = std::time::Instant::now();
    while !gpu.is_idle() {
        assert!(began.elapsed() < LIMIT, "{what}: a lane outlives its query");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(gpu.usage().used_bytes, 0, "{what}: {} leaves memory in use", QUERIES[number]);
    gpu.trim();
    run
}

#[test]
fn every_budget_finishes() {
    if !Emulator::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let told = Child::new("allocations::child_has_little_memory", folder.path()).told();
    // Below what a lane needs the device takes nothing; from there on, something.
    let [none, .., most] = told.as_slice() else { panic!("{told:?}") };
    assert!(none.ends_with(": 0 morsels") && !most.ends_with(": 0 morsels"), "{told:?}");
}

#[ignore = "run by every_budget_finishes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_has_little_memory() {
    let folder = folder();
    let emulator = Emulator::new();
    let expected = expected(&folder).await;
    for limit in ["16MiB", "32MiB", "33MiB", "48MiB"] {
        {
            let ours = session(&folder, Some(Device::Gpu), None).await;
            let set = format!("SET staffa.memory.device_limit = '{limit}'");
            run_query(&ours, &set).await.expect("a setting");
            let mut made = 0;
            for (number, sql) in QUERIES.iter().enumerate() {
                let run = tokio::time::timeout(LIMIT, run_query(&ours, sql)).await;
                let run = run.unwrap_or_else(|_| panic!("{limit}: {sql} hangs"));
                made += morsels(&assert_right(limit, number, &expected, run));
            }
            tell(&format!("{limit}: {made} morsels"));
        }
        close();
    }
    assert_eq!(emulator.counter("live_bytes"), 0, "device or pinned memory is left");
}
