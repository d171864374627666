//! Errors that name file, row group, column, page and offset.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use staffa_common::{FaultClass, StaffaError};

/// The result of everything public in this package.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in a file something is wrong; the parts that are not known are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's name as it was opened: a path or an object store location.
    pub file: Option<Arc<str>>,
    /// Number of the row group, from 0.
    pub row_group: Option<usize>,
    /// Dotted path of the leaf column.
    pub column: Option<Arc<str>>,
    /// Number of the data page in its column chunk, from 0; `None` for the dictionary page.
    pub page: Option<usize>,
    /// Byte offset in the file.
    pub offset: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file.as_deref().unwrap_or("(unnamed file)"))?;
        if let Some(n) = self.row_group {
            write!(f, ", row group {n}")?;
        }
        if let Some(c) = &self.column {
            write!(f, ", column {c}")?;
        }
        if let Some(n) = self.page {
            write!(f, ", page {n}")?;
        }
        if let Some(n) = self.offset {
            write!(f, ", offset {n}")?;
        }
        Ok(())
    }
}

/// What went wrong, its class and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    class: FaultClass,
    what: Cow<'static, str>,
    place: Place,
}

impl Error {
    /// An error of the given class at a place.
    pub fn new(class: FaultClass, what: impl Into<Cow<'static, str>>, place: Place) -> Self {
        Self { inner: Box::new(Inner { class, what: what.into(), place }) }
    }

    /// What policy switches on.
    pub fn class(&self) -> FaultClass {
        self.inner.class
    }

    /// Where.
    pub fn place(&self) -> &Place {
        &self.inner.place
    }

    /// What, without the place.
    pub fn what(&self) -> &str {
        &self.inner.what
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parquet: {}: {}", self.inner.place, self.inner.what)
    }
}

impl std::error::Error for Error {}

impl From<Error> for StaffaError {
    fn from(e: Error) -> Self {
        StaffaError::new(e.class(), e.to_string())
    }
}

/// An error that does not know its place yet: what the decoders inside a page return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) class: FaultClass,
    pub(crate) what: Cow<'static, str>,
}

impl Flaw {
    /// The bytes are wrong.
    #[cold]
    pub(crate) fn bad(what: impl Into<Cow<'static, str>>) -> Self {
        Self { class: FaultClass::BadInput, what: what.into() }
    }

    /// The bytes may be right; this reader has no decoder for them.
    #[cold]
    pub(crate) fn unsupported(what: impl Into<Cow<'static, str>>) -> Self {
        Self { class: FaultClass::Unsupported, what: what.into() }
    }

    /// Decoding would take more memory than the limits allow.
    #[cold]
    pub(crate) fn too_large(what: impl Into<Cow<'static, str>>) -> Self {
        Self { class: FaultClass::OutOfMemory, what: what.into() }
    }

    /// A broken invariant of ours.
    #[cold]
    pub(crate) fn bug(what: impl Into<Cow<'static, str>>) -> Self {
        Self { class: FaultClass::Bug, what: what.into() }
    }

    pub(crate) fn at(self, place: Place) -> Error {
        Error::new(self.class, self.what, place)
    }
}

pub(crate) type Flawed<T> = std::result::Result<T, Flaw>;
