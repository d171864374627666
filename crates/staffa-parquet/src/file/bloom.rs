//! Bloom filters of column chunks.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::*;
use bytes::Bytes;
use parquet::basic::Type as Physical;
use parquet::bloom_filter::Sbbf;

use crate::error::{Flaw, Flawed, Place, Result};
use crate::file::ParquetFile;
use crate::page::thrift::Reader;

/// The specification's upper bound.
const MAX_BYTES: u64 = 128 << 20;
/// More than any header of a filter.
const HEADER_BYTES: u64 = 64;

/// Says of values that they are certainly not in a column chunk, or that they may be.
#[derive(Debug, Clone)]
pub struct BloomFilter {
    filter: Sbbf,
    physical: Physical,
}

impl BloomFilter {
    /// For each value, whether it may be in the chunk. `values` has the type that the column is
    /// read as. NULLs, and types whose stored form is not known here, may be: they prune nothing.
    pub fn may_contain(&self, values: &dyn Array) -> BooleanArray {
        let probed = self.probe(values).unwrap_or_else(|| vec![true; values.len()]);
        probed.into_iter().enumerate().map(|(i, hit)| Some(hit || values.is_null(i))).collect()
    }

    fn probe(&self, values: &dyn Array) -> Option<Vec<bool>> {
        let f = &self.filter;
        let dt = values.data_type();
        match (self.physical, dt) {
            (Physical::BYTE_ARRAY, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
                let v = cast(values, &DataType::Utf8View).ok()?;
                let v = v.as_string_view();
                Some(v.iter().map(|s| s.is_none_or(|s| f.check(s))).collect())
            }
            (
                Physical::BYTE_ARRAY,
                DataType::Binary | DataType::LargeBinary | DataType::BinaryView,
            ) => {
                let v = cast(values, &DataType::BinaryView).ok()?;
                let v = v.as_binary_view();
                Some(v.iter().map(|s| s.is_none_or(|s| f.check(s))).collect())
            }
            (Physical::FIXED_LEN_BYTE_ARRAY, DataType::FixedSizeBinary(_)) => {
                let v = values.as_fixed_size_binary();
                Some((0..v.len()).map(|i| f.check(v.value(i))).collect())
            }
            (
                Physical::INT32,
                DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::UInt8
                | DataType::UInt16
                | DataType::Date32
                | DataType::Time32(_),
            ) => {
                let v = cast(values, &DataType::Int32).ok()?;
                Some(v.as_primitive::<Int32Type>().values().iter().map(|v| f.check(v)).collect())
            }
            (Physical::INT32, DataType::UInt32) => {
                let v = values.as_primitive::<UInt32Type>().values();
                Some(v.iter().map(|v| f.check(&v.cast_signed())).collect())
            }
            (
                Physical::INT64,
                DataType::Int64
                | DataType::Timestamp(..)
                | DataType::Time64(_)
                | DataType::Duration(_),
            ) => {
                let v = cast(values, &DataType::Int64).ok()?;
                Some(v.as_primitive::<Int64Type>().values().iter().map(|v| f.check(v)).collect())
            }
            (Physical::INT64, DataType::UInt64) => {
                let v = values.as_primitive::<UInt64Type>().values();
                Some(v.iter().map(|v| f.check(&v.cast_signed())).collect())
            }
            (Physical::INT32 | Physical::INT64, DataType::Decimal128(..)) => {
                let narrow = self.physical == Physical::INT32;
                let v = values.as_primitive::<Decimal128Type>().values();
                // A value too large for the column's integers cannot be in it.
                Some(
                    v.iter()
                        .map(|v| match narrow {
                            true => i32::try_from(*v).is_ok_and(|v| f.check(&v)),
                            false => i64::try_from(*v).is_ok_and(|v| f.check(&v)),
                        })
                        .collect(),
                )
            }
            // Equal floats have several stored forms (0 and -0, NaNs): they prune nothing.
            _ => None,
        }
    }
}

/// Bytes of header and bits at the front of `bytes`.
fn length(bytes: &[u8]) -> Flawed<u64> {
    let mut reader = Reader::new(bytes);
    let (mut last, mut bits) = (0, None);
    while let Some(field) = reader.field(last)? {
        last = field.id;
        match field.id {
            1 => bits = Some(reader.i32(&field)?),
            _ => reader.skip(field.kind)?,
        }
    }
    let bits = bits.and_then(|b| u64::try_from(b).ok()).filter(|b| *b > 0 && b.is_multiple_of(32));
    let bits = bits.ok_or_else(|| Flaw::bad("bloom filter of an impossible size"))?;
    Ok(reader.position() as u64 + bits)
}

impl ParquetFile {
    /// The bloom filter of a leaf column in a row group; `None` when the chunk has none.
    ///
    /// # Errors
    /// `BadInput` when the filter is malformed, `Retryable` when reading fails. A caller may as
    /// well go on without it.
    pub async fn bloom_filter(&self, row_group: usize, leaf: usize) -> Result<Option<BloomFilter>> {
        let Some((mut range, physical, known)) = self.bloom_place(row_group, leaf)? else {
            return Ok(None);
        };
        let place = || Place {
            offset: Some(range.start),
            column: Some(self.footer().leaves().column(leaf).path().string().into()),
            ..self.footer().place(Some(row_group))
        };
        let mut bytes = self.source().read(range.clone()).await?;
        let total = length(&bytes).map_err(|f| f.at(place()))?;
        if total > MAX_BYTES || (known && total != bytes.len() as u64) {
            return Err(Flaw::bad("bloom filter of another size than its chunk says").at(place()));
        }
        if !known {
            range.end = range.start.saturating_add(total);
            bytes = self.source().read(range.clone()).await?;
        }
        parse(&bytes, physical).map(Some).map_err(|f| f.at(place()))
    }

    /// Where to start reading, and whether that is the whole filter.
    fn bloom_place(
        &self,
        row_group: usize,
        leaf: usize,
    ) -> Result<Option<(Range<u64>, Physical, bool)>> {
        let rows = self.footer().rows(row_group).map(|_| self.footer().metadata());
        let group = rows?.row_group(row_group);
        let Some(column) = group.columns().get(leaf) else { return Ok(None) };
        let Some(offset) = column.bloom_filter_offset() else { return Ok(None) };
        let wrong = || {
            let flaw = Flaw::bad("bloom filter outside its file");
            flaw.at(self.footer().place(Some(row_group)))
        };
        let size = self.source().size();
        let start = u64::try_from(offset).ok().filter(|s| *s < size).ok_or_else(wrong)?;
        let known = column.bloom_filter_length().map(u64::try_from);
        let (len, known) = match known {
            Some(Ok(len)) if len > 0 && len <= MAX_BYTES => (len, true),
            Some(_) => return Err(wrong()),
            None => (HEADER_BYTES.min(size - start), false),
        };
        let end = start.checked_add(len).filter(|e| *e <= size).ok_or_else(wrong)?;
        Ok(Some((start..end, column.column_type(), known)))
    }
}

fn parse(bytes: &Bytes, physical: Physical) -> Flawed<BloomFilter> {
    // The size was checked; should the other crate panic on something else, that is an error too.
    let parsed = catch_unwind(AssertUnwindSafe(|| Sbbf::from_bytes(bytes)));
    let filter = parsed.map_err(|_| Flaw::bad("malformed bloom filter"))?;
    let filter = filter.map_err(|e| Flaw::bad(format!("bloom filter: {e}")))?;
    if filter.num_blocks() == 0 {
        return Err(Flaw::bad("empty bloom filter"));
    }
    Ok(BloomFilter { filter, physical })
}
