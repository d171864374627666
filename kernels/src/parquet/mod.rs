//! Launchers of the Parquet decode kernels: one safe function per kernel, which checks sizes, forms the
//! arguments and names the memory that the kernel uses.
//!
//! A column's pages of one encoding form a [`PageSet`]; the order is
//! 1. [`decompress()`], if the pages are compressed (dictionary pages too);
//! 2. [`PageSet::new`], then [`levels()`], which every other kernel builds on;
//! 3. the kernel of the encoding, into rows ([`fixed()`], [`copy`], [`booleans_plain`],
//!    [`booleans_rle`], [`dictionary_codes`], [`dictionary_values`]) or into compact slots
//!    ([`byte_array`], [`delta`], [`delta_lengths`], [`DeltaBytes`]), which [`fixed()`] with
//!    [`Stored::Compact`] and [`spans`] spread over rows with NULLs.
//!
//! A chunk that mixes encodings (a dictionary that grew too large) is several page sets into the same
//! column. Outputs that are bitmaps must be zeroed before; all others are written for every row of the
//! pages.
//!
//! What a page does wrong is in the [`ErrorSlot`](crate::abi::ErrorSlot) of the [`Context`], not in the
//! results of these functions: read it with the morsel's counts.

mod booleans;
mod compact;
mod decompress;
mod dictionary;
mod fixed;
mod levels;
mod pages;
mod strings;

pub use booleans::{booleans_plain, booleans_rle};
pub use compact::{DeltaBytes, Slots, byte_array, delta, delta_lengths};
pub use decompress::{Codec, CompressedInput, decompress};
pub use dictionary::{Dictionary, Indexes, dictionary_codes, dictionary_values, index};
pub use fixed::{Conversion, Stored, WIDEST_VALUE, copy, fixed};
pub use levels::{Levels, levels};
pub use pages::{Context, PageInput, PageLevels, PageSet};
pub use strings::{SpanConversion, spans, utf8};
