//! Blocks and the parts of blocks that buffers own.

use std::sync::Arc;

use super::{Inner, classes};
use crate::access::{Access, AccessLog};
use crate::counters::Counters;
use crate::error::{CudaError, Result};
use crate::stream::Stream;

/// How many freed blocks of a size may be busy elsewhere before a new taker waits for the oldest
/// instead of asking the driver: enough for two or three streams that each hold a block in flight.
const BUSY_BLOCKS: usize = 4;

/// One allocation of the driver's. Going, it is cached with the uses to wait for.
pub(crate) struct Block {
    pool: Arc<Inner>,
    address: u64,
    bytes: u64,
    claim: u64,
    log: AccessLog,
    counters: Arc<Counters>,
}

impl Block {
    pub(super) fn new(
        pool: Arc<Inner>,
        address: u64,
        bytes: u64,
        claim: u64,
        log: AccessLog,
        counters: Arc<Counters>,
    ) -> Self {
        Self { pool, address, bytes, claim, log, counters }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.pool.give_back(self.address, self.bytes, self.claim, self.log.take(), &self.counters);
    }
}

/// A part of a block with its own uses, so that columns that share a block do not wait for each
/// other. A whole block has one extent.
pub(crate) struct Extent {
    block: Arc<Block>,
    pub(crate) log: AccessLog,
}

impl Extent {
    /// The whole of a new block; the block's first uses (its allocation) are the extent's.
    pub(crate) fn first(block: Block) -> Arc<Self> {
        let log = AccessLog::new(block.log.take());
        Arc::new(Self { block: Arc::new(block), log })
    }

    /// Another extent of the same block, which must wait for what this one has seen so far.
    pub(crate) fn sibling(&self) -> Arc<Self> {
        let log = AccessLog::new(self.log.copy());
        Arc::new(Self { block: Arc::clone(&self.block), log })
    }

    /// Where the block starts on the device.
    pub(crate) fn address(&self) -> u64 {
        self.block.address
    }

    pub(crate) fn device(&self) -> &crate::Device {
        &self.block.pool.device
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        self.block.log.add(self.log.take());
    }
}

impl Inner {
    /// A cached block of the size. Its log still has the uses of its past, so whatever is done with it
    /// first waits for them: nothing has to be ordered here.
    pub(super) fn reusable(&self, size: u64, stream: &Stream) -> Option<(u64, AccessLog)> {
        if !self.reuse {
            return None;
        }
        let (cached, must_take) = {
            let mut state = self.state.lock();
            if let Some(cached) = state.cache.take_of_stream(size, stream.core()) {
                return Some((cached.address, cached.log));
            }
            let cached = state.cache.take_oldest(size)?;
            let held = state.books.used() + state.cache.bytes() + cached.bytes;
            let others = state.cache.count(size);
            (cached, others + 1 >= BUSY_BLOCKS || held > state.books.budget())
        };
        // The driver is not asked under the lock. A fault shows in the first use.
        if must_take || cached.log.is_done().unwrap_or(false) {
            return Some((cached.address, cached.log));
        }
        self.state.lock().cache.put_back(cached);
        None
    }

    /// A new block from the driver. Cached blocks make room in the budget, and all of them go if the
    /// driver has no memory: other processes may hold what the budget counts on.
    pub(super) fn ask_driver(
        &self,
        size: u64,
        stream: &Stream,
        counters: &Counters,
    ) -> Result<(u64, AccessLog)> {
        let budget = {
            let mut state = self.state.lock();
            // `used` counts the new block already.
            let held = state.books.used() + state.cache.bytes();
            state.held_high_bytes = state.held_high_bytes.max(held.min(state.books.budget()));
            state.books.budget()
        };
        let used = self.state.lock().books.used();
        self.trim_cache(budget.saturating_sub(used));
        counters.driver_allocations(1);
        let first = self.backing.allocate(size, stream);
        match first {
            Err(error) if error.class() == staffa_common::FaultClass::OutOfMemory => {
                self.trim_cache(0);
                self.backing.reclaim(&self.device, counters)?;
                counters.driver_allocations(1);
                self.backing.allocate(size, stream).map_err(|error| self.no_memory(error, size))
            }
            other => other,
        }
    }

    fn no_memory(&self, error: CudaError, size: u64) -> CudaError {
        let state = self.state.lock();
        error.about(format_args!(
            "{size} bytes wanted, {} in use of a budget of {}",
            state.books.used().saturating_sub(size),
            state.books.budget()
        ))
    }

    /// Gives cached blocks back to the driver, stalest first, until at most `keep` bytes are left.
    pub(super) fn trim_cache(&self, keep: u64) {
        loop {
            let stale = {
                let mut state = self.state.lock();
                if state.cache.bytes() <= keep {
                    return;
                }
                state.cache.take_stalest()
            };
            let Some(stale) = stale else { return };
            self.backing.free(&self.device, stale.address, &stale.log);
            self.device.total().driver_frees(1);
        }
    }

    fn give_back(
        &self,
        address: u64,
        bytes: u64,
        claim: u64,
        accesses: Vec<Access>,
        counters: &Counters,
    ) {
        let log = AccessLog::past(accesses);
        let keep = self.reuse && self.device.lost().is_none();
        if keep {
            let mut state = self.state.lock();
            state.books.discharge(claim, bytes);
            state.cache.put(address, bytes, log);
        } else {
            self.state.lock().books.discharge(claim, bytes);
            self.backing.free(&self.device, address, &log);
            counters.driver_frees(1);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.trim_cache(0);
        self.backing.destroy(&self.device);
    }
}

// A buffer's padding is the block's: what `classes` adds.
const _: () = assert!(classes::PADDING < classes::ALIGNMENT);
