//! Streams, events, futures and timers.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use staffa_common::FaultClass;
use staffa_cuda::{DeviceBuffer, Stream, Timer};

/// Queues work that takes the device a while, compared with nothing.
fn work(stream: &Stream, buffer: &mut DeviceBuffer<u8>) {
    for byte in 0..8 {
        buffer.fill_bytes(byte, stream).unwrap();
    }
}

#[test]
fn an_event_is_done_after_the_work_before_it() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u8>(1 << 20, &gpu.stream).unwrap();
    work(&gpu.stream, &mut buffer);
    let event = gpu.stream.record().unwrap();
    let before = gpu.counters.snapshot();
    event.synchronize().unwrap();
    assert!(event.is_done().unwrap());
    assert!(gpu.counters.snapshot().since(before).waits <= 1);
    // Once seen done, it costs no wait.
    let before = gpu.counters.snapshot();
    event.synchronize().unwrap();
    assert_eq!(gpu.counters.snapshot().since(before).waits, 0);
}

#[test]
fn nothing_queued_is_done() {
    let Some(gpu) = common::gpu() else { return };
    let stream = gpu.stream();
    assert!(stream.is_idle().unwrap());
    stream.synchronize().unwrap();
    assert!(stream.record().unwrap().is_done().unwrap());
    assert!(stream.is_idle().unwrap());
}

#[test]
fn events_outlive_their_stream() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u8>(1 << 20, &gpu.stream).unwrap();
    let other = gpu.stream();
    work(&other, &mut buffer);
    let event = other.record().unwrap();
    drop(other);
    gpu.stream.wait_for(&event).unwrap();
    gpu.stream.synchronize().unwrap();
    assert!(event.is_done().unwrap());
}

#[test]
fn futures_complete_on_a_plain_thread() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u8>(1 << 20, &gpu.stream).unwrap();
    for _ in 0..20 {
        work(&gpu.stream, &mut buffer);
        let event = gpu.stream.record().unwrap();
        common::block_on(event.wait()).unwrap();
        assert!(event.is_done().unwrap());
    }
}

#[test]
fn many_futures_on_many_threads() {
    let Some(gpu) = common::gpu() else { return };
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let stream = gpu.stream();
                let mut buffer = gpu.memory.buffer::<u8>(1 << 16, &stream).unwrap();
                for _ in 0..30 {
                    work(&stream, &mut buffer);
                    let event = stream.record().unwrap();
                    let (one, two) = (event.wait(), event.wait());
                    common::block_on(one).unwrap();
                    common::block_on(two).unwrap();
                }
            });
        }
    });
}

#[test]
fn futures_may_be_dropped_and_polled_with_new_wakers() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u8>(1 << 20, &gpu.stream).unwrap();
    work(&gpu.stream, &mut buffer);
    let event = gpu.stream.record().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut dropped = event.wait();
    let _ = Pin::new(&mut dropped).poll(&mut context);
    drop(dropped);
    let mut moved = event.wait();
    let _ = Pin::new(&mut moved).poll(&mut context);
    // The second waker is the one that is woken.
    common::block_on(moved).unwrap();
}

#[test]
fn a_stream_waits_for_another_on_the_device() {
    let Some(gpu) = common::gpu() else { return };
    let other = gpu.stream();
    let mut buffer = gpu.memory.buffer::<u8>(1 << 20, &other).unwrap();
    work(&other, &mut buffer);
    let event = other.record().unwrap();
    let before = gpu.counters.snapshot();
    gpu.stream.wait_for(&event).unwrap();
    gpu.stream.wait_for(&event).unwrap();
    let added = gpu.counters.snapshot().since(before);
    // The second wait is known to be needless; the first may be, if the work is done already.
    assert!(added.stream_waits <= 1 && added.waits == 0, "{added:?}");
    gpu.stream.synchronize().unwrap();
    assert!(event.is_done().unwrap());
}

#[test]
fn timers_measure_and_add_up() {
    let Some(gpu) = common::gpu() else { return };
    let mut buffer = gpu.memory.buffer::<u8>(1 << 20, &gpu.stream).unwrap();
    let mut timer = Timer::start(&gpu.stream).unwrap();
    work(&gpu.stream, &mut buffer);
    timer.stop(&gpu.stream).unwrap();
    gpu.stream.synchronize().unwrap();
    let Ok(ns) = timer.elapsed_ns().unwrap() else { panic!("it was done") };
    assert!(ns < 60_000_000_000, "{ns}");
    assert_eq!(gpu.counters.snapshot().device_ns, ns);
}

#[test]
fn a_timer_that_was_not_stopped_is_a_mistake() {
    let Some(gpu) = common::gpu() else { return };
    let timer = Timer::start(&gpu.stream).unwrap();
    let Err(error) = timer.elapsed_ns() else { panic!("not stopped") };
    assert_eq!(error.class(), FaultClass::Bug);
}

#[test]
fn threads_share_a_stream() {
    let Some(gpu) = common::gpu() else { return };
    let streams = [gpu.stream(), gpu.stream()];
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let streams = &streams;
            let gpu = &gpu;
            scope.spawn(move || {
                for round in 0..50 {
                    let (one, two) =
                        (&streams[(thread + round) % 2], &streams[(thread + round + 1) % 2]);
                    let mut buffer = gpu.memory.buffer::<u8>(4096, one).unwrap();
                    buffer.zero(one).unwrap();
                    buffer.fill_bytes(1, two).unwrap();
                    two.wait_for(&one.record().unwrap()).unwrap();
                }
            });
        }
    });
    for stream in &streams {
        stream.synchronize().unwrap();
    }
}
