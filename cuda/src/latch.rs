//! The fault latch of a device.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{CudaError, Result};
use crate::fault::DriverFault;

/// Remembers that a device's context is gone, and the fault that ended it.
///
/// It lives as long as the process, not as the context: after such a fault the driver refuses new
/// contexts on the device too, until the process ends (CUDA driver API, error 700 and its kin).
pub(crate) struct Latch {
    ordinal: u32,
    /// 0 while the context lives. Checked before every call, so it is one load.
    code: AtomicU32,
    first: OnceLock<DriverFault>,
}

impl Latch {
    pub(crate) fn new(ordinal: u32) -> Self {
        Self { ordinal, code: AtomicU32::new(0), first: OnceLock::new() }
    }

    /// The fault that ended the context, if one did.
    pub(crate) fn first(&self) -> Option<DriverFault> {
        if self.code.load(Ordering::Acquire) == 0 { None } else { self.first.get().copied() }
    }

    /// An error once the context is gone.
    pub(crate) fn check(&self) -> Result<()> {
        match self.first() {
            None => Ok(()),
            Some(first) => Err(CudaError::Lost { ordinal: self.ordinal, first }),
        }
    }

    /// Turns what the driver answered into a result, and remembers a fault that ends the context.
    pub(crate) fn take(&self, call: &'static str, code: u32) -> Result<()> {
        let Err(fault) = DriverFault::check(call, code) else { return Ok(()) };
        if !fault.ends_context() {
            return Err(CudaError::Driver { fault, detail: None });
        }
        // `first` is set before `code` is published, so whoever sees the code finds the fault.
        let first = *self.first.get_or_init(|| fault);
        self.code.store(first.code(), Ordering::Release);
        Err(CudaError::Lost { ordinal: self.ordinal, first })
    }
}

#[cfg(test)]
mod tests {
    use staffa_common::FaultClass;

    use super::*;

    #[test]
    fn a_failed_call_does_not_trip_it() {
        let latch = Latch::new(0);
        assert!(latch.take("cuA", 0).is_ok());
        assert_eq!(latch.take("cuA", 2).unwrap_err().class(), FaultClass::OutOfMemory);
        assert!(latch.check().is_ok());
    }

    #[test]
    fn the_first_lost_context_is_what_everybody_hears_of() {
        let latch = Latch::new(3);
        let first = latch.take("cuLaunchKernel", 700).unwrap_err();
        assert_eq!(first.class(), FaultClass::ContextLost);
        let second = latch.take("cuMemFreeAsync", 719).unwrap_err();
        for error in [second, latch.check().unwrap_err()] {
            assert_eq!(error.fault().unwrap().code(), 700);
            assert_eq!(error.fault().unwrap().call(), "cuLaunchKernel");
            assert!(error.to_string().starts_with("gpu:3 lost its context"), "{error}");
        }
    }

    #[test]
    fn threads_agree_on_the_first_fault() {
        let latch = Latch::new(0);
        let heard: Vec<u32> = std::thread::scope(|scope| {
            let codes = [700, 714, 716, 719].map(|code| {
                let latch = &latch;
                scope.spawn(move || latch.take("cuX", code).unwrap_err().fault().unwrap().code())
            });
            codes.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(heard.iter().all(|&code| code == heard[0]), "{heard:?}");
    }
}
