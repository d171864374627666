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
/// Machine code also gets `-lineinfo`: profilers and the driver's error reports name source lines;
/// costs no speed.
const FLAGS: [&str; 10] = [
    "-O3",
    "-fmad=false",
    "--std=c++17",
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
    /// One per architecture, then the PTX.
    pub(crate) parts: Vec<Part>,
}

/// A source, compiled for one architecture.
pub(crate) struct Part {
    /// The number in `sm_90` or `compute_75`.
    pub(crate) arch: u32,
    /// Whether it is PTX.
    pub(crate) ptx: bool,
    /// The compressed fat binary with this part alone.
    pub(crate) image: PathBuf,
    /// What ptxas said about its kernels; nothing for PTX.
    pub(crate) log: String,
}

/// Compiles what changed; jobs are (source, architecture) pairs.
pub(crate) fn all(
    nvcc: &Nvcc,
    package: &Path,
    out: &Path,
    sources: &[Source],
) -> Result<Vec<Object>> {
    let builds = other_builds(out);
    let builds = builds.as_slice();
    let mut jobs: Vec<Box<dyn FnOnce() -> Result<()> + Send>> = Vec::new();
    for source in sources {
        let folder = out.join(source.path.parent().unwrap_or(Path::new("")));
        std::fs::create_dir_all(&folder)
            .map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
        for kind in kinds() {
            jobs.push(Box::new(move || compile(nvcc, package, (out, builds), source, kind)));
        }
    }
    pool::run(jobs, pool::threads())?;
    sources.iter().map(|source| object(out, source)).collect()
}

fn kinds() -> impl Iterator<Item = Kind> {
    ARCHITECTURES.into_iter().map(Kind::Cubin).chain([Kind::Ptx])
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

/// Where this package was built before in the same target folder: for another profile, or for checks. Kernels are the
/// same in all of them, and take minutes.
fn other_builds(out: &Path) -> Vec<PathBuf> {
    // `<target>/<profile>/build/<package>-<hash>/out`
    let Some(target) = out.ancestors().nth(4) else { return Vec::new() };
    let folders = |of: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(of).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let packages = folders(target).into_iter().flat_map(|profile| folders(&profile.join("build")));
    let ours = |folder: &PathBuf| {
        folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PACKAGE))
    };
    packages.filter(ours).map(|folder| folder.join("out")).filter(|other| other != out).collect()
}

/// What cargo calls the package's folders.
const PACKAGE: &str = concat!(env!("CARGO_PKG_NAME"), "-");

/// Copies one part from another build of the same key, if there is one that is finished.
fn copy(builds: &[PathBuf], out: &Path, source: &Source, suffix: &str, key: &str) -> bool {
    let stamp = format!("{suffix}.stamp");
    let same = |other: &&PathBuf| read(&part(other, source, &stamp)).is_ok_and(|old| old == key);
    builds.iter().filter(same).any(|other| {
        let suffixes = [suffix, &format!("{suffix}.log"), &format!("{suffix}.fatbin")];
        let copied = suffixes.iter().all(|suffix| {
            std::fs::copy(part(other, source, suffix), part(out, source, suffix)).is_ok()
        });
        // Nobody has begun to build it anew meanwhile.
        copied && same(&other) && write(&part(out, source, &stamp), key).is_ok()
    })
}

/// Compiles one part unless the stamp beside it, or that of another build, says that nothing changed. nvcc's messages
/// go to a log beside it; the stamp is written last, so a broken build is never taken for a finished one.
fn compile(
    nvcc: &Nvcc,
    package: &Path,
    (out, builds): (&Path, &[PathBuf]),
    source: &Source,
    kind: Kind,
) -> Result<()> {
    let suffix = kind.suffix();
    let target = part(out, source, &suffix);
    let stamp = part(out, source, &format!("{suffix}.stamp"));
    let key = key(nvcc, source, &suffix);
    if target.exists() && read(&stamp).is_ok_and(|old| old == key) {
        return Ok(());
    }
    let _ = std::fs::remove_file(&stamp);
    if copy(builds, out, source, &suffix, &key) {
        return Ok(());
    }
    let mut arguments: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
    match kind {
        Kind::Cubin(arch) => arguments.extend([
            "-cubin".into(),
            "-lineinfo".into(),
            "-gencode".into(),
            format!("arch=compute_{arch},code=sm_{arch}").into(),
        ]),
        Kind::Ptx => arguments.extend(["-ptx".into(), format!("-arch=compute_{PTX}").into()]),
    }
    arguments.extend(["-o".into(), target.clone().into(), source.path.clone().into()]);
    let log = run(&nvcc.path, package, &arguments)?;
    write(&part(out, source, &format!("{suffix}.log")), log)?;
    compress(nvcc, package, kind, &target, &part(out, source, &format!("{suffix}.fatbin")))?;
    write(&stamp, key)
}

/// A fat binary with one part, compressed by NVIDIA's own tool: the driver unpacks it when it loads.
fn compress(nvcc: &Nvcc, folder: &Path, kind: Kind, from: &Path, to: &Path) -> Result<()> {
    let image = match kind {
        Kind::Cubin(arch) => format!("--image3=kind=elf,sm={arch},file={}", from.display()),
        Kind::Ptx => format!("--image3=kind=ptx,sm={PTX},file={}", from.display()),
    };
    let mut arguments: Vec<OsString> =
        ["-64", "--compress-all", "--compress-mode=size", "--create"]
            .iter()
            .map(OsString::from)
            .collect();
    arguments.extend([to.into(), image.into()]);
    run(&nvcc.tool("fatbinary"), folder, &arguments).map(|_| ())
}

/// Gathers the parts of a source.
fn object(out: &Path, source: &Source) -> Result<Object> {
    let parts = kinds().map(|kind| {
        let suffix = kind.suffix();
        let (arch, ptx) = match kind {
            Kind::Cubin(arch) => (arch, false),
            Kind::Ptx => (PTX, true),
        };
        let log = read(&part(out, source, &format!("{suffix}.log")))?;
        Ok(Part { arch, ptx, image: part(out, source, &format!("{suffix}.fatbin")), log })
    });
    Ok(Object { name: source.name.clone(), parts: parts.collect::<Result<_>>()? })
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
