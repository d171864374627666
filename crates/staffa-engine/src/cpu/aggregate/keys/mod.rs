//! Key tables: group keys to dense group ids.

mod vanilla;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use datafusion_common::Result;

/// Gives every different key (a row of key columns) a dense id, in the order of first sight.
pub(super) trait Keys: Send {
    /// Replaces `ids` by the id of each row's key; unknown keys are added.
    fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()>;

    /// Number of different keys.
    fn len(&self) -> usize;

    /// Bytes held.
    fn size(&self) -> usize;

    /// The keys by id. Leaves the table empty.
    fn take(&mut self) -> Result<Vec<ArrayRef>>;
}

/// A table for keys of `schema`.
///
/// # Errors
/// DataFusion's, for types that it cannot group by.
pub(super) fn keys(schema: &SchemaRef) -> Result<Box<dyn Keys>> {
    Ok(Box::new(vanilla::VanillaKeys::new(schema)?))
}
