//! Where blocks come from: the driver's stream-ordered pool, or plain allocation where there is none.

use std::ffi::c_void;

use cudarc::driver::sys::{
    CUmemAllocationType, CUmemLocationType, CUmemPool_attribute, CUmemPoolProps, CUmemoryPool,
};

use crate::access::{AccessLog, Kind};
use crate::counters::Counters;
use crate::device::Device;
use crate::error::{CudaError, Result};
use crate::stream::Stream;

pub(crate) enum Backing {
    /// `cuMemPoolCreate`, and the stream on which blocks are freed once their uses are done.
    Pool { pool: Handle, home: Stream },
    /// `cuMemAlloc` and `cuMemFree`, which wait for the device.
    Plain,
}

pub(crate) struct Handle(CUmemoryPool);

// SAFETY: the driver's pools may be used from any thread.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

impl Backing {
    pub(crate) fn new(device: &Device, budget_bytes: u64) -> Result<Self> {
        if !device.limits().memory_pools {
            return Ok(Self::Plain);
        }
        let home = device.stream(device.total())?;
        // SAFETY: all zero is a valid value of every field (enums included: INVALID, NONE).
        let mut properties: CUmemPoolProps = unsafe { std::mem::zeroed() };
        properties.allocType = CUmemAllocationType::CU_MEM_ALLOCATION_TYPE_PINNED;
        properties.location.type_ = CUmemLocationType::CU_MEM_LOCATION_TYPE_DEVICE;
        properties.location.id = device.raw();
        let mut pool: CUmemoryPool = std::ptr::null_mut();
        // SAFETY: both pointers are to live values.
        match unsafe { driver_call!(device, pool_create(&mut pool, &properties)) } {
            Ok(()) => {}
            Err(CudaError::Driver { fault, .. }) if fault.code() == 801 => return Ok(Self::Plain),
            Err(error) => return Err(error),
        }
        let backing = Self::Pool { pool: Handle(pool), home };
        // Freed memory stays with the pool instead of going back to the system at each
        // synchronisation, which would make the next allocation map pages again.
        let mut threshold = budget_bytes;
        // SAFETY: this attribute takes a pointer to a 64-bit integer.
        let set = unsafe {
            driver_call!(
                device,
                pool_set_attribute(
                    pool,
                    CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD as u32,
                    (&raw mut threshold).cast::<c_void>(),
                )
            )
        };
        if let Err(error) = set {
            backing.destroy(device);
            return Err(error);
        }
        Ok(backing)
    }

    /// A new block, usable on `stream` from here on; its log says so to other streams.
    pub(crate) fn allocate(&self, bytes: u64, stream: &Stream) -> Result<(u64, AccessLog)> {
        let size = usize::try_from(bytes)
            .map_err(|_| CudaError::OverBudget(format!("{bytes} bytes wanted")))?;
        let device = stream.device();
        let mut address = 0u64;
        let log = AccessLog::default();
        match self {
            Self::Pool { pool, .. } => log.run(stream, Kind::Write, |queue| {
                // SAFETY: the pointer is to a live integer, pool and stream are of one context.
                unsafe { driver_call!(device, pool_allocate(&mut address, size, pool.0, queue)) }
            })?,
            // SAFETY: the pointer is to a live integer.
            Self::Plain => unsafe { driver_call!(device, memory_allocate(&mut address, size)) }?,
        }
        Ok((address, log))
    }

    /// Gives a block back, after its uses. What fails here is not reported: the block is gone for us
    /// either way, and the context takes it along when it ends.
    pub(crate) fn free(&self, device: &Device, address: u64, log: &AccessLog) {
        let Self::Pool { home, .. } = self else {
            if let Some(api) = device.enter_to_free() {
                // SAFETY: the address came from cuMemAlloc and is freed once; the call waits for
                // work that uses it.
                let code = unsafe { (api.memory_free.call)(address) };
                device.take_quietly(api.memory_free.name, code);
            }
            return;
        };
        // If the device cannot be made to wait, the host does. After a lost context it is asked whether
        // anything still runs.
        let seen = log.before(home.core(), Kind::Write);
        let waits = seen.is_ok() || log.synchronize(home.counters()).is_ok();
        if !waits && device.lost().is_none() {
            return;
        }
        let Some(api) = device.enter_to_free() else { return };
        let freed = home.core().submit(|queue| {
            // SAFETY: the address came from this pool and is freed once, on a stream that waits for
            // all its uses.
            let code = unsafe { (api.pool_free.call)(address, queue) };
            device.take(api.pool_free.name, code)
        });
        drop(freed);
    }

    /// Makes what was freed available again for certain: waits for the frees, then for nothing else.
    pub(crate) fn reclaim(&self, device: &Device, counters: &Counters) -> Result<()> {
        if let Self::Pool { home, .. } = self {
            home.record()?.recorded().synchronize(counters)?;
        }
        self.trim(device, 0)
    }

    /// Gives what is beyond `keep_bytes` in the driver's pool back to the system.
    pub(crate) fn trim(&self, device: &Device, keep_bytes: u64) -> Result<()> {
        let Self::Pool { pool, .. } = self else { return Ok(()) };
        let keep = usize::try_from(keep_bytes).unwrap_or(usize::MAX);
        // SAFETY: the pool is alive as long as `self`.
        unsafe { driver_call!(device, pool_trim(pool.0, keep)) }
    }

    /// Ends the pool; memory whose free is still queued goes when that is done.
    pub(crate) fn destroy(&self, device: &Device) {
        let Self::Pool { pool, .. } = self else { return };
        let Some(api) = device.enter_to_release() else { return };
        // SAFETY: called once, by the owner, when no block is left.
        let code = unsafe { (api.pool_destroy.call)(pool.0) };
        device.take_quietly(api.pool_destroy.name, code);
    }
}
