//! The CUDA decoder: a row group's pages in, columns in device memory out, and from there to Arrow.
//!
//! It decodes from the same [`PageTable`](crate::PageTable) as the CPU decoder, and to the same types.
//! The order for a morsel (a range of rows of one row group, all its columns together):
//!
//! 1. [`DeviceChunk::new`] for each column: page headers checked, or the reason why this column is not
//!    decoded on a device.
//! 2. [`mod@decode`]: bodies are packed into pinned slabs and copied in few pieces ([`stage`]); Snappy and
//!    raw LZ4 are expanded on the device in one launch each, other codecs on the calling thread; levels
//!    and values become columns as `docs/design/columns.md` lays them out ([`values`]). Everything is
//!    queued: the caller goes on while the device works.
//! 3. The error slot travels with the morsel's counts; [`Decoded::check`] turns it into an [`Error`]
//!    that names column and page. Only then may the columns be believed.
//! 4. [`DeviceColumn::to_host`], or kernels that read the columns.
//!
//! Hostile bytes cost no more than on the CPU: memory is bounded by rows, type widths, codecs' ratios
//! and [`Limits`](crate::Limits) before it is asked for, and by the device's budget after that.

mod column;
mod decode;
mod download;
mod pages;
mod stage;
mod strings;
mod target;
mod upload;
mod values;

pub use column::{DeviceColumn, DeviceDictionary};
pub use decode::{Decoded, decode};
pub use download::{HostColumn, Returning, StringOffsets};
pub use pages::DeviceChunk;
pub use target::{DeviceTarget, supports, target};

use staffa_cuda::{CudaError, PinnedBuffer, PinnedPool, StagingRing};
use staffa_kernels::parquet::Context;

use crate::error::{Error, Place};

/// What decoding needs: the kernels' context, and pinned memory for what comes back.
#[derive(Clone, Copy)]
pub struct DecodeContext<'a> {
    /// Kernels, stream, device memory, and the morsel's error slot, zeroed. Its ring carries descriptors:
    /// many small slabs, since each upload takes one.
    pub kernels: Context<'a>,
    /// Few large slabs for page bodies and arrays.
    pub staging: &'a StagingRing,
    /// Cached pinned slabs, for the one read-back that DELTA_BYTE_ARRAY needs.
    pub results: &'a StagingRing,
    /// Cached pinned memory for columns on their way back.
    pub pinned: &'a PinnedPool,
}

impl DecodeContext<'_> {
    fn next_slab(&self) -> staffa_cuda::Result<PinnedBuffer> {
        self.staging.next(self.kernels.stream.counters())
    }
}

/// A driver's error, at a place in a file.
fn at(place: Place) -> impl Fn(CudaError) -> Error {
    move |error| Error::new(error.class(), error.to_string(), place.clone())
}
