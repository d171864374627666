//! The kernel sources, and what each depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use crate::{Result, read};

/// One `<operator>/<name>.cu`.
pub(crate) struct Source {
    /// `<operator>/<name>`, the image's name.
    pub(crate) name: String,
    /// Relative to the package, so that no machine's paths get into line tables.
    pub(crate) path: PathBuf,
    /// Of the text of the source and of every header that it reaches.
    pub(crate) hash: u64,
}

/// Folders of the package that hold no kernels.
const OTHERS: [&str; 4] = ["build", "include", "src", "tests"];

/// Every kernel source, in order of names.
pub(crate) fn all(package: &Path) -> Result<Vec<Source>> {
    let mut found = BTreeMap::new();
    for folder in entries(package)? {
        let operator = file_name(&folder);
        if !folder.is_dir() || OTHERS.contains(&operator.as_str()) || operator.starts_with('.') {
            continue;
        }
        println!("cargo::rerun-if-changed={operator}");
        for file in entries(&folder)? {
            if file.extension().is_some_and(|e| e == "cu") {
                let stem =
                    file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
                found.insert(
                    format!("{operator}/{stem}"),
                    PathBuf::from(format!("{operator}/{stem}.cu")),
                );
            }
        }
    }
    found
        .into_iter()
        .map(|(name, path)| {
            let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
            let mut seen = BTreeSet::new();
            hash_file(package, &path, &mut seen, &mut hasher)?;
            Ok(Source { name, path, hash: hasher.finish() })
        })
        .collect()
}

/// Hashes a file and, depth first, the headers that it names in quotes.
fn hash_file(
    package: &Path,
    path: &Path,
    seen: &mut BTreeSet<PathBuf>,
    hasher: &mut Fnv,
) -> Result<()> {
    if !seen.insert(path.to_owned()) {
        return Ok(());
    }
    let text = read(&package.join(path))?;
    text.hash(hasher);
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix("#include \"") else { continue };
        let Some((header, _)) = rest.split_once('"') else { continue };
        let beside = path.parent().unwrap_or(Path::new("")).join(header);
        let shared = Path::new("include").join(header);
        if package.join(&beside).exists() {
            hash_file(package, &beside, seen, hasher)?;
        } else if package.join(&shared).exists() {
            hash_file(package, &shared, seen, hasher)?;
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |e: std::io::Error| format!("cannot list {}: {e}", folder.display());
    std::fs::read_dir(folder)
        .map_err(failed)?
        .map(|e| e.map(|e| e.path()).map_err(failed))
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// FNV-1a: the same on every machine and version, unlike the standard library's hasher.
pub(crate) struct Fnv(pub(crate) u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
