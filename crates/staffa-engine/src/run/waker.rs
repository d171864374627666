//! Wakes tasks from a thread of its own.
//!
//! Tokio puts a task that another task wakes into a slot of the waking worker, from which no other worker
//! takes it: it runs once the waking task waits. Lanes compute for milliseconds between two waits, so that
//! a lane which wakes an idle one would go on alone. A task that a foreign thread wakes goes to whichever
//! worker is idle.

use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::task::Waker;

use parking_lot::Mutex;

static WAKING: LazyLock<Option<Mutex<Sender<Waker>>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Waker>();
    let run = move || receiver.into_iter().for_each(Waker::wake);
    let thread = std::thread::Builder::new().name("staffa-waker".to_string()).spawn(run);
    thread.is_ok().then(|| Mutex::new(sender))
});

/// Wakes a task that another worker is to run, at once.
pub fn wake_apart(waker: Waker) {
    match &*WAKING {
        Some(sender) => {
            if let Err(unsent) = sender.lock().send(waker) {
                unsent.0.wake();
            }
        }
        // The system gives no more threads.
        None => waker.wake(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use tokio::sync::oneshot;

    use super::*;

    /// Two tasks that a barrier of computing tasks holds up would need two workers at once.
    #[test]
    fn a_woken_task_runs_beside_the_one_that_wakes_it() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let (give, take) = oneshot::channel::<Waker>();
        let ran = Arc::new(AtomicBool::new(false));
        let sleeper = {
            let (ran, mut give) = (Arc::clone(&ran), Some(give));
            std::future::poll_fn(move |cx| match give.take() {
                Some(give) => {
                    give.send(cx.waker().clone()).unwrap();
                    std::task::Poll::Pending
                }
                None => {
                    ran.store(true, Ordering::Release);
                    std::task::Poll::Ready(())
                }
            })
        };
        runtime.spawn(sleeper);
        let busy = runtime.spawn(async move {
            let waker = take.await.unwrap();
            wake_apart(waker);
            let began = Instant::now();
            while !ran.load(Ordering::Acquire) && began.elapsed() < Duration::from_secs(20) {
                std::hint::spin_loop();
            }
            ran.load(Ordering::Acquire)
        });
        assert!(runtime.block_on(busy).unwrap(), "it had to wait for the busy task");
    }
}
