//! Key tables: group keys to dense group ids.

mod bytes;
mod combined;
mod fixed;
mod hashed;
mod layout;
mod packed;
mod referred;
mod single_bytes;
mod slots;
#[cfg(test)]
mod tests;
pub(super) mod text;
mod vanilla;

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;
use datafusion_common::Result;

use self::slots::Key;

/// Gives every different key (a row of key columns) a dense id, in the order of first sight.
pub(super) trait Keys: Send {
    /// Replaces `ids` by the id of each row's key; unknown keys are added.
    fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()>;

    /// Makes room for `more` keys, if that is of use.
    fn reserve(&mut self, _more: usize) {}

    /// Number of different keys.
    fn len(&self) -> usize;

    /// Bytes held.
    fn size(&self) -> usize;

    /// The keys by id. Leaves the table empty.
    fn take(&mut self) -> Result<Vec<ArrayRef>>;
}

/// A table for keys of `schema`: strings by themselves, up to 256 bits as numbers, the rest in
/// DataFusion's tables.
///
/// # Errors
/// DataFusion's, for types that it cannot group by.
pub(super) fn keys(schema: &SchemaRef) -> Result<Box<dyn Keys>> {
    if let [field] = schema.fields().as_ref()
        && text::supported(field.data_type())
    {
        return Ok(Box::new(single_bytes::BytesKeys::new(field.data_type())));
    }
    Ok(match packed::width(schema) {
        Some(0..=64) => Box::new(packed::PackedKeys::<u64>::new(schema)?),
        Some(65..=128) => Box::new(packed::PackedKeys::<u128>::new(schema)?),
        Some(129..=256) => Box::new(packed::PackedKeys::<slots::Wide>::new(schema)?),
        _ => Box::new(vanilla::VanillaKeys::new(schema)?),
    })
}

/// A table for keys of arrays that stay in memory until it has been emptied, which all are of the types of
/// `schema`: no codes.
///
/// # Errors
/// As [`keys`].
pub(super) fn keys_of_kept(schema: &SchemaRef) -> Result<Box<dyn Keys>> {
    match referred::ReferredKeys::new(schema) {
        Some(keys) => Ok(Box::new(keys)),
        None => keys(schema),
    }
}

/// Per key column of `schema`, whether its table takes a dictionary array with `u32` keys in place of
/// the column's own type.
pub(super) fn takes_codes(schema: &SchemaRef) -> Vec<bool> {
    let single = schema.fields().len() == 1;
    let ours = single || packed::width(schema).is_some_and(|bits| bits <= slots::Wide::BITS);
    schema.fields().iter().map(|field| ours && text::supported(field.data_type())).collect()
}

/// Validity of `keys` keys of which one may be NULL.
fn one_null(null: Option<u32>, keys: usize) -> Option<NullBuffer> {
    null.map(|null| {
        let mut valid = vec![true; keys];
        valid[null as usize] = false;
        NullBuffer::from(valid)
    })
}
