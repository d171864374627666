//! Files of this machine, read by the lane itself.
//!
//! The object store for local files hands each read to another thread, which copies into fresh memory
//! that it has zeroed before. Bytes that the operating system has in memory are copied by the lane, into
//! memory that was used before; only what has to come from a disk is left to a thread that may wait.
//! Any trouble (a file that is gone, shorter, or unreadable) leaves the read to DataFusion's reader, which
//! gives the error.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory;
use object_store::local::LocalFileSystem;
use object_store::{ObjectMeta, ObjectStore};
use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use staffa_engine::buffers::{Buffer, Buffers};

/// How DataFusion's command line prints its wrapper around a store.
const PASSES_ON: &str = "Instrumented Object Store: instrument_mode: Disabled, inner: ";

/// The store of a scan whose files lie on this machine.
pub(super) struct LocalStore {
    store: LocalFileSystem,
    buffers: Arc<Buffers>,
}

impl LocalStore {
    /// `Some` when `store` is the object store crate's own for local files, and `readers`, if the scan has
    /// any, are DataFusion's over this very store: what others do with a read is theirs.
    pub(super) fn of(
        store: &Arc<dyn ObjectStore>,
        readers: Option<&Arc<dyn ParquetFileReaderFactory>>,
        buffers: &Arc<Buffers>,
    ) -> Option<Self> {
        // Neither trait tells a type, but both print it.
        let printed = format!("{store:?}");
        let name = store.to_string();
        let root = root_of(&name, &printed)?;
        if let Some(readers) = readers {
            let over = format!("{readers:?}");
            let cached = format!("CachedParquetFileReaderFactory {{ store: {printed},");
            let plain = format!("DefaultParquetFileReaderFactory {{ store: {printed} }}");
            if !over.starts_with(&cached) && over != plain {
                return None;
            }
        }
        let store = match root {
            "/" => LocalFileSystem::new(),
            // A root with escaped characters is rare; its reads go DataFusion's way.
            root if root.contains('%') => return None,
            root => LocalFileSystem::new_with_prefix(Path::new(root)).ok()?,
        };
        Some(Self { store, buffers: Arc::clone(buffers) })
    }

    /// The file, unless it is not what was listed.
    pub(super) fn open(&self, listed: &ObjectMeta) -> Option<LocalFile> {
        let path = self.store.path_to_filesystem(&listed.location).ok()?;
        let file = File::open(path).ok()?;
        let found = file.metadata().ok()?;
        (found.is_file() && found.len() == listed.size)
            .then(|| LocalFile { file: Arc::new(file), buffers: Arc::clone(&self.buffers) })
    }
}

/// The folder below which a store's files lie, by how it shows and prints itself.
fn root_of<'a>(mut name: &'a str, mut printed: &str) -> Option<&'a str> {
    // The command line's wrapper, one per table made, passes all on as long as it counts nothing.
    while let Some(inner) = name.strip_prefix(PASSES_ON) {
        name = inner;
        printed = printed.strip_prefix("InstrumentedObjectStore { inner: ")?;
    }
    let root = name.strip_prefix("LocalFileSystem(file://")?.strip_suffix(')')?;
    printed.starts_with("LocalFileSystem {").then_some(root)
}

/// An open file.
pub(super) struct LocalFile {
    file: Arc<File>,
    buffers: Arc<Buffers>,
}

/// A range that is being read.
struct Reading {
    buffer: Buffer,
    offset: u64,
    done: usize,
}

impl LocalFile {
    /// The bytes of `ranges`; `None` when that does not work out.
    pub(super) async fn read(&self, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
        let mut readings = Vec::with_capacity(ranges.len());
        for range in ranges {
            let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
            readings.push(Reading { buffer: self.buffers.take(len), offset: range.start, done: 0 });
        }
        let mut waits = false;
        for reading in &mut readings {
            waits |= !reading.read(&self.file, ReadWriteFlags::NOWAIT)?;
        }
        if waits {
            self.expect(ranges);
            readings = self.wait(readings).await?;
        }
        Some(readings.into_iter().map(|reading| Bytes::from_owner(reading.buffer)).collect())
    }

    /// Has the operating system read `ranges` ahead, without waiting for it.
    pub(super) fn expect(&self, ranges: &[Range<u64>]) {
        for range in ranges {
            let len = std::num::NonZeroU64::new(range.end.saturating_sub(range.start));
            if len.is_some() {
                // It is no more than advice.
                let _ = fadvise(&*self.file, range.start, len, Advice::WillNeed);
            }
        }
    }

    /// Reads the rest on a thread that may wait for a disk.
    async fn wait(&self, mut readings: Vec<Reading>) -> Option<Vec<Reading>> {
        let file = Arc::clone(&self.file);
        let rest = move || {
            for reading in &mut readings {
                if !reading.read(&file, ReadWriteFlags::empty())? {
                    return None;
                }
            }
            Some(readings)
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => runtime.spawn_blocking(rest).await.ok()?,
            Err(_) => rest(),
        }
    }
}

impl Reading {
    /// Reads on. `Some(false)`: the rest is not in memory, or this cannot be told; `None`: it cannot be read.
    fn read(&mut self, file: &File, how: ReadWriteFlags) -> Option<bool> {
        loop {
            let left = self.buffer.as_mut_slice().get_mut(self.done..)?;
            if left.is_empty() {
                return Some(true);
            }
            let at = self.offset.checked_add(self.done as u64)?;
            match preadv2(file, &mut [IoSliceMut::new(left)], at, how) {
                Ok(0) => return None,
                Ok(read) => self.done += read,
                Err(Errno::INTR) => {}
                Err(_) if how.contains(ReadWriteFlags::NOWAIT) => return Some(false),
                Err(_) => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use datafusion::datasource::physical_plan::parquet::DefaultParquetFileReaderFactory;
    use object_store::limit::LimitStore;
    use object_store::memory::InMemory;
    use object_store::path::Path as StorePath;

    use super::*;

    fn buffers() -> Arc<Buffers> {
        Buffers::new(1 << 20)
    }

    fn meta(path: &Path, size: u64) -> ObjectMeta {
        ObjectMeta {
            location: StorePath::from_absolute_path(path).unwrap(),
            last_modified: Default::default(),
            size,
            e_tag: None,
            version: None,
        }
    }

    #[test]
    fn only_the_stores_own_files_are_taken() {
        let local: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        assert!(LocalStore::of(&local, None, &buffers()).is_some());
        let readers: Arc<dyn ParquetFileReaderFactory> =
            Arc::new(DefaultParquetFileReaderFactory::new(Arc::clone(&local)));
        assert!(LocalStore::of(&local, Some(&readers), &buffers()).is_some());

        let folder = tempfile::tempdir().unwrap();
        let other: Arc<dyn ObjectStore> =
            Arc::new(LocalFileSystem::new_with_prefix(folder.path()).unwrap());
        assert!(LocalStore::of(&other, None, &buffers()).is_some());
        assert!(LocalStore::of(&other, Some(&readers), &buffers()).is_none(), "another store's");

        let limited: Arc<dyn ObjectStore> = Arc::new(LimitStore::new(LocalFileSystem::new(), 1));
        assert!(LocalStore::of(&limited, None, &buffers()).is_none());
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        assert!(LocalStore::of(&memory, None, &buffers()).is_none());
    }

    #[test]
    fn a_wrapper_that_counts_is_asked() {
        let name = LocalFileSystem::new().to_string();
        let printed = format!("{:?}", LocalFileSystem::new());
        let within = |name: &str| format!("{PASSES_ON}{name}");
        let around = |printed: &str| {
            format!("InstrumentedObjectStore {{ inner: {printed}, instrument_mode: 0 }}")
        };
        assert_eq!(root_of(&name, &printed), Some("/"));
        let (wrapped, shown) = (within(&name), around(&printed));
        assert_eq!(root_of(&wrapped, &shown), Some("/"));
        assert_eq!(root_of(&within(&wrapped), &around(&shown)), Some("/"));
        assert_eq!(root_of(&wrapped, &printed), None);
        assert_eq!(root_of(&wrapped.replace("Disabled", "Summary"), &shown), None);
    }

    #[tokio::test]
    async fn ranges_are_read_as_they_are() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i * 7 % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let local: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        let store = LocalStore::of(&local, None, &buffers()).unwrap();
        let open = store.open(&meta(file.path(), 200_000)).unwrap();
        let ranges = [0..10, 5..5, 100_000..200_000, 3..150_000];
        open.expect(&ranges);
        for _ in 0..2 {
            let read = open.read(&ranges).await.unwrap();
            for (range, read) in ranges.iter().zip(read) {
                assert_eq!(read, bytes[range.start as usize..range.end as usize]);
            }
        }
        let beyond = 199_999..200_001;
        assert!(open.read(std::slice::from_ref(&beyond)).await.is_none(), "beyond the end");
        let reading = |len| Reading { buffer: buffers().take(len), offset: 1, done: 0 };
        let rest = open.wait(vec![reading(0), reading(70_000)]).await.unwrap();
        assert_eq!(rest[1].buffer.as_ref(), &bytes[1..70_001]);
    }

    #[test]
    fn a_file_of_another_length_is_not_opened() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"PAR1").unwrap();
        let local: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
        let store = LocalStore::of(&local, None, &buffers()).unwrap();
        assert!(store.open(&meta(file.path(), 4)).is_some());
        assert!(store.open(&meta(file.path(), 5)).is_none());
        assert!(store.open(&meta(&file.path().with_extension("gone"), 4)).is_none());
    }
}
