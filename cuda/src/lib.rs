//! The CUDA driver, as Staffa uses it: the only package that names cudarc.
//!
//! A machine without a driver is an ordinary answer here ([`probe()`] and [`Device::open`] say
//! [`Unavailable`]), no call panics, every error has a [`FaultClass`](staffa_common::FaultClass), and
//! a lost context is latched: see [`Device`]. Everything is stream-ordered, and what must be kept
//! alive until the device has finished with it is kept alive by its type, not by the caller's care.
//!
//! `docs/design/cuda.md` holds the rules for streams, events and ownership.
#![expect(unsafe_code, reason = "the driver is C; every block names the invariant it relies on")]

/// Calls an entry point of the driver on a device: latch, current context, call, class of the answer.
/// The caller writes `unsafe` and says why the arguments are sound.
macro_rules! driver_call {
    ($device:expr, $entry:ident($($argument:expr),* $(,)?)) => {
        match $device.enter() {
            Ok(api) => $device.take(api.$entry.name, (api.$entry.call)($($argument),*)),
            Err(error) => Err(error),
        }
    };
}

mod access;
mod api;
mod buffer;
mod counters;
mod device;
mod error;
mod event;
mod fault;
mod latch;
mod launch;
mod limits;
mod mailbox;
mod module;
mod nvtx;
mod pinned;
mod pool;
mod probe;
mod stream;
mod timer;
mod transfer;
mod unavailable;
mod waiter;

pub use api::MINIMUM_DRIVER;
pub use buffer::{DeviceBuffer, DeviceSlice, Slab};
pub use counters::{Counters, Snapshot};
pub use device::Device;
pub use error::{CudaError, Result};
pub use event::{Event, Wait};
pub use fault::DriverFault;
pub use launch::{Grid, Launch};
pub use limits::{Capability, Limits};
pub use mailbox::{Letter, Mailbox};
pub use module::{Attributes, Function, Image, ImageKind, Module, select_image};
pub use nvtx::{NvtxRange, nvtx_range};
pub use pinned::{PinnedBuffer, PinnedConfig, PinnedKind, PinnedPool, Sealed, StagingRing};
pub use pool::{DevicePool, PoolConfig, PoolUsage, Reservation};
pub use probe::{DeviceReport, Probe, probe};
pub use stream::Stream;
pub use timer::Timer;
pub use transfer::Download;
pub use unavailable::Unavailable;
