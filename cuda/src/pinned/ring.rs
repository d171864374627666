//! A few slabs that go round between filling and copying.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Home, Inner, PinnedBuffer, PinnedKind, PinnedPool, Raw};
use crate::counters::Counters;
use crate::error::{CudaError, Result};

/// A fixed number of pinned slabs for one stage of one query: filled, sealed, copied, filled again.
/// Two or three of 4 to 16 MB keep the link busy; more would only pin memory.
///
/// Its slabs come from a [`PinnedPool`] and return there when ring and slabs are gone.
pub struct StagingRing {
    slots: Arc<Slots>,
}

pub(super) struct Slots {
    pool: Arc<Inner>,
    kind: PinnedKind,
    slab_bytes: usize,
    slabs: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Given back, oldest first, perhaps still being copied.
    free: VecDeque<Raw>,
    /// Taken from the pool so far.
    made: usize,
}

impl StagingRing {
    /// A ring of at most `slabs` slabs of `slab_bytes`; they are pinned when first needed.
    pub fn new(pool: &PinnedPool, kind: PinnedKind, slab_bytes: usize, slabs: usize) -> Self {
        Self {
            slots: Arc::new(Slots {
                pool: Arc::clone(&pool.inner),
                kind,
                slab_bytes,
                slabs: slabs.max(1),
                state: Mutex::default(),
            }),
        }
    }

    /// The size of a slab.
    pub fn slab_bytes(&self) -> usize {
        self.slots.slab_bytes
    }

    /// The next slab: one whose copy is done, or a new one while there are fewer than the ring may
    /// have, or the oldest, after waiting for its copy (counted as a wait).
    ///
    /// # Errors
    /// [`CudaError::Busy`] if the callers themselves hold all of them: waiting for oneself would
    /// never end. Out of memory if no more can be pinned; the device's fault.
    pub fn next(&self, counters: &Counters) -> Result<PinnedBuffer> {
        let slots = &self.slots;
        // The place of a new slab is taken under the lock, so that threads do not make too many.
        let (oldest, place) = {
            let mut state = slots.state.lock();
            let place = state.made < slots.slabs;
            state.made += usize::from(place);
            (state.free.pop_front(), place)
        };
        let raw = match (oldest, place) {
            (Some(raw), false) => slots.wait(raw, counters)?,
            // An error of the query shows in the wait, which keeps the slab.
            (Some(raw), true) if raw.log.is_done().unwrap_or(true) => {
                slots.state.lock().made -= 1;
                slots.wait(raw, counters)?
            }
            (Some(raw), true) => {
                slots.give_back_first(raw);
                slots.make(counters)?
            }
            (None, true) => slots.make(counters)?,
            (None, false) => {
                return Err(CudaError::Busy(format!(
                    "all {} slabs of a staging ring are held",
                    slots.slabs
                )));
            }
        };
        Ok(PinnedBuffer {
            raw: Some(raw),
            len: slots.slab_bytes,
            home: Home::Ring(Arc::clone(slots)),
        })
    }
}

impl Slots {
    fn wait(&self, raw: Raw, counters: &Counters) -> Result<Raw> {
        match raw.log.synchronize(counters) {
            Ok(()) => Ok(raw.clean()),
            Err(error) => {
                self.give_back_first(raw);
                Err(error)
            }
        }
    }

    fn make(&self, counters: &Counters) -> Result<Raw> {
        let made = self.pool.acquire(self.kind, self.slab_bytes, counters);
        if made.is_err() {
            self.state.lock().made -= 1;
        }
        made
    }

    pub(super) fn give_back(&self, raw: Raw) {
        self.state.lock().free.push_back(raw);
    }

    fn give_back_first(&self, raw: Raw) {
        self.state.lock().free.push_front(raw);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for raw in self.state.get_mut().free.drain(..) {
            self.pool.give_back(raw, false);
        }
    }
}
