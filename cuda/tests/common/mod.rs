//! What the tests share: a device if there is one, the parts on it, and the emulated driver's controls.
#![expect(unsafe_code, reason = "the emulated driver's controls are C functions")]
#![expect(dead_code, reason = "each test file uses some of it")]

use std::ffi::{CString, c_char};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use staffa_cuda::{
    Counters, Device, DevicePool, Image, ImageKind, Module, PinnedConfig, PinnedKind, PinnedPool,
    PoolConfig, Reservation, StagingRing, Stream,
};

/// Tests of one file share a process and so the driver's fault plan and counters: one at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A device with everything on it.
pub(crate) struct Gpu {
    pub(crate) counters: Arc<Counters>,
    pub(crate) stream: Stream,
    pub(crate) memory: Reservation,
    pub(crate) ring: StagingRing,
    pub(crate) pinned: PinnedPool,
    pub(crate) pool: DevicePool,
    pub(crate) device: Device,
    _turn: MutexGuard<'static, ()>,
}

impl Gpu {
    pub(crate) fn stream(&self) -> Stream {
        self.device.stream(&self.counters).unwrap()
    }
}

/// The device, or `None` (and a note) where there is none. With `STAFFA_REQUIRE_GPU=1` none is a
/// failure, so that a run that should use a GPU cannot pass without one.
pub(crate) fn device() -> Option<Device> {
    match Device::open(0) {
        Ok(device) => Some(device),
        Err(error) if required() => panic!("STAFFA_REQUIRE_GPU=1: {error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

pub(crate) fn required() -> bool {
    std::env::var_os("STAFFA_REQUIRE_GPU").is_some_and(|value| value == "1")
}

pub(crate) fn gpu() -> Option<Gpu> {
    gpu_with(PoolConfig { budget_bytes: 256 << 20, reuse: true })
}

pub(crate) fn gpu_with(config: PoolConfig) -> Option<Gpu> {
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let device = device()?;
    let counters = device.counters();
    let pool = DevicePool::new(&device, config).unwrap();
    let pinned = PinnedPool::new(&device, PinnedConfig { budget_bytes: 64 << 20 });
    Some(Gpu {
        stream: device.stream(&counters).unwrap(),
        memory: pool.reserve("test", &counters),
        ring: StagingRing::new(&pinned, PinnedKind::ToHost, 64 << 10, 3),
        pinned,
        pool,
        counters,
        device,
        _turn: turn,
    })
}

/// Queues enough on a stream that what comes behind it is not done when it is first asked for: the
/// emulated driver goes on working while somebody asks, one operation at a time.
pub(crate) fn keep_busy(gpu: &Gpu, stream: &Stream) {
    let mut scratch = gpu.memory.buffer::<u8>(24 << 20, stream).unwrap();
    for byte in 0..3 {
        scratch.fill_bytes(byte, stream).unwrap();
    }
}

/// Numbers that tell places apart.
pub(crate) fn numbers(len: usize, seed: u32) -> Vec<u32> {
    (0..len as u32).map(|i| (i ^ seed).wrapping_mul(2_654_435_761).rotate_left(7)).collect()
}

/// Runs a future on this thread, as the smallest executor would.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park_timeout(std::time::Duration::from_secs(20)),
        }
    }
}

/// The controls that only the emulated driver has.
pub(crate) struct Emulator {
    library: libloading::Library,
}

impl Emulator {
    /// `None` if the driver is a real one, or none.
    pub(crate) fn find() -> Option<Self> {
        // SAFETY: the driver's library, which the tests use anyway.
        let library = unsafe { libloading::Library::new("libcuda.so.1") }.ok()?;
        // SAFETY: only looked up.
        let emulated = unsafe {
            library.get::<unsafe extern "C" fn(*const c_char) -> u64>("staffaEmulatorCounter")
        }
        .is_ok();
        emulated.then_some(Self { library })
    }

    /// The value of a counter by name; an unknown name is a test's mistake.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let text = CString::new(name).unwrap();
        // SAFETY: the signature is the emulator's.
        let value = unsafe {
            self.library
                .get::<unsafe extern "C" fn(*const c_char) -> u64>("staffaEmulatorCounter")
                .unwrap()(text.as_ptr())
        };
        assert_ne!(value, u64::MAX, "no counter {name}");
        value
    }

    /// Replaces the fault plan until the guard goes.
    pub(crate) fn faults(&self, plan: &str) -> Faults<'_> {
        self.plan(plan);
        Faults(self)
    }

    fn plan(&self, plan: &str) {
        let text = CString::new(plan).unwrap();
        // SAFETY: the signature is the emulator's.
        unsafe {
            self.library
                .get::<unsafe extern "C" fn(*const c_char)>("staffaEmulatorPlanFaults")
                .unwrap()(text.as_ptr());
        }
    }
}

/// A fault plan in force.
pub(crate) struct Faults<'a>(&'a Emulator);

impl Drop for Faults<'_> {
    fn drop(&mut self) {
        self.0.plan("");
    }
}

/// The kernels of `tests/kernels`: for the emulated driver they are built by
/// `STAFFA_EMULATED_SOURCES=cuda/tests/kernels scripts/with-emulated-gpu`, and the image is only a name.
pub(crate) const CHECKS: [Image; 1] =
    [Image { arch: 75, kind: ImageKind::Ptx, bytes: include_bytes!("../kernels/checks.ptx") }];

/// The test kernels, or `None` (and a note) where the emulated driver was started without them.
pub(crate) fn checks(device: &Device) -> Option<Module> {
    let module = Module::load(device, &CHECKS, true).unwrap();
    match module.function("check_add") {
        Ok(_) => Some(module),
        Err(error) if required() => panic!("STAFFA_REQUIRE_GPU=1: {error}"),
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}
