//! The pool: budget, reuse, trimming, counts.

mod common;

use common::numbers;
use staffa_common::FaultClass;
use staffa_cuda::{DevicePool, PoolConfig};

#[test]
fn steady_morsels_ask_the_driver_for_nothing() {
    let Some(gpu) = common::gpu() else { return };
    let emulator = common::Emulator::find();
    let streams = [gpu.stream(), gpu.stream()];
    let morsel = |round: usize| {
        let stream = &streams[round % 2];
        // Row counts of morsels differ a little.
        let rows = 20_000 - round % 7 * 100;
        let mut input = gpu.memory.buffer::<u32>(rows, stream).unwrap();
        input.write(0, &numbers(rows, round as u32), &gpu.ring, stream).unwrap();
        let input = input.freeze();
        let mut output = gpu.memory.buffer::<u32>(rows, stream).unwrap();
        output.copy_from(&input, stream).unwrap();
        output.read(&gpu.ring, stream).unwrap()
    };
    for round in 0..8 {
        morsel(round);
    }
    let (before, calls) = (gpu.counters.snapshot(), emulator.as_ref().map(driver_allocations));
    for round in 8..60 {
        assert_eq!(morsel(round), numbers(20_000 - round % 7 * 100, round as u32));
    }
    let added = gpu.counters.snapshot().since(before);
    assert_eq!((added.allocations, added.driver_allocations, added.driver_frees), (104, 0, 0));
    // The ring makes its last slab when it first finds the others busy.
    assert!(gpu.counters.snapshot().pinned_allocations <= 3);
    assert_eq!(emulator.as_ref().map(driver_allocations), calls);
}

fn driver_allocations(emulator: &common::Emulator) -> u64 {
    emulator.counter("pool_allocations") + emulator.counter("device_allocations")
}

#[test]
fn queued_morsels_hold_a_few_blocks_however_many_they_are() {
    let Some(gpu) = common::gpu() else { return };
    let streams = [gpu.stream(), gpu.stream(), gpu.stream()];
    for (round, stream) in (0u32..).zip(streams.iter().cycle()).take(300) {
        // Nothing waits for anything here, so blocks come back while they are still in use.
        let mut buffer = gpu.memory.buffer::<u32>(50_000, stream).unwrap();
        buffer.fill(round, stream).unwrap();
        let mut copy = gpu.memory.buffer::<u32>(50_000, &streams[2]).unwrap();
        copy.copy_from(&buffer.freeze(), &streams[2]).unwrap();
    }
    let added = gpu.counters.snapshot();
    assert_eq!((added.allocations, added.waits), (600, 0));
    assert!(added.driver_allocations <= 8, "{added:?}");
}

#[test]
fn the_budget_is_kept_and_the_holders_named() {
    let config = PoolConfig { budget_bytes: 8 << 20, reuse: true };
    let Some(gpu) = common::gpu_with(config) else { return };
    let build = gpu.pool.reserve("join build", &gpu.counters);
    let scan = gpu.pool.reserve("scan", &gpu.counters);
    let table = build.buffer::<u8>(5 << 20, &gpu.stream).unwrap();
    let error = scan.buffer::<u8>(4 << 20, &gpu.stream).unwrap_err();
    assert_eq!(error.class(), FaultClass::OutOfMemory);
    let text = error.to_string();
    assert!(text.contains("'scan' wants 4.") && text.contains("'join build' 5."), "{text}");
    assert_eq!(scan.held_bytes(), 0);
    drop(table);
    let morsel = scan.buffer::<u8>(4 << 20, &gpu.stream).unwrap();
    assert!(scan.held_bytes() > 4 << 20);
    drop(morsel);
    let usage = gpu.pool.usage();
    assert_eq!((usage.used_bytes, usage.reserved_bytes), (0, 0));
    assert!(usage.reserved_high_bytes >= 5 << 20 && usage.reserved_high_bytes <= 8 << 20);
    assert!(usage.held_high_bytes <= usage.budget_bytes);
}

#[test]
fn a_claim_ahead_keeps_others_out() {
    let config = PoolConfig { budget_bytes: 4 << 20, reuse: true };
    let Some(gpu) = common::gpu_with(config) else { return };
    let (one, two) =
        (gpu.pool.reserve("one", &gpu.counters), gpu.pool.reserve("two", &gpu.counters));
    one.grow(3 << 20).unwrap();
    assert!(two.buffer::<u8>(2 << 20, &gpu.stream).is_err());
    let kept = one.buffer::<u8>(2 << 20, &gpu.stream).unwrap();
    assert_eq!(one.held_bytes(), 3 << 20);
    one.free();
    assert!(one.held_bytes() > 2 << 20 && one.held_bytes() < 3 << 20);
    assert_eq!(one.high_bytes(), 3 << 20);
    two.grow(1 << 20).unwrap();
    drop((kept, one));
    two.grow(2 << 20).unwrap();
}

#[test]
fn cached_blocks_make_room_for_other_sizes() {
    let config = PoolConfig { budget_bytes: 4 << 20, reuse: true };
    let Some(gpu) = common::gpu_with(config) else { return };
    for round in 0..40usize {
        let bytes = (round * 97 % 13 + 1) * 200_000;
        let mut buffer = gpu.memory.buffer::<u8>(bytes, &gpu.stream).unwrap();
        buffer.fill_bytes(round as u8, &gpu.stream).unwrap();
        let usage = gpu.pool.usage();
        assert!(usage.used_bytes + usage.cached_bytes <= usage.budget_bytes, "{usage:?}");
    }
    let added = gpu.counters.snapshot();
    assert!(added.driver_allocations < added.allocations, "{added:?}");
}

#[test]
fn trimming_gives_everything_back() {
    let Some(gpu) = common::gpu() else { return };
    for len in [1000, 50_000, 1_000_000] {
        gpu.memory.buffer::<u32>(len, &gpu.stream).unwrap();
    }
    assert!(gpu.pool.usage().cached_bytes > 4_000_000);
    gpu.pool.trim(100_000).unwrap();
    assert!(gpu.pool.usage().cached_bytes <= 100_000);
    gpu.pool.trim(0).unwrap();
    assert_eq!(gpu.pool.usage().cached_bytes, 0);
}

#[test]
fn a_pool_leaves_nothing_behind() {
    let Some(gpu) = common::gpu() else { return };
    let Some(emulator) = common::Emulator::find() else { return };
    gpu.stream.synchronize().unwrap();
    let before = emulator.counter("live_bytes");
    {
        let config = PoolConfig { budget_bytes: 16 << 20, reuse: true };
        let pool = DevicePool::new(&gpu.device, config).unwrap();
        let stream = gpu.stream();
        let memory = pool.reserve("x", &gpu.counters);
        let mut kept = memory.buffer::<u8>(1 << 20, &stream).unwrap();
        drop(memory.buffer::<u8>(3 << 20, &stream).unwrap());
        drop((memory, pool));
        kept.zero(&stream).unwrap();
        stream.synchronize().unwrap();
        assert!(emulator.counter("live_bytes") > before);
    }
    gpu.stream.synchronize().unwrap();
    let mut waited = 0;
    while emulator.counter("live_bytes") != before && waited < 200 {
        // The frees are queued on a stream that is closed already; they run by themselves.
        std::thread::sleep(std::time::Duration::from_millis(10));
        waited += 1;
    }
    assert_eq!(emulator.counter("live_bytes"), before);
}

#[test]
fn many_queries_share_a_budget_without_deadlock() {
    let config = PoolConfig { budget_bytes: 6 << 20, reuse: true };
    let Some(gpu) = common::gpu_with(config) else { return };
    let errors = std::sync::Mutex::new(Vec::new());
    // All hold something at the same time now and then, so that the budget is short.
    let together = std::sync::Barrier::new(6);
    std::thread::scope(|scope| {
        for thread in 0..6usize {
            let (gpu, errors, together) = (&gpu, &errors, &together);
            scope.spawn(move || {
                let memory = gpu.pool.reserve(format!("query {thread}"), &gpu.counters);
                let stream = gpu.stream();
                let mut held = Vec::new();
                for round in 0..60usize {
                    let bytes = (thread * 31 + round * 17) % 20 * 60_000 + 1;
                    let filled = memory.buffer::<u8>(bytes, &stream).and_then(|mut buffer| {
                        buffer.fill_bytes(7, &stream)?;
                        Ok(buffer)
                    });
                    match filled {
                        Ok(buffer) => held.push(buffer),
                        Err(error) => {
                            // Judged at the end: a thread that panics here would leave the others
                            // waiting for it.
                            errors.lock().unwrap().push(error);
                            held.clear();
                        }
                    }
                    if held.len() > 3 {
                        held.remove(0);
                    }
                    if round % 10 == 3 {
                        together.wait();
                    }
                }
            });
        }
    });
    let usage = gpu.pool.usage();
    assert_eq!((usage.used_bytes, usage.reserved_bytes), (0, 0));
    assert!(usage.held_high_bytes <= usage.budget_bytes && usage.reserved_high_bytes <= 6 << 20);
    let errors = errors.into_inner().unwrap();
    assert!(!errors.is_empty(), "the budget was never short: the test shows nothing");
    for error in errors {
        assert_eq!(error.class(), FaultClass::OutOfMemory, "{error}");
    }
}
