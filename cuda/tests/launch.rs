//! Modules and launches: arguments, limits, order, counts.
#![expect(unsafe_code, reason = "launching a kernel is unsafe")]

mod common;

use common::{Gpu, numbers};
use staffa_common::FaultClass;
use staffa_cuda::{DeviceBuffer, Function, Grid, Launch, Module, Stream};

fn setup() -> Option<(Gpu, Module)> {
    let gpu = common::gpu()?;
    let module = common::checks(&gpu.device)?;
    Some((gpu, module))
}

fn filled(gpu: &Gpu, values: &[u32], stream: &Stream) -> DeviceBuffer<u32> {
    let mut buffer = gpu.memory.buffer::<u32>(values.len(), stream).unwrap();
    buffer.write(0, values, &gpu.ring, stream).unwrap();
    buffer
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Job {
    input: u64,
    output: u64,
    n: u32,
    factor: u32,
}

// SAFETY: all fields are plain integers, of which any bits are a value.
unsafe impl bytemuck::Zeroable for Job {}
// SAFETY: as above; 8 + 8 + 4 + 4 bytes, so there is no padding.
unsafe impl bytemuck::Pod for Job {}

#[test]
fn a_kernel_computes() {
    let Some((gpu, module)) = setup() else { return };
    let add = module.function("check_add").unwrap();
    for n in [0u32, 1, 31, 256, 257, 10_000] {
        let input = filled(&gpu, &numbers(n as usize, 1), &gpu.stream).freeze();
        let mut output = gpu.memory.buffer::<u32>(n as usize, &gpu.stream).unwrap();
        let grid = Grid::covering(u64::from(n), 256, 256).unwrap();
        let launch = Launch::new(&add).read(&input).write(&mut output).value(&n).value(&7u32);
        // SAFETY: the parameters are those of check_add; both buffers hold n values.
        unsafe { launch.run(grid, &gpu.stream) }.unwrap();
        let expected: Vec<u32> =
            numbers(n as usize, 1).iter().map(|value| value.wrapping_add(7)).collect();
        assert_eq!(output.read(&gpu.ring, &gpu.stream).unwrap(), expected, "{n}");
    }
    // The empty grid was no launch.
    assert_eq!(gpu.counters.snapshot().launches, 5);
}

#[test]
fn structures_carry_addresses() {
    let Some((gpu, module)) = setup() else { return };
    let job = module.function("check_job").unwrap();
    let (one, two) = (gpu.stream(), gpu.stream());
    for round in 0..20u32 {
        let input = filled(&gpu, &numbers(500, round), &one).freeze();
        let mut output = gpu.memory.buffer::<u32>(500, &one).unwrap();
        let fields =
            Job { input: input.address(), output: output.address(), n: 500, factor: round };
        let launch = Launch::new(&job).value(&fields).using_read(&input).using_write(&mut output);
        // SAFETY: check_job takes this structure; both buffers hold 500 values and are named.
        unsafe { launch.run(Grid::linear(2, 256), &two) }.unwrap();
        drop(input);
        let expected: Vec<u32> =
            numbers(500, round).iter().map(|value| value.wrapping_mul(round)).collect();
        assert_eq!(output.read(&gpu.ring, &one).unwrap(), expected, "round {round}");
    }
}

#[test]
fn wrong_arguments_are_refused_before_the_driver_sees_them() {
    let Some((gpu, module)) = setup() else { return };
    let add = module.function("check_add").unwrap();
    if add.parameters().is_none() {
        eprintln!("SKIPPED: the driver does not tell parameters");
        return;
    }
    assert_eq!(add.parameters().unwrap(), [8, 8, 4, 4]);
    let input = filled(&gpu, &[1], &gpu.stream).freeze();
    let mut output = gpu.memory.buffer::<u32>(1, &gpu.stream).unwrap();
    let grid = Grid::linear(1, 32);
    let few = Launch::new(&add).read(&input).write(&mut output).value(&1u32);
    // SAFETY: never reaches the device.
    let error = unsafe { few.run(grid, &gpu.stream) }.unwrap_err();
    assert_eq!(error.class(), FaultClass::Bug);
    assert!(error.to_string().contains("[8, 8, 4] bytes where it takes [8, 8, 4, 4]"), "{error}");
    let wide = Launch::new(&add).read(&input).write(&mut output).value(&1u64).value(&1u32);
    // SAFETY: never reaches the device.
    assert!(unsafe { wide.run(grid, &gpu.stream) }.is_err());
    assert_eq!(gpu.counters.snapshot().launches, 0);
}

#[test]
fn limits_are_checked() {
    let Some((gpu, module)) = setup() else { return };
    let count = module.function("check_count").unwrap();
    let counter = gpu.memory.buffer::<u32>(1, &gpu.stream).unwrap();
    let too_big = [
        Grid::linear(1, 0),
        Grid::linear(1, 1056),
        Grid { blocks: [1, 70_000, 1], threads: [1, 1, 1], shared_bytes: 0 },
        Grid::linear(1, 32).with_shared(64 << 10),
    ];
    for grid in too_big {
        // SAFETY: never reaches the device.
        let error =
            unsafe { Launch::new(&count).share(&counter).run(grid, &gpu.stream) }.unwrap_err();
        assert_eq!(error.class(), FaultClass::Bug, "{error}");
        assert!(error.to_string().contains("check_count"), "{error}");
    }
}

#[test]
fn dynamic_shared_memory_needs_asking() {
    let Some((gpu, module)) = setup() else { return };
    let reverse = module.function("check_reverse").unwrap();
    let most = gpu.device.limits().shared_optin_bytes;
    for words in [1000, most / 4] {
        let mut values = filled(&gpu, &numbers(2 * words as usize, 3), &gpu.stream);
        reverse.allow_dynamic_shared(words * 4).unwrap();
        let grid = Grid::linear(2, 128).with_shared(words * 4);
        let launch = Launch::new(&reverse).write(&mut values).value(&words);
        // SAFETY: two blocks of `words` values each, and as many words of shared memory.
        unsafe { launch.run(grid, &gpu.stream) }.unwrap();
        let mut expected = numbers(2 * words as usize, 3);
        expected.chunks_mut(words as usize).for_each(<[u32]>::reverse);
        assert_eq!(values.read(&gpu.ring, &gpu.stream).unwrap(), expected);
    }
    assert_eq!(reverse.dynamic_shared_limit(), most);
    let error = reverse.allow_dynamic_shared(most + 1).unwrap_err();
    assert_eq!(error.class(), FaultClass::Unsupported);
}

#[test]
fn shared_memory_of_many_launches_adds_up() {
    let Some((gpu, module)) = setup() else { return };
    let count = module.function("check_count").unwrap();
    let streams = [gpu.stream(), gpu.stream(), gpu.stream()];
    let mut counter = gpu.memory.buffer::<u32>(1, &gpu.stream).unwrap();
    counter.zero(&gpu.stream).unwrap();
    std::thread::scope(|scope| {
        for stream in &streams {
            let (counter, count) = (&counter, &count);
            scope.spawn(move || {
                for _ in 0..10 {
                    // SAFETY: check_count adds to one value, with atomics.
                    unsafe { Launch::new(count).share(counter).run(Grid::linear(2, 64), stream) }
                        .unwrap();
                }
            });
        }
    });
    // Reading waits for the launches on all three streams.
    assert_eq!(counter.read(&gpu.ring, &gpu.stream).unwrap(), [3 * 10 * 2 * 64]);
    let waits = gpu.counters.snapshot().stream_waits;
    assert!(waits <= 6, "{waits} waits: sharers wait for the zeroing, the reader for them");
}

#[test]
fn a_chain_across_streams_needs_no_host() {
    let Some((gpu, module)) = setup() else { return };
    let add = module.function("check_add").unwrap();
    let streams = [gpu.stream(), gpu.stream()];
    let mut current = filled(&gpu, &[5; 1000], &gpu.stream);
    let before = gpu.counters.snapshot();
    for stream in streams.iter().cycle().take(20) {
        let input = current.freeze();
        current = gpu.memory.buffer::<u32>(1000, stream).unwrap();
        let n = 1000u32;
        let launch = Launch::new(&add).read(&input).write(&mut current).value(&n).value(&1u32);
        // SAFETY: the parameters are those of check_add; both buffers hold n values.
        unsafe { launch.run(Grid::linear(4, 256), stream) }.unwrap();
    }
    let added = gpu.counters.snapshot().since(before);
    assert_eq!((added.launches, added.waits, added.downloads), (20, 0, 0));
    assert_eq!(current.read(&gpu.ring, &gpu.stream).unwrap(), [25; 1000]);
}

#[test]
fn images_are_loaded_once_and_names_checked() {
    let Some((gpu, module)) = setup() else { return };
    let again = Module::load(&gpu.device, &common::CHECKS, true).unwrap();
    assert_eq!(module.image(), again.image());
    let error = module.function("no_such_kernel").unwrap_err();
    assert_eq!(error.class(), FaultClass::Bug);
    assert!(error.to_string().contains("kernel no_such_kernel in PTX for 7.5"), "{error}");
    assert!(module.function("a\0b").is_err());
    let error = Module::load(&gpu.device, &common::CHECKS, false).unwrap_err();
    assert_eq!(error.class(), FaultClass::Unsupported);
}

#[test]
fn functions_outlive_their_module() {
    let Some((gpu, module)) = setup() else { return };
    let count: Function = module.function("check_count").unwrap();
    drop(module);
    assert!(count.attributes().max_threads >= 256);
    assert!(count.blocks_per_multiprocessor(256, 0).unwrap() >= 1);
    let mut counter = gpu.memory.buffer::<u32>(1, &gpu.stream).unwrap();
    counter.zero(&gpu.stream).unwrap();
    // SAFETY: check_count adds to one value, with atomics.
    unsafe { Launch::new(&count).share(&counter).run(Grid::linear(1, 32), &gpu.stream) }.unwrap();
    drop(count);
    assert_eq!(counter.read(&gpu.ring, &gpu.stream).unwrap(), [32]);
}
