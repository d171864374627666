//! Where the files are, and the folder they run in.

use std::fs;
use std::path::{Path, PathBuf};

use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use tempfile::TempDir;

use super::standin;

/// Two levels below the root, so that `../../testing` of the files stays inside it.
const INSIDE: &str = "datafusion/sqllogictest";

/// A folder laid out as the files expect their working directory: `test_files` (links to the
/// package's files beside a `scratch` of our own) and `data`, and stand-ins for the data sets
/// that only DataFusion's repository has.
pub struct Workplace {
    root: TempDir,
}

impl Workplace {
    /// Lays the folder out from the package's copy in the cargo registry.
    ///
    /// # Errors
    /// A registry without the package, or a disk that cannot be written.
    pub fn new() -> Result<Self> {
        let package = package()?;
        let workplace = Self { root: tempfile::tempdir()? };
        let inside = workplace.folder();
        fs::create_dir_all(inside.join("test_files/scratch"))?;
        for entry in fs::read_dir(package.join("test_files"))? {
            let entry = entry?;
            if entry.file_name() != "scratch" {
                link(&entry.path(), &inside.join("test_files").join(entry.file_name()))?;
            }
        }
        link(&package.join("data"), &inside.join("data"))?;
        standin::write(workplace.root.path())?;
        Ok(workplace)
    }

    /// The folder that must be the process's working directory while files run.
    pub fn folder(&self) -> PathBuf {
        self.root.path().join(INSIDE)
    }

    /// Every .slt file, relative to `test_files`, sorted.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub fn files(&self) -> Result<Vec<PathBuf>> {
        let base = self.folder().join("test_files");
        let mut files = Vec::new();
        visit(&base, &mut files)?;
        let mut files: Vec<PathBuf> = files
            .iter()
            .filter_map(|f| f.strip_prefix(&base).ok().map(Path::to_path_buf))
            .collect();
        files.retain(|f| !f.starts_with("scratch"));
        files.sort();
        Ok(files)
    }

    /// Empties the scratch folder of `file`, so that one engine does not read what another wrote.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn clear_scratch(&self, file: &Path) -> Result<()> {
        let stem = file.file_stem().unwrap_or_default();
        let scratch = self.folder().join("test_files/scratch").join(stem);
        if scratch.exists() {
            fs::remove_dir_all(&scratch)?;
        }
        fs::create_dir_all(scratch)?;
        Ok(())
    }
}

/// Our own .slt files in `folder`, sorted.
///
/// # Errors
/// A folder that cannot be read.
pub fn own_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    visit(folder, &mut files)?;
    files.sort();
    Ok(files)
}

fn visit(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            visit(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "slt") {
            files.push(path);
        }
    }
    Ok(())
}

/// The package's folder in the cargo registry, of the version that this workspace locks.
fn package() -> Result<PathBuf> {
    let version = locked_version("datafusion-sqllogictest")?;
    let home = match (std::env::var_os("CARGO_HOME"), std::env::var_os("HOME")) {
        (Some(home), _) => PathBuf::from(home),
        (None, Some(home)) => PathBuf::from(home).join(".cargo"),
        (None, None) => return Err(exec_datafusion_err!("neither CARGO_HOME nor HOME is set")),
    };
    let sources = home.join("registry/src");
    for registry in fs::read_dir(&sources)? {
        let package = registry?.path().join(format!("datafusion-sqllogictest-{version}"));
        if package.join("test_files").is_dir() {
            return Ok(package);
        }
    }
    Err(exec_datafusion_err!("no datafusion-sqllogictest-{version} under {}", sources.display()))
}

fn locked_version(name: &str) -> Result<String> {
    let start = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let lock = start.ancestors().map(|a| a.join("Cargo.lock")).find(|f| f.is_file());
    let lock =
        lock.ok_or_else(|| exec_datafusion_err!("no Cargo.lock above {}", start.display()))?;
    let text = fs::read_to_string(lock)?;
    let after = text.split_once(&format!("name = \"{name}\"\nversion = \""));
    let version = after.and_then(|(_, rest)| rest.split('"').next());
    version.map(str::to_string).ok_or_else(|| exec_datafusion_err!("{name} is not locked"))
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> Result<()> {
    std::os::unix::fs::symlink(from, to).map_err(DataFusionError::from)
}

#[cfg(not(unix))]
fn link(from: &Path, to: &Path) -> Result<()> {
    // Without symbolic links, copy; the files are a few megabytes.
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            link(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    fs::copy(from, to).map(|_| ()).map_err(DataFusionError::from)
}
