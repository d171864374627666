//! The device, through the typed launcher's own driver layer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use staffa_cuda::{
    Counters, CudaError, Device, DeviceBuffer, DevicePool, Grid, Image, ImageKind, Launch, Module,
    PinnedConfig, PinnedKind, PinnedPool, PoolConfig, Reservation, StagingRing, Stream,
};
use staffa_kernels::expression::format::LaunchParameters;

use crate::device::Machine;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Gpu {
    module: Module,
    stream: Stream,
    memory: Reservation,
    ring: StagingRing,
    buffers: Vec<DeviceBuffer<u8>>,
    _turn: MutexGuard<'static, ()>,
}

/// The device, or `None` and a note; with STAFFA_REQUIRE_GPU=1 there must be one.
pub(crate) fn machine() -> Option<Box<dyn Machine>> {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let required = std::env::var_os("STAFFA_REQUIRE_GPU").is_some_and(|value| value == "1");
    let opened = Device::open(0).and_then(|device| Ok((load(&device)?, device)));
    let (module, device) = match opened {
        Ok(opened) => opened,
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
    Some(Box::new(Gpu {
        module,
        stream: device.stream(&counters).unwrap(),
        memory: pool.reserve("test", &counters),
        ring: StagingRing::new(&pinned, PinnedKind::ToHost, 4 << 20, 2),
        buffers: Vec::new(),
        _turn: turn,
    }))
}

/// The kernels of this build. The emulated driver brings its own and looks at no image, so that these
/// tests run in a build without nvcc.
fn load(device: &Device) -> staffa_cuda::Result<Module> {
    const EMULATED: &[Image] = &[Image { arch: 75, kind: ImageKind::Ptx, bytes: b"\0" }];
    let images = match staffa_kernels::module("expression/interpreter") {
        Some(module) => module.images,
        None if std::env::var_os("STAFFA_EMULATED_KERNELS").is_some() => EMULATED,
        None => return Err(CudaError::Unsupported("this build has no CUDA kernels".into())),
    };
    Module::load(device, images, true)
}

/// The buffer that holds an address, and where in it.
fn find(buffers: &mut [DeviceBuffer<u8>], address: u64) -> (&mut DeviceBuffer<u8>, usize) {
    let inside =
        |b: &&mut DeviceBuffer<u8>| b.address() <= address && address < b.address() + b.bytes();
    let buffer = buffers.iter_mut().find(inside).expect("an address of this test");
    let at = (address - buffer.address()) as usize;
    (buffer, at)
}

impl Machine for Gpu {
    fn upload(&mut self, bytes: &[u8]) -> u64 {
        let mut buffer = self.memory.buffer(bytes.len().max(1), &self.stream).unwrap();
        buffer.write(0, bytes, &self.ring, &self.stream).unwrap();
        let address = buffer.address();
        self.buffers.push(buffer);
        address
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        let (buffer, at) = find(&mut self.buffers, address);
        buffer.write(at, bytes, &self.ring, &self.stream).unwrap();
    }

    fn read(&mut self, address: u64, bytes: usize) -> Vec<u8> {
        if bytes == 0 {
            return Vec::new();
        }
        let (buffer, at) = find(&mut self.buffers, address);
        buffer.read(&self.ring, &self.stream).unwrap()[at..at + bytes].to_vec()
    }

    #[expect(
        unsafe_code,
        reason = "the kernel is launched as the typed launcher does, with a chosen shape"
    )]
    fn launch(
        &mut self,
        kernel: &str,
        parameters: &LaunchParameters,
        blocks: u32,
        threads: u32,
        shared: u32,
    ) {
        let function = self.module.function(kernel).unwrap();
        let mut launch = Launch::new(&function).value(parameters);
        for buffer in &mut self.buffers {
            launch = launch.using_write(buffer);
        }
        // SAFETY: every address in the parameters is one of this test's buffers, all named, of the size
        // that the program and the columns need.
        unsafe { launch.run(Grid::linear(blocks, threads).with_shared(shared), &self.stream) }
            .unwrap();
    }
}
