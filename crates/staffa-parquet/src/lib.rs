//! Reads Parquet: footers, byte ranges, a validated page table, and a fast decoder for the CPU.
//!
//! Made for an engine that reads a row group in morsels, decodes the columns of a filter first and
//! the others only for the rows that are left, and keeps strings as dictionary codes:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use std::sync::Arc;
//! # use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
//! # let path = std::env::temp_dir().join(format!("staffa-parquet-doc-{}", std::process::id()));
//! # let flags: ArrayRef = Arc::new(StringArray::from_iter_values((0..1000).map(|i| ["A", "R"][i % 2])));
//! # let prices: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1000));
//! # let batch = RecordBatch::try_from_iter([("flag", flags), ("price", prices)])?;
//! # let mut w = parquet::arrow::ArrowWriter::try_new(std::fs::File::create(&path)?, batch.schema(), None)?;
//! # w.write(&batch)?;
//! # w.close()?;
//! use arrow::array::AsArray;
//! use arrow::buffer::BooleanBuffer;
//! use arrow::datatypes::{DataType, Int64Type};
//! use staffa_parquet::{Column, ColumnReader, FetchOptions, ParquetFile, ReadOptions, Selection};
//!
//! let file = ParquetFile::open(&path)?;
//! let (flag, price) = (0, 1); // leaf columns; `footer().leaf_of(i)` maps columns of the schema
//! let mut total = 0;
//! for row_group in 0..file.footer().row_groups() {
//!     // One request or few for both columns. `plan` takes a selection too: with an offset index
//!     // only pages that hold selected rows are fetched.
//!     let plan = file.plan(row_group, &[flag, price], None, &FetchOptions::default())?;
//!     let mut chunks = file.fetch_blocking(&plan)?.into_chunks().into_iter();
//!     let (Some((fc, fb)), Some((pc, pb))) = (chunks.next(), chunks.next()) else { continue };
//!     let strings = ReadOptions::new(DataType::Utf8View).with_codes();
//!     let mut flags = ColumnReader::new(fc, fb, &strings)?;
//!     let mut prices = ColumnReader::new(pc, pb, &ReadOptions::new(DataType::Int64))?;
//!
//!     for morsel in Selection::all(file.footer().rows(row_group)?).batches(8192) {
//!         let keep: BooleanBuffer = match flags.decode(&morsel)? {
//!             // The predicate is tested once per entry, then per code.
//!             Column::Dictionary { codes, nulls, values } => {
//!                 let hit: Vec<bool> =
//!                     values.as_string_view().iter().map(|v| v == Some("R")).collect();
//!                 let keep = codes.iter().enumerate().map(|(i, c)| {
//!                     nulls.as_ref().is_none_or(|n| n.is_valid(i)) && hit[*c as usize]
//!                 });
//!                 keep.collect()
//!             }
//!             Column::Plain(array) => {
//!                 array.as_string_view().iter().map(|v| v == Some("R")).collect()
//!             }
//!         };
//!         // Late materialisation: only the rows that passed are decoded.
//!         let rows = morsel.filter(&keep);
//!         let column = prices.decode(&rows)?.into_array()?;
//!         total += column.as_primitive::<Int64Type>().values().iter().sum::<i64>();
//!     }
//! }
//! assert_eq!(total, (1..1000).step_by(2).sum::<i64>());
//! # std::fs::remove_file(&path)?;
//! # Ok(())
//! # }
//! ```
//!
//! | part | what |
//! |---|---|
//! | [`Source`], [`Footer`] | where bytes come from; metadata, page index |
//! | [`FetchPlan`], [`RowGroupBytes`], [`ChunkBytes`] | coalesced byte ranges, and what came of them |
//! | [`PageTable`] | the pages of a column chunk, as plain data that CPU and GPU decode from |
//! | [`ColumnReader`], [`Column`], [`Selection`] | the CPU decoder |
//! | [`ColumnStatistics`], [`BloomFilter`] | what a pruning predicate is evaluated on |
//! | [`supports`] | whether a leaf column can be read as a type; if not, arrow-rs's reader can |
//!
//! **Bytes are hostile.** Every length, count, offset and index of a file is checked before it is
//! used; memory is bounded by row counts, type widths and [`Limits`], never by what a header
//! claims; [`Error`] names file, row group, column, page and offset. Nested columns (lists,
//! structs, maps) are refused: the caller reads those with arrow-rs.
#![deny(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("staffa-parquet reads little-endian values in place");

mod chunk;
mod codec;
pub mod cuda;
mod decode;
mod encoding;
mod error;
mod file;
mod limits;
mod lz4;
mod page;
mod selection;
mod snappy;

pub use chunk::ChunkBytes;
pub use codec::Codec;
pub use decode::{Column, ColumnReader, LeafType, ReadOptions, is_byte_string, supports};
pub use error::{Error, Place, Result};
pub use file::{
    BloomFilter, ColumnChunk, ColumnStatistics, FetchOptions, FetchPlan, Footer, FooterOptions,
    ParquetFile, RowGroupBytes, Source,
};
pub use limits::Limits;
pub use page::{Page, PageHeader, PageKind, PageTable, TableInput};
pub use selection::Selection;
