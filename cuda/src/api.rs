//! The driver's entry points, looked up once by name.
//!
//! cudarc's own wrappers panic when a symbol is missing, and return the driver's code as a Rust enum,
//! which is undefined behaviour for a code newer than the enum (a 13.4 driver may answer 919, which a
//! binding for 13.0 does not list). So the types are cudarc's, and the functions are looked up here
//! with the code as a plain integer: a missing symbol is an error, an unknown code is a number.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use cudarc::driver::sys::{
    self, CUcontext, CUdevice, CUdeviceptr, CUevent, CUfunction, CUmemPoolProps, CUmemoryPool,
    CUmodule, CUstream,
};

use crate::fault::DriverFault;
use crate::unavailable::Unavailable;

/// The oldest driver that can be used, as `cuDriverGetVersion` gives it (1000 x major + 10 x minor).
///
/// The kernels are compiled by CUDA 13.0, and images of one major version need a driver of it (580).
pub const MINIMUM_DRIVER: u32 = 13_000;

/// An entry point: its name for errors, and the function.
pub(crate) struct Entry<F> {
    pub(crate) name: &'static str,
    pub(crate) call: F,
}

macro_rules! entry_points {
    (
        required { $($field:ident = $name:literal ($($argument:ty),* $(,)?);)+ }
        optional { $($optional:ident = $optional_name:literal ($($optional_argument:ty),* $(,)?);)* }
    ) => {
        /// Every entry point that this package calls.
        pub(crate) struct Api {
            $(pub(crate) $field: Entry<unsafe extern "C" fn($($argument),*) -> c_uint>,)+
            $(pub(crate) $optional:
                Option<Entry<unsafe extern "C" fn($($optional_argument),*) -> c_uint>>,)*
        }

        impl Api {
            fn load() -> Result<Self, Unavailable> {
                // SAFETY: loading the driver runs its initialisers; it is the system's own library,
                // looked for under its well-known names only.
                if !unsafe { sys::is_culib_present() } {
                    return Err(Unavailable::NoDriver);
                }
                // SAFETY: the library was found just above, so this does not panic.
                let library = unsafe { sys::culib() };
                Ok(Self {
                    $($field: Entry {
                        name: $name,
                        // SAFETY: the signature is that of the CUDA 13.0 headers for this versioned
                        // name, whose meaning a later driver keeps; the library is never unloaded.
                        call: match unsafe { library.get(concat!($name, "\0")) } {
                            Ok(symbol) => *symbol,
                            Err(_) => return Err(Unavailable::MissingSymbol { name: $name }),
                        },
                    },)+
                    // SAFETY: as above; an absent function stays absent.
                    $($optional: unsafe { library.get(concat!($optional_name, "\0")) }
                        .ok()
                        .map(|symbol| Entry { name: $optional_name, call: *symbol }),)*
                })
            }
        }
    };
}

entry_points! {
    required {
        init = "cuInit" (c_uint);
        driver_version = "cuDriverGetVersion" (*mut c_int);
        device_count = "cuDeviceGetCount" (*mut c_int);
        device_get = "cuDeviceGet" (*mut CUdevice, c_int);
        device_name = "cuDeviceGetName" (*mut c_char, c_int, CUdevice);
        device_total = "cuDeviceTotalMem_v2" (*mut usize, CUdevice);
        device_attribute = "cuDeviceGetAttribute" (*mut c_int, c_int, CUdevice);
        primary_retain = "cuDevicePrimaryCtxRetain" (*mut CUcontext, CUdevice);
        primary_release = "cuDevicePrimaryCtxRelease_v2" (CUdevice);
        current_get = "cuCtxGetCurrent" (*mut CUcontext);
        current_set = "cuCtxSetCurrent" (CUcontext);
        context_synchronize = "cuCtxSynchronize" ();
        memory_info = "cuMemGetInfo_v2" (*mut usize, *mut usize);
        stream_create = "cuStreamCreate" (*mut CUstream, c_uint);
        stream_destroy = "cuStreamDestroy_v2" (CUstream);
        stream_synchronize = "cuStreamSynchronize" (CUstream);
        stream_wait_event = "cuStreamWaitEvent" (CUstream, CUevent, c_uint);
        event_create = "cuEventCreate" (*mut CUevent, c_uint);
        event_destroy = "cuEventDestroy_v2" (CUevent);
        event_record = "cuEventRecord" (CUevent, CUstream);
        event_query = "cuEventQuery" (CUevent);
        event_synchronize = "cuEventSynchronize" (CUevent);
        event_elapsed = "cuEventElapsedTime" (*mut f32, CUevent, CUevent);
        memory_allocate = "cuMemAlloc_v2" (*mut CUdeviceptr, usize);
        memory_free = "cuMemFree_v2" (CUdeviceptr);
        host_allocate = "cuMemHostAlloc" (*mut *mut c_void, usize, c_uint);
        host_free = "cuMemFreeHost" (*mut c_void);
        copy_to_device = "cuMemcpyHtoDAsync_v2" (CUdeviceptr, *const c_void, usize, CUstream);
        copy_to_host = "cuMemcpyDtoHAsync_v2" (*mut c_void, CUdeviceptr, usize, CUstream);
        copy_on_device = "cuMemcpyDtoDAsync_v2" (CUdeviceptr, CUdeviceptr, usize, CUstream);
        fill_u8 = "cuMemsetD8Async" (CUdeviceptr, u8, usize, CUstream);
        fill_u32 = "cuMemsetD32Async" (CUdeviceptr, c_uint, usize, CUstream);
        pool_create = "cuMemPoolCreate" (*mut CUmemoryPool, *const CUmemPoolProps);
        pool_destroy = "cuMemPoolDestroy" (CUmemoryPool);
        pool_set_attribute = "cuMemPoolSetAttribute" (CUmemoryPool, c_uint, *mut c_void);
        pool_trim = "cuMemPoolTrimTo" (CUmemoryPool, usize);
        pool_allocate = "cuMemAllocFromPoolAsync" (*mut CUdeviceptr, usize, CUmemoryPool, CUstream);
        pool_free = "cuMemFreeAsync" (CUdeviceptr, CUstream);
        module_load = "cuModuleLoadData" (*mut CUmodule, *const c_void);
        module_load_jit = "cuModuleLoadDataEx"
            (*mut CUmodule, *const c_void, c_uint, *mut c_uint, *mut *mut c_void);
        module_unload = "cuModuleUnload" (CUmodule);
        module_function = "cuModuleGetFunction" (*mut CUfunction, CUmodule, *const c_char);
        function_attribute = "cuFuncGetAttribute" (*mut c_int, c_int, CUfunction);
        function_set_attribute = "cuFuncSetAttribute" (CUfunction, c_int, c_int);
        launch_kernel = "cuLaunchKernel" (
            CUfunction, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, CUstream,
            *mut *mut c_void, *mut *mut c_void,
        );
        occupancy = "cuOccupancyMaxActiveBlocksPerMultiprocessor"
            (*mut c_int, CUfunction, c_int, usize);
    }
    optional {
        parameter_info = "cuFuncGetParamInfo" (CUfunction, usize, *mut usize, *mut usize);
    }
}

/// The driver with its version, initialised once per process.
pub(crate) struct Driver {
    pub(crate) api: Api,
    /// 1000 x major + 10 x minor.
    pub(crate) version: u32,
}

impl Driver {
    fn start() -> Result<Self, Unavailable> {
        let api = Api::load()?;
        let fault = |name, code| match DriverFault::check(name, code) {
            Ok(()) => Ok(()),
            Err(fault) => Err(Unavailable::from_start(fault)),
        };
        let mut version = 0;
        // SAFETY: the pointer is to a live integer; this call is allowed before cuInit.
        let code = unsafe { (api.driver_version.call)(&mut version) };
        fault(api.driver_version.name, code)?;
        let version = u32::try_from(version).unwrap_or(0);
        new_enough(version)?;
        // SAFETY: flags must be 0; calling it more than once in a process is allowed.
        let code = unsafe { (api.init.call)(0) };
        fault(api.init.name, code)?;
        Ok(Self { api, version })
    }
}

fn new_enough(version: u32) -> Result<(), Unavailable> {
    if version < MINIMUM_DRIVER { Err(Unavailable::DriverTooOld { version }) } else { Ok(()) }
}

/// The driver, or why there is none. The answer is the same for the life of the process.
pub(crate) fn driver() -> Result<&'static Driver, Unavailable> {
    static DRIVER: OnceLock<Result<Driver, Unavailable>> = OnceLock::new();
    DRIVER.get_or_init(Driver::start).as_ref().map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_before_the_kernels_major_version_are_too_old() {
        for version in [0, 11_080, 12_090, 12_999] {
            assert_eq!(new_enough(version), Err(Unavailable::DriverTooOld { version }));
        }
        for version in [13_000, 13_010, 14_000] {
            assert_eq!(new_enough(version), Ok(()));
        }
    }
}
