//! The folder that keeps generated data between runs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use datafusion::common::{DataFusionError, Result};

use super::generate::{Progress, write_tables};

/// Part of a data folder's name: changes with the generator (tpchgen 4.0) and with our file layout,
/// so that older data is never taken for the current one.
const DATA_VERSION: &str = "tpchgen4.0-r1";

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

/// The folder with all tables of `scale` below `data_dir`, made if it is not there.
///
/// The tables are written under a temporary name and renamed when complete, so a broken run is
/// never taken for a finished one; two processes may do it at once. Blocking, on all cores;
/// memory stays within one row group (about 100 MB) per core at any scale. `progress` is called
/// from several threads, and not at all when the data is there already.
///
/// # Errors
/// A scale that is not a positive number, or an I/O error.
pub fn prepare(
    data_dir: &Path,
    scale: f64,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<PathBuf> {
    if !scale.is_finite() || scale <= 0.0 {
        return Err(DataFusionError::Configuration(format!(
            "the scale must be a positive number, not {scale}"
        )));
    }
    let name = format!("tpch-sf{scale}-{DATA_VERSION}");
    let folder = data_dir.join(&name);
    let _guard = GENERATING.lock().unwrap_or_else(PoisonError::into_inner);
    if folder.is_dir() {
        return Ok(folder);
    }
    std::fs::create_dir_all(data_dir)?;
    remove_stale(data_dir, &name);
    let temporary = Temporary(data_dir.join(format!("{name}.tmp-{}", std::process::id())));
    // Left by an earlier process with the same number.
    let _ = std::fs::remove_dir_all(&temporary.0);
    std::fs::create_dir_all(&temporary.0)?;
    write_tables(&temporary.0, scale, progress)?;
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
