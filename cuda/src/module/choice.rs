//! Which image a device runs.

use std::fmt;

use crate::error::{CudaError, Result};
use crate::limits::Capability;

/// How an image is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageKind {
    /// Machine code of one architecture, or a fat binary of it.
    Cubin,
    /// Assembly text, which the driver compiles (0.1 to several seconds a module).
    Ptx,
}

/// A compiled module in memory, usually embedded in the program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// What it was compiled for: the number in `sm_90` or `compute_90`.
    pub arch: u32,
    /// How it is encoded.
    pub kind: ImageKind,
    /// The image.
    pub bytes: &'static [u8],
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ImageKind::Cubin => "cubin",
            ImageKind::Ptx => "PTX",
        };
        write!(f, "{kind} for {}", Capability::from_sm(self.arch))
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}, {} bytes", self.bytes.len())
    }
}

/// The best image for a device: the newest machine code of its major version and not above its minor
/// one (the rule of binary compatibility), else, if the driver may compile, the newest PTX that is
/// not above it.
///
/// # Errors
/// Unsupported, listing what there is.
pub fn select_image(images: &[Image], device: Capability, allow_jit: bool) -> Result<&Image> {
    let newest = |fits: &dyn Fn(&Image) -> bool| {
        images.iter().filter(|image| fits(image)).max_by_key(|image| image.arch)
    };
    let binary = |image: &Image| {
        let arch = Capability::from_sm(image.arch);
        image.kind == ImageKind::Cubin && arch.major == device.major && arch.minor <= device.minor
    };
    let text =
        |image: &Image| image.kind == ImageKind::Ptx && Capability::from_sm(image.arch) <= device;
    if let Some(image) = newest(&binary) {
        return Ok(image);
    }
    let compilable = newest(&text);
    match compilable {
        Some(image) if allow_jit => Ok(image),
        _ => {
            let list: Vec<String> = images.iter().map(Image::to_string).collect();
            let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
            let hint = if compilable.is_some() { "; PTX is not compiled here" } else { "" };
            Err(CudaError::Unsupported(format!(
                "no kernel image runs on compute capability {device}; there are: {list}{hint}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use staffa_common::FaultClass;

    use super::*;

    const fn cubin(arch: u32) -> Image {
        Image { arch, kind: ImageKind::Cubin, bytes: b"cubin" }
    }

    const fn ptx(arch: u32) -> Image {
        Image { arch, kind: ImageKind::Ptx, bytes: b"ptx" }
    }

    const SHIPPED: [Image; 6] = [cubin(75), cubin(80), cubin(90), cubin(100), cubin(120), ptx(75)];

    fn chosen(images: &[Image], sm: u32, jit: bool) -> Option<Image> {
        select_image(images, Capability::from_sm(sm), jit).ok().copied()
    }

    #[test]
    fn machine_code_of_the_same_major_version_runs() {
        for (device, image) in
            [(75, 75), (80, 80), (86, 80), (89, 80), (90, 90), (100, 100), (103, 100), (121, 120)]
        {
            assert_eq!(chosen(&SHIPPED, device, false), Some(cubin(image)), "sm_{device}");
        }
        assert_eq!(chosen(&[cubin(80), cubin(86)], 89, false), Some(cubin(86)));
        assert_eq!(chosen(&[cubin(86), cubin(80)], 80, false), Some(cubin(80)));
    }

    #[test]
    fn other_devices_need_the_drivers_compiler() {
        assert_eq!(chosen(&SHIPPED, 110, true), Some(ptx(75)));
        assert_eq!(chosen(&SHIPPED, 110, false), None);
        assert_eq!(chosen(&[ptx(75), ptx(90), ptx(120)], 100, true), Some(ptx(90)));
        assert_eq!(chosen(&[ptx(120)], 90, true), None);
        // Machine code for a later minor version does not run.
        assert_eq!(chosen(&[cubin(86)], 80, true), None);
    }

    #[test]
    fn a_refusal_says_what_there_is() {
        let error = select_image(&SHIPPED[..3], Capability::from_sm(70), true).unwrap_err();
        assert_eq!(error.class(), FaultClass::Unsupported);
        assert_eq!(
            error.to_string(),
            "no kernel image runs on compute capability 7.0; there are: \
             cubin for 7.5, cubin for 8.0, cubin for 9.0"
        );
        let error = select_image(&[ptx(75)], Capability::from_sm(90), false).unwrap_err();
        assert!(error.to_string().ends_with("PTX for 7.5; PTX is not compiled here"), "{error}");
        assert!(select_image(&[], Capability::from_sm(90), true).is_err());
    }
}
