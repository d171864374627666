//! What takes values from pages and becomes an Arrow array.

use arrow::array::{ArrayData, ArrayRef, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use bytes::Bytes;

use crate::decode::body::Body;
use crate::encoding::bitmap::Rows;
use crate::error::{Flaw, Flawed};

/// Collects the rows of one batch in the requested Arrow type. Slots of NULLs get zeros.
pub(crate) trait Sink: Send {
    /// Room for this many more rows.
    fn reserve(&mut self, rows: usize);

    /// Takes `rows.valid` values from `body` into `rows.len` rows.
    fn take(&mut self, body: &mut Body, rows: &Rows<'_>) -> Flawed<()>;

    /// Sets the chunk's dictionary: `entries` values in PLAIN encoding.
    fn set_dictionary(&mut self, data: Bytes, entries: usize) -> Flawed<()>;

    /// Appends the dictionary's entries for `codes`, `rows.valid` of them; a code beyond the
    /// dictionary is an error.
    fn gather(&mut self, codes: &[u32], rows: &Rows<'_>) -> Flawed<()>;

    /// The dictionary as an array.
    fn dictionary(&self) -> Flawed<ArrayRef>;

    /// The batch; the sink is empty afterwards.
    fn finish(&mut self, nulls: Option<NullBuffer>) -> Flawed<ArrayRef>;
}

/// An array of fixed-width native values.
pub(crate) fn primitive<T: ArrowNativeType>(
    data_type: &DataType,
    values: Vec<T>,
    nulls: Option<NullBuffer>,
) -> Flawed<ArrayRef> {
    let len = values.len();
    let data = ArrayData::builder(data_type.clone())
        .len(len)
        .add_buffer(Buffer::from_vec(values))
        .nulls(nulls)
        .build()
        .map_err(|e| Flaw::bug(format!("array of {data_type}: {e}")))?;
    Ok(make_array(data))
}
