//! Where a file's bytes come from.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use staffa_common::FaultClass;

use crate::error::{Error, Place, Result};

/// One version of a file: its bytes do not change while it is read, or reading fails.
#[derive(Debug, Clone)]
pub struct Source {
    name: Arc<str>,
    size: u64,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Local(Arc<File>),
    Memory(Bytes),
    Store { store: Arc<dyn ObjectStore>, meta: Arc<ObjectMeta> },
}

impl Source {
    /// A local file, read with positioned reads: one copy, no shared cursor.
    ///
    /// It is not mapped into memory: a mapped file that another process cuts short kills this one
    /// with SIGBUS, one that is overwritten changes under checks already made, and mapping is
    /// `unsafe` for those reasons.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn local(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let name: Arc<str> = path.to_string_lossy().into();
        let io = |e: std::io::Error| failed(&name, None, &e);
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        Ok(Self { size, kind: Kind::Local(Arc::new(file)), name })
    }

    /// Bytes in memory.
    pub fn memory(name: impl Into<Arc<str>>, bytes: Bytes) -> Self {
        Self { name: name.into(), size: bytes.len() as u64, kind: Kind::Memory(bytes) }
    }

    /// An object. Requests carry its etag, if it has one, so that a new version is never mixed in.
    pub fn store(store: Arc<dyn ObjectStore>, meta: ObjectMeta) -> Self {
        Self {
            name: meta.location.to_string().into(),
            size: meta.size,
            kind: Kind::Store { store, meta: Arc::new(meta) },
        }
    }

    /// The file's name as it was opened.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether reading needs no waiting on a network.
    pub fn is_local(&self) -> bool {
        !matches!(self.kind, Kind::Store { .. })
    }

    /// Reads a range on this thread.
    ///
    /// # Errors
    /// `BadInput` when the range lies outside the file; `Retryable` when reading fails;
    /// `Unsupported` for an object store.
    pub fn read_blocking(&self, range: Range<u64>) -> Result<Bytes> {
        let len = self.check(&range)?;
        match &self.kind {
            Kind::Memory(bytes) => {
                Ok(bytes.slice(range.start as usize..range.start as usize + len))
            }
            Kind::Local(file) => {
                let mut buffer = vec![0; len];
                read_exact_at(file, &mut buffer, range.start)
                    .map_err(|e| failed(&self.name, Some(range.start), &e))?;
                Ok(Bytes::from(buffer))
            }
            Kind::Store { .. } => Err(Error::new(
                FaultClass::Unsupported,
                "an object store cannot be read without waiting",
                self.place(range.start),
            )),
        }
    }

    /// Reads a range.
    ///
    /// # Errors
    /// As for [`read_blocking`](Self::read_blocking).
    pub async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let Kind::Store { store, meta } = &self.kind else { return self.read_blocking(range) };
        let len = self.check(&range)?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: meta.e_tag.clone(),
            version: meta.version.clone(),
            ..GetOptions::default()
        };
        let io = |e: object_store::Error| {
            let class = match e {
                object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. } => {
                    FaultClass::BadInput
                }
                _ => FaultClass::Retryable,
            };
            Error::new(class, format!("reading failed: {e}"), self.place(range.start))
        };
        let got = store.get_opts(&meta.location, options).await.map_err(io)?;
        let bytes = got.bytes().await.map_err(io)?;
        if bytes.len() != len {
            let what = format!("{} bytes came for {len} asked for", bytes.len());
            return Err(Error::new(FaultClass::Retryable, what, self.place(range.start)));
        }
        Ok(bytes)
    }

    /// The size and etag of an object, for [`store`](Self::store).
    ///
    /// # Errors
    /// `Retryable` when asking fails.
    pub async fn head(
        store: Arc<dyn ObjectStore>,
        location: &object_store::path::Path,
    ) -> Result<Self> {
        let meta = store.head(location).await.map_err(|e| {
            let place = Place { file: Some(location.to_string().into()), ..Place::default() };
            Error::new(FaultClass::Retryable, format!("no metadata: {e}"), place)
        })?;
        Ok(Self::store(store, meta))
    }

    fn check(&self, range: &Range<u64>) -> Result<usize> {
        let len = range.end.checked_sub(range.start).filter(|_| range.end <= self.size);
        len.and_then(|l| usize::try_from(l).ok()).ok_or_else(|| {
            let what = format!("bytes {range:?} of a file of {} bytes", self.size);
            Error::new(FaultClass::BadInput, what, self.place(range.start))
        })
    }

    fn place(&self, offset: u64) -> Place {
        Place { file: Some(self.name.clone()), offset: Some(offset), ..Place::default() }
    }
}

fn failed(name: &Arc<str>, offset: Option<u64>, e: &std::io::Error) -> Error {
    let class = match e.kind() {
        std::io::ErrorKind::NotFound
        | std::io::ErrorKind::PermissionDenied
        | std::io::ErrorKind::UnexpectedEof => FaultClass::BadInput,
        _ => FaultClass::Retryable,
    };
    let place = Place { file: Some(name.clone()), offset, ..Place::default() };
    Error::new(class, format!("reading failed: {e}"), place)
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> std::io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !buffer.is_empty() {
        let n = file.seek_read(buffer, at)?;
        if n == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[n..];
        at += n as u64;
    }
    Ok(())
}
