//! Compiles the CUDA kernels ahead of time and writes the table of images that the library embeds.
//!
//! Every `<operator>/*.cu` becomes one fat binary: machine code for each architecture of
//! [`compile::ARCHITECTURES`] and PTX for newer ones. Nothing is downloaded, unless
//! `STAFFA_INSTALL_NVCC=1` asks for it; without nvcc the package builds with an empty table and a
//! text that says why.
//!
//! Environment: `STAFFA_NVCC` (the compiler's path), `CUDA_HOME`, `STAFFA_NVCC_DIR` (where
//! `scripts/install-nvcc` put it), `STAFFA_INSTALL_NVCC=1`, `STAFFA_NO_NVCC=1` (build CPU-only),
//! `STAFFA_NVCC_JOBS` (compilers at a time, by default cargo's number of jobs).

mod compile;
mod find;
mod images;
mod pool;
mod resources;
mod sources;

use std::path::PathBuf;
use std::process::ExitCode;

/// Everything that can go wrong here ends in a message for whoever runs the build.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            println!("cargo::error=the CUDA kernels were not built; see above");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    println!("cargo::rustc-check-cfg=cfg(staffa_kernels)");
    let package = variable("CARGO_MANIFEST_DIR")?;
    let out = variable("OUT_DIR")?;
    for name in
        ["STAFFA_NVCC", "CUDA_HOME", "STAFFA_NVCC_DIR", "STAFFA_INSTALL_NVCC", "STAFFA_NO_NVCC"]
    {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=include");

    let sources = sources::all(&package)?;
    let nvcc = match find::nvcc(&package, &out)? {
        find::Found::Compiler(nvcc) => nvcc,
        find::Found::Nothing(why) => {
            println!("cargo::warning=building without CUDA kernels: {why}");
            return images::write_empty(&out, &why);
        }
    };
    let objects = compile::all(&nvcc, &package, &out, &sources)?;
    println!("cargo::rustc-cfg=staffa_kernels");
    images::write(&out, &nvcc, &objects)?;
    resources::write(&out, &objects)
}

/// A path that cargo hands to the build script.
fn variable(name: &str) -> Result<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("cargo did not set {name}"))
}

/// Reads a text file, naming it when that fails.
fn read(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

/// Writes a file, naming it when that fails.
fn write(path: &std::path::Path, text: impl AsRef<[u8]>) -> Result<()> {
    std::fs::write(path, text).map_err(|e| format!("cannot write {}: {e}", path.display()))
}
