//! The build side's columns: one array each, or several where one array cannot hold them all.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array, new_null_array};
use arrow::compute::{concat, interleave};
use arrow::datatypes::DataType;
use datafusion_common::Result;

use crate::Morsel;

/// Bytes of values from which on a column of 32-bit offsets stays in parts.
pub(super) const OFFSET_LIMIT: usize = i32::MAX as usize;

/// A column of the build side.
pub(super) enum BuildColumn {
    /// Everything in one array. Never empty: without rows it is a single NULL.
    One(ArrayRef),
    /// Several arrays, because their offsets or dictionaries do not fit in one.
    Parts(Parts),
}

/// A column in several arrays.
pub(super) struct Parts {
    /// The arrays, and last a single NULL for rows that are none.
    pub(super) arrays: Vec<ArrayRef>,
    /// First row of each array but the last.
    starts: Vec<usize>,
}

impl BuildColumn {
    /// Joins `arrays`, all of `data_type`.
    ///
    /// `limit` is the number of bytes that 32-bit offsets may reach.
    pub(super) fn concat(
        mut arrays: Vec<ArrayRef>,
        data_type: &DataType,
        limit: usize,
    ) -> Result<Self> {
        arrays.retain(|array| !array.is_empty());
        if arrays.is_empty() {
            return Ok(Self::One(new_null_array(data_type, 1)));
        }
        if arrays.len() == 1 {
            return Ok(Self::One(Arc::clone(&arrays[0])));
        }
        if has_small_offsets(data_type) {
            let bytes: usize = arrays.iter().map(value_bytes).sum();
            if bytes > limit {
                return Ok(Self::Parts(Parts::new(arrays, data_type)));
            }
        }
        let refs: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        match concat(&refs) {
            Ok(array) => Ok(Self::One(array)),
            // The distinct values may be too many for the dictionary's keys.
            Err(_) if matches!(data_type, DataType::Dictionary(..)) => {
                Ok(Self::Parts(Parts::new(arrays, data_type)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Its arrays.
    pub(super) fn arrays(&self) -> &[ArrayRef] {
        match self {
            Self::One(array) => std::slice::from_ref(array),
            Self::Parts(parts) => &parts.arrays,
        }
    }
}

impl Parts {
    fn new(mut arrays: Vec<ArrayRef>, data_type: &DataType) -> Self {
        let mut row = 0;
        let starts = arrays
            .iter()
            .map(|array| {
                let start = row;
                row += array.len();
                start
            })
            .collect();
        arrays.push(new_null_array(data_type, 1));
        Self { arrays, starts }
    }

    fn take(&self, indices: &UInt32Array) -> Result<ArrayRef> {
        let none = (self.arrays.len() - 1, 0);
        let places: Vec<(usize, usize)> = indices
            .iter()
            .map(|row| match row {
                Some(row) => {
                    let row = row as usize;
                    let part = self.starts.partition_point(|&start| start <= row) - 1;
                    (part, row - self.starts[part])
                }
                None => none,
            })
            .collect();
        let arrays: Vec<&dyn Array> = self.arrays.iter().map(AsRef::as_ref).collect();
        Ok(interleave(&arrays, &places)?)
    }
}

/// Whether a type's values lie behind 32-bit offsets (or behind dictionary keys).
fn has_small_offsets(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::Binary | DataType::List(_) | DataType::Map(..) => true,
        DataType::Dictionary(_, values) => has_small_offsets(values),
        DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            has_small_offsets(field.data_type())
        }
        DataType::Struct(fields) => fields.iter().any(|f| has_small_offsets(f.data_type())),
        DataType::Union(..) | DataType::RunEndEncoded(..) => true,
        _ => false,
    }
}

fn value_bytes(array: &ArrayRef) -> usize {
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

/// All columns that the build side keeps.
pub(super) struct BuildColumns {
    /// The columns that are one array, in order.
    whole: Morsel,
    parts: Vec<Parts>,
    /// Where each column is.
    places: Vec<Place>,
}

#[derive(Clone, Copy)]
enum Place {
    Whole(usize),
    Parts(usize),
}

impl BuildColumns {
    /// Of columns with `rows` rows each.
    pub(super) fn new(columns: Vec<BuildColumn>, rows: usize) -> Self {
        let mut whole = Vec::new();
        let mut parts = Vec::new();
        let mut places = Vec::with_capacity(columns.len());
        for column in columns {
            match column {
                BuildColumn::One(array) => {
                    places.push(Place::Whole(whole.len()));
                    whole.push(array);
                }
                BuildColumn::Parts(arrays) => {
                    places.push(Place::Parts(parts.len()));
                    parts.push(arrays);
                }
            }
        }
        Self {
            // Without rows the arrays are a single NULL.
            whole: Morsel::from_arrays(whole, rows.max(1)),
            parts,
            places,
        }
    }

    /// The column at `which` as one array; none where it is in parts.
    pub(super) fn whole(&self, which: usize) -> Option<Result<ArrayRef>> {
        match self.places.get(which)? {
            Place::Whole(at) => Some(self.whole.column(*at)),
            Place::Parts(_) => None,
        }
    }

    /// The columns at `which`, of the rows at `indices` (a null index gives NULLs).
    pub(super) fn select(&self, which: &[usize], indices: &Arc<UInt32Array>) -> Result<Morsel> {
        if self.parts.is_empty() {
            // Then every column is at its own place.
            return self.whole.project(which).select(indices);
        }
        let mut out = Morsel::from_arrays(Vec::new(), indices.len());
        for &column in which {
            out = match self.places[column] {
                Place::Whole(at) => out.zip(self.whole.project(&[at]).select(indices)?),
                Place::Parts(at) => out.with_column(self.parts[at].take(indices)?),
            };
        }
        Ok(out)
    }
}
