//! Streams: queues of work that the device runs in order.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cudarc::driver::sys::CUstream;
use parking_lot::Mutex;

use crate::counters::Counters;
use crate::device::Device;
use crate::error::{CudaError, Result};
use crate::event::{Event, Recorded};

/// Does not wait for the legacy default stream, nor it for this one.
const NON_BLOCKING: u32 = 1;
/// How many marks a stream remembers. A request that would need an older one gets a later mark, which
/// is right but waits longer.
const MARKS: usize = 32;
/// How many other streams it remembers to have waited for; forgetting costs a needless wait.
const WAITED: usize = 64;

/// A queue of work on a device. Clones are the same queue; the last one to go closes it, without
/// waiting: what is queued still runs.
///
/// Work of a query is queued on its own streams, so that its figures are its own. Threads may share
/// a stream; it then takes their work one after the other.
#[derive(Clone)]
pub struct Stream {
    core: Arc<Core>,
    _open: Arc<Open>,
}

/// Closes the stream when the last [`Stream`] goes. Buffers that were used on it know its [`Core`]
/// only, so a block in the pool's cache keeps no stream of the driver open.
struct Open(Arc<Core>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What there is to know of a stream, open or closed.
pub(crate) struct Core {
    device: Device,
    id: u64,
    counters: Arc<Counters>,
    /// Up to which position everything is known to be done.
    done: AtomicU64,
    queue: Mutex<Queue>,
}

struct Queue {
    /// Null once the stream is closed.
    handle: CUstream,
    /// How much was queued: each submission has a position, from 1.
    position: u64,
    /// Recorded events, by the position that they cover.
    marks: VecDeque<(u64, Arc<Recorded>)>,
    /// Up to where this stream has already waited for others, by their ids.
    waited: HashMap<u64, u64>,
}

// SAFETY: the driver's streams may be used from any thread; the mutex around the queue keeps the
// order of submissions and of their positions the same.
unsafe impl Send for Queue {}

impl Stream {
    pub(crate) fn new(device: &Device, counters: &Arc<Counters>) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut handle: CUstream = std::ptr::null_mut();
        // SAFETY: the pointer is to a live handle.
        unsafe { driver_call!(device, stream_create(&mut handle, NON_BLOCKING)) }?;
        let core = Arc::new(Core {
            device: device.clone(),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            counters: Arc::clone(counters),
            done: AtomicU64::new(0),
            queue: Mutex::new(Queue {
                handle,
                position: 0,
                marks: VecDeque::new(),
                waited: HashMap::new(),
            }),
        });
        Ok(Self { _open: Arc::new(Open(Arc::clone(&core))), core })
    }

    /// The device it runs on.
    pub fn device(&self) -> &Device {
        &self.core.device
    }

    /// What its work is counted in.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.core.counters
    }

    /// Marks this place of the stream.
    ///
    /// # Errors
    /// What the driver says.
    pub fn record(&self) -> Result<Event> {
        let (position, recorded) = self.core.mark()?;
        Ok(Event::new(Arc::clone(&self.core), recorded, position))
    }

    /// Lets what is queued from here on wait, on the device, for an event of another stream. The
    /// host does not wait. Buffers order their own uses; this is for everything else.
    ///
    /// # Errors
    /// What the driver says; [`CudaError::Misuse`] if the event is another device's.
    pub fn wait_for(&self, event: &Event) -> Result<()> {
        if !event.core().device.same_as(self.device()) {
            return Err(CudaError::Misuse("a stream cannot wait for another device".into()));
        }
        self.core.wait_for(event.core(), event.position())
    }

    /// Blocks the thread until all that is queued is done; counted as a wait.
    ///
    /// # Errors
    /// The device's fault.
    pub fn synchronize(&self) -> Result<()> {
        self.record()?.synchronize()
    }

    /// Whether all that is queued is done. Does not block.
    ///
    /// # Errors
    /// The device's fault.
    pub fn is_idle(&self) -> Result<bool> {
        self.core.query(self.core.position())
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {} of {:?}", self.core.id, self.core.device)
    }
}

impl Core {
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Notes that everything up to a position is done.
    pub(crate) fn seen(&self, position: u64) {
        self.done.fetch_max(position, Ordering::AcqRel);
    }

    pub(crate) fn known_done(&self, position: u64) -> bool {
        position <= self.done.load(Ordering::Acquire)
    }

    /// The position of what was queued last.
    pub(crate) fn position(&self) -> u64 {
        self.queue.lock().position
    }

    /// Queues work; returns its position. `work` gets the stream and must queue on it at most once.
    pub(crate) fn submit(&self, work: impl FnOnce(CUstream) -> Result<()>) -> Result<u64> {
        let mut queue = self.queue.lock();
        if queue.handle.is_null() {
            return Err(CudaError::Misuse("the stream is closed".into()));
        }
        work(queue.handle)?;
        queue.position += 1;
        Ok(queue.position)
    }

    /// Records an event of the caller's.
    pub(crate) fn record(&self, event: &Recorded) -> Result<()> {
        self.submit(|stream| {
            // SAFETY: stream and event are alive and of one context.
            unsafe { driver_call!(self.device, event_record(event.raw(), stream)) }
        })
        .map(drop)
    }

    /// An event that covers everything queued so far, and the position that it covers.
    fn mark(&self) -> Result<(u64, Arc<Recorded>)> {
        let mut queue = self.queue.lock();
        self.mark_locked(&mut queue)
    }

    fn mark_locked(&self, queue: &mut Queue) -> Result<(u64, Arc<Recorded>)> {
        let position = queue.position;
        if let Some((covered, event)) = queue.marks.back()
            && (*covered == position || queue.handle.is_null())
        {
            return Ok((*covered, Arc::clone(event)));
        }
        if queue.handle.is_null() {
            return Err(CudaError::Misuse("the stream is closed".into()));
        }
        let event = Arc::new(Recorded::new(&self.device, false)?);
        // SAFETY: stream and event are alive and of one context.
        unsafe { driver_call!(self.device, event_record(event.raw(), queue.handle)) }?;
        if queue.marks.len() == MARKS {
            queue.marks.pop_front();
        }
        queue.marks.push_back((position, Arc::clone(&event)));
        Ok((position, event))
    }

    /// The earliest event known that covers a position, or a new one. `None`: nothing to wait for.
    pub(crate) fn covering(&self, position: u64) -> Result<Option<(u64, Arc<Recorded>)>> {
        if self.known_done(position) {
            return Ok(None);
        }
        let mut queue = self.queue.lock();
        let at = queue.marks.partition_point(|mark| mark.0 < position);
        let (covered, event) = match queue.marks.get(at) {
            Some((covered, event)) => (*covered, Arc::clone(event)),
            None => self.mark_locked(&mut queue)?,
        };
        drop(queue);
        if event.seen_done() {
            self.seen(covered);
            return Ok(None);
        }
        Ok(Some((covered, event)))
    }

    /// Queues a wait, on the device, for another stream's position. The two locks are never held
    /// together, so streams that wait for each other's past cannot block one another's threads.
    pub(crate) fn wait_for(&self, other: &Core, position: u64) -> Result<()> {
        if self.id == other.id {
            return Ok(());
        }
        let Some((covered, event)) = other.covering(position)? else { return Ok(()) };
        let mut queue = self.queue.lock();
        if queue.waited.get(&other.id).is_some_and(|&waited| waited >= position) {
            return Ok(());
        }
        if queue.handle.is_null() {
            return Err(CudaError::Misuse("the stream is closed".into()));
        }
        // SAFETY: stream and event are alive and of one context; flags must be 0.
        unsafe { driver_call!(self.device, stream_wait_event(queue.handle, event.raw(), 0)) }?;
        queue.position += 1;
        if queue.waited.len() == WAITED {
            queue.waited.clear();
        }
        queue.waited.insert(other.id, covered);
        self.counters.stream_waits(1);
        Ok(())
    }

    /// Whether everything up to a position is done; asks the driver.
    pub(crate) fn query(&self, position: u64) -> Result<bool> {
        let Some((covered, event)) = self.covering(position)? else { return Ok(true) };
        let done = event.query()?;
        if done {
            self.seen(covered);
        }
        Ok(done)
    }

    /// Blocks until everything up to a position is done; the wait is counted for `counters`.
    pub(crate) fn synchronize(&self, position: u64, counters: &Counters) -> Result<()> {
        let Some((covered, event)) = self.covering(position)? else { return Ok(()) };
        event.synchronize(counters)?;
        self.seen(covered);
        Ok(())
    }

    fn close(&self) {
        let mut queue = self.queue.lock();
        // What was queued last stays known: a last mark outlives the stream.
        let marked = self.known_done(queue.position) || self.mark_locked(&mut queue).is_ok();
        let handle = std::mem::replace(&mut queue.handle, std::ptr::null_mut());
        let Some(api) = self.device.enter_to_release() else { return };
        if !marked {
            // Without a mark nobody could wait for the rest, so it is waited for here. On a lost
            // context the driver answers at once.
            // SAFETY: the stream is alive until the next call.
            let code = unsafe { (api.stream_synchronize.call)(handle) };
            self.device.take_quietly(api.stream_synchronize.name, code);
            self.seen(queue.position);
        }
        // SAFETY: the handle was taken out of the queue, so nobody uses it after this.
        let code = unsafe { (api.stream_destroy.call)(handle) };
        self.device.take_quietly(api.stream_destroy.name, code);
    }
}
