//! Lanes that read the lanes of another pipeline together: the next morsel goes to whoever asks.
//!
//! A consumer that is never polled, or that stops being polled, holds nothing back: what it does
//! not take, the others do. Producers wait while the queue is full, and end with the last consumer.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use datafusion_common::{DataFusionError, Result};
use futures::StreamExt;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::{LaneStream, Morsel};

#[derive(Default)]
struct State {
    ready: VecDeque<Morsel>,
    error: Option<Arc<DataFusionError>>,
    producers: usize,
    /// Everybody who waits, for room or for morsels. Woken all at once: a waiter may be dead.
    waiting: Vec<Waker>,
}

impl State {
    fn wake(&mut self) {
        for waker in self.waiting.drain(..) {
            waker.wake();
        }
    }

    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|w| w.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

/// A bounded queue between producing lanes and consuming ones.
pub(super) struct Share {
    state: Arc<Mutex<State>>,
    /// Dropping it stops the producers.
    _tasks: JoinSet<()>,
}

/// Counts a producer out, whether it ends, errs, panics or is cancelled.
struct Producer(Arc<Mutex<State>>);

impl Drop for Producer {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.producers -= 1;
        if std::thread::panicking() && state.error.is_none() {
            let error = DataFusionError::Internal("staffa panicked in a lane".to_string());
            state.error = Some(Arc::new(error));
        }
        state.wake();
    }
}

impl Share {
    /// Starts reading `lanes` into a queue that holds about `room` morsels.
    pub(super) fn start(lanes: Vec<LaneStream>, room: usize) -> Self {
        let state = Arc::new(Mutex::new(State { producers: lanes.len(), ..State::default() }));
        let mut tasks = JoinSet::new();
        for lane in lanes {
            let producer = Producer(Arc::clone(&state));
            tasks.spawn(async move { produce(lane, &producer.0, room).await });
        }
        Self { state, _tasks: tasks }
    }

    /// A consuming lane. It keeps the queue and its producers alive.
    pub(super) fn open(self: &Arc<Self>) -> LaneStream {
        let share = Arc::clone(self);
        Box::pin(futures::stream::unfold(share, |share| async move {
            let next = poll_fn(|cx| {
                let mut state = share.state.lock();
                if let Some(error) = &state.error {
                    return Poll::Ready(Some(Err(DataFusionError::Shared(Arc::clone(error)))));
                }
                if let Some(morsel) = state.ready.pop_front() {
                    state.wake();
                    return Poll::Ready(Some(Ok(morsel)));
                }
                if state.producers == 0 {
                    return Poll::Ready(None);
                }
                state.wait(cx.waker());
                Poll::Pending
            })
            .await;
            next.map(|item| (item, share))
        }))
    }
}

async fn produce(mut lane: LaneStream, state: &Mutex<State>, room: usize) {
    while let Some(item) = lane.next().await {
        let failed = item.is_err();
        if offer(item, state, room).await.is_err() || failed {
            return;
        }
    }
}

/// Waits for room, then queues. Errs when another lane has failed.
async fn offer(item: Result<Morsel>, state: &Mutex<State>, room: usize) -> Result<(), ()> {
    let mut item = Some(item);
    poll_fn(|cx| {
        let mut state = state.lock();
        if state.error.is_some() {
            return Poll::Ready(Err(()));
        }
        if state.ready.len() >= room && matches!(item, Some(Ok(_))) {
            state.wait(cx.waker());
            return Poll::Pending;
        }
        match item.take() {
            Some(Ok(morsel)) => state.ready.push_back(morsel),
            Some(Err(error)) => state.error = Some(Arc::new(error)),
            None => {}
        }
        state.wake();
        Poll::Ready(Ok(()))
    })
    .await
}
