//! The table of images, as Rust source that the library includes.

use std::fmt::Write as _;
use std::path::Path;

use crate::compile::Object;
use crate::find::Nvcc;
use crate::{Result, resources, write as write_file};

/// An empty table and the reason.
pub(crate) fn write_empty(out: &Path, why: &str) -> Result<()> {
    write_file(
        &out.join("images.rs"),
        format!(
            "static IMAGE_TABLE: &[Module] = &[];\nconst MISSING: Option<&str> = Some({why:?});\n"
        ),
    )?;
    write_file(&out.join("resources.txt"), "")
}

/// One row per source, with the kernels that ptxas found in it and an image per architecture.
pub(crate) fn write(out: &Path, nvcc: &Nvcc, objects: &[Object]) -> Result<()> {
    let mut text = String::from("static IMAGE_TABLE: &[Module] = &[\n");
    for object in objects {
        let kernels = resources::kernels(object)?;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "    Module {{ name: {:?}, kernels: &{kernels:?}, images: &[",
            object.name
        );
        for part in &object.parts {
            let kind = if part.ptx { "Ptx" } else { "Cubin" };
            let path = part.image.display().to_string();
            let _ = writeln!(
                text,
                "        Image {{ arch: {}, kind: ImageKind::{kind}, bytes: &Aligned(*include_bytes!({path:?})).0 }},",
                part.arch
            );
        }
        text.push_str("    ] },\n");
    }
    text.push_str("];\nconst MISSING: Option<&str> = None;\n");
    write_file(&out.join("images.rs"), text)?;
    write_file(&out.join("nvcc.txt"), nvcc.path.display().to_string())
}
