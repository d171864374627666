//! Device buffers: content, order across streams, dropping, views and slabs.

mod common;

use common::{keep_busy, numbers};
use staffa_common::FaultClass;
use staffa_cuda::{PinnedKind, PoolConfig, Slab};

#[test]
fn what_is_written_is_read() {
    let Some(gpu) = common::gpu() else { return };
    // Below, at and above a slab of the ring (64 KB), and nothing at all.
    for len in [0, 1, 63, 16_384, 16_385, 100_000] {
        let values = numbers(len, 7);
        let mut buffer = gpu.memory.buffer::<u32>(len, &gpu.stream).unwrap();
        buffer.write(0, &values, &gpu.ring, &gpu.stream).unwrap();
        assert_eq!(buffer.read(&gpu.ring, &gpu.stream).unwrap(), values);
        assert_eq!(buffer.freeze().read(&gpu.ring, &gpu.stream).unwrap(), values, "{len}");
    }
}

#[test]
fn copies_are_counted() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u32>(40_000, &gpu.stream).unwrap();
    let before = gpu.counters.snapshot();
    buffer.write(0, &numbers(40_000, 1), &gpu.ring, &gpu.stream).unwrap();
    let copied = gpu.counters.snapshot().since(before);
    assert_eq!((copied.uploads, copied.upload_bytes), (3, 160_000));
    buffer.read(&gpu.ring, &gpu.stream).unwrap();
    let copied = gpu.counters.snapshot().since(before);
    assert_eq!((copied.downloads, copied.download_bytes), (3, 160_000));
    if let Some(emulator) = common::Emulator::find() {
        assert!(emulator.counter("bytes_to_device") >= 160_000);
    }
}

#[test]
fn parts_are_written_in_place() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u32>(1000, &gpu.stream).unwrap();
    buffer.zero(&gpu.stream).unwrap();
    buffer.write(100, &[1, 2, 3], &gpu.ring, &gpu.stream).unwrap();
    let mut expected = vec![0; 1000];
    expected[100..103].copy_from_slice(&[1, 2, 3]);
    assert_eq!(buffer.read(&gpu.ring, &gpu.stream).unwrap(), expected);
    let error = buffer.write(998, &[1, 2, 3], &gpu.ring, &gpu.stream).unwrap_err();
    assert_eq!(error.class(), FaultClass::Bug);
    buffer.fill(0xdead_beef, &gpu.stream).unwrap();
    assert_eq!(buffer.read(&gpu.ring, &gpu.stream).unwrap(), vec![0xdead_beef; 1000]);
}

#[test]
fn buffers_are_aligned_and_sizes_kept() {
    let Some(gpu) = common::gpu() else { return };
    let buffers: Vec<_> =
        (1..40).map(|len| gpu.memory.buffer::<u8>(len * 37, &gpu.stream).unwrap()).collect();
    for (buffer, len) in buffers.iter().zip(1..) {
        assert_eq!(buffer.address() % 256, 0);
        assert_eq!(buffer.len(), len * 37);
    }
    let mut starts: Vec<u64> = buffers.iter().map(|buffer| buffer.address()).collect();
    starts.sort_unstable();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 256));
}

#[test]
fn another_stream_sees_the_last_write() {
    let Some(gpu) = common::gpu() else { return };
    let (one, two) = (gpu.stream(), gpu.stream());
    for round in 0..30u32 {
        let values = numbers(5000, round);
        let mut source = gpu.memory.buffer::<u32>(5000, &one).unwrap();
        source.write(0, &values, &gpu.ring, &one).unwrap();
        let source = source.freeze();
        // Allocated on one stream, written on the other, read on the first again.
        let mut target = gpu.memory.buffer::<u32>(5000, &one).unwrap();
        target.copy_from(&source, &two).unwrap();
        assert_eq!(target.freeze().read(&gpu.ring, &one).unwrap(), values, "round {round}");
    }
}

#[test]
fn every_reader_waits_for_the_writer_not_only_the_first() {
    let Some(gpu) = common::gpu() else { return };
    let streams = [gpu.stream(), gpu.stream(), gpu.stream(), gpu.stream()];
    let mut copies = Vec::new();
    for round in 0..20u32 {
        let mut source = gpu.memory.buffer::<u32>(2000, &streams[0]).unwrap();
        for value in 0..5 {
            source.fill(value, &streams[0]).unwrap();
        }
        source.fill(round + 10, &streams[0]).unwrap();
        let source = source.freeze();
        for reader in &streams[1..] {
            let mut copy = gpu.memory.buffer::<u32>(2000, reader).unwrap();
            copy.copy_from(&source, reader).unwrap();
            copies.push((copy, round + 10));
        }
    }
    for (copy, value) in copies {
        assert_eq!(copy.read(&gpu.ring, &gpu.stream).unwrap(), vec![value; 2000]);
    }
}

#[test]
fn a_write_waits_for_readers_of_other_streams() {
    let Some(gpu) = common::gpu() else { return };
    let (one, two) = (gpu.stream(), gpu.stream());
    for round in 0..30u32 {
        let values = numbers(3000, round);
        let mut buffer = gpu.memory.buffer::<u32>(3000, &one).unwrap();
        buffer.write(0, &values, &gpu.ring, &one).unwrap();
        let shared = buffer.freeze();
        let mut copy = gpu.memory.buffer::<u32>(3000, &two).unwrap();
        copy.copy_from(&shared, &two).unwrap();
        // The block is used again at once for something else, while the copy may not have run.
        drop(shared);
        let mut next = gpu.memory.buffer::<u32>(3000, &one).unwrap();
        next.fill(0, &one).unwrap();
        assert_eq!(copy.read(&gpu.ring, &two).unwrap(), values, "round {round}");
    }
}

#[test]
fn memory_that_is_written_again_waits_for_its_readers() {
    let Some(gpu) = common::gpu() else { return };
    let other = gpu.stream();
    let mut buffer = gpu.memory.buffer::<u32>(3000, &gpu.stream).unwrap();
    buffer.fill(1, &gpu.stream).unwrap();
    let shared = buffer.freeze();
    let mut copy = gpu.memory.buffer::<u32>(3000, &other).unwrap();
    keep_busy(&gpu, &other);
    copy.copy_from(&shared, &other).unwrap();
    let mut buffer = shared.thaw().unwrap();
    buffer.fill(2, &gpu.stream).unwrap();
    gpu.stream.synchronize().unwrap();
    assert_eq!(copy.read(&gpu.ring, &other).unwrap(), [1; 3000]);
    assert_eq!(buffer.read(&gpu.ring, &other).unwrap(), [2; 3000]);
}

#[test]
fn a_block_that_is_used_again_elsewhere_waits_for_its_past() {
    let Some(gpu) = common::gpu() else { return };
    let other = gpu.stream();
    let mut first = gpu.memory.buffer::<u32>(3000, &gpu.stream).unwrap();
    keep_busy(&gpu, &gpu.stream);
    first.fill(1, &gpu.stream).unwrap();
    let address = first.address();
    drop(first);
    // The same stream gets the block at once, and gives it to another before anything has run.
    let mut second = gpu.memory.buffer::<u32>(3000, &gpu.stream).unwrap();
    assert_eq!(second.address(), address);
    second.fill(2, &other).unwrap();
    let copied = second.read(&gpu.ring, &other).unwrap();
    gpu.stream.synchronize().unwrap();
    assert_eq!(copied, [2; 3000]);
    assert_eq!(second.read(&gpu.ring, &other).unwrap(), [2; 3000]);
}

#[test]
fn any_order_of_dropping_is_right() {
    let Some(gpu) = common::gpu() else { return };
    let values = numbers(2000, 3);
    let stream = gpu.stream();
    let reservation = gpu.pool.reserve("short-lived", &gpu.counters);
    let mut buffer = reservation.buffer::<u32>(2000, &stream).unwrap();
    drop(reservation);
    buffer.write(0, &values, &gpu.ring, &stream).unwrap();
    let slice = buffer.freeze();
    let part = slice.slice(500..1500).unwrap();
    drop(slice);
    let into = gpu.pinned.buffer(PinnedKind::ToHost, 4000, &gpu.counters).unwrap();
    let download = part.download(into, &stream).unwrap();
    drop((part, stream));
    let bytes = download.finish().unwrap();
    let expected: Vec<u8> =
        values[500..1500].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(&bytes[..], &expected[..]);
    assert_eq!(gpu.pool.usage().used_bytes, 0);
}

#[test]
fn views_and_casts_keep_their_bounds() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u32>(100, &gpu.stream).unwrap();
    buffer.write(0, &numbers(100, 9), &gpu.ring, &gpu.stream).unwrap();
    let slice = buffer.freeze();
    assert!(slice.slice(50..101).is_err());
    let part = slice.slice(10..20).unwrap();
    assert_eq!(part.read(&gpu.ring, &gpu.stream).unwrap(), numbers(100, 9)[10..20]);
    assert_eq!(part.address(), slice.address() + 40);
    assert_eq!(part.clone().cast::<u64>().unwrap().len(), 5);
    assert!(slice.slice(1..4).unwrap().cast::<u64>().is_err());
    assert!(slice.slice(1..3).unwrap().cast::<u64>().is_err(), "aligned to 4 bytes only");
}

#[test]
fn only_unshared_memory_is_written_again() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u32>(100, &gpu.stream).unwrap();
    buffer.fill(1, &gpu.stream).unwrap();
    let slice = buffer.freeze();
    let part = slice.slice(0..1).unwrap();
    let slice = slice.thaw().unwrap_err();
    drop(part);
    let mut buffer = slice.thaw().unwrap();
    buffer.fill(2, &gpu.stream).unwrap();
    assert_eq!(buffer.read(&gpu.ring, &gpu.stream).unwrap(), [2; 100]);
}

#[test]
fn memory_that_many_queries_read_does_not_remember_them_all() {
    let Some(gpu) = common::gpu() else { return };
    let mut dictionary = gpu.memory.buffer::<u32>(1000, &gpu.stream).unwrap();
    dictionary.fill(7, &gpu.stream).unwrap();
    let dictionary = dictionary.freeze();
    for query in 0..200 {
        let stream = gpu.stream();
        let mut copy = gpu.memory.buffer::<u32>(1000, &stream).unwrap();
        copy.copy_from(&dictionary, &stream).unwrap();
        if query % 10 == 0 {
            // The device works on meanwhile; the streams are gone and nobody waits for them.
            std::thread::sleep(std::time::Duration::from_millis(15));
        }
    }
    let before = gpu.counters.snapshot();
    let mut last = dictionary.thaw().unwrap();
    last.fill(8, &gpu.stream).unwrap();
    let waits = gpu.counters.snapshot().since(before).stream_waits;
    assert!(waits <= 40, "{waits} of 200 readers were still remembered");
    assert_eq!(last.read(&gpu.ring, &gpu.stream).unwrap(), [8; 1000]);
}

#[test]
fn neighbours_in_a_slab_do_not_wait_for_each_other() {
    let Some(gpu) = common::gpu() else { return };
    let (one, two) = (gpu.stream(), gpu.stream());
    let bytes = 2 * Slab::bytes_for::<u32>(1000).unwrap();
    let mut slab = gpu.memory.slab(bytes, &gpu.stream).unwrap();
    let mut first = slab.take::<u32>(1000).unwrap();
    let mut second = slab.take::<u32>(1000).unwrap();
    assert_eq!((first.address() % 256, second.address() % 256), (0, 0));
    assert!(second.address() >= first.address() + 4000 + 64);
    assert!(slab.take::<u8>(1).is_err());
    drop(slab);
    first.fill(1, &one).unwrap();
    second.fill(2, &two).unwrap();
    let before = gpu.counters.snapshot();
    first.fill(3, &one).unwrap();
    second.fill(4, &two).unwrap();
    assert_eq!(gpu.counters.snapshot().since(before).stream_waits, 0);
    assert_eq!(first.read(&gpu.ring, &one).unwrap(), vec![3; 1000]);
    drop(first);
    assert!(gpu.pool.usage().used_bytes > 0, "the second keeps the block");
    assert_eq!(second.read(&gpu.ring, &two).unwrap(), vec![4; 1000]);
    drop(second);
    assert_eq!(gpu.pool.usage().used_bytes, 0);
}

#[test]
fn without_reuse_every_buffer_is_the_drivers() {
    let config = PoolConfig { budget_bytes: 16 << 20, reuse: false };
    let Some(gpu) = common::gpu_with(config) else { return };
    let before = gpu.counters.snapshot();
    for round in 0..5u32 {
        let mut buffer = gpu.memory.buffer::<u32>(1000, &gpu.stream).unwrap();
        buffer.fill(round, &gpu.stream).unwrap();
        assert_eq!(buffer.read(&gpu.ring, &gpu.stream).unwrap(), vec![round; 1000]);
    }
    let added = gpu.counters.snapshot().since(before);
    assert_eq!((added.driver_allocations, added.driver_frees), (5, 5));
    assert_eq!(gpu.pool.usage().cached_bytes, 0);
}

#[test]
fn many_threads_write_and_read() {
    let Some(gpu) = common::gpu() else { return };
    std::thread::scope(|scope| {
        for thread in 0..6u32 {
            let gpu = &gpu;
            scope.spawn(move || {
                let (one, two) = (gpu.stream(), gpu.stream());
                let ring = staffa_cuda::StagingRing::new(&gpu.pinned, PinnedKind::ToHost, 8192, 2);
                for round in 0..15u32 {
                    let values = numbers(1000 + round as usize * 300, thread * 100 + round);
                    let mut buffer = gpu.memory.buffer::<u32>(values.len(), &one).unwrap();
                    buffer.write(0, &values, &ring, &two).unwrap();
                    assert_eq!(buffer.read(&ring, &one).unwrap(), values);
                }
            });
        }
    });
}
