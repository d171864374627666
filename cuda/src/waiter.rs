//! The thread that wakes futures when their events are done.
//!
//! The driver could call back (`cuLaunchHostFunc`), but it does not when the context is lost, so a
//! future would sleep for ever, and the callback may not call the driver, which a waker that polls
//! in place would do. So one thread per device looks at the events that somebody waits for. It costs
//! about a microsecond per event and look, sleeps between looks, and ends when nobody waits.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::event::Recorded;

/// Between looks: short at first, since most waits are for work that is nearly done.
const SHORTEST: Duration = Duration::from_micros(20);
/// A wait of many milliseconds gains nothing from more looks than this.
const LONGEST: Duration = Duration::from_micros(500);
/// How long the thread stays when nobody waits; starting one costs about 50 microseconds.
const LINGER: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Waiter {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<(Arc<Recorded>, Arc<Slot>)>,
    running: bool,
    added: bool,
}

/// Where a future leaves its waker.
struct Slot(Mutex<Wake>);

enum Wake {
    Armed(Waker),
    /// The event is done; the future was woken.
    Fired,
    /// The future is gone.
    Cancelled,
}

/// A future's place in the list; leaving it (drop) takes the waker out.
pub(crate) struct Ticket(Arc<Slot>);

impl Ticket {
    /// Replaces the waker. False if it was already woken, so that nobody will wake it again.
    pub(crate) fn renew(&self, waker: &Waker) -> bool {
        let mut slot = self.0.0.lock();
        match &mut *slot {
            Wake::Armed(old) => {
                old.clone_from(waker);
                true
            }
            Wake::Fired | Wake::Cancelled => false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The old waker is dropped after the lock: dropping one may run foreign code.
        let _old = std::mem::replace(&mut *self.0.0.lock(), Wake::Cancelled);
    }
}

impl Slot {
    fn fire(&self) {
        let old = std::mem::replace(&mut *self.0.lock(), Wake::Fired);
        if let Wake::Armed(waker) = old {
            waker.wake();
        }
    }

    fn cancelled(&self) -> bool {
        matches!(*self.0.lock(), Wake::Cancelled)
    }
}

impl Waiter {
    /// Has `waker` woken when the event is done or failed. `None` if no thread could be started.
    pub(crate) fn register(&self, event: &Arc<Recorded>, waker: &Waker) -> Option<Ticket> {
        let slot = Arc::new(Slot(Mutex::new(Wake::Armed(waker.clone()))));
        let mut state = self.shared.state.lock();
        if !state.running {
            let shared = Arc::clone(&self.shared);
            std::thread::Builder::new()
                .name("staffa-cuda-events".into())
                .spawn(move || shared.run())
                .ok()?;
            state.running = true;
        }
        state.waiting.push((Arc::clone(event), Arc::clone(&slot)));
        state.added = true;
        drop(state);
        self.shared.changed.notify_one();
        Some(Ticket(slot))
    }
}

impl Shared {
    fn run(&self) {
        let mut pause = SHORTEST;
        loop {
            let mut waiting = {
                let mut state = self.state.lock();
                if state.waiting.is_empty() {
                    self.changed.wait_for(&mut state, LINGER);
                    if state.waiting.is_empty() {
                        state.running = false;
                        return;
                    }
                }
                if std::mem::take(&mut state.added) {
                    pause = SHORTEST;
                }
                std::mem::take(&mut state.waiting)
            };
            // Neither the driver nor a waker is called under the lock. An error counts as done: the
            // future that is woken meets it.
            let mut fired = false;
            waiting.retain(|(event, slot)| {
                if slot.cancelled() {
                    return false;
                }
                let done = event.query().unwrap_or(true);
                if done {
                    slot.fire();
                    fired = true;
                }
                !done
            });
            let mut state = self.state.lock();
            state.waiting.append(&mut waiting);
            pause = if fired { SHORTEST } else { (pause * 2).min(LONGEST) };
            if !state.waiting.is_empty() && !state.added {
                self.changed.wait_for(&mut state, pause);
            }
        }
    }
}
