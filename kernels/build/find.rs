//! Where nvcc is: named by the environment, installed by `scripts/install-nvcc`, or on the PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Result, write};

/// The newest CUDA that the oldest supported driver (580) loads PTX of.
const NEWEST: (u32, u32) = (13, 0);

/// A compiler that was tried and works.
pub(crate) struct Nvcc {
    /// Its path.
    pub(crate) path: PathBuf,
    /// What it says about itself: part of every cache key.
    pub(crate) version: String,
}

impl Nvcc {
    /// Another program of the same toolkit.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }
}

/// What the search gave.
pub(crate) enum Found {
    Compiler(Nvcc),
    /// Why there is none, in a sentence.
    Nothing(String),
}

/// Looks for nvcc: STAFFA_NVCC, CUDA_HOME, `scripts/install-nvcc`'s folder, PATH; a path that the
/// environment names must work. PATH comes last because its compiler may be of any version.
pub(crate) fn nvcc(package: &Path, out: &Path) -> Result<Found> {
    if is_set("STAFFA_NO_NVCC") {
        return Ok(Found::Nothing("STAFFA_NO_NVCC is set".into()));
    }
    if let Some(path) = std::env::var_os("STAFFA_NVCC") {
        return try_compiler(PathBuf::from(path)).map(Found::Compiler);
    }
    if let Some(home) = std::env::var_os("CUDA_HOME") {
        return try_compiler(Path::new(&home).join("bin/nvcc")).map(Found::Compiler);
    }
    let folder = install_folder(out);
    if is_set("STAFFA_INSTALL_NVCC") {
        install(package, &folder)?;
    }
    watch(&folder)?;
    let installed = folder.join("cu13/bin/nvcc");
    if installed.exists() {
        return try_compiler(installed).map(Found::Compiler);
    }
    let on_path = std::env::var_os("PATH").and_then(|path| {
        std::env::split_paths(&path).map(|dir| dir.join("nvcc")).find(|nvcc| nvcc.is_file())
    });
    match on_path.map(try_compiler) {
        Some(Ok(nvcc)) => Ok(Found::Compiler(nvcc)),
        Some(Err(why)) => Ok(Found::Nothing(why)),
        None => Ok(Found::Nothing(
            "nvcc was not found on the PATH, under CUDA_HOME or in cargo's target folder; run scripts/install-nvcc \
             (or build with STAFFA_INSTALL_NVCC=1)"
                .into(),
        )),
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value != "0" && !value.is_empty())
}

/// `nvcc-13.0` in cargo's target folder: OUT_DIR is `<target>/<profile>/build/<package>/out`, with a
/// folder for the target triple above the profile when one is named.
fn install_folder(out: &Path) -> PathBuf {
    if let Some(folder) = std::env::var_os("STAFFA_NVCC_DIR") {
        return PathBuf::from(folder);
    }
    let is_target =
        |dir: &&Path| dir.join("CACHEDIR.TAG").exists() || dir.join("nvcc-13.0").exists();
    let target = out
        .ancestors()
        .skip(4)
        .take(2)
        .find(is_target)
        .or_else(|| out.ancestors().nth(4))
        .unwrap_or(out);
    target.join("nvcc-13.0")
}

/// Makes cargo run this script again once `scripts/install-nvcc` has run. The watched file must
/// exist: cargo takes a missing one for changed, and would rebuild everything above each time.
fn watch(folder: &Path) -> Result<()> {
    let state = folder.join("state");
    if !state.exists() {
        std::fs::create_dir_all(folder)
            .map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        write(&state, "absent\n")?;
    }
    println!("cargo::rerun-if-changed={}", state.display());
    Ok(())
}

fn install(package: &Path, folder: &Path) -> Result<()> {
    let script = package.join("../scripts/install-nvcc");
    let status = Command::new(&script)
        .env("STAFFA_NVCC_DIR", folder)
        .status()
        .map_err(|e| format!("cannot run {}: {e}", script.display()))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed", script.display())) }
}

/// Asks a compiler for its version; an older or newer toolkit than 13.0 is refused.
fn try_compiler(path: PathBuf) -> Result<Nvcc> {
    let run = Command::new(&path)
        .arg("--version")
        .output()
        .map_err(|e| format!("cannot run nvcc at {}: {e}", path.display()))?;
    let version = String::from_utf8_lossy(&run.stdout).into_owned();
    let release = version
        .split_once("release ")
        .and_then(|(_, rest)| rest.split_once(','))
        .and_then(|(number, _)| number.split_once('.'))
        .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    match release {
        Some(release) if release == NEWEST => Ok(Nvcc { path, version }),
        Some((major, minor)) => Err(format!(
            "{} is CUDA {major}.{minor}; the kernels are built with 13.0, whose code driver 580 loads \
             (scripts/install-nvcc installs it)",
            path.display()
        )),
        None => Err(format!("{} did not say its version", path.display())),
    }
}
