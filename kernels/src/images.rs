//! The kernels' machine code, as the build made it.

use std::fmt;

/// The fat binary of one source file.
#[derive(Clone, Copy)]
pub struct Image {
    /// `<operator>/<file>`, e.g. `parquet/levels`.
    pub name: &'static str,
    /// Symbols of the kernels in it.
    pub kernels: &'static [&'static str],
    /// What the driver loads, aligned to 16 bytes: machine code for compute capability 7.5, 8.0, 9.0,
    /// 10.0 and 12.0, and PTX for later ones, compressed.
    pub bytes: &'static [u8],
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} kernels, {} bytes)", self.name, self.kernels.len(), self.bytes.len())
    }
}

/// Every image of this build; empty when it was built without nvcc.
pub static IMAGES: &[Image] = IMAGE_TABLE;

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

/// The image of this name.
pub fn image(name: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.name == name)
}

/// The driver reads the ELF headers in place.
#[repr(C, align(16))]
#[cfg_attr(not(staffa_kernels), expect(dead_code, reason = "an empty table has no bytes to align"))]
struct Aligned<T>(T);

include!(concat!(env!("OUT_DIR"), "/images.rs"));
