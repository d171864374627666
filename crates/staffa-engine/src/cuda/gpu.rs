//! A GPU that regions share, and the part of it that one lane uses.

use std::fmt;
use std::sync::Arc;

use staffa_common::{Reason, ReasonCode};
use staffa_cuda::{
    Counters, CudaError, Device, DevicePool, Mailbox, PinnedConfig, PinnedKind, PinnedPool,
    PoolConfig, PoolUsage, Reservation, Result, StagingRing, Stream, probe,
};
use staffa_kernels::Kernels;

/// A device with less free memory than this is left alone: a morsel's columns, its pages and a few
/// operators' state would push each other out.
pub const LEAST_FREE_BYTES: u64 = 512 << 20;
/// Of the free memory, what the pool may take; the rest is for the driver and other processes.
const PERCENT_OF_FREE: u32 = 80;
/// Pinned host memory in all: staging for a few lanes, and columns on their way back.
const PINNED_BYTES: u64 = 2 << 30;
/// A lane's staging slabs: enough to fill one while another is copied and a third waits.
const SLAB_BYTES: usize = 8 << 20;
const SLABS: usize = 3;
/// Slabs for descriptors and programs: each upload takes one, and a morsel of many columns has dozens.
const SMALL_SLAB_BYTES: usize = 16 << 10;
const SMALL_SLABS: usize = 256;
/// For read-backs in the middle of a decode.
const RESULT_SLAB_BYTES: usize = 1 << 20;
/// Letters that a lane has under way: three per morsel, of which a large row group makes several.
const LETTERS: usize = 64;
/// An error slot, a count, or the bytes of up to 128 columns of strings.
const LETTER_BYTES: usize = 1024;

/// A GPU: its memory pools and kernels. One per runtime and device.
pub struct Gpu {
    device: Device,
    kernels: Kernels,
    pool: DevicePool,
    pinned: PinnedPool,
}

impl Gpu {
    /// Opens the first usable device.
    ///
    /// # Errors
    /// Why there is none: no driver, no kernels in this build, too little memory. A machine without a
    /// GPU is an ordinary answer, not a failure.
    pub fn open() -> std::result::Result<Arc<Self>, Reason> {
        let none = |why: String| Reason::new(ReasonCode::NoGpu, why);
        staffa_kernels::availability()
            .map_err(|why| none(format!("this build has no CUDA kernels: {why}")))?;
        let probe = probe(false);
        if let Some(reason) = probe.reason() {
            return Err(none(reason.to_string()));
        }
        let ordinal = probe.usable().next().map_or(0, |device| device.ordinal);
        Self::on(ordinal).map_err(|error| none(error.to_string()))
    }

    fn on(ordinal: u32) -> Result<Arc<Self>> {
        let device = Device::open(ordinal)?;
        let (free, _) = device.memory()?;
        if free < LEAST_FREE_BYTES {
            return Err(CudaError::OverBudget(format!(
                "gpu:{ordinal} has {} MiB free, less than the {} MiB that are needed",
                free >> 20,
                LEAST_FREE_BYTES >> 20
            )));
        }
        let kernels = Kernels::new(&device)?;
        // An image that does not load shows here, and not at the first morsel.
        kernels.function("parquet/levels", "levels_index")?;
        let pool =
            DevicePool::new(&device, PoolConfig::percent_of_free(&device, PERCENT_OF_FREE)?)?;
        let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes: PINNED_BYTES });
        Ok(Arc::new(Self { device, kernels, pool, pinned }))
    }

    /// `gpu:0`.
    pub fn name(&self) -> String {
        format!("gpu:{}", self.ordinal())
    }

    /// The device's number.
    pub fn ordinal(&self) -> u32 {
        self.device.ordinal()
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The kernels.
    pub fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Pinned host memory.
    pub fn pinned(&self) -> &PinnedPool {
        &self.pinned
    }

    /// What the device's pool holds.
    pub fn usage(&self) -> PoolUsage {
        self.pool.usage()
    }

    /// Why the device cannot be used any more, if its context was lost.
    pub fn lost(&self) -> Option<Reason> {
        let fault = self.device.lost()?;
        let what = format!("{} lost its context: {fault}", self.name());
        Some(Reason::new(ReasonCode::NoGpu, what))
    }

    /// A stream of its own, with memory and figures of its own, for one lane of a query.
    ///
    /// # Errors
    /// What the driver says; out of pinned memory.
    pub fn lane(&self, name: &str) -> Result<GpuLane> {
        let counters = self.device.counters();
        Ok(GpuLane {
            stream: self.device.stream(&counters)?,
            memory: self.pool.reserve(name, &counters),
            ring: StagingRing::new(
                &self.pinned,
                PinnedKind::ToDevice,
                SMALL_SLAB_BYTES,
                SMALL_SLABS,
            ),
            staging: StagingRing::new(&self.pinned, PinnedKind::ToDevice, SLAB_BYTES, SLABS),
            results: StagingRing::new(&self.pinned, PinnedKind::ToHost, RESULT_SLAB_BYTES, 2),
            mailbox: Mailbox::new(&self.pinned, LETTERS, LETTER_BYTES, &counters)?,
            counters,
        })
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// What one lane of a query uses of a GPU.
pub struct GpuLane {
    /// Where its work is queued.
    pub stream: Stream,
    /// Its device memory.
    pub memory: Reservation,
    /// Small pinned slabs for descriptors and programs.
    pub ring: StagingRing,
    /// Large ones for pages.
    pub staging: StagingRing,
    /// Pinned slabs for small read-backs.
    pub results: StagingRing,
    /// For counts and error slots.
    pub mailbox: Mailbox,
    /// What the lane asked of the device.
    pub counters: Arc<Counters>,
}
