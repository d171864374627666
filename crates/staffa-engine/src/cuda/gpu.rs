//! A GPU that regions share, and the part of it that one lane uses.

use std::fmt;
use std::sync::Arc;

use staffa_common::{FaultClass, Reason, ReasonCode};
use staffa_cuda::{
    Counters, CudaError, Device, DevicePool, Mailbox, PinnedConfig, PinnedKind, PinnedPool,
    PoolConfig, PoolUsage, Reservation, Result, StagingRing, Stream, Unavailable, probe,
};
use staffa_kernels::Kernels;

use super::limits::{Bytes, GpuLimits};

/// A device with less free memory than this is left alone: a morsel's columns, its pages and a few
/// operators' state would push each other out.
pub const LEAST_FREE_BYTES: u64 = 512 << 20;
/// A budget below this is no budget: not even a small row group's columns and pages fit.
const LEAST_BUDGET_BYTES: u64 = 32 << 20;
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
/// What a lane pins when all its slabs are in use; columns on their way back come on top.
const LANE_PINNED_BYTES: u64 = (SLAB_BYTES * SLABS
    + SMALL_SLAB_BYTES * SMALL_SLABS
    + RESULT_SLAB_BYTES * 2
    + LETTER_BYTES * LETTERS) as u64;

/// A GPU: its memory pools and kernels. One per runtime, device and limits.
pub struct Gpu {
    device: Device,
    kernels: Kernels,
    pool: DevicePool,
    pinned: PinnedPool,
    /// Cloned by each lane.
    lanes: Arc<()>,
}

/// Why no GPU was opened.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What EXPLAIN shows.
    pub reason: Reason,
    /// Whether it would be the same another time: not where the device is busy or full.
    pub lasts: bool,
}

impl Refusal {
    fn new(why: impl fmt::Display, lasts: bool) -> Self {
        Self { reason: Reason::new(ReasonCode::NoGpu, why.to_string()), lasts }
    }
}

impl From<CudaError> for Refusal {
    fn from(error: CudaError) -> Self {
        let passes = match &error {
            // What a driver says when it gives no context is often somebody else's doing.
            CudaError::Unavailable(
                Unavailable::Busy(_) | Unavailable::NoMemory(_) | Unavailable::NoContext(_),
            )
            | CudaError::OverBudget(_)
            | CudaError::Busy(_) => true,
            CudaError::Driver { fault, .. } => fault.class() != FaultClass::Unsupported,
            _ => false,
        };
        Self::new(error, !passes)
    }
}

impl Gpu {
    /// Opens the first usable device, to take as much memory as `limits` say.
    ///
    /// # Errors
    /// Why there is none: no driver, no kernels in this build, too little memory or too low a limit. A machine without a
    /// GPU is an ordinary answer, not a failure.
    pub fn open(limits: GpuLimits) -> std::result::Result<Arc<Self>, Refusal> {
        staffa_kernels::availability()
            .map_err(|why| Refusal::new(format!("this build has no CUDA kernels: {why}"), true))?;
        let probe = probe(false);
        if let Some(reason) = probe.reason() {
            return Err(CudaError::Unavailable(reason).into());
        }
        let ordinal = probe.usable().next().map_or(0, |device| device.ordinal);
        let too_low = |setting: &str, bytes: u64, least: u64| {
            let least = least.div_ceil(1 << 20);
            format!(
                "staffa.memory.{setting} leaves {} MiB for gpu:{ordinal}, less than the {least} MiB of a scan",
                bytes >> 20
            )
        };
        let Bytes(pinned_bytes) = limits.pinned;
        if pinned_bytes < LANE_PINNED_BYTES {
            let why = too_low("pinned_limit", pinned_bytes, LANE_PINNED_BYTES);
            return Err(Refusal::new(why, true));
        }
        // However much is free.
        let most = limits.device.of_free(u64::MAX);
        if most < LEAST_BUDGET_BYTES {
            let why = too_low("device_limit", most, LEAST_BUDGET_BYTES);
            return Err(Refusal::new(why, true));
        }
        Ok(Self::on(ordinal, limits, |bytes| too_low("device_limit", bytes, LEAST_BUDGET_BYTES))?)
    }

    fn on(ordinal: u32, limits: GpuLimits, too_low: impl Fn(u64) -> String) -> Result<Arc<Self>> {
        let device = Device::open(ordinal)?;
        let (free, _) = device.memory()?;
        if free < LEAST_FREE_BYTES {
            return Err(CudaError::OverBudget(format!(
                "gpu:{ordinal} has {} MiB free, less than the {} MiB that are needed",
                free >> 20,
                LEAST_FREE_BYTES >> 20
            )));
        }
        let budget_bytes = limits.device.of_free(free);
        if budget_bytes < LEAST_BUDGET_BYTES {
            return Err(CudaError::OverBudget(too_low(budget_bytes)));
        }
        let kernels = Kernels::new(&device)?;
        // An image that does not load shows here, and not at the first morsel.
        kernels.function("parquet/levels", "levels_index")?;
        let pool = DevicePool::new(&device, PoolConfig { budget_bytes, reuse: true })?;
        let Bytes(budget_bytes) = limits.pinned;
        let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes });
        Ok(Arc::new(Self { device, kernels, pool, pinned, lanes: Arc::default() }))
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

    /// Gives memory that nobody uses back to the system: the device's, and pinned memory where no lane is
    /// left that would pin it again.
    pub fn trim(&self) {
        // What the driver says to it, the next allocation will hear too.
        let _ = self.pool.trim(0);
        if self.is_idle() {
            self.pinned.trim(0);
        }
    }

    /// Whether no lane uses it.
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.lanes) == 1
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
            _one: Arc::clone(&self.lanes),
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
    /// Last, so that what the lane holds is given back before.
    _one: Arc<()>,
}
