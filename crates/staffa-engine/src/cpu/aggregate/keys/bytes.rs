//! Strings and byte strings to dense codes.

use std::hash::BuildHasher;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, GenericByteArray, GenericByteViewArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, BinaryViewType, ByteArrayType, ByteViewType, DataType, GenericBinaryType,
    GenericStringType, StringViewType, UInt32Type,
};
use datafusion_common::hash_utils::RandomState;
use datafusion_common::{Result, exec_datafusion_err, internal_err};
use hashbrown::HashTable;

use super::slots::{Slots, check_room};

/// Longest value that a view holds within itself.
const INLINE: usize = 12;
/// Bytes of long values are gathered in blocks, each twice as large as the one before, from the
/// first of these sizes to the last.
const BLOCKS: (usize, usize) = (4 << 10, 1 << 20);
const HASHER: RandomState = RandomState::with_seed(0x57AF_FA00_B17E_5EED);

/// Whether values of this type have codes.
pub(super) fn supported(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, LargeBinary, LargeUtf8, Utf8, Utf8View};
    matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView)
}

/// Different byte strings by code.
///
/// They are kept as Arrow's views: one of up to 12 bytes is a `u128`, looked up and compared as a
/// number; the bytes of longer ones lie in blocks, and a hash finds them.
#[derive(Default)]
pub(super) struct ByteCodes {
    short: Slots<u128>,
    /// Hash and code of the long values.
    long: HashTable<(u64, u32)>,
    /// Value by code.
    views: Vec<u128>,
    blocks: Vec<Vec<u8>>,
    block_bytes: usize,
    /// Whether NULL has a code, and which once it was seen.
    codes_null: bool,
    null: Option<u32>,
    /// The dictionary seen last, and per entry its code, [`UNSEEN`] for one that no row had yet.
    dictionary: Option<(ArrayRef, Vec<u32>)>,
}

const UNSEEN: u32 = u32::MAX;

impl ByteCodes {
    /// Number of codes.
    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        let long = self.long.capacity() * size_of::<(u64, u32)>();
        let entries = self.dictionary.as_ref().map_or(0, |(_, codes)| codes.capacity());
        let long = long + entries * size_of::<u32>();
        self.short.size() + long + self.views.capacity() * size_of::<u128>() + self.block_bytes
    }

    /// Codes for NULL too.
    pub(super) fn with_null() -> Self {
        Self { codes_null: true, ..Self::default() }
    }

    /// A code that no value has. As a value it is the empty string.
    pub(super) fn reserve(&mut self) -> u32 {
        self.views.push(0);
        self.views.len() as u32 - 1
    }

    fn null(&mut self) -> Option<u32> {
        if self.codes_null && self.null.is_none() {
            self.null = Some(self.reserve());
        }
        self.null
    }

    /// The code of NULL, if it has one and was seen.
    pub(super) fn take_null(&mut self) -> Option<u32> {
        self.null.take()
    }

    /// Gives `each` the code of every value, none for NULLs without a code.
    pub(super) fn codes(&mut self, array: &ArrayRef, each: impl FnMut(Option<u32>)) -> Result<()> {
        check_room(self.views.len(), array.len())?;
        match array.data_type() {
            DataType::Utf8 => self.offsets::<GenericStringType<i32>>(array.as_bytes(), each),
            DataType::LargeUtf8 => self.offsets::<GenericStringType<i64>>(array.as_bytes(), each),
            DataType::Binary => self.offsets::<GenericBinaryType<i32>>(array.as_bytes(), each),
            DataType::LargeBinary => self.offsets::<GenericBinaryType<i64>>(array.as_bytes(), each),
            DataType::Utf8View => self.views::<StringViewType>(array.as_byte_view(), each),
            DataType::BinaryView => self.views::<BinaryViewType>(array.as_byte_view(), each),
            DataType::Dictionary(key, _) if key.as_ref() == &DataType::UInt32 => {
                self.entries(array.as_dictionary(), each)?;
            }
            other => return internal_err!("no codes for {other}"),
        }
        Ok(())
    }

    /// An entry is looked up for the first row that has it.
    fn entries(
        &mut self,
        array: &DictionaryArray<UInt32Type>,
        mut each: impl FnMut(Option<u32>),
    ) -> Result<()> {
        let values = array.values();
        let known = self.dictionary.take().filter(|(known, _)| Arc::ptr_eq(known, values));
        let mut codes = known.map_or_else(|| vec![UNSEEN; values.len()], |(_, codes)| codes);
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        for (row, &entry) in array.keys().values().iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                each(self.null());
                continue;
            }
            let code = &mut codes[entry as usize];
            if *code == UNSEEN {
                *code = self.entry(values, entry as usize)?;
            }
            each(Some(*code));
        }
        self.dictionary = Some((Arc::clone(values), codes));
        Ok(())
    }

    /// The code of one value, which is not NULL.
    fn entry(&mut self, values: &ArrayRef, at: usize) -> Result<u32> {
        Ok(match values.data_type() {
            DataType::Utf8 => self.bytes(values.as_string::<i32>().value(at).as_bytes()),
            DataType::LargeUtf8 => self.bytes(values.as_string::<i64>().value(at).as_bytes()),
            DataType::Utf8View => self.bytes(values.as_string_view().value(at).as_bytes()),
            DataType::Binary => self.bytes(values.as_binary::<i32>().value(at)),
            DataType::LargeBinary => self.bytes(values.as_binary::<i64>().value(at)),
            DataType::BinaryView => self.bytes(values.as_binary_view().value(at)),
            other => return internal_err!("no codes for {other}"),
        })
    }

    fn bytes(&mut self, value: &[u8]) -> u32 {
        self.range(value, 0, value.len())
    }

    fn views<T: ByteViewType>(
        &mut self,
        array: &GenericByteViewArray<T>,
        mut each: impl FnMut(Option<u32>),
    ) {
        let buffers = array.data_buffers();
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                for view in array.views() {
                    each(Some(self.view(*view, buffers)));
                }
            }
            Some(nulls) => {
                for (view, valid) in array.views().iter().zip(nulls) {
                    each(match valid {
                        true => Some(self.view(*view, buffers)),
                        false => self.null(),
                    });
                }
            }
        }
    }

    #[inline(always)]
    fn view(&mut self, view: u128, buffers: &[Buffer]) -> u32 {
        let length = view as u32 as usize;
        if length <= INLINE {
            return self.short(view);
        }
        let buffer = &buffers[(view >> 64) as u32 as usize];
        let start = (view >> 96) as usize;
        self.long(&buffer[start..start + length])
    }

    fn offsets<T: ByteArrayType>(
        &mut self,
        array: &GenericByteArray<T>,
        mut each: impl FnMut(Option<u32>),
    ) {
        let values = array.value_data();
        let ends = array.value_offsets().windows(2);
        let ends = ends.map(|ends| (ends[0].as_usize(), ends[1].as_usize()));
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                for (start, end) in ends {
                    each(Some(self.range(values, start, end)));
                }
            }
            Some(nulls) => {
                for ((start, end), valid) in ends.zip(nulls) {
                    each(match valid {
                        true => Some(self.range(values, start, end)),
                        false => self.null(),
                    });
                }
            }
        }
    }

    #[inline(always)]
    fn range(&mut self, values: &[u8], start: usize, end: usize) -> u32 {
        if end - start <= INLINE {
            self.short(short_view(values, start, end - start))
        } else {
            self.long(&values[start..end])
        }
    }

    #[inline(always)]
    fn short(&mut self, view: u128) -> u32 {
        self.short.intern(view, &mut self.views)
    }

    fn long(&mut self, value: &[u8]) -> u32 {
        let hash = HASHER.hash_one(value);
        let prefix = long_view(value, 0, 0) as u64;
        let (views, blocks) = (&self.views, &self.blocks);
        let known = self.long.find(hash, |&(other, code)| {
            let view = views[code as usize];
            other == hash && view as u64 == prefix && long_value(view, blocks) == value
        });
        if let Some(&(_, code)) = known {
            return code;
        }
        let code = self.views.len() as u32;
        let full = |block: &Vec<u8>| block.len() + value.len() > block.capacity();
        if self.blocks.last().is_none_or(full) {
            let usual = BLOCKS.0.checked_shl(self.blocks.len() as u32).unwrap_or(BLOCKS.1);
            let block = Vec::with_capacity(usual.clamp(value.len(), BLOCKS.1.max(value.len())));
            self.block_bytes += block.capacity();
            self.blocks.push(block);
        }
        let at = self.blocks.len() - 1;
        let view = long_view(value, at, self.blocks[at].len());
        self.blocks[at].extend_from_slice(value);
        self.views.push(view);
        self.long.insert_unique(hash, (hash, code), |&(hash, _)| hash);
        code
    }

    /// The values by code, as an array of `data_type`. Leaves no codes.
    pub(super) fn take(
        &mut self,
        data_type: &DataType,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        self.short.clear();
        self.long.clear();
        self.dictionary = None;
        self.block_bytes = 0;
        let views = std::mem::take(&mut self.views);
        let blocks = std::mem::take(&mut self.blocks);
        match data_type {
            DataType::Utf8 => concat::<GenericStringType<i32>>(&views, &blocks, nulls),
            DataType::LargeUtf8 => concat::<GenericStringType<i64>>(&views, &blocks, nulls),
            DataType::Binary => concat::<GenericBinaryType<i32>>(&views, &blocks, nulls),
            DataType::LargeBinary => concat::<GenericBinaryType<i64>>(&views, &blocks, nulls),
            DataType::Utf8View => view_array::<StringViewType>(views, blocks, nulls),
            DataType::BinaryView => view_array::<BinaryViewType>(views, blocks, nulls),
            other => internal_err!("no codes for {other}"),
        }
    }
}

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
fn long_view(value: &[u8], block: usize, offset: usize) -> u128 {
    let mut prefix = [0; 4];
    prefix.copy_from_slice(&value[..4]);
    value.len() as u128
        | u128::from(u32::from_le_bytes(prefix)) << 32
        | (block as u128) << 64
        | (offset as u128) << 96
}

fn long_value(view: u128, blocks: &[Vec<u8>]) -> &[u8] {
    let (length, start) = (view as u32 as usize, (view >> 96) as usize);
    &blocks[(view >> 64) as u32 as usize][start..start + length]
}

fn view_array<T: ByteViewType>(
    views: Vec<u128>,
    blocks: Vec<Vec<u8>>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let blocks: Vec<Buffer> = blocks.into_iter().map(Buffer::from_vec).collect();
    Ok(Arc::new(GenericByteViewArray::<T>::try_new(ScalarBuffer::from(views), blocks, nulls)?))
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
        let length = view as u32 as usize;
        if length <= INLINE {
            values.extend_from_slice(&view.to_le_bytes()[4..4 + length]);
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
