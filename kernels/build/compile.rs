//! Source to fat binary: one cubin per architecture, PTX for what comes later.

use std::ffi::OsString;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::find::Nvcc;
use crate::sources::{Fnv, Source};
use crate::{Result, pool, read, write};

/// Compute capabilities that get machine code: Turing, Ampere (and Ada, which runs 8.0's), Hopper,
/// Blackwell in data centres and in workstations.
pub(crate) const ARCHITECTURES: [u32; 5] = [75, 80, 90, 100, 120];

/// The architecture of the PTX, which the driver compiles for GPUs newer than all of the above.
const PTX: u32 = 75;

/// `-fmad=false`: a fused multiply-add differs from the CPU in the last bit (docs/design, exactness).
/// `-lineinfo`: profilers and the driver's error reports name source lines; costs no speed.
const FLAGS: [&str; 11] = [
    "-O3",
    "-fmad=false",
    "--std=c++17",
    "-lineinfo",
    "-Werror",
    "all-warnings",
    "-Xptxas",
    "-v",
    "--ptxas-options=--warning-as-error",
    "-I",
    "include",
];

/// What a source became.
pub(crate) struct Object {
    /// `<operator>/<name>`.
    pub(crate) name: String,
    /// The fat binary.
    pub(crate) image: PathBuf,
    /// Per architecture: the cubin and what ptxas said about its kernels.
    pub(crate) parts: Vec<(u32, PathBuf, String)>,
}

/// Compiles what changed; jobs are (source, architecture) pairs.
pub(crate) fn all(nvcc: &Nvcc, package: &Path, out: &Path, sources: &[Source]) -> Result<Vec<Object>> {
    let mut jobs: Vec<Box<dyn FnOnce() -> Result<()> + Send>> = Vec::new();
    for source in sources {
        let folder = out.join(source.path.parent().unwrap_or(Path::new("")));
        std::fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        for kind in ARCHITECTURES.iter().map(|arch| Kind::Cubin(*arch)).chain([Kind::Ptx]) {
            jobs.push(Box::new(move || compile(nvcc, package, out, source, kind)));
        }
    }
    pool::run(jobs, pool::threads())?;
    sources.iter().map(|source| link(nvcc, out, source)).collect()
}

#[derive(Clone, Copy)]
enum Kind {
    Cubin(u32),
    Ptx,
}

impl Kind {
    fn suffix(self) -> String {
        match self {
            Kind::Cubin(arch) => format!("sm_{arch}.cubin"),
            Kind::Ptx => format!("compute_{PTX}.ptx"),
        }
    }
}

/// Where one part of a source goes.
fn part(out: &Path, source: &Source, suffix: &str) -> PathBuf {
    out.join(format!("{}.{suffix}", source.name))
}

fn key(nvcc: &Nvcc, source: &Source, suffix: &str) -> String {
    let mut hasher = Fnv(source.hash);
    (nvcc.version.as_str(), FLAGS, suffix).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Compiles one part unless the stamp beside it says that nothing changed. nvcc's messages go to a
/// log beside it; the stamp is written last, so a broken build is never taken for a finished one.
fn compile(nvcc: &Nvcc, package: &Path, out: &Path, source: &Source, kind: Kind) -> Result<()> {
    let suffix = kind.suffix();
    let target = part(out, source, &suffix);
    let stamp = part(out, source, &format!("{suffix}.stamp"));
    let key = key(nvcc, source, &suffix);
    if target.exists() && read(&stamp).is_ok_and(|old| old == key) {
        return Ok(());
    }
    let mut arguments: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
    match kind {
        Kind::Cubin(arch) => arguments
            .extend(["-cubin".into(), "-gencode".into(), format!("arch=compute_{arch},code=sm_{arch}").into()]),
        Kind::Ptx => arguments.extend(["-ptx".into(), format!("-arch=compute_{PTX}").into()]),
    }
    arguments.extend(["-o".into(), target.into(), source.path.clone().into()]);
    let log = run(&nvcc.path, package, &arguments)?;
    write(&part(out, source, &format!("{suffix}.log")), log)?;
    write(&stamp, key)
}

/// Packs the parts of a source into one compressed fat binary, from which the driver picks.
fn link(nvcc: &Nvcc, out: &Path, source: &Source) -> Result<Object> {
    let image = part(out, source, "fatbin");
    let stamp = part(out, source, "fatbin.stamp");
    let key = key(nvcc, source, "fatbin");
    let mut parts = Vec::new();
    let mut arguments: Vec<OsString> =
        ["-64", "--compress-all", "--compress-mode=size", "--create"].iter().map(OsString::from).collect();
    arguments.push(image.clone().into());
    for arch in ARCHITECTURES {
        let suffix = Kind::Cubin(arch).suffix();
        let cubin = part(out, source, &suffix);
        arguments.push(format!("--image3=kind=elf,sm={arch},file={}", cubin.display()).into());
        parts.push((arch, cubin, read(&part(out, source, &format!("{suffix}.log")))?));
    }
    let ptx = part(out, source, &Kind::Ptx.suffix());
    arguments.push(format!("--image3=kind=ptx,sm={PTX},file={}", ptx.display()).into());
    if !(image.exists() && read(&stamp).is_ok_and(|old| old == key)) {
        run(&nvcc.tool("fatbinary"), out, &arguments)?;
        write(&stamp, key)?;
    }
    Ok(Object { name: source.name.clone(), image, parts })
}

/// Runs a tool and returns what it wrote to stderr.
fn run(tool: &Path, folder: &Path, arguments: &[OsString]) -> Result<String> {
    let run = Command::new(tool)
        .args(arguments)
        .current_dir(folder)
        .output()
        .map_err(|e| format!("cannot run {}: {e}", tool.display()))?;
    let log = String::from_utf8_lossy(&run.stderr).into_owned();
    if run.status.success() {
        return Ok(log);
    }
    // ptxas's statistics would hide the errors.
    let errors: Vec<&str> = log.lines().filter(|line| !line.starts_with("ptxas info")).collect();
    Err(format!("{} {arguments:?}:\n{}", tool.display(), errors.join("\n")))
}
