//! Strings and byte strings by row, as views, and arrays of them.

use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray, GenericBinaryArray, GenericByteArray,
    GenericByteViewArray, LargeBinaryArray, OffsetSizeTrait, StringViewArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, BinaryViewType, ByteArrayType, DataType, GenericBinaryType, GenericStringType,
};
use datafusion_common::hash_utils::RandomState;
use datafusion_common::{Result, exec_datafusion_err, internal_err};

use super::slots::Key;

/// Longest value that a view holds within itself.
pub(super) const INLINE: usize = 12;
const HASHER: RandomState = RandomState::with_seed(0x57AF_FA00_B17E_5EED);

/// Whether values of this type are strings or byte strings.
pub(super) fn supported(data_type: &DataType) -> bool {
    is_text(data_type)
        || matches!(data_type, DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
}

/// Whether values of this type are UTF-8.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Whether a view holds its value within itself.
#[inline(always)]
pub(in super::super) fn is_short(view: u128) -> bool {
    view as u32 as usize <= INLINE
}

/// A hash whose top bits are good, of a value and its view.
#[inline(always)]
pub(super) fn hash<'a>(view: u128, value: impl FnOnce() -> &'a [u8]) -> u64 {
    if is_short(view) {
        return view.hash();
    }
    match value() {
        value if value.len() <= BY_WORDS => hash_words(value),
        value => HASHER.hash_one(value),
    }
}

/// Whether two long values are the same.
#[inline(always)]
pub(super) fn equal_long(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() || left.len() > BY_WORDS {
        return left == right;
    }
    let mut bits = last_word(left) ^ last_word(right);
    for (left, right) in left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0) {
        bits |= u64::from_le_bytes(*left) ^ u64::from_le_bytes(*right);
    }
    bits == 0
}

/// Long values of up to so many bytes are hashed and compared where that is asked for: to call a function took as
/// long again.
const BY_WORDS: usize = 64;

/// The last eight bytes of a long value.
#[inline(always)]
fn last_word(value: &[u8]) -> u64 {
    value.last_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word))
}

/// A hash of a long value, of words that overlap at its end.
#[inline(always)]
fn hash_words(value: &[u8]) -> u64 {
    let mut hash = value.len() as u64 ^ last_word(value);
    for word in value.as_chunks::<8>().0 {
        hash = hash.hash() ^ u64::from_le_bytes(*word);
    }
    hash.hash()
}

/// Values by row. What stands under a NULL is not asked for.
pub(super) trait Values {
    /// Arrow's view of a value; the upper half of a long one's is for [`long`](Self::long) alone.
    fn view(&self, row: usize) -> u128;

    /// The bytes of a long value, by its view.
    fn long(&self, view: u128) -> &[u8];
}

impl Values for BinaryViewArray {
    #[inline(always)]
    fn view(&self, row: usize) -> u128 {
        self.views()[row]
    }

    #[inline(always)]
    fn long(&self, view: u128) -> &[u8] {
        let (length, start) = (view as u32 as usize, (view >> 96) as usize);
        &self.data_buffers()[(view >> 64) as u32 as usize][start..start + length]
    }
}

impl<O: OffsetSizeTrait> Values for GenericBinaryArray<O> {
    #[inline(always)]
    fn view(&self, row: usize) -> u128 {
        let ends = &self.value_offsets()[row..row + 2];
        let (start, end) = (ends[0].as_usize(), ends[1].as_usize());
        let values = self.value_data();
        match end - start {
            length @ 0..=INLINE => short_view(values, start, length),
            _ => long_view(&values[start..end], start >> 32, start & u32::MAX as usize),
        }
    }

    #[inline(always)]
    fn long(&self, view: u128) -> &[u8] {
        let (length, low) = (view as u32 as usize, (view >> 96) as usize);
        let start = ((view >> 64) as u32 as usize) << 32 | low;
        &self.value_data()[start..start + length]
    }
}

/// A column of values; strings by their bytes.
pub(super) enum Text {
    /// Views, as `Utf8View` and `BinaryView` have them.
    Views(BinaryViewArray),
    /// 32-bit offsets.
    Narrow(BinaryArray),
    /// 64-bit offsets.
    Wide(LargeBinaryArray),
}

impl Text {
    /// # Errors
    /// An internal error for types that are not [`supported`].
    pub(super) fn new(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Utf8View => Self::Views(array.as_string_view().clone().to_binary_view()),
            DataType::BinaryView => Self::Views(array.as_binary_view().clone()),
            DataType::Utf8 => Self::Narrow(array.as_string::<i32>().clone().into()),
            DataType::Binary => Self::Narrow(array.as_binary::<i32>().clone()),
            DataType::LargeUtf8 => Self::Wide(array.as_string::<i64>().clone().into()),
            DataType::LargeBinary => Self::Wide(array.as_binary::<i64>().clone()),
            other => return internal_err!("no strings in {other}"),
        })
    }
}

/// Runs `$body` with `$values` as the [`Values`] of a [`Text`].
macro_rules! with_values {
    ($text:expr, $values:ident => $body:expr) => {
        match $text {
            $crate::cpu::aggregate::keys::text::Text::Views($values) => $body,
            $crate::cpu::aggregate::keys::text::Text::Narrow($values) => $body,
            $crate::cpu::aggregate::keys::text::Text::Wide($values) => $body,
        }
    };
}
pub(super) use with_values;

/// The view of a short value: its length, then its bytes.
#[inline(always)]
fn short_view(values: &[u8], start: usize, length: usize) -> u128 {
    let bits = match values.get(start..start + 16).map(<[u8; 16]>::try_from) {
        // One load; what follows the value is cut off.
        Some(Ok(bytes)) => u128::from_le_bytes(bytes) & ((1_u128 << (8 * length)) - 1),
        _ => {
            let mut bytes = [0; 16];
            bytes[..length].copy_from_slice(&values[start..start + length]);
            u128::from_le_bytes(bytes)
        }
    };
    bits << 32 | length as u128
}

/// The view of a long value: length, first bytes, block, offset.
#[inline(always)]
pub(in super::super) fn long_view(value: &[u8], block: usize, offset: usize) -> u128 {
    let mut prefix = [0; 4];
    prefix.copy_from_slice(&value[..4]);
    value.len() as u128
        | u128::from(u32::from_le_bytes(prefix)) << 32
        | (block as u128) << 64
        | (offset as u128) << 96
}

/// The bytes of a long value whose view says where in `blocks` they lie.
#[inline(always)]
pub(in super::super) fn long_value(view: u128, blocks: &[impl Deref<Target = [u8]>]) -> &[u8] {
    let (length, start) = (view as u32 as usize, (view >> 96) as usize);
    &blocks[(view >> 64) as u32 as usize][start..start + length]
}

/// The views, whose long values lie in `blocks`, as an array of `data_type`. Where that is a type of strings
/// the values must have come out of arrays of strings.
///
/// # Errors
/// More than 2 GB for 32-bit offsets; an internal error for other types.
pub(in super::super) fn array(
    data_type: &DataType,
    views: Vec<u128>,
    blocks: Vec<Vec<u8>>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    match data_type {
        DataType::Utf8 => concat::<GenericStringType<i32>>(&views, &blocks, nulls),
        DataType::LargeUtf8 => concat::<GenericStringType<i64>>(&views, &blocks, nulls),
        DataType::Binary => concat::<GenericBinaryType<i32>>(&views, &blocks, nulls),
        DataType::LargeBinary => concat::<GenericBinaryType<i64>>(&views, &blocks, nulls),
        DataType::Utf8View => string_views(views, blocks, nulls),
        DataType::BinaryView => {
            let blocks: Vec<Buffer> = blocks.into_iter().map(Buffer::from_vec).collect();
            let views = ScalarBuffer::from(views);
            Ok(Arc::new(GenericByteViewArray::<BinaryViewType>::try_new(views, blocks, nulls)?))
        }
        other => internal_err!("no strings in {other}"),
    }
}

/// Strings were checked when they were read. To check them again took 5 to 10 % of a group-by of nearly unique
/// strings (docs/design/performance.md), since it reads all of them once more.
#[expect(unsafe_code, reason = "a safe constructor checks UTF-8 once more, which was measured")]
fn string_views(
    views: Vec<u128>,
    blocks: Vec<Vec<u8>>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let blocks: Vec<Buffer> = blocks.into_iter().map(Buffer::from_vec).collect();
    let views = ScalarBuffer::from(views);
    if cfg!(debug_assertions) || nulls.as_ref().is_some_and(|nulls| nulls.len() != views.len()) {
        return Ok(Arc::new(StringViewArray::try_new(views, blocks, nulls)?));
    }
    // SAFETY: `ByteCodes` makes every view itself: a short one of a whole value, a long one with the length, the
    // first bytes and the place of a value that it copied there whole. Where it stands for a type of strings it
    // takes values out of arrays of strings only (`ByteCodes::codes` refuses others), whose values are UTF-8.
    // `Deal::views` does the same with the values of string view arrays, and takes over the views of short ones. The
    // lengths of views and NULLs agree: tested above.
    Ok(Arc::new(unsafe { StringViewArray::new_unchecked(views, blocks, nulls) }))
}

fn concat<T: ByteArrayType>(
    views: &[u128],
    blocks: &[Vec<u8>],
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let total = views.iter().map(|view| *view as u32 as usize).sum();
    let mut values = Vec::with_capacity(total);
    let mut offsets = Vec::with_capacity(views.len() + 1);
    offsets.push(T::Offset::default());
    for &view in views {
        if is_short(view) {
            values.extend_from_slice(&view.to_le_bytes()[4..4 + view as u32 as usize]);
        } else {
            values.extend_from_slice(long_value(view, blocks));
        }
        let end = T::Offset::from_usize(values.len())
            .ok_or_else(|| exec_datafusion_err!("group keys of more than 2 GB in one array"))?;
        offsets.push(end);
    }
    Ok(Arc::new(GenericByteArray::<T>::try_new(
        OffsetBuffer::new(ScalarBuffer::from(offsets)),
        Buffer::from_vec(values),
        nulls,
    )?))
}
