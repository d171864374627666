//! One memory pool per device: a budget, reservations of it, and blocks that are used again.
//!
//! Two layers. Below, a memory pool of the driver's own (`cuMemPoolCreate`), which keeps freed memory
//! mapped up to the budget and remaps pages of any size, so that fragmentation is its business. Above,
//! a cache of freed blocks by size class, so that a steady stream of equal morsels asks the driver for
//! nothing. A block is one allocation of the driver's, never a piece of a slab of ours: on the emulated
//! driver each has its own guard pages. `docs/design/cuda.md` says what else was considered.

mod backing;
mod block;
mod books;
mod cache;
mod classes;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::buffer::{DeviceBuffer, Slab};
use crate::counters::Counters;
use crate::device::Device;
use crate::error::{CudaError, Result};
use crate::stream::Stream;
use backing::Backing;
use block::Block;
pub(crate) use block::Extent;
use books::Books;
use cache::Cache;
pub(crate) use classes::padded;

/// How a pool is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// The most that the pool may hold, in bytes, cached blocks included.
    pub budget_bytes: u64,
    /// Keep freed blocks for the next taker. Off, every allocation is the driver's and exactly as
    /// long as asked for plus padding, so that guard pages lie as close as possible: for tests.
    pub reuse: bool,
}

impl PoolConfig {
    /// A budget of so many hundredths of the memory that is free now.
    ///
    /// # Errors
    /// What the driver says.
    pub fn percent_of_free(device: &Device, percent: u32) -> Result<Self> {
        let (free, _) = device.memory()?;
        Ok(Self { budget_bytes: free / 100 * u64::from(percent.min(100)), reuse: true })
    }
}

/// What a pool holds, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolUsage {
    /// The budget.
    pub budget_bytes: u64,
    /// Reserved: the sum over reservations of the larger of what they grew to and what they use.
    pub reserved_bytes: u64,
    /// The most that was ever reserved.
    pub reserved_high_bytes: u64,
    /// In live buffers.
    pub used_bytes: u64,
    /// In freed blocks that wait for the next taker.
    pub cached_bytes: u64,
    /// The most that was ever used and cached together.
    pub held_high_bytes: u64,
}

/// The memory of one device. Clones share it.
#[derive(Clone)]
pub struct DevicePool {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    device: Device,
    reuse: bool,
    backing: Backing,
    state: Mutex<State>,
}

struct State {
    books: Books,
    cache: Cache,
    held_high_bytes: u64,
}

impl DevicePool {
    /// A pool on a device. Make one per device and process.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(device: &Device, config: PoolConfig) -> Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner {
                device: device.clone(),
                reuse: config.reuse,
                backing: Backing::new(device, config.budget_bytes)?,
                state: Mutex::new(State {
                    books: Books::new(device.ordinal(), config.budget_bytes),
                    cache: Cache::default(),
                    held_high_bytes: 0,
                }),
            }),
        })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.inner.device
    }

    /// A reservation of nothing yet, under the name that messages will show.
    pub fn reserve(&self, name: impl Into<String>, counters: &Arc<Counters>) -> Reservation {
        let claim = self.inner.state.lock().books.open(name.into());
        Reservation { pool: Arc::clone(&self.inner), claim, counters: Arc::clone(counters) }
    }

    /// What the pool holds now.
    pub fn usage(&self) -> PoolUsage {
        let state = self.inner.state.lock();
        PoolUsage {
            budget_bytes: state.books.budget(),
            reserved_bytes: state.books.reserved(),
            reserved_high_bytes: state.books.reserved_high(),
            used_bytes: state.books.used(),
            cached_bytes: state.cache.bytes(),
            held_high_bytes: state.held_high_bytes,
        }
    }

    /// Gives cached blocks back until at most `keep_bytes` of them are left, and what the driver's
    /// pool keeps beyond that to the system.
    ///
    /// # Errors
    /// What the driver says.
    pub fn trim(&self, keep_bytes: u64) -> Result<()> {
        self.inner.trim_cache(keep_bytes);
        let keep = self.usage().used_bytes + keep_bytes;
        self.inner.backing.trim(&self.inner.device, keep)
    }
}

/// A query's or operator's share of a pool. Dropping it gives back what no live buffer uses.
pub struct Reservation {
    pool: Arc<Inner>,
    claim: u64,
    counters: Arc<Counters>,
}

impl Reservation {
    /// Claims so many bytes more, ahead of use.
    ///
    /// # Errors
    /// Out of memory if the budget does not allow it; the message names who holds how much.
    pub fn grow(&self, bytes: u64) -> Result<()> {
        self.pool.state.lock().books.grow(self.claim, bytes)
    }

    /// Gives so many bytes of the claim back; what live buffers use stays claimed.
    pub fn shrink(&self, bytes: u64) {
        self.pool.state.lock().books.shrink(self.claim, bytes);
    }

    /// Gives the whole claim back; what live buffers use stays claimed until they go.
    pub fn free(&self) {
        self.shrink(u64::MAX);
    }

    /// What it holds of the budget, in bytes.
    pub fn held_bytes(&self) -> u64 {
        self.pool.state.lock().books.held(self.claim)
    }

    /// The most that it ever held, in bytes.
    pub fn high_bytes(&self) -> u64 {
        self.pool.state.lock().books.high(self.claim)
    }

    /// What buffers are counted in.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// A buffer of `len` values with undefined content, ready for use on `stream` and, after a wait
    /// that the buffer arranges, on any other. It may exceed what was claimed ahead, if the budget
    /// allows.
    ///
    /// # Errors
    /// Out of memory by the budget or the driver; what the driver says.
    pub fn buffer<T: bytemuck::Pod>(&self, len: usize, stream: &Stream) -> Result<DeviceBuffer<T>> {
        let bytes = std::mem::size_of::<T>()
            .checked_mul(len)
            .ok_or_else(|| CudaError::OverBudget(format!("{len} values are more than memory")))?;
        Ok(DeviceBuffer::whole(self.extent(bytes as u64, stream)?, len))
    }

    /// One block for several buffers: see [`Slab`].
    ///
    /// # Errors
    /// As [`Reservation::buffer`].
    pub fn slab(&self, bytes: u64, stream: &Stream) -> Result<Slab> {
        Ok(Slab::new(self.extent(bytes, stream)?, bytes))
    }

    fn extent(&self, bytes: u64, stream: &Stream) -> Result<Arc<Extent>> {
        if !stream.device().same_as(&self.pool.device) {
            return Err(CudaError::Misuse("the stream is another device's than the pool".into()));
        }
        let block = Inner::allocate(&self.pool, self.claim, bytes, stream, &self.counters)?;
        Ok(Extent::first(block))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.pool.state.lock().books.close(self.claim);
    }
}

impl Inner {
    fn allocate(
        this: &Arc<Self>,
        claim: u64,
        bytes: u64,
        stream: &Stream,
        counters: &Arc<Counters>,
    ) -> Result<Block> {
        this.device.alive()?;
        let size = if this.reuse { classes::class(bytes) } else { classes::padded(bytes) };
        let size = size.ok_or_else(|| CudaError::OverBudget(format!("{bytes} bytes wanted")))?;
        this.state.lock().books.charge(claim, size)?;
        let found = match this.reusable(size, stream) {
            Some(found) => Ok(found),
            None => this.ask_driver(size, stream, counters),
        };
        match found {
            Ok((address, log)) => {
                counters.allocations(1);
                let counters = Arc::clone(counters);
                Ok(Block::new(Arc::clone(this), address, size, claim, log, counters))
            }
            Err(error) => {
                this.state.lock().books.discharge(claim, size);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_share_of_what_is_free() {
        let Ok(device) = Device::open(0) else {
            eprintln!("skipped: no device");
            return;
        };
        let config = PoolConfig::percent_of_free(&device, 50).unwrap();
        let (free, total) = device.memory().unwrap();
        assert!(config.budget_bytes <= total / 2 && free <= total);
    }
}
