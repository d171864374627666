//! Kernels of a module.

use std::ffi::c_int;
use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::{CUfunction, CUfunction_attribute as Attribute};
use parking_lot::Mutex;

use super::Module;
use crate::device::Device;
use crate::error::{CudaError, Result};

/// A kernel of a loaded module. Clones share it.
#[derive(Clone)]
pub struct Function {
    inner: Arc<Kernel>,
}

struct Kernel {
    module: Module,
    handle: CUfunction,
    name: String,
    attributes: Attributes,
    /// Sizes of the parameters in order, where the driver tells them.
    parameters: Option<Vec<usize>>,
    /// Dynamic shared memory that launches may ask for, in bytes.
    dynamic_limit: Mutex<u32>,
}

// SAFETY: a function handle is valid on any thread as long as its module is loaded, which `module`
// keeps.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// What the compiler and the driver say of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Threads of a block that its registers allow.
    pub max_threads: u32,
    /// Its static shared memory, in bytes.
    pub static_shared_bytes: u32,
    /// Its local memory (spills and arrays) per thread, in bytes.
    pub local_bytes: u32,
    /// Its registers per thread.
    pub registers: u32,
}

impl Function {
    pub(super) fn new(module: Module, handle: CUfunction, name: &str) -> Result<Self> {
        let device = &module.inner.device;
        let get = |attribute: Attribute| -> Result<u32> {
            let mut value: c_int = 0;
            // SAFETY: the pointer is to a live integer, the function is of a loaded module.
            unsafe {
                driver_call!(device, function_attribute(&mut value, attribute as c_int, handle))
            }?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        let attributes = Attributes {
            max_threads: get(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            static_shared_bytes: get(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
            local_bytes: get(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
            registers: get(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
        };
        // Without asking, a block gets what the device gives everybody, its static part included.
        let limits = device.limits();
        let dynamic = limits.shared_bytes.saturating_sub(attributes.static_shared_bytes);
        let parameters = parameters(device, handle)?;
        Ok(Self {
            inner: Arc::new(Kernel {
                handle,
                name: name.to_owned(),
                attributes,
                parameters,
                dynamic_limit: Mutex::new(dynamic),
                module,
            }),
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What the compiler and the driver say of it.
    pub fn attributes(&self) -> Attributes {
        self.inner.attributes
    }

    /// The device it is loaded on.
    pub fn device(&self) -> &Device {
        &self.inner.module.inner.device
    }

    /// Sizes of its parameters in bytes, where the driver tells them.
    pub fn parameters(&self) -> Option<&[usize]> {
        self.inner.parameters.as_deref()
    }

    /// The dynamic shared memory that launches may ask for, in bytes.
    pub fn dynamic_shared_limit(&self) -> u32 {
        *self.inner.dynamic_limit.lock()
    }

    /// Raises the dynamic shared memory that launches may ask for (opt-in above 48 KB).
    ///
    /// # Errors
    /// Unsupported if a block of the device never gets so much; what the driver says.
    pub fn allow_dynamic_shared(&self, bytes: u32) -> Result<()> {
        let mut limit = self.inner.dynamic_limit.lock();
        if bytes <= *limit {
            return Ok(());
        }
        let (device, static_bytes) = (self.device(), self.inner.attributes.static_shared_bytes);
        let most = device.limits().shared_optin_bytes.saturating_sub(static_bytes);
        let (true, Ok(value)) = (bytes <= most, c_int::try_from(bytes)) else {
            return Err(CudaError::Unsupported(format!(
                "kernel {} wants {bytes} bytes of dynamic shared memory; {device:?} has {most}",
                self.name()
            )));
        };
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as c_int;
        // SAFETY: the function is of a loaded module.
        unsafe {
            driver_call!(device, function_set_attribute(self.inner.handle, attribute, value))
        }?;
        *limit = bytes;
        Ok(())
    }

    /// How many blocks of a shape a multiprocessor holds at a time.
    ///
    /// # Errors
    /// What the driver says.
    pub fn blocks_per_multiprocessor(&self, threads: u32, shared_bytes: u32) -> Result<u32> {
        let mut blocks: c_int = 0;
        let threads = c_int::try_from(threads).unwrap_or(c_int::MAX);
        // SAFETY: the pointer is to a live integer, the function is of a loaded module.
        unsafe {
            driver_call!(
                self.device(),
                occupancy(&mut blocks, self.inner.handle, threads, shared_bytes as usize)
            )
        }?;
        Ok(u32::try_from(blocks).unwrap_or(0))
    }

    pub(crate) fn raw(&self) -> CUfunction {
        self.inner.handle
    }
}

/// The parameters' sizes; `None` if the driver has no such call or does not know them.
fn parameters(device: &Device, handle: CUfunction) -> Result<Option<Vec<usize>>> {
    let api = device.enter()?;
    let Some(entry) = &api.parameter_info else { return Ok(None) };
    let mut sizes = Vec::new();
    // 4 KB of parameters cannot be more than 4,096.
    while sizes.len() < 4096 {
        let (mut offset, mut size) = (0usize, 0usize);
        // SAFETY: both pointers are to live integers, the function is of a loaded module.
        let code = unsafe { (entry.call)(handle, sizes.len(), &mut offset, &mut size) };
        match code {
            0 => sizes.push(size),
            // INVALID_VALUE: there is no such parameter, so these were all.
            1 => return Ok(Some(sizes)),
            // NOT_FOUND, NOT_SUPPORTED: the image does not tell.
            500 | 801 => return Ok(None),
            code => return device.take(entry.name, code).map(|()| None),
        }
    }
    Ok(None)
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {} ({:?})", self.inner.name, self.inner.attributes)
    }
}
