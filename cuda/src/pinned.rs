//! Pinned host memory: what copies that run beside everything else start from and end in.

mod ring;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::access::AccessLog;
use crate::counters::Counters;
use crate::device::Device;
use crate::error::{CudaError, Result};
use ring::Slots;
pub use ring::StagingRing;

/// Usable by every context of the process.
const PORTABLE: u32 = 1;
/// Not cached by the CPU.
const WRITE_COMBINED: u32 = 4;
/// The smallest block: a page.
const SMALLEST: usize = 4096;

/// What pinned memory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PinnedKind {
    /// Staging to the device: write-combined. Writing in order is fast and does not disturb the
    /// caches or snoop traffic of the copy; reading on the host is very slow (about 100 MB/s).
    ToDevice,
    /// Results from the device: cached, fast to read.
    ToHost,
}

/// How much a pool may pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinnedConfig {
    /// The most, in bytes, in use and cached together. Pinned memory is taken from everybody on the
    /// machine, so it has a budget of its own.
    pub budget_bytes: u64,
}

/// Pinned host memory of a device, used again and again: pinning costs about a millisecond for 4 MB.
/// Clones share it.
#[derive(Clone)]
pub struct PinnedPool {
    inner: Arc<Inner>,
}

struct Inner {
    device: Device,
    budget: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Freed blocks by kind and size, oldest first, with the copies that may still use them.
    free: BTreeMap<(PinnedKind, usize), VecDeque<Raw>>,
    /// Pinned in all, in bytes.
    bytes: u64,
    high_bytes: u64,
}

/// A block of the driver's, all of it initialised.
struct Raw {
    start: NonNull<u8>,
    bytes: usize,
    kind: PinnedKind,
    log: AccessLog,
}

// SAFETY: the block is owned by whoever holds the `Raw`; pinned memory is bound to no thread.
unsafe impl Send for Raw {}
// SAFETY: through a shared `Raw` nothing but its log is reached, which has a lock.
unsafe impl Sync for Raw {}

impl PinnedPool {
    /// A pool for a device.
    pub fn new(device: &Device, config: PinnedConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                device: device.clone(),
                budget: config.budget_bytes,
                state: Mutex::default(),
            }),
        }
    }

    /// A buffer of at least `bytes` whose past copies are done. Contents are left-overs.
    ///
    /// If the budget is used up, it waits for the oldest freed buffer of the size, then gives up
    /// freed buffers of other sizes.
    ///
    /// # Errors
    /// Out of memory if all of the budget is held; what the driver says.
    pub fn buffer(
        &self,
        kind: PinnedKind,
        bytes: usize,
        counters: &Counters,
    ) -> Result<PinnedBuffer> {
        let raw = self.inner.acquire(kind, bytes, counters)?;
        Ok(PinnedBuffer { raw: Some(raw), len: bytes, home: Home::Pool(Arc::clone(&self.inner)) })
    }

    /// Bytes pinned now, and the most there ever were.
    pub fn pinned_bytes(&self) -> (u64, u64) {
        let state = self.inner.state.lock();
        (state.bytes, state.high_bytes)
    }

    /// Unpins freed blocks whose copies are done, until at most `keep_bytes` are pinned. Waits for nothing;
    /// what is in use stays.
    pub fn trim(&self, keep_bytes: u64) {
        self.inner.trim(keep_bytes);
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }
}

impl Inner {
    fn trim(&self, keep_bytes: u64) {
        let free = std::mem::take(&mut self.state.lock().free);
        for raw in free.into_values().flatten() {
            let keeps = self.state.lock().bytes <= keep_bytes;
            if !keeps && (raw.log.is_done().unwrap_or(false) || self.device.lost().is_some()) {
                self.unpin(raw);
            } else {
                self.give_back(raw, false);
            }
        }
    }

    fn acquire(&self, kind: PinnedKind, bytes: usize, counters: &Counters) -> Result<Raw> {
        self.device.alive()?;
        let size = bytes
            .max(SMALLEST)
            .checked_next_power_of_two()
            .ok_or_else(|| CudaError::OverBudget(format!("{bytes} bytes to pin")))?;
        // An idle block of the size, else a new one, else the oldest busy one, else room made.
        // A `Raw` is never dropped on an error's way out: nothing else would unpin it.
        if let Some(raw) = self.oldest(kind, size) {
            match raw.log.is_done() {
                Ok(true) => return Ok(raw.clean()),
                Ok(false) => self.give_back(raw, true),
                Err(error) => {
                    self.give_back(raw, true);
                    return Err(error);
                }
            }
        }
        if self.claim(size) {
            return self.pin(kind, size, counters);
        }
        if let Some(raw) = self.oldest(kind, size) {
            return match raw.log.synchronize(counters) {
                Ok(()) => Ok(raw.clean()),
                Err(error) => {
                    self.give_back(raw, true);
                    Err(error)
                }
            };
        }
        self.unpin_free(counters)?;
        if self.claim(size) {
            return self.pin(kind, size, counters);
        }
        Err(CudaError::OverBudget(format!(
            "gpu:{}: {size} bytes of pinned memory wanted; {} of the budget of {} are in use",
            self.device.ordinal(),
            self.state.lock().bytes,
            self.budget
        )))
    }

    fn oldest(&self, kind: PinnedKind, size: usize) -> Option<Raw> {
        self.state.lock().free.get_mut(&(kind, size))?.pop_front()
    }

    fn give_back(&self, raw: Raw, front: bool) {
        let mut state = self.state.lock();
        let list = state.free.entry((raw.kind, raw.bytes)).or_default();
        if front { list.push_front(raw) } else { list.push_back(raw) }
    }

    fn claim(&self, size: usize) -> bool {
        let mut state = self.state.lock();
        let fits = state.bytes.saturating_add(size as u64) <= self.budget;
        if fits {
            state.bytes += size as u64;
            state.high_bytes = state.high_bytes.max(state.bytes);
        }
        fits
    }

    fn pin(&self, kind: PinnedKind, size: usize, counters: &Counters) -> Result<Raw> {
        let flags = PORTABLE | if kind == PinnedKind::ToDevice { WRITE_COMBINED } else { 0 };
        let mut start: *mut c_void = std::ptr::null_mut();
        counters.pinned_allocations(1);
        // SAFETY: the pointer is to a live pointer.
        let result = unsafe { driver_call!(self.device, host_allocate(&mut start, size, flags)) }
            .map_err(|error| error.about(format_args!("{size} bytes of pinned memory")));
        match (result, NonNull::new(start.cast::<u8>())) {
            (Ok(()), Some(start)) => {
                // SAFETY: the driver gave `size` writable bytes, which nobody else has. They must be
                // initialised before a slice of bytes may refer to them.
                unsafe { start.as_ptr().write_bytes(0, size) };
                Ok(Raw { start, bytes: size, kind, log: AccessLog::default() })
            }
            (result, _) => {
                self.state.lock().bytes -= size as u64;
                result?;
                Err(CudaError::Misuse("the driver pinned nothing".into()))
            }
        }
    }

    /// Unpins every freed block, waiting for its copies.
    fn unpin_free(&self, counters: &Counters) -> Result<()> {
        let free = std::mem::take(&mut self.state.lock().free);
        let mut result = Ok(());
        for raw in free.into_values().flatten() {
            let done = raw.log.synchronize(counters);
            if done.is_ok() || self.device.lost().is_some() {
                self.unpin(raw);
            } else {
                // A copy may still run: the memory stays pinned, for a later try.
                self.give_back(raw, true);
            }
            result = result.and(done);
        }
        result
    }

    /// Gives a block back to the driver. Its copies are done, or their context is.
    fn unpin(&self, raw: Raw) {
        self.state.lock().bytes -= raw.bytes as u64;
        let Some(api) = self.device.enter_to_free() else { return };
        // SAFETY: the address came from cuMemHostAlloc and is freed once, since `raw` is consumed.
        let code = unsafe { (api.host_free.call)(raw.start.as_ptr().cast::<c_void>()) };
        self.device.take_quietly(api.host_free.name, code);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let counters = std::sync::Arc::clone(self.device.total());
        // A lost context has no copies left to wait for.
        let _ = self.unpin_free(&counters);
    }
}

impl Raw {
    fn clean(self) -> Self {
        drop(self.log.take());
        self
    }
}

/// Where a buffer goes when it is dropped.
enum Home {
    Pool(Arc<Inner>),
    Ring(Arc<Slots>),
}

/// Pinned host memory that no copy uses: readable and writable bytes. A copy takes it and gives it
/// back when it is done.
pub struct PinnedBuffer {
    /// `None` only while it is being dropped.
    raw: Option<Raw>,
    len: usize,
    home: Home,
}

impl PinnedBuffer {
    /// How many bytes fit, which may be more than its length.
    pub fn capacity(&self) -> usize {
        self.raw.as_ref().map_or(0, |raw| raw.bytes)
    }

    /// Sets the length, up to the capacity. New bytes are left-overs.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] beyond the capacity.
    pub fn resize(&mut self, len: usize) -> Result<()> {
        if len > self.capacity() {
            let capacity = self.capacity();
            return Err(CudaError::Misuse(format!("{len} bytes in a pinned buffer of {capacity}")));
        }
        self.len = len;
        Ok(())
    }

    /// Ends writing: from here on copies to the device may read it, any number of them.
    pub fn seal(self) -> Sealed {
        Sealed(Arc::new(self))
    }

    /// Its memory and the log of its copies.
    pub(crate) fn parts(&self) -> Option<(NonNull<u8>, &AccessLog)> {
        self.raw.as_ref().map(|raw| (raw.start, &raw.log))
    }
}

impl Deref for PinnedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Some(raw) = &self.raw else { return &[] };
        // SAFETY: the block holds `bytes >= len` initialised bytes; copies that write it own the
        // buffer while they run, so nobody writes behind this reference.
        unsafe { std::slice::from_raw_parts(raw.start.as_ptr(), self.len) }
    }
}

impl DerefMut for PinnedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let Some(raw) = &mut self.raw else { return &mut [] };
        // SAFETY: as above; copies that read it hold it sealed, where it cannot be borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(raw.start.as_ptr(), self.len) }
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        let Some(raw) = self.raw.take() else { return };
        match &self.home {
            Home::Pool(pool) => pool.give_back(raw, false),
            Home::Ring(slots) => slots.give_back(raw),
        }
    }
}

impl fmt::Debug for PinnedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pinned bytes", self.len)
    }
}

/// Pinned bytes that copies to the device read. Its memory is used again when the last clone is gone
/// and the copies are done, so dropping it at once is right.
#[derive(Debug, Clone)]
pub struct Sealed(Arc<PinnedBuffer>);

impl Sealed {
    pub(crate) fn parts(&self) -> Option<(NonNull<u8>, &AccessLog)> {
        self.0.parts()
    }
}

impl Deref for Sealed {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
