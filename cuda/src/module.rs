//! Modules: compiled kernels on a device, and the choice among images.

mod choice;
mod function;

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::fmt;
use std::sync::{Arc, Weak};

use cudarc::driver::sys::{CUfunction, CUmodule};
use parking_lot::Mutex;

use crate::device::Device;
use crate::error::{CudaError, Result};
pub use choice::{Image, ImageKind, select_image};
pub use function::{Attributes, Function};

/// Log of the driver's compiler, for PTX that it refuses.
const LOG_BYTES: usize = 4096;
const JIT_ERROR_LOG_BUFFER: u32 = 5;
const JIT_ERROR_LOG_BUFFER_SIZE_BYTES: u32 = 6;

/// Loaded modules of a device, by the image's address and length. An image is `'static`, so its
/// address is its identity.
#[derive(Default)]
pub(crate) struct ModuleCache(Mutex<HashMap<(usize, usize), Weak<Inner>>>);

/// An image, loaded on a device. Clones share it; an image is loaded once as long as somebody holds
/// its module.
#[derive(Clone)]
pub struct Module {
    inner: Arc<Inner>,
}

struct Inner {
    device: Device,
    handle: CUmodule,
    image: Image,
}

// SAFETY: a module belongs to the context, not to a thread, and is unloaded once.
unsafe impl Send for Inner {}
// SAFETY: as above; looking functions up is thread-safe.
unsafe impl Sync for Inner {}

impl Module {
    /// Loads the best image for the device, or shares it if it is loaded.
    ///
    /// # Errors
    /// Unsupported, with what there is and what the device is, if none fits; what the driver says,
    /// with its compiler's log for PTX.
    pub fn load(device: &Device, images: &[Image], allow_jit: bool) -> Result<Self> {
        let image = select_image(images, device.capability(), allow_jit)?;
        let key = (image.bytes.as_ptr() as usize, image.bytes.len());
        // Loading under the lock: a second caller waits for the first instead of loading again.
        let mut loaded = device.modules().0.lock();
        if let Some(inner) = loaded.get(&key).and_then(Weak::upgrade) {
            return Ok(Self { inner });
        }
        let handle = match image.kind {
            ImageKind::Cubin => load_binary(device, image),
            ImageKind::Ptx => load_ptx(device, image),
        }
        .map_err(|error| error.about(image))?;
        let inner = Arc::new(Inner { device: device.clone(), handle, image: *image });
        loaded.retain(|_, module| module.strong_count() > 0);
        loaded.insert(key, Arc::downgrade(&inner));
        Ok(Self { inner })
    }

    /// The image that was chosen.
    pub fn image(&self) -> Image {
        self.inner.image
    }

    /// A kernel by its (unmangled) name.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] if the image has none of the name; what the driver says.
    pub fn function(&self, name: &str) -> Result<Function> {
        let symbol = CString::new(name)
            .map_err(|_| CudaError::Misuse(format!("{name:?} is no kernel's name")))?;
        let device = &self.inner.device;
        let mut handle: CUfunction = std::ptr::null_mut();
        // SAFETY: the name ends with a zero, the module is loaded as long as `self`.
        unsafe {
            driver_call!(device, module_function(&mut handle, self.inner.handle, symbol.as_ptr()))
        }
        .map_err(|error| error.about(format_args!("kernel {name} in {}", self.inner.image)))?;
        Function::new(self.clone(), handle, name)
    }
}

fn load_binary(device: &Device, image: &Image) -> Result<CUmodule> {
    let mut handle: CUmodule = std::ptr::null_mut();
    // SAFETY: the image is a complete cubin or fat binary, whose header tells its length.
    unsafe { driver_call!(device, module_load(&mut handle, image.bytes.as_ptr().cast())) }?;
    Ok(handle)
}

fn load_ptx(device: &Device, image: &Image) -> Result<CUmodule> {
    let mut text = image.bytes.to_vec();
    if text.last() != Some(&0) {
        text.push(0);
    }
    let mut log = vec![0u8; LOG_BYTES];
    let mut options = [JIT_ERROR_LOG_BUFFER, JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    // The driver takes the size as the value of a pointer.
    let mut values =
        [log.as_mut_ptr().cast::<c_void>(), std::ptr::without_provenance_mut(LOG_BYTES)];
    let mut handle: CUmodule = std::ptr::null_mut();
    // SAFETY: the text ends with a zero; two options with two values, whose buffer outlives the call.
    let result = unsafe {
        driver_call!(
            device,
            module_load_jit(
                &mut handle,
                text.as_ptr().cast(),
                2,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        )
    };
    result.map_err(|error| {
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        let said = String::from_utf8_lossy(&log[..end]);
        error.about(format_args!("{image}: {}", said.trim()))
    })?;
    Ok(handle)
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(api) = self.device.enter_to_release() else { return };
        // SAFETY: unloaded once. The driver waits for kernels of it that still run.
        let code = unsafe { (api.module_unload.call)(self.handle) };
        self.device.take_quietly(api.module_unload.name, code);
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {:?}", self.inner.image, self.inner.device)
    }
}
