//! The kernels' machine code, as the build made it.

use staffa_cuda::Image;
#[cfg(staffa_kernels)]
use staffa_cuda::ImageKind;

/// What one source file became: a driver module, for every architecture that the build knows.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// `<operator>/<file>`, e.g. `parquet/levels`.
    pub name: &'static str,
    /// Symbols of the kernels in it.
    pub kernels: &'static [&'static str],
    /// Machine code for compute capability 7.5, 8.0, 9.0, 10.0 and 12.0, and PTX for later ones; each a
    /// compressed fat binary.
    pub images: &'static [Image],
}

/// Every module of this build; empty when it was built without nvcc.
pub static MODULES: &[Module] = IMAGE_TABLE;

/// Whether this build has kernels.
///
/// # Errors
/// Why it has none, in a sentence that names the cure.
pub fn availability() -> Result<(), &'static str> {
    match MISSING {
        None => Ok(()),
        Some(why) => Err(why),
    }
}

/// The module of this name.
pub fn module(name: &str) -> Option<&'static Module> {
    MODULES.iter().find(|module| module.name == name)
}

/// The driver reads headers in place.
#[cfg(staffa_kernels)]
#[repr(C, align(16))]
struct Aligned<T>(T);

include!(concat!(env!("OUT_DIR"), "/images.rs"));
