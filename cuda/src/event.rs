//! Events: marks in a stream that the host and other streams can wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use cudarc::driver::sys::CUevent;
use parking_lot::Mutex;

use crate::api::Api;
use crate::counters::Counters;
use crate::device::Device;
use crate::error::Result;
use crate::stream::Core;
use crate::waiter::Ticket;

/// The host thread sleeps in `cuEventSynchronize` instead of spinning: queries share few cores.
const BLOCKING_SYNC: u32 = 1;
/// Without a time stamp an event is cheaper to record and to query.
const DISABLE_TIMING: u32 = 2;
/// The driver's "not yet".
const NOT_READY: u32 = 600;

/// Recycled events of a device. Recording one again does not disturb streams that already wait for
/// its earlier record: a wait takes the record that was last when the wait was queued.
#[derive(Default)]
pub(crate) struct EventCache {
    plain: Mutex<Vec<Handle>>,
    timed: Mutex<Vec<Handle>>,
}

#[derive(Clone, Copy)]
struct Handle(CUevent);

// SAFETY: the driver's events may be used from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl EventCache {
    fn list(&self, timed: bool) -> &Mutex<Vec<Handle>> {
        if timed { &self.timed } else { &self.plain }
    }

    /// Destroys the recycled events, before the context goes.
    pub(crate) fn destroy(&self, api: &Api) {
        for list in [&self.plain, &self.timed] {
            for handle in list.lock().drain(..) {
                // SAFETY: a recycled event has no other owner.
                unsafe {
                    (api.event_destroy.call)(handle.0);
                }
            }
        }
    }
}

/// A recorded event; goes back to its device's cache when nobody needs it.
pub(crate) struct Recorded {
    device: Device,
    handle: Handle,
    timed: bool,
    done: AtomicBool,
}

impl Recorded {
    /// An event that the caller records at once.
    pub(crate) fn new(device: &Device, timed: bool) -> Result<Self> {
        let recycled = device.events().list(timed).lock().pop();
        let handle = match recycled {
            Some(handle) => handle,
            None => {
                let flags = BLOCKING_SYNC | if timed { 0 } else { DISABLE_TIMING };
                let mut raw: CUevent = std::ptr::null_mut();
                // SAFETY: the pointer is to a live handle.
                unsafe { driver_call!(device, event_create(&mut raw, flags)) }?;
                Handle(raw)
            }
        };
        Ok(Self { device: device.clone(), handle, timed, done: AtomicBool::new(false) })
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn raw(&self) -> CUevent {
        self.handle.0
    }

    /// Whether it was already seen to be done; asks nobody.
    pub(crate) fn seen_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Whether everything before it is done; asks the driver until it is.
    pub(crate) fn query(&self) -> Result<bool> {
        if self.seen_done() {
            return Ok(true);
        }
        let api = self.device.enter()?;
        // SAFETY: the event is alive as long as `self`.
        let code = unsafe { (api.event_query.call)(self.raw()) };
        if code == NOT_READY {
            return Ok(false);
        }
        self.device.take(api.event_query.name, code)?;
        self.done.store(true, Ordering::Release);
        Ok(true)
    }

    /// Blocks until it is done; counts a wait if it was not.
    pub(crate) fn synchronize(&self, counters: &Counters) -> Result<()> {
        if self.query()? {
            return Ok(());
        }
        let start = Instant::now();
        // SAFETY: the event is alive as long as `self`.
        let result = unsafe { driver_call!(self.device, event_synchronize(self.raw())) };
        counters.waits(1);
        counters.wait_ns(elapsed_ns(start));
        result?;
        self.done.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.device.events().list(self.timed).lock().push(self.handle);
    }
}

pub(crate) fn elapsed_ns(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// A mark in a stream: done when everything queued before it is.
#[derive(Clone)]
pub struct Event {
    core: Arc<Core>,
    recorded: Arc<Recorded>,
    /// The stream's count of submissions when it was recorded.
    position: u64,
}

impl Event {
    pub(crate) fn new(core: Arc<Core>, recorded: Arc<Recorded>, position: u64) -> Self {
        Self { core, recorded, position }
    }

    pub(crate) fn recorded(&self) -> &Arc<Recorded> {
        &self.recorded
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Whether the work before it is done. Does not block.
    ///
    /// # Errors
    /// The device's fault; work queued before may have caused it.
    pub fn is_done(&self) -> Result<bool> {
        let done = self.recorded.query()?;
        if done {
            self.core.seen(self.position);
        }
        Ok(done)
    }

    /// Blocks the thread until the work before it is done. Counted as a wait if it was not done yet.
    ///
    /// # Errors
    /// The device's fault; work queued before may have caused it.
    pub fn synchronize(&self) -> Result<()> {
        self.recorded.synchronize(self.core.counters())?;
        self.core.seen(self.position);
        Ok(())
    }

    /// A future that is ready when the work before it is done. Needs no particular executor.
    pub fn wait(&self) -> Wait {
        Wait { event: self.clone(), ticket: None }
    }
}

/// The future of [`Event::wait`]. Dropping it cancels nothing but the waiting.
#[must_use = "futures do nothing unless polled"]
pub struct Wait {
    event: Event,
    ticket: Option<Ticket>,
}

impl Future for Wait {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.event.is_done() {
            Ok(false) => {}
            other => return Poll::Ready(other.map(drop)),
        }
        if let Some(ticket) = &self.ticket
            && ticket.renew(context.waker())
        {
            return Poll::Pending;
        }
        let device = self.event.core.device().clone();
        match device.waiter().register(self.event.recorded(), context.waker()) {
            Some(ticket) => {
                self.ticket = Some(ticket);
                Poll::Pending
            }
            // No thread could be had to watch the event: block rather than never wake.
            None => Poll::Ready(self.event.synchronize()),
        }
    }
}
