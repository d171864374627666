//! Who reads, who doesn't, who stops: nobody waits for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datafusion_common::exec_err;
use datafusion_execution::runtime_env::RuntimeEnv;
use futures::StreamExt;

use super::{assert_in_order, collect, context, ids, lane, rows, start};
use crate::{LaneStream, Morsel};

const OUTPUTS: usize = 4;

/// What a test does with an output.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Read,
    /// Opened, and not polled before all others are through.
    Late,
    /// Not opened before all others are through.
    LateOpen,
    Drop,
    /// Takes one morsel and no more, until all others are through.
    Stop,
}

const ACTS: [Act; 5] = [Act::Read, Act::Late, Act::LateOpen, Act::Drop, Act::Stop];

async fn play(acts: [Act; OUTPUTS], hot: usize) {
    let context = context(Arc::new(RuntimeEnv::default()));
    let lanes: Vec<_> = (0..3).map(|at| rows(at, 12, 500, hot)).collect();
    let schema = lanes[0][0].schema();
    let lanes = lanes.into_iter().map(lane).collect();
    let exchange = Arc::new(start(lanes, &schema, &["k"], OUTPUTS, &context));
    let mut now = tokio::task::JoinSet::new();
    let mut late: Vec<(Vec<Morsel>, LaneStream)> = Vec::new();
    for (output, act) in acts.iter().enumerate() {
        match act {
            Act::Read => {
                let stream = exchange.open(output);
                now.spawn(async move { ids(&collect(stream).await.unwrap()) });
            }
            Act::Late => late.push((Vec::new(), exchange.open(output))),
            Act::LateOpen => {}
            Act::Drop => drop(exchange.open(output)),
            Act::Stop => {
                let mut stream = exchange.open(output);
                let first = stream.next().await.transpose().unwrap();
                late.push((first.into_iter().collect(), stream));
            }
        }
    }
    let mut all = Vec::new();
    while let Some(ids) = now.join_next().await {
        let ids = ids.unwrap();
        assert_in_order(&ids);
        all.extend(ids);
    }
    for (output, act) in acts.iter().enumerate() {
        if *act == Act::LateOpen {
            late.push((Vec::new(), exchange.open(output)));
        }
    }
    // Late ones read one after the other.
    for (mut morsels, stream) in late {
        morsels.extend(collect(stream).await.unwrap());
        let ids = ids(&morsels);
        assert_in_order(&ids);
        all.extend(ids);
    }
    all.sort_unstable();
    let count = all.len();
    all.dedup();
    assert_eq!(count, all.len(), "{acts:?}");
    if !acts.contains(&Act::Drop) {
        assert_eq!(count, 3 * 12 * 500, "{acts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_order_of_reading_waits_for_ever() {
    for hot in [0, 10] {
        for code in 0..5usize.pow(4) {
            let acts: [Act; OUTPUTS] =
                std::array::from_fn(|at| ACTS[code / 5usize.pow(at as u32) % 5]);
            // All on one key: a stop would wait for a first row that never comes to it, which is
            // right as long as somebody reads the others.
            let played = tokio::time::timeout(Duration::from_secs(60), play(acts, hot)).await;
            assert!(played.is_ok(), "{acts:?} {hot}");
        }
    }
}

/// Sets a flag when it is dropped.
struct Flag(Arc<AtomicBool>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn endless(dropped: &Arc<AtomicBool>) -> LaneStream {
    let flag = Flag(Arc::clone(dropped));
    let batch = rows(0, 1, 100, 0).remove(0);
    Box::pin(futures::stream::repeat(batch).then(move |batch| {
        let _flag = &flag;
        async move {
            tokio::task::yield_now().await;
            Ok(Morsel::from_batch(batch))
        }
    }))
}

async fn wait_for(flag: &AtomicBool) {
    for _ in 0..1000 {
        if flag.load(Ordering::SeqCst) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the producer still runs");
}

#[tokio::test]
async fn dropping_stops_the_producers() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let schema = rows(0, 1, 1, 0)[0].schema();
    // All outputs.
    let dropped = Arc::new(AtomicBool::new(false));
    let exchange = start(vec![endless(&dropped)], &schema, &["k"], 2, &context);
    let mut outputs: Vec<_> = (0..2).map(|output| exchange.open(output)).collect();
    for output in &mut outputs {
        output.next().await.unwrap().unwrap();
    }
    drop(outputs);
    wait_for(&dropped).await;
    // The exchange itself: a reader that is left hears that its rows are not all.
    let dropped = Arc::new(AtomicBool::new(false));
    let exchange = start(vec![endless(&dropped)], &schema, &["k"], 2, &context);
    let mut output = exchange.open(0);
    output.next().await.unwrap().unwrap();
    drop(exchange);
    wait_for(&dropped).await;
    let error = loop {
        match output.next().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => break error,
            None => panic!("a cut output looks whole"),
        }
    };
    assert!(error.to_string().contains("cancelled"));
    assert!(output.next().await.is_none());
}

#[tokio::test]
async fn errors_and_panics_reach_every_output() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let schema = rows(0, 1, 1, 0)[0].schema();
    for panics in [false, true] {
        let bad = futures::stream::once(async move {
            tokio::task::yield_now().await;
            assert!(!panics, "what a row");
            exec_err!("what a row")
        });
        let lanes = vec![lane(rows(0, 3, 100, 0)), Box::pin(bad) as LaneStream];
        let exchange = start(lanes, &schema, &["k"], 3, &context);
        for output in 0..3 {
            let error = collect(exchange.open(output)).await.unwrap_err();
            assert!(error.to_string().contains("what a row"), "{error}");
        }
    }
}

#[tokio::test]
async fn an_output_is_read_once() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let schema = rows(0, 1, 1, 0)[0].schema();
    let exchange = start(vec![lane(rows(0, 1, 10, 0))], &schema, &["k"], 1, &context);
    let first = collect(exchange.open(0)).await.unwrap();
    assert_eq!(ids(&first).len(), 10);
    assert!(collect(exchange.open(0)).await.is_err());
}

/// Rows that a slow lane has given are not held back until a batch is full.
#[tokio::test]
async fn a_waiting_reader_gets_what_there_is() {
    let context = context(Arc::new(RuntimeEnv::default()));
    let batch = rows(0, 1, 10, 0).remove(0);
    let schema = batch.schema();
    let slow = futures::stream::once(async move { Ok(Morsel::from_batch(batch)) })
        .chain(futures::stream::pending());
    let exchange = start(vec![Box::pin(slow)], &schema, &["k"], 1, &context);
    let mut output = exchange.open(0);
    let first = tokio::time::timeout(Duration::from_secs(20), output.next()).await;
    assert_eq!(first.unwrap().unwrap().unwrap().rows(), 10);
}
