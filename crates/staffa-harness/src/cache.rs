//! The folder that keeps generated data between runs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use datafusion::common::{DataFusionError, Result};

/// One generation at a time in this process: it takes all cores, and the temporary name is the
/// process's.
static GENERATING: Mutex<()> = Mutex::new(());

/// A temporary folder of a broken run is removed after this time.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where generated data is kept: `STAFFA_DATA_DIR`, else `staffa-data` in the target folder of the
/// workspace around the current folder, else `target/staffa-data` below the current folder.
pub fn data_dir() -> PathBuf {
    if let Some(folder) = std::env::var_os("STAFFA_DATA_DIR") {
        return PathBuf::from(folder);
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || {
            let here = std::env::current_dir().unwrap_or_default();
            let root = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
            root.unwrap_or(&here).join("target")
        },
        PathBuf::from,
    );
    target.join("staffa-data")
}

/// Refuses a scale that is no size.
///
/// # Errors
/// A scale that is not a positive number.
pub(crate) fn check_scale(scale: f64) -> Result<()> {
    if !scale.is_finite() || scale <= 0.0 {
        return Err(DataFusionError::Configuration(format!(
            "the scale must be a positive number, not {scale}"
        )));
    }
    Ok(())
}

/// The folder `name` below `data_dir`, filled by `write` if it is not there.
///
/// It is written under a temporary name and renamed when complete, so a broken run is never taken
/// for a finished one; two processes may do it at once.
///
/// # Errors
/// Whatever `write` raises, or an I/O error.
pub(crate) fn prepare(
    data_dir: &Path,
    name: &str,
    write: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = data_dir.join(name);
    let _guard = GENERATING.lock().unwrap_or_else(PoisonError::into_inner);
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(data_dir)?;
    remove_stale(data_dir, name);
    let temporary = Temporary(data_dir.join(format!("{name}.tmp-{}", std::process::id())));
    // Left by an earlier process with the same number.
    let _ = std::fs::remove_dir_all(&temporary.0);
    std::fs::create_dir_all(&temporary.0)?;
    write(&temporary.0)?;
    match std::fs::rename(&temporary.0, &folder) {
        // Another process was faster: its data is the same.
        Err(_) if folder.is_dir() => Ok(folder),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(folder),
    }
}

/// Removed when dropped; after a successful rename there is nothing left to remove.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Best effort: what cannot be read or removed stays.
fn remove_stale(data_dir: &Path, name: &str) {
    let prefix = format!("{name}.tmp-");
    let Ok(entries) = std::fs::read_dir(data_dir) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|file| file.starts_with(&prefix));
        let modified = entry.metadata().and_then(|data| data.modified());
        let age = modified.map(|time| SystemTime::now().duration_since(time).unwrap_or_default());
        if ours && age.is_ok_and(|age| age > STALE) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
