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
        format!("static IMAGE_TABLE: &[Image] = &[];\nconst MISSING: Option<&str> = Some({why:?});\n"),
    )?;
    write_file(&out.join("resources.txt"), "")
}

/// One row per fat binary, with the kernels that ptxas found in it.
pub(crate) fn write(out: &Path, nvcc: &Nvcc, objects: &[Object]) -> Result<()> {
    let mut text = String::from("static IMAGE_TABLE: &[Image] = &[\n");
    for object in objects {
        let kernels = resources::kernels(object)?;
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "    Image {{ name: {:?}, kernels: &{kernels:?}, bytes: &Aligned(*include_bytes!({:?})).0 }},",
            object.name,
            object.image.display().to_string(),
        );
    }
    text.push_str("];\nconst MISSING: Option<&str> = None;\n");
    write_file(&out.join("images.rs"), text)?;
    write_file(&out.join("nvcc.txt"), nvcc.path.display().to_string())
}
