//! Errors of the driver: those that end a context, those that may, and no memory, at the first, a middle and the
//! last call of each function. The query goes on without the device, and so does the next one.

use staffa::Device;
use staffa_harness::run_query;

use crate::allocations::LIMIT;
use crate::child::{Child, close, tell};
use crate::emulator::Emulator;
use crate::sample::sample;
use crate::tables::{QUERIES, assert_right, expected, figures, folder, morsels, session, write};

/// No memory; a bad access, a kernel that takes too long, a destroyed context, a misaligned access, a failed
/// launch; anything.
const CODES: [u32; 7] = [2, 700, 702, 709, 716, 719, 999];

/// Functions that give something back: when one of these is refused, that stays until the context ends.
const RELEASES: [&str; 8] = [
    "cuMemFree",
    "cuMemFreeAsync",
    "cuMemFreeHost",
    "cuMemPoolDestroy",
    "cuStreamDestroy",
    "cuEventDestroy",
    "cuModuleUnload",
    "cuCtxSynchronize",
];

/// The context's own end. Nobody is left to whom it could matter.
const END: &str = "cuDevicePrimaryCtxRelease";

/// Faults tried in CI, a process each.
const USUAL: usize = 200;

#[test]
fn errors_of_the_driver_cost_no_row() {
    if !Emulator::is_there() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path());
    let told = Child::new("errors::child_counts_calls", folder.path()).told();
    let mut faults = Vec::new();
    for line in &told {
        let words: Vec<&str> = line.split(' ').collect();
        let [number, function, times] = words[..] else { panic!("{line}") };
        let times: usize = times.parse().expect("a number");
        let mut places = vec![1, times.div_ceil(2), times];
        places.dedup();
        for (place, code) in places.iter().flat_map(|place| CODES.map(|code| (place, code))) {
            faults.push((number, function, format!("{function}:{place}={code}")));
        }
    }
    assert!(faults.len() > 1_000, "{} faults: {told:?}", faults.len());
    let tried = sample(faults, USUAL);
    let (mut met, mut lost, mut halfway) = (0, 0, 0);
    for (number, function, fault) in &tried {
        let mut child = Child::new("errors::child_meets_an_error", folder.path())
            .env("STAFFA_TEST_QUERY", number)
            .env("STAFFA_TEST_FAULT", fault);
        if RELEASES.contains(function) {
            child = child.may_leak();
        }
        let told = child.told().join(" ");
        met += usize::from(told.contains("met"));
        lost += usize::from(told.contains("lost"));
        halfway += usize::from(told.contains("lost halfway"));
    }
    println!("{} errors: {met} met, {lost} lost the context, {halfway} halfway", tried.len());
    // How often some functions are called, such as looks at events, is up to the schedule. A small sample says
    // little about its shares.
    assert!(met * 10 + 40 >= tried.len() * 7, "{met} of {}", tried.len());
    assert!(lost * 2 + 10 >= tried.len(), "{lost} of {}", tried.len());
}

/// Each query on a device that is opened for it, so that all calls that there are count.
#[ignore = "run by errors_of_the_driver_cost_no_row"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_counts_calls() {
    let folder = folder();
    let emulator = Emulator::new();
    let expected = expected(&folder).await;
    for (number, sql) in QUERIES.iter().enumerate() {
        emulator.plan("");
        {
            let ours = session(&folder, Some(Device::Gpu), None).await;
            let run = assert_right("no fault", number, &expected, run_query(&ours, sql).await);
            let why = (figures(&run.plan), staffa::report(&run.plan));
            assert!(morsels(&run) > 0, "{sql}: no morsel on the device: {why:?}");
        }
        close();
        for (function, times) in emulator.calls().into_iter().filter(|(name, _)| name != END) {
            tell(&format!("{number} {function} {times}"));
        }
    }
}

#[ignore = "run by errors_of_the_driver_cost_no_row, with faults"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_meets_an_error() {
    let folder = folder();
    let of = |name: &str| std::env::var(name).expect("the parent's choice");
    let number: usize = of("STAFFA_TEST_QUERY").parse().expect("a number");
    let fault = of("STAFFA_TEST_FAULT");
    let emulator = Emulator::new();
    let expected = expected(&folder).await;
    emulator.plan(&fault);
    {
        let ours = session(&folder, Some(Device::Gpu), None).await;
        let run = tokio::time::timeout(LIMIT, run_query(&ours, QUERIES[number])).await;
        let run = run.unwrap_or_else(|_| panic!("{fault}: {} hangs", QUERIES[number]));
        let run = assert_right(&fault, number, &expected, run);
        let made = morsels(&run);
        drop(run);
        // The next query, on what is left.
        let next = (number + 5) % QUERIES.len();
        let run = tokio::time::timeout(LIMIT, run_query(&ours, QUERIES[next])).await;
        let run = run.unwrap_or_else(|_| panic!("after {fault}: {} hangs", QUERIES[next]));
        let run = assert_right(&fault, next, &expected, run);
        let lost = made > 0 && morsels(&run) == 0;
        if emulator.counter("faults_injected") > 0 {
            tell("met");
        }
        let gone = staffa::gpu(&staffa::StaffaConfig::default()).is_err();
        match (gone, lost) {
            (true, true) => tell("lost halfway"),
            (true, false) => tell("lost"),
            (false, _) => {}
        }
    }
    close();
}
