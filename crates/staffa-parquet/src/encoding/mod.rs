//! Parquet's encodings: bit packing, the RLE hybrid, levels, the delta family, byte streams.
//!
//! Everything here works on slices that lie inside one decompressed page, returns a [`Flaw`] for
//! bytes that cannot be right, and never allocates more than the caller's row count asks for.
//!
//! [`Flaw`]: crate::error::Flaw

pub(crate) mod bitmap;
pub(crate) mod bitpack;
pub(crate) mod delta;
pub(crate) mod delta_bytes;
pub(crate) mod hybrid;
pub(crate) mod levels;
pub(crate) mod stream_split;
pub(crate) mod varint;
