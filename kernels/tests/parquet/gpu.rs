//! The device and what runs on it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytemuck::Pod;
use staffa_cuda::{
    Counters, Device, DeviceBuffer, DevicePool, DeviceSlice, PinnedConfig, PinnedKind, PinnedPool,
    PoolConfig, Reservation, StagingRing, Stream,
};
use staffa_kernels::Kernels;
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::parquet::Context;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct Gpu {
    pub(crate) kernels: Kernels,
    pub(crate) stream: Stream,
    pub(crate) memory: Reservation,
    pub(crate) ring: StagingRing,
    _turn: MutexGuard<'static, ()>,
}

/// The device, or `None` and a note.
pub(crate) fn gpu() -> Option<Gpu> {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let required = std::env::var_os("STAFFA_REQUIRE_GPU").is_some_and(|value| value == "1");
    let device = match Device::open(0) {
        Ok(device) => device,
        Err(error) if required => panic!("STAFFA_REQUIRE_GPU=1: {error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            return None;
        }
    };
    let kernels = match Kernels::new(&device) {
        Ok(kernels) => kernels,
        Err(error) if required => panic!("STAFFA_REQUIRE_GPU=1: {error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            return None;
        }
    };
    let counters: Arc<Counters> = device.counters();
    // Every buffer as long as asked for, so that the emulator's guard pages lie as close as possible.
    let pool =
        DevicePool::new(&device, PoolConfig { budget_bytes: 1 << 30, reuse: false }).unwrap();
    let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes: 64 << 20 });
    Some(Gpu {
        kernels,
        stream: device.stream(&counters).unwrap(),
        memory: pool.reserve("test", &counters),
        ring: StagingRing::new(&pinned, PinnedKind::ToHost, 4 << 20, 2),
        _turn: turn,
    })
}

impl Gpu {
    pub(crate) fn upload<T: Pod>(&self, values: &[T]) -> DeviceSlice<T> {
        let mut buffer = self.memory.buffer(values.len(), &self.stream).unwrap();
        buffer.write(0, values, &self.ring, &self.stream).unwrap();
        buffer.freeze()
    }

    pub(crate) fn zeroed<T: Pod>(&self, len: usize) -> DeviceBuffer<T> {
        let mut buffer = self.memory.buffer(len, &self.stream).unwrap();
        buffer.zero(&self.stream).unwrap();
        buffer
    }

    /// Filled with something that no test expects.
    pub(crate) fn poisoned<T: Pod>(&self, len: usize) -> DeviceBuffer<T> {
        let mut buffer = self.memory.buffer(len, &self.stream).unwrap();
        buffer.fill_bytes(0x5b, &self.stream).unwrap();
        buffer
    }

    pub(crate) fn read<T: Pod>(&self, buffer: &DeviceBuffer<T>) -> Vec<T> {
        buffer.read(&self.ring, &self.stream).unwrap()
    }

    pub(crate) fn context<'a>(&'a self, error: &'a DeviceBuffer<ErrorSlot>) -> Context<'a> {
        Context {
            kernels: &self.kernels,
            stream: &self.stream,
            memory: &self.memory,
            ring: &self.ring,
            error,
        }
    }
}
