//! The only unsafe code of this package: string arrays from parts that were validated before.
//!
//! Arrow's checked constructors validate every view (bounds, prefix and UTF-8 of each string), or
//! the UTF-8 of all bytes again. The sinks have done that already, once per dictionary or page and
//! not once per row.
#![expect(unsafe_code, reason = "measured need, see the module's text")]

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewArray, GenericByteArray, StringViewArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, ByteArrayType};

use crate::error::{Flaw, Flawed};

/// Views that were made by [`views`](super::views): each is inline with zeroed padding, or points
/// with its prefix to bytes inside one of `buffers`; with `utf8`, all bytes were checked.
pub(crate) struct CheckedViews {
    pub(crate) views: Vec<u128>,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) utf8: bool,
}

impl CheckedViews {
    pub(crate) fn into_array(self, nulls: Option<NullBuffer>) -> Flawed<ArrayRef> {
        check_nulls(self.views.len(), nulls.as_ref())?;
        let views = ScalarBuffer::from(self.views);
        let buffers: Arc<[Buffer]> = self.buffers.into();
        if self.utf8 {
            // SAFETY: `CheckedViews` is only built by the view sink, which forms each view from a
            // range that it checked to lie inside the buffer the view names, copies the prefix from
            // there, zeroes the padding of inline views, and validates as UTF-8 each range it forms
            // a view of. Slots of NULLs are zero, the empty inline view. Lengths agree (above).
            Ok(Arc::new(unsafe { StringViewArray::new_unchecked(views, buffers, nulls) }))
        } else {
            // SAFETY: as above, without the need for UTF-8.
            Ok(Arc::new(unsafe { BinaryViewArray::new_unchecked(views, buffers, nulls) }))
        }
    }
}

/// Offsets and bytes that were made by [`strings`](super::strings): for string types, each value
/// was checked as UTF-8 on its own.
pub(crate) fn byte_array<T: ByteArrayType>(
    offsets: OffsetBuffer<T::Offset>,
    values: Vec<u8>,
    nulls: Option<NullBuffer>,
) -> Flawed<ArrayRef> {
    check_nulls(offsets.len() - 1, nulls.as_ref())?;
    if offsets.last().and_then(|l| l.to_usize()).is_none_or(|l| l > values.len()) {
        return Err(Flaw::bug("offsets beyond the values"));
    }
    // SAFETY: `OffsetBuffer` is ascending by construction, its last offset lies inside `values`
    // (above), and the string sink appends only whole values that it validated as UTF-8, so that
    // every offset is a character boundary. Lengths agree (above).
    Ok(Arc::new(unsafe {
        GenericByteArray::<T>::new_unchecked(offsets, Buffer::from_vec(values), nulls)
    }))
}

fn check_nulls(len: usize, nulls: Option<&NullBuffer>) -> Flawed<()> {
    if nulls.is_some_and(|n| n.len() != len) {
        return Err(Flaw::bug("validity of another length than the values"));
    }
    Ok(())
}
