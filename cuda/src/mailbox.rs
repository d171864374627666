//! Small read-backs: counts and error slots, one per morsel, without a host wait.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytemuck::Pod;
use parking_lot::Mutex;

use crate::access::AccessLog;
use crate::buffer::{DeviceBuffer, DeviceSlice};
use crate::counters::Counters;
use crate::error::{CudaError, Result};
use crate::event::{Event, Wait};
use crate::pinned::{PinnedBuffer, PinnedKind, PinnedPool};
use crate::pool::Extent;
use crate::stream::Stream;

/// Pinned slots that small device values are copied to: a morsel's counts and its error slot
/// together, in one copy, while the next morsel is queued. Clones share the slots.
#[derive(Clone)]
pub struct Mailbox {
    inner: Arc<Inner>,
}

struct Inner {
    memory: PinnedBuffer,
    slot_bytes: usize,
    slots: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    free: Vec<usize>,
    /// Letters that were dropped before their copy was done.
    leaving: Vec<(usize, Event)>,
}

impl Mailbox {
    /// `slots` slots of `slot_bytes` (rounded up to 64, a cache line).
    ///
    /// # Errors
    /// As [`PinnedPool::buffer`].
    pub fn new(
        pool: &PinnedPool,
        slots: usize,
        slot_bytes: usize,
        counters: &Counters,
    ) -> Result<Self> {
        let slot_bytes = slot_bytes.max(1).next_multiple_of(64);
        let bytes = slot_bytes
            .checked_mul(slots.max(1))
            .ok_or_else(|| CudaError::Misuse(format!("{slots} slots of {slot_bytes} bytes")))?;
        let memory = pool.buffer(PinnedKind::ToHost, bytes, counters)?;
        let slots = slots.max(1);
        let state = State { free: (0..slots).rev().collect(), leaving: Vec::new() };
        Ok(Self { inner: Arc::new(Inner { memory, slot_bytes, slots, state: Mutex::new(state) }) })
    }

    /// Queues the copy of a few values. The letter can be read when the copy is done.
    ///
    /// # Errors
    /// [`CudaError::Busy`] if all slots are taken; [`CudaError::Misuse`] if the values are longer
    /// than a slot; what the driver says.
    pub fn post<T: Pod>(&self, values: &DeviceSlice<T>, stream: &Stream) -> Result<Letter<T>> {
        self.send(values.extent(), values.address(), values.len(), stream)
    }

    /// As [`Mailbox::post`], from a buffer that is still written later on.
    ///
    /// # Errors
    /// As there.
    pub fn post_buffer<T: Pod>(
        &self,
        values: &DeviceBuffer<T>,
        range: Range<usize>,
        stream: &Stream,
    ) -> Result<Letter<T>> {
        if range.start > range.end || range.end > values.len() {
            return Err(CudaError::Misuse(format!("{range:?} is not in {values:?}")));
        }
        let from = values.address() + (range.start * size_of::<T>()) as u64;
        self.send(values.extent(), from, range.len(), stream)
    }

    /// How many slots are free now.
    pub fn free_slots(&self) -> usize {
        let mut state = self.inner.state.lock();
        state.collect();
        state.free.len()
    }

    fn send<T: Pod>(
        &self,
        extent: &Extent,
        from: u64,
        len: usize,
        stream: &Stream,
    ) -> Result<Letter<T>> {
        let inner = &self.inner;
        let bytes = len * size_of::<T>();
        if bytes > inner.slot_bytes {
            let slot = inner.slot_bytes;
            return Err(CudaError::Misuse(format!("{bytes} bytes in a mailbox slot of {slot}")));
        }
        let slot = inner.claim()?;
        if let Err(error) = inner.copy(slot, extent, from, bytes, stream) {
            // Nothing was queued, so the slot is free.
            inner.state.lock().free.push(slot);
            return Err(error);
        }
        // If no event can be recorded, nobody knows when the copy is done: the slot is given up.
        let event = stream.record()?;
        let mailbox = Arc::clone(inner);
        Ok(Letter { mailbox, slot, event, wait: None, len, values: PhantomData })
    }
}

impl State {
    fn collect(&mut self) {
        let Self { free, leaving } = self;
        leaving.retain(|(slot, event)| {
            let done = event.is_done().unwrap_or(false);
            if done {
                free.push(*slot);
            }
            !done
        });
    }
}

impl Inner {
    fn claim(&self) -> Result<usize> {
        let mut state = self.state.lock();
        if state.free.is_empty() {
            state.collect();
        }
        state.free.pop().ok_or_else(|| {
            CudaError::Busy(format!("all {} slots of a mailbox are taken", self.slots))
        })
    }

    fn copy(
        &self,
        slot: usize,
        extent: &Extent,
        from: u64,
        bytes: usize,
        stream: &Stream,
    ) -> Result<()> {
        let (Some((start, log)), true) = (self.memory.parts(), bytes > 0) else { return Ok(()) };
        let core = stream.core();
        let device = stream.device();
        let seen = extent.log.before(core, crate::access::Kind::Read)?;
        let position = core.submit(|queue| {
            // SAFETY: the slot lies inside the pinned memory, is claimed, and `bytes` fit in it;
            // nobody reads it before the letter's event is done. The source lies in a live buffer.
            unsafe {
                let to = start.as_ptr().add(slot * self.slot_bytes);
                driver_call!(device, copy_to_host(to.cast(), from, bytes, queue))
            }
        })?;
        extent.log.after(&seen, core, position, crate::access::Kind::Read);
        // Slots do not wait for each other; together they keep the memory until the last copy.
        log.after(&AccessLog::nothing_seen(), core, position, crate::access::Kind::Shared);
        stream.counters().downloads(1);
        stream.counters().download_bytes(bytes as u64);
        Ok(())
    }

    fn value<T: Pod>(&self, slot: usize, len: usize) -> Vec<T> {
        let Some((start, _)) = self.memory.parts() else { return Vec::new() };
        let bytes = len * size_of::<T>();
        let mut values = vec![T::zeroed(); len];
        let target: &mut [u8] = bytemuck::cast_slice_mut(&mut values);
        // SAFETY: the slot holds `bytes` initialised bytes, and its copy is done; `target` is as
        // long and elsewhere.
        unsafe {
            let from = start.as_ptr().add(slot * self.slot_bytes);
            std::ptr::copy_nonoverlapping(from, target.as_mut_ptr(), bytes);
        }
        values
    }
}

/// Values on their way to the host. As a future it is ready when they are there; dropped early, its
/// slot is used again after the copy.
pub struct Letter<T> {
    mailbox: Arc<Inner>,
    slot: usize,
    event: Event,
    wait: Option<Wait>,
    len: usize,
    values: PhantomData<T>,
}

impl<T> Unpin for Letter<T> {}

impl<T: Pod> Letter<T> {
    /// The values, if they are there. Does not block.
    ///
    /// # Errors
    /// The device's fault.
    pub fn poll_values(&self) -> Result<Option<Vec<T>>> {
        Ok(self.event.is_done()?.then(|| self.mailbox.value(self.slot, self.len)))
    }

    /// Blocks until the values are there; counted as a wait if they were not.
    ///
    /// # Errors
    /// The device's fault.
    pub fn read(&self) -> Result<Vec<T>> {
        self.event.synchronize()?;
        Ok(self.mailbox.value(self.slot, self.len))
    }
}

impl<T: Pod> Future for Letter<T> {
    type Output = Result<Vec<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let event = &this.event;
        let wait = this.wait.get_or_insert_with(|| event.wait());
        match Pin::new(wait).poll(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(this.mailbox.value(this.slot, this.len))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T> Drop for Letter<T> {
    fn drop(&mut self) {
        let mut state = self.mailbox.state.lock();
        state.leaving.push((self.slot, self.event.clone()));
        state.collect();
    }
}
