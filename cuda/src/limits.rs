//! What a device is and how much it takes: capability, memory, sizes of grids and blocks.

use std::ffi::{c_char, c_int};
use std::fmt;

use cudarc::driver::sys::CUdevice;
use cudarc::driver::sys::CUdevice_attribute as Attribute;

use crate::api::Api;
use crate::fault::DriverFault;

/// A compute capability, e.g. 9.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// Before the point.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

impl Capability {
    /// Turing, the oldest GPU that CUDA 13 compiles for.
    pub const OLDEST: Self = Self { major: 7, minor: 5 };

    /// From the number in `sm_90`.
    pub fn from_sm(sm: u32) -> Self {
        Self { major: sm / 10, minor: sm % 10 }
    }

    /// The number in `sm_90`.
    pub fn sm(self) -> u32 {
        self.major * 10 + self.minor
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a device takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Its marketing name.
    pub name: String,
    /// Its compute capability.
    pub capability: Capability,
    /// All of its memory, in bytes.
    pub memory_bytes: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
    /// Threads of a warp.
    pub warp_threads: u32,
    /// Level-2 cache, in bytes.
    pub l2_bytes: u64,
    /// Threads of a block.
    pub block_threads: u32,
    /// Extent of a block in x, y and z.
    pub block_dims: [u32; 3],
    /// Extent of a grid in x, y and z.
    pub grid_dims: [u32; 3],
    /// Shared memory of a block without asking, in bytes.
    pub shared_bytes: u32,
    /// Shared memory of a block that asked for it (opt-in), static and dynamic together, in bytes.
    pub shared_optin_bytes: u32,
    /// Shared memory of a multiprocessor, in bytes.
    pub shared_multiprocessor_bytes: u32,
    /// Threads resident on a multiprocessor.
    pub multiprocessor_threads: u32,
    /// Copy engines: how many copies run beside kernels.
    pub copy_engines: u32,
    /// Whether the driver has stream-ordered memory pools for it.
    pub memory_pools: bool,
}

impl Limits {
    /// Asks the driver; no context is needed.
    pub(crate) fn read(api: &Api, device: CUdevice) -> Result<Self, DriverFault> {
        let get = |attribute: Attribute| {
            let mut value: c_int = 0;
            // SAFETY: the pointer is to a live integer and the device came from cuDeviceGet.
            let code =
                unsafe { (api.device_attribute.call)(&mut value, attribute as c_int, device) };
            DriverFault::check(api.device_attribute.name, code)?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        let mut bytes = 0usize;
        // SAFETY: as above.
        let code = unsafe { (api.device_total.call)(&mut bytes, device) };
        DriverFault::check(api.device_total.name, code)?;

        use Attribute as A;
        Ok(Self {
            name: name(api, device)?,
            capability: Capability {
                major: get(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                minor: get(A::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            },
            memory_bytes: bytes as u64,
            multiprocessors: get(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            warp_threads: get(A::CU_DEVICE_ATTRIBUTE_WARP_SIZE)?,
            l2_bytes: u64::from(get(A::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?),
            block_threads: get(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            block_dims: [
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)?,
            ],
            grid_dims: [
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)?,
                get(A::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)?,
            ],
            shared_bytes: get(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)?,
            shared_optin_bytes: get(A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            shared_multiprocessor_bytes: get(
                A::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
            )?,
            multiprocessor_threads: get(A::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR)?,
            copy_engines: get(A::CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT)?,
            memory_pools: get(A::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? != 0,
        })
    }
}

fn name(api: &Api, device: CUdevice) -> Result<String, DriverFault> {
    let mut buffer = [0u8; 256];
    let length = buffer.len() as c_int - 1;
    // SAFETY: the driver writes at most `length` bytes, ended by a zero, into the live buffer.
    let code =
        unsafe { (api.device_name.call)(buffer.as_mut_ptr().cast::<c_char>(), length, device) };
    DriverFault::check(api.device_name.name, code)?;
    let end = buffer.iter().position(|&byte| byte == 0).unwrap_or(0);
    Ok(String::from_utf8_lossy(&buffer[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_convert_print_and_compare() {
        let hopper = Capability::from_sm(90);
        assert_eq!(hopper, Capability { major: 9, minor: 0 });
        assert_eq!(Capability::from_sm(120).to_string(), "12.0");
        assert_eq!(Capability::from_sm(86).sm(), 86);
        assert!(Capability::from_sm(70) < Capability::OLDEST);
        assert!(Capability::from_sm(100) > hopper);
    }
}
