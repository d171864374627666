//! Kernels of one device, loaded when they are first used.

use std::collections::HashMap;
use std::sync::Mutex;

use staffa_cuda::{CudaError, Device, Function, Module, Result};

use crate::images;

/// The kernels of a device. Make one per device and process: a module is loaded when a kernel of it is
/// first asked for (a few milliseconds; the driver unpacks it), and stays.
pub struct Kernels {
    device: Device,
    loaded: Mutex<Loaded>,
}

#[derive(Default)]
struct Loaded {
    modules: HashMap<&'static str, Module>,
    functions: HashMap<&'static str, Function>,
}

impl Kernels {
    /// No kernel is loaded yet.
    ///
    /// # Errors
    /// Unsupported if this build has no kernels.
    pub fn new(device: &Device) -> Result<Self> {
        images::availability().map_err(|why| {
            CudaError::Unsupported(format!("this build has no CUDA kernels: {why}"))
        })?;
        Ok(Self { device: device.clone(), loaded: Mutex::default() })
    }

    /// The device.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Loads every module of an operator (`parquet`), so that the first query does not wait for it.
    ///
    /// # Errors
    /// What the driver says; Unsupported if no image fits the device.
    pub fn preload(&self, operator: &str) -> Result<()> {
        for module in
            images::MODULES.iter().filter(|module| module.name.split('/').next() == Some(operator))
        {
            for kernel in module.kernels {
                self.function(module.name, kernel)?;
            }
        }
        Ok(())
    }

    /// A kernel by its module (`parquet/levels`) and symbol.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] if there is none of these names; what the driver says; Unsupported if no
    /// image fits the device.
    pub fn function(&self, module: &str, symbol: &str) -> Result<Function> {
        let unknown = || CudaError::Misuse(format!("there is no kernel {symbol} in {module}"));
        let known = images::module(module).ok_or_else(unknown)?;
        let symbol =
            known.kernels.iter().copied().find(|kernel| *kernel == symbol).ok_or_else(unknown)?;
        let mut loaded = match self.loaded.lock() {
            Ok(loaded) => loaded,
            // Both maps are only inserted into, so they hold whatever happened to another thread.
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(function) = loaded.functions.get(symbol) {
            return Ok(function.clone());
        }
        let module = match loaded.modules.get(known.name) {
            Some(module) => module.clone(),
            None => {
                // PTX is compiled only for a GPU that is newer than this build: once, and the driver caches it.
                let module = Module::load(&self.device, known.images, true)?;
                loaded.modules.insert(known.name, module.clone());
                module
            }
        };
        let function = module.function(symbol)?;
        loaded.functions.insert(symbol, function.clone());
        Ok(function)
    }
}
