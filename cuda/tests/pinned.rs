//! Pinned memory: rings, early drops, mailboxes.

mod common;

use common::{keep_busy, numbers};
use staffa_common::FaultClass;
use staffa_cuda::{Mailbox, PinnedConfig, PinnedKind, PinnedPool, StagingRing};

#[test]
fn a_dropped_source_is_not_used_again_before_the_copy() {
    let Some(gpu) = common::gpu() else { return };
    let ring = StagingRing::new(&gpu.pinned, PinnedKind::ToDevice, 16 << 10, 2);
    let mut buffers = Vec::new();
    for round in 0..20u32 {
        let values = numbers(4096, round);
        let mut slab = ring.next(&gpu.counters).unwrap();
        slab.copy_from_slice(&values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
        let mut buffer = gpu.memory.buffer::<u32>(4096, &gpu.stream).unwrap();
        // The sealed slab is dropped at once, and the next round asks for it.
        buffer.upload(0, &slab.seal(), 0..16_384, &gpu.stream).unwrap();
        buffers.push((buffer, values));
    }
    for (buffer, values) in buffers {
        assert_eq!(buffer.read(&gpu.ring, &gpu.stream).unwrap(), values);
    }
    // Two of this ring, at most three of the one that was read through.
    assert!(gpu.counters.snapshot().pinned_allocations <= 5);
}

#[test]
fn one_slab_feeds_several_columns() {
    let Some(gpu) = common::gpu() else { return };
    let mut slab = gpu.pinned.buffer(PinnedKind::ToDevice, 4000, &gpu.counters).unwrap();
    let values = numbers(1000, 5);
    for (bytes, value) in slab.chunks_exact_mut(4).zip(&values) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    let sealed = slab.seal();
    let (one, two) = (gpu.stream(), gpu.stream());
    let mut first = gpu.memory.buffer::<u32>(300, &one).unwrap();
    let mut second = gpu.memory.buffer::<u32>(700, &two).unwrap();
    first.upload(0, &sealed, 0..1200, &one).unwrap();
    second.upload(0, &sealed.clone(), 1200..4000, &two).unwrap();
    assert!(second.upload(1, &sealed, 1200..4000, &two).is_err());
    assert!(second.upload(0, &sealed, 3999..4001, &two).is_err());
    drop(sealed);
    assert_eq!(first.read(&gpu.ring, &one).unwrap(), values[..300]);
    assert_eq!(second.read(&gpu.ring, &two).unwrap(), values[300..]);
}

#[test]
fn a_ring_never_waits_for_its_own_caller() {
    let Some(gpu) = common::gpu() else { return };
    let ring = StagingRing::new(&gpu.pinned, PinnedKind::ToHost, 4096, 2);
    let (one, _two) = (ring.next(&gpu.counters).unwrap(), ring.next(&gpu.counters).unwrap());
    let error = ring.next(&gpu.counters).unwrap_err();
    assert_eq!(error.class(), FaultClass::Retryable);
    drop(one);
    ring.next(&gpu.counters).unwrap();
}

#[test]
fn pinned_memory_has_a_budget_and_is_used_again() {
    let Some(gpu) = common::gpu() else { return };
    let pool = PinnedPool::new(&gpu.device, PinnedConfig { budget_bytes: 3 << 20 });
    let first = pool.buffer(PinnedKind::ToHost, 1 << 20, &gpu.counters).unwrap();
    let _second = pool.buffer(PinnedKind::ToDevice, (1 << 20) - 5, &gpu.counters).unwrap();
    let _third = pool.buffer(PinnedKind::ToHost, 1 << 20, &gpu.counters).unwrap();
    let error = pool.buffer(PinnedKind::ToHost, 1, &gpu.counters).unwrap_err();
    assert_eq!(error.class(), FaultClass::OutOfMemory);
    drop(first);
    // Of another size: the freed one is given up for it.
    let small = pool.buffer(PinnedKind::ToHost, 100, &gpu.counters).unwrap();
    assert_eq!((small.len(), small.capacity()), (100, 4096));
    let (now, high) = pool.pinned_bytes();
    assert_eq!((now, high), ((2 << 20) + 4096, 3 << 20));
    let before = gpu.counters.snapshot();
    drop(small);
    pool.buffer(PinnedKind::ToHost, 4000, &gpu.counters).unwrap();
    assert_eq!(gpu.counters.snapshot().since(before).pinned_allocations, 0);
}

#[test]
fn an_early_dropped_download_is_safe() {
    let Some(gpu) = common::gpu() else { return };
    let values = numbers(4096, 8);
    let mut source = gpu.memory.buffer::<u32>(4096, &gpu.stream).unwrap();
    source.write(0, &values, &gpu.ring, &gpu.stream).unwrap();
    let source = source.freeze();
    let pool = PinnedPool::new(&gpu.device, PinnedConfig { budget_bytes: 16 << 10 });
    for round in 0..5u8 {
        let into = pool.buffer(PinnedKind::ToHost, 16 << 10, &gpu.counters).unwrap();
        keep_busy(&gpu, &gpu.stream);
        drop(source.download(into, &gpu.stream).unwrap());
        // The only block of the budget comes back when the copy is done, and stays as it is set.
        let mut block = pool.buffer(PinnedKind::ToHost, 16 << 10, &gpu.counters).unwrap();
        block.fill(round);
        gpu.stream.synchronize().unwrap();
        assert!(block.iter().all(|&byte| byte == round));
    }
}

#[test]
fn downloads_are_futures() {
    let Some(gpu) = common::gpu() else { return };
    let values = numbers(1000, 2);
    let mut source = gpu.memory.buffer::<u32>(1000, &gpu.stream).unwrap();
    source.write(0, &values, &gpu.ring, &gpu.stream).unwrap();
    let into = gpu.pinned.buffer(PinnedKind::ToHost, 8192, &gpu.counters).unwrap();
    let before = gpu.counters.snapshot();
    let bytes = common::block_on(source.freeze().download(into, &gpu.stream).unwrap()).unwrap();
    let expected: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(&bytes[..], &expected[..]);
    assert_eq!(gpu.counters.snapshot().since(before).waits, 0);
}

#[test]
fn letters_arrive_in_any_order() {
    let Some(gpu) = common::gpu() else { return };
    let mailbox = Mailbox::new(&gpu.pinned, 4, 32, &gpu.counters).unwrap();
    let streams = [gpu.stream(), gpu.stream()];
    let mut letters = Vec::new();
    for (round, stream) in (0u32..).zip(streams.iter().cycle()).take(4) {
        let mut counts = gpu.memory.buffer::<u32>(8, stream).unwrap();
        counts.fill(round + 100, stream).unwrap();
        letters.push(mailbox.post(&counts.freeze(), stream).unwrap());
    }
    let mut one = gpu.memory.buffer::<u32>(1, &gpu.stream).unwrap();
    one.fill(1, &gpu.stream).unwrap();
    let Err(error) = mailbox.post_buffer(&one, 0..1, &gpu.stream) else { panic!("it is full") };
    assert_eq!(error.class(), FaultClass::Retryable);
    assert_eq!(letters.pop().unwrap().read().unwrap(), vec![103; 8]);
    assert_eq!(common::block_on(letters.remove(0)).unwrap(), vec![100; 8]);
    for (letter, value) in letters.drain(..).zip([101, 102]) {
        while letter.poll_values().unwrap().is_none() {
            std::thread::yield_now();
        }
        assert_eq!(letter.poll_values().unwrap(), Some(vec![value; 8]));
    }
    gpu.stream.synchronize().unwrap();
    assert_eq!(mailbox.free_slots(), 4);
    let mut long = gpu.memory.buffer::<u8>(65, &gpu.stream).unwrap();
    long.zero(&gpu.stream).unwrap();
    assert!(mailbox.post(&long.freeze(), &gpu.stream).is_err());
}

#[test]
fn a_slot_is_not_given_out_before_its_last_copy() {
    let Some(gpu) = common::gpu() else { return };
    let mailbox = Mailbox::new(&gpu.pinned, 1, 64, &gpu.counters).unwrap();
    let other = gpu.stream();
    let mut value = gpu.memory.buffer::<u32>(1, &gpu.stream).unwrap();
    value.fill(1, &gpu.stream).unwrap();
    let mut later = gpu.memory.buffer::<u32>(1, &other).unwrap();
    later.fill(2, &other).unwrap();
    keep_busy(&gpu, &gpu.stream);
    let early = mailbox.post_buffer(&value, 0..1, &gpu.stream).unwrap();
    let copied = gpu.stream.record().unwrap();
    drop(early);
    match mailbox.post_buffer(&later, 0..1, &other) {
        Ok(_) => assert!(copied.is_done().unwrap(), "the slot is still being written"),
        Err(error) => assert_eq!(error.class(), FaultClass::Retryable),
    }
    gpu.stream.synchronize().unwrap();
    other.synchronize().unwrap();
    assert_eq!(mailbox.post_buffer(&later, 0..1, &other).unwrap().read().unwrap(), [2]);
}

#[test]
fn early_dropped_letters_free_their_slots_after_the_copy() {
    let Some(gpu) = common::gpu() else { return };
    let mailbox = Mailbox::new(&gpu.pinned, 2, 64, &gpu.counters).unwrap();
    for round in 0..50u32 {
        let mut count = gpu.memory.buffer::<u32>(1, &gpu.stream).unwrap();
        count.fill(round, &gpu.stream).unwrap();
        let dropped = mailbox.post_buffer(&count, 0..1, &gpu.stream);
        drop(dropped.unwrap());
        let mut next = gpu.memory.buffer::<u32>(1, &gpu.stream).unwrap();
        next.fill(round + 1000, &gpu.stream).unwrap();
        let letter = mailbox.post(&next.freeze(), &gpu.stream).unwrap();
        assert_eq!(letter.read().unwrap(), [round + 1000]);
    }
}
