//! A device with its primary context.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::fmt;
use std::sync::{Arc, Weak};

use cudarc::driver::sys::{CUcontext, CUdevice};
use parking_lot::Mutex;

use crate::api::{Api, driver};
use crate::counters::Counters;
use crate::error::Result;
use crate::event::EventCache;
use crate::fault::DriverFault;
use crate::latch::Latch;
use crate::limits::{Capability, Limits};
use crate::module::ModuleCache;
use crate::stream::Stream;
use crate::unavailable::Unavailable;
use crate::waiter::Waiter;

/// A GPU, opened. Clones share it; the primary context is retained once per process and device and
/// released with the last handle.
///
/// Every call checks the fault latch first: once the driver has answered with a code that ends the
/// context (700, 719, ..), every later call on the device answers
/// [`CudaError::Lost`](crate::CudaError::Lost) at once, without asking the driver, and
/// [`Device::open`] says so too, for the rest of the process.
///
/// A call makes the device's context current on its thread and leaves it so. Other users of CUDA in
/// the process must set theirs before they call, as they must with any library that uses CUDA.
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

struct Inner {
    api: &'static Api,
    ordinal: u32,
    device: CUdevice,
    context: CUcontext,
    limits: Limits,
    latch: Arc<Latch>,
    counters: Arc<Counters>,
    events: EventCache,
    modules: ModuleCache,
    waiter: Waiter,
}

// SAFETY: a context handle may be used from any thread (it is made current per thread), and is
// released once, when the last `Inner` goes.
unsafe impl Send for Inner {}
// SAFETY: as above; the driver's functions are thread-safe.
unsafe impl Sync for Inner {}

struct Slot {
    latch: Arc<Latch>,
    open: Weak<Inner>,
}

/// One slot per device that was ever opened. The latch stays when the handles go.
static SLOTS: Mutex<BTreeMap<u32, Slot>> = Mutex::new(BTreeMap::new());

impl Device {
    /// Opens GPU `ordinal` (as `CUDA_VISIBLE_DEVICES` numbers them), or shares it if it is open.
    ///
    /// # Errors
    /// [`CudaError::Unavailable`](crate::CudaError::Unavailable) with the reason. Making a context
    /// takes 0.1 to 0.5 s and some hundred MB of device memory.
    pub fn open(ordinal: u32) -> Result<Self> {
        let api = &driver()?.api;
        let mut slots = SLOTS.lock();
        let slot = slots
            .entry(ordinal)
            .or_insert_with(|| Slot { latch: Arc::new(Latch::new(ordinal)), open: Weak::new() });
        if let Some(first) = slot.latch.first() {
            return Err(Unavailable::Lost(first).into());
        }
        if let Some(inner) = slot.open.upgrade() {
            return Ok(Self { inner });
        }
        let inner = Arc::new(Inner::open(api, ordinal, Arc::clone(&slot.latch))?);
        slot.open = Arc::downgrade(&inner);
        Ok(Self { inner })
    }

    /// The device's number.
    pub fn ordinal(&self) -> u32 {
        self.inner.ordinal
    }

    /// What it takes.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Its compute capability.
    pub fn capability(&self) -> Capability {
        self.inner.limits.capability
    }

    /// Free and total memory in bytes, as the driver sees it now, all processes counted.
    ///
    /// # Errors
    /// What the driver says.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let (mut free, mut total) = (0usize, 0usize);
        // SAFETY: both pointers are to live integers.
        unsafe { driver_call!(self, memory_info(&mut free, &mut total)) }?;
        Ok((free as u64, total as u64))
    }

    /// The fault that ended the context, if one did.
    pub fn lost(&self) -> Option<DriverFault> {
        self.inner.latch.first()
    }

    /// New figures for a query, which add to the device's.
    pub fn counters(&self) -> Arc<Counters> {
        Counters::part_of(&self.inner.counters)
    }

    /// The figures of everything that this process did on the device since it was opened.
    pub fn total(&self) -> &Arc<Counters> {
        &self.inner.counters
    }

    /// A new stream whose work is counted in `counters`.
    ///
    /// # Errors
    /// What the driver says.
    pub fn stream(&self, counters: &Arc<Counters>) -> Result<Stream> {
        Stream::new(self, counters)
    }

    /// An error once the context is gone.
    pub(crate) fn alive(&self) -> Result<()> {
        self.inner.latch.check()
    }

    pub(crate) fn events(&self) -> &EventCache {
        &self.inner.events
    }

    pub(crate) fn modules(&self) -> &ModuleCache {
        &self.inner.modules
    }

    pub(crate) fn waiter(&self) -> &Waiter {
        &self.inner.waiter
    }

    pub(crate) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn raw(&self) -> CUdevice {
        self.inner.device
    }

    /// Checks the latch and makes the context current on this thread.
    pub(crate) fn enter(&self) -> Result<&'static Api> {
        self.inner.latch.check()?;
        self.inner.bind()?;
        Ok(self.inner.api)
    }

    /// As [`Device::enter`], for destructors: a lost context does not keep them from trying, because
    /// the driver may still give host memory back.
    pub(crate) fn enter_to_release(&self) -> Option<&'static Api> {
        self.inner.bind().ok()?;
        Some(self.inner.api)
    }

    /// As [`Device::enter_to_release`], for memory that the device may be using: once the latch has
    /// tripped, nobody can order the release behind its uses any more. The fault need not have ended
    /// the context for the driver (999 and codes that we do not know say nothing about it), so what
    /// was queued before is waited for here. A context that is really gone answers at once.
    ///
    /// `None`: who knows what still runs. The memory then stays until the context ends.
    pub(crate) fn enter_to_free(&self) -> Option<&'static Api> {
        let api = self.enter_to_release()?;
        if self.lost().is_some() {
            // SAFETY: the context is current on this thread.
            let code = unsafe { (api.context_synchronize.call)() };
            let idle = DriverFault::check(api.context_synchronize.name, code);
            idle.or_else(|fault| if fault.ends_work() { Ok(()) } else { Err(fault) }).ok()?;
        }
        Some(api)
    }

    /// A result from what the driver answered, through the latch.
    pub(crate) fn take(&self, call: &'static str, code: u32) -> Result<()> {
        self.inner.latch.take(call, code)
    }

    /// For destructors: a fault that ends the context is latched, any other is dropped, since nobody
    /// is there to hear of it and the handle is gone either way.
    pub(crate) fn take_quietly(&self, call: &'static str, code: u32) {
        drop(self.inner.latch.take(call, code));
    }
}

impl Inner {
    fn open(api: &'static Api, ordinal: u32, latch: Arc<Latch>) -> Result<Self, Unavailable> {
        let device = find(api, ordinal)?;
        let limits = Limits::read(api, device).map_err(Unavailable::DriverFailed)?;
        if limits.capability < Capability::OLDEST {
            return Err(Unavailable::CapabilityTooLow(limits.capability));
        }
        let mut context: CUcontext = std::ptr::null_mut();
        // SAFETY: the pointer is to a live handle, the device came from cuDeviceGet; the count that
        // this call takes is given back in `Drop`.
        let code = unsafe { (api.primary_retain.call)(&mut context, device) };
        DriverFault::check(api.primary_retain.name, code).map_err(Unavailable::from_context)?;
        Ok(Self {
            api,
            ordinal,
            device,
            context,
            limits,
            latch,
            counters: Arc::default(),
            events: EventCache::default(),
            modules: ModuleCache::default(),
            waiter: Waiter::default(),
        })
    }

    fn bind(&self) -> Result<()> {
        let mut current: CUcontext = std::ptr::null_mut();
        // SAFETY: the pointer is to a live handle.
        let code = unsafe { (self.api.current_get.call)(&mut current) };
        // A thread whose current context was destroyed may get an error here; setting ours cures it.
        if code != 0 || current != self.context {
            // SAFETY: the context is retained as long as `self` lives.
            let code = unsafe { (self.api.current_set.call)(self.context) };
            self.latch.take(self.api.current_set.name, code)?;
        }
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Not while another thread opens the device anew.
        let _slots = SLOTS.lock();
        if self.bind().is_ok() {
            self.events.destroy(self.api);
        }
        // SAFETY: gives back the count that `open` took. Streams, events, modules and memory hold a
        // `Device`, so none is left that the context's end would invalidate.
        unsafe {
            (self.api.primary_release.call)(self.device);
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gpu:{} ({})", self.inner.ordinal, self.inner.limits.name)
    }
}

/// How many devices the driver shows.
pub(crate) fn count(api: &Api) -> Result<u32, Unavailable> {
    let mut count: c_int = 0;
    // SAFETY: the pointer is to a live integer.
    let code = unsafe { (api.device_count.call)(&mut count) };
    DriverFault::check(api.device_count.name, code).map_err(Unavailable::from_start)?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// The driver's handle of a device.
pub(crate) fn find(api: &Api, ordinal: u32) -> Result<CUdevice, Unavailable> {
    let count = count(api)?;
    if count == 0 {
        return Err(Unavailable::NoDevice);
    }
    let Some(number) = c_int::try_from(ordinal).ok().filter(|_| ordinal < count) else {
        return Err(Unavailable::NoSuchDevice { ordinal, count });
    };
    let mut device: CUdevice = 0;
    // SAFETY: the pointer is to a live integer, the number is below the count.
    let code = unsafe { (api.device_get.call)(&mut device, number) };
    DriverFault::check(api.device_get.name, code).map_err(Unavailable::DriverFailed)?;
    Ok(device)
}

/// The latch of a device that was opened before, for reports.
pub(crate) fn lost_earlier(ordinal: u32) -> Option<DriverFault> {
    SLOTS.lock().get(&ordinal)?.latch.first()
}
