//! Faults on demand: what class they get, that nothing leaks or hangs, and that a lost context is
//! latched. Needs the emulated driver.
#![expect(unsafe_code, reason = "launching a kernel is unsafe")]

mod common;

use std::process::Command;
use std::time::{Duration, Instant};

use common::{Emulator, numbers};
use staffa_common::FaultClass;
use staffa_cuda::{
    CudaError, Device, DevicePool, Grid, Launch, Mailbox, Module, PinnedConfig, PinnedKind,
    PinnedPool, PoolConfig, Probe, Result, StagingRing, Timer, Unavailable, probe,
};

/// Does a bit of everything on a device, from nothing to nothing, and gives what it computed.
fn workload(device: &Device) -> Result<Vec<u32>> {
    let counters = device.counters();
    let config = PoolConfig { budget_bytes: 16 << 20, reuse: true };
    let pool = DevicePool::new(device, config)?;
    let pinned = PinnedPool::new(device, PinnedConfig { budget_bytes: 4 << 20 });
    let ring = StagingRing::new(&pinned, PinnedKind::ToHost, 4096, 2);
    let mailbox = Mailbox::new(&pinned, 4, 64, &counters)?;
    let (one, two) = (device.stream(&counters)?, device.stream(&counters)?);
    let module = Module::load(device, &common::CHECKS, true)?;
    let add = module.function("check_add")?;
    let memory = pool.reserve("workload", &counters);

    let mut timer = Timer::start(&one)?;
    let mut values = memory.buffer::<u32>(4000, &one)?;
    values.write(0, &numbers(4000, 1), &ring, &one)?;
    for round in 0..3u32 {
        let input = values.freeze();
        values = memory.buffer::<u32>(4000, &two)?;
        let launch =
            Launch::new(&add).read(&input).write(&mut values).value(&4000u32).value(&round);
        // SAFETY: the parameters are those of check_add; both buffers hold 4000 values.
        unsafe { launch.run(Grid::linear(16, 256), if round == 1 { &one } else { &two })? };
    }
    timer.stop(&one)?;
    let letter = mailbox.post_buffer(&values, 0..4, &one)?;
    let first = common::block_on(letter)?;
    let all = values.read(&ring, &two)?;
    assert_eq!(first, all[..4]);
    let into = pinned.buffer(PinnedKind::ToHost, 16_000, &counters)?;
    let again = common::block_on(values.freeze().download(into, &one)?)?;
    assert_eq!(again.len(), 16_000);
    drop(timer.elapsed_ns()?);
    Ok(all)
}

fn expected() -> Vec<u32> {
    numbers(4000, 1).iter().map(|value| value.wrapping_add(3)).collect()
}

/// Every call that the workload makes before it tears down.
const CALLS: [&str; 19] = [
    "cuMemPoolCreate",
    "cuMemPoolSetAttribute",
    "cuMemAllocFromPoolAsync",
    "cuMemHostAlloc",
    "cuStreamCreate",
    "cuStreamWaitEvent",
    "cuEventCreate",
    "cuEventRecord",
    "cuEventQuery",
    "cuEventSynchronize",
    "cuEventElapsedTime",
    "cuMemcpyHtoDAsync",
    "cuMemcpyDtoHAsync",
    "cuModuleLoadDataEx",
    "cuModuleGetFunction",
    "cuFuncGetAttribute",
    "cuLaunchKernel",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
];

#[test]
fn a_failing_call_gets_its_class_and_leaks_nothing() {
    let Some(emulator) = Emulator::find() else { return };
    let Some(gpu) = common::gpu() else { return };
    if common::checks(&gpu.device).is_none() {
        return;
    }
    assert_eq!(workload(&gpu.device).unwrap(), expected());
    let before = settled(&emulator, None);
    let mut failed = 0;
    for call in CALLS {
        for (code, class) in [
            (1, FaultClass::Bug),
            (2, FaultClass::OutOfMemory),
            (304, FaultClass::Unsupported),
            (909, FaultClass::Retryable),
        ] {
            for nth in [1, 2, 3, 7] {
                let plan = emulator.faults(&format!("{call}:{nth}={code}"));
                // Some faults are cured (an allocation is tried again), none gives wrong values.
                match workload(&gpu.device) {
                    Ok(values) => assert_eq!(values, expected(), "{call} {nth} {code}"),
                    Err(error) => {
                        assert_eq!(error.class(), class, "{call} {nth} {code}: {error}");
                        failed += 1;
                    }
                }
                drop(plan);
                assert_eq!(gpu.device.lost(), None);
                assert_eq!(workload(&gpu.device).unwrap(), expected(), "after {call} {nth} {code}");
                let after = settled(&emulator, Some(before));
                assert_eq!(after, before, "{call} {nth} {code} leaks");
            }
        }
    }
    assert!(failed > 100, "only {failed} faults were met");
}

/// The driver's memory in use, once what is queued has run; waits for `wanted` up to a while.
fn settled(emulator: &Emulator, wanted: Option<u64>) -> u64 {
    let start = Instant::now();
    loop {
        let live = emulator.counter("live_bytes");
        let patience = if wanted.is_some() { 3000 } else { 100 };
        if wanted == Some(live) || start.elapsed() > Duration::from_millis(patience) {
            return live;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_drivers_out_of_memory_is_tried_again_after_trimming() {
    let Some(emulator) = Emulator::find() else { return };
    let Some(gpu) = common::gpu() else { return };
    drop(gpu.memory.buffer::<u8>(1 << 20, &gpu.stream).unwrap());
    assert!(gpu.pool.usage().cached_bytes > 0);
    let plan = emulator.faults("cuMemAllocFromPoolAsync:1=2");
    let buffer = gpu.memory.buffer::<u8>(3 << 20, &gpu.stream).unwrap();
    assert_eq!(gpu.pool.usage().cached_bytes, 0);
    drop((plan, buffer));
    let plan = emulator.faults("cuMemAllocFromPoolAsync:*=2");
    let error = gpu.memory.buffer::<u8>(5 << 20, &gpu.stream).unwrap_err();
    assert_eq!(error.class(), FaultClass::OutOfMemory);
    assert!(error.to_string().contains("in use of a budget of"), "{error}");
    assert_eq!(gpu.memory.held_bytes(), 0);
    drop(plan);
    gpu.memory.buffer::<u8>(5 << 20, &gpu.stream).unwrap();
}

#[test]
fn a_failed_pin_holds_nothing_of_the_budget() {
    let Some(emulator) = Emulator::find() else { return };
    let Some(gpu) = common::gpu() else { return };
    let pool = PinnedPool::new(&gpu.device, PinnedConfig { budget_bytes: 4096 });
    let plan = emulator.faults("cuMemHostAlloc:1=2");
    let error = pool.buffer(PinnedKind::ToHost, 4096, &gpu.counters).unwrap_err();
    assert_eq!(error.class(), FaultClass::OutOfMemory);
    drop(plan);
    assert_eq!(pool.pinned_bytes().0, 0);
    pool.buffer(PinnedKind::ToHost, 4096, &gpu.counters).unwrap();
}

/// A device with less memory than the budget says: other processes have the rest.
#[test]
#[ignore = "run by memory_that_others_took_is_survived"]
fn child_with_little_memory() {
    let device = Device::open(0).unwrap();
    let counters = device.counters();
    let config = PoolConfig { budget_bytes: 1 << 30, reuse: true };
    let pool = DevicePool::new(&device, config).unwrap();
    let stream = device.stream(&counters).unwrap();
    let memory = pool.reserve("big", &counters);
    for round in 0..20usize {
        // Sizes of different classes: what is cached of one must go for the other.
        let bytes = (20 + round % 5 * 5) << 20;
        let mut buffer = memory.buffer::<u8>(bytes, &stream).unwrap();
        buffer.fill_bytes(1, &stream).unwrap();
    }
    let error = memory.buffer::<u8>(80 << 20, &stream).unwrap_err();
    assert_eq!(error.class(), FaultClass::OutOfMemory);
    assert!(error.to_string().contains("cuMemAllocFromPoolAsync"), "{error}");
    assert_eq!(device.lost(), None);
    memory.buffer::<u8>(40 << 20, &stream).unwrap().zero(&stream).unwrap();
    stream.synchronize().unwrap();
    println!("child ran");
}

#[test]
fn memory_that_others_took_is_survived() {
    let (Some(_), Some(_gpu)) = (Emulator::find(), common::gpu()) else { return };
    child("child_with_little_memory", &[("STAFFA_EMULATOR_MEMORY_BYTES", "67108864")]);
}

/// What a query meets when the context goes, in a process of its own: by the fault plan of the
/// environment.
#[test]
#[ignore = "run by a_lost_context_is_latched_whatever_meets_it"]
fn child_loses_its_context() {
    let emulator = Emulator::find().unwrap();
    let device = Device::open(0).unwrap();
    let plan = std::env::var("STAFFA_TEST_PLAN").unwrap();
    let code: u32 = plan.rsplit('=').next().unwrap().parse().unwrap();
    let kept = device.stream(&device.counters()).unwrap();
    let faults = emulator.faults(&plan);
    let error = workload(&device).unwrap_err();
    drop(faults);
    assert_eq!(error.class(), FaultClass::ContextLost, "{error}");
    assert_eq!(error.fault().unwrap().code(), code, "{error}");
    assert_eq!(device.lost().unwrap().code(), code);

    // From here on nothing asks the driver any more.
    let calls = emulator.counter("calls");
    let again = workload(&device).unwrap_err();
    assert!(matches!(again, CudaError::Lost { ordinal: 0, first } if first.code() == code));
    assert!(kept.synchronize().is_err() && kept.record().is_err() && device.memory().is_err());
    let reopened = Device::open(0).unwrap_err();
    assert!(matches!(reopened, CudaError::Unavailable(Unavailable::Lost(_))), "{reopened}");
    assert_eq!(reopened.class(), FaultClass::ContextLost);
    assert_eq!(emulator.counter("calls"), calls);
    let Probe { devices, .. } = probe(true);
    assert_eq!(devices[0].unusable.as_ref().unwrap().code(), "D010");
    drop((kept, device));
    // The latch outlives the context.
    assert!(Device::open(0).is_err());
    println!("child ran");
}

#[test]
fn a_lost_context_is_latched_whatever_meets_it() {
    let (Some(_), Some(gpu)) = (Emulator::find(), common::gpu()) else { return };
    if common::checks(&gpu.device).is_none() {
        return;
    }
    let plans = [
        "kernel:1=700",
        "kernel:3=719",
        "copy:1=716",
        "copy:4=714",
        "cuLaunchKernel:2=718",
        "cuMemAllocFromPoolAsync:2=702",
        "cuMemHostAlloc:2=214",
        "cuEventRecord:2=999",
        "cuEventQuery:1=700",
        "cuStreamWaitEvent:1=715",
        "cuMemcpyHtoDAsync:1=717",
        // A code of a driver newer than this package.
        "cuMemcpyDtoHAsync:1=5432",
    ];
    for plan in plans {
        child("child_loses_its_context", &[("STAFFA_TEST_PLAN", plan)]);
    }
}

/// A kernel that writes to a wild address, without any fault plan.
#[test]
#[ignore = "run by a_wild_kernel_is_everybodys_lost_context"]
fn child_with_a_wild_kernel() {
    let device = Device::open(0).unwrap();
    let counters = device.counters();
    let module = common::checks(&device).unwrap();
    let wild = module.function("check_wild").unwrap();
    let (one, two) = (device.stream(&counters).unwrap(), device.stream(&counters).unwrap());
    let pool = DevicePool::new(&device, PoolConfig { budget_bytes: 1 << 20, reuse: true }).unwrap();
    let memory = pool.reserve("x", &counters);
    let mut victim = memory.buffer::<u32>(100, &two).unwrap();
    victim.zero(&two).unwrap();
    // SAFETY: none; the test is about what the driver makes of it, in a process of its own.
    let launched = unsafe { Launch::new(&wild).value(&0x10u64).run(Grid::linear(1, 32), &one) };
    launched.unwrap();
    let waiter = std::thread::spawn({
        let event = one.record();
        move || event.and_then(|event| common::block_on(event.wait()))
    });
    let error = waiter.join().unwrap().unwrap_err();
    assert_eq!(error.class(), FaultClass::ContextLost, "{error}");
    // Another query's stream and memory are gone too, and say so.
    let theirs = victim.zero(&two).unwrap_err();
    assert_eq!(theirs.class(), FaultClass::ContextLost);
    assert_eq!(theirs.fault(), error.fault());
    println!("child ran");
}

#[test]
fn a_wild_kernel_is_everybodys_lost_context() {
    let Some(gpu) = common::gpu() else { return };
    if common::checks(&gpu.device).is_none() {
        return;
    }
    child("child_with_a_wild_kernel", &[]);
}

/// Opening fails; nothing is latched, and the next try may succeed.
#[test]
#[ignore = "run by a_device_that_does_not_open_says_why"]
fn child_that_cannot_open() {
    let emulator = Emulator::find().unwrap();
    for (code, reason, class) in [
        (46, "D007", FaultClass::Retryable),
        (101, "D007", FaultClass::Retryable),
        (2, "D008", FaultClass::OutOfMemory),
        (304, "D009", FaultClass::Unsupported),
    ] {
        let plan = emulator.faults(&format!("cuDevicePrimaryCtxRetain:*={code}"));
        let error = Device::open(0).unwrap_err();
        assert_eq!(error.class(), class, "{error}");
        let CudaError::Unavailable(unavailable) = error else { panic!("{error}") };
        assert_eq!(unavailable.code(), reason);
        assert_eq!(probe(true).reason(), Some(unavailable));
        drop(plan);
        assert!(Device::open(0).is_ok());
    }
    println!("child ran");
}

#[test]
fn a_device_that_does_not_open_says_why() {
    let (Some(_), Some(_gpu)) = (Emulator::find(), common::gpu()) else { return };
    child("child_that_cannot_open", &[]);
}

/// The driver is there and does not start.
#[test]
#[ignore = "run by a_driver_that_does_not_start_says_why"]
fn child_with_a_broken_driver() {
    let reason = std::env::var("STAFFA_TEST_REASON").unwrap();
    let error = Device::open(0).unwrap_err();
    assert_eq!(error.class(), FaultClass::Unsupported);
    let CudaError::Unavailable(unavailable) = error else { panic!("{error}") };
    assert_eq!(unavailable.code(), reason, "{unavailable}");
    assert_eq!(probe(true).reason(), Some(unavailable));
    println!("child ran");
}

#[test]
fn a_driver_that_does_not_start_says_why() {
    let (Some(_), Some(_gpu)) = (Emulator::find(), common::gpu()) else { return };
    for (plan, devices, reason) in [
        ("cuInit:*=100", "1", "D003"),
        ("cuInit:*=999", "1", "D004"),
        ("cuInit:*=34", "1", "D001"),
        ("", "0", "D003"),
    ] {
        child(
            "child_with_a_broken_driver",
            &[
                ("STAFFA_EMULATOR_FAULTS", plan),
                ("STAFFA_EMULATOR_DEVICES", devices),
                ("STAFFA_TEST_REASON", reason),
            ],
        );
    }
}

/// Runs an ignored test of this file in a process of its own; a hang fails it.
fn child(test: &str, environment: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        // The faults are planted: what the driver finds then is looked at, and fails nothing by itself.
        .env("STAFFA_EMULATOR_STRICT_EXIT", "0")
        .envs(environment.iter().copied())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("{test} {environment:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let ran = output.status.success() && out.contains("child ran");
    assert!(ran, "{test} {environment:?}\n{out}\n{err}");
}
