//! Strings and byte strings to dense codes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, UInt32Type};
use datafusion_common::{Result, internal_err};

use super::hashed::{HashedIds, TOUCHED};
use super::slots::check_room;
use super::text::{
    self, INLINE, Text, Values, is_short, is_text, long_value, long_view, with_values,
};

/// Bytes of long values are gathered in blocks, each twice as large as the one before, from the
/// first of these sizes to the last.
const BLOCKS: (usize, usize) = (4 << 10, 1 << 20);

/// Different byte strings by code.
///
/// They are kept as Arrow's views: one of up to 12 bytes is a `u128`, looked up and compared as a
/// number; the bytes of longer ones lie in blocks.
pub(super) struct ByteCodes {
    /// Whether the values are UTF-8.
    text: bool,
    ids: HashedIds,
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
    /// For values of `data_type`, or of another one that is UTF-8 if it is.
    pub(super) fn new(data_type: &DataType) -> Self {
        Self {
            text: is_text(data_type),
            ids: HashedIds::default(),
            views: Vec::new(),
            blocks: Vec::new(),
            block_bytes: 0,
            codes_null: false,
            null: None,
            dictionary: None,
        }
    }

    /// Codes for NULL too.
    pub(super) fn with_null(data_type: &DataType) -> Self {
        Self { codes_null: true, ..Self::new(data_type) }
    }

    /// Number of codes.
    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        let entries = self.dictionary.as_ref().map_or(0, |(_, codes)| codes.capacity());
        let views = self.views.capacity() * size_of::<u128>();
        self.ids.size() + entries * size_of::<u32>() + views + self.block_bytes
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
        if let DataType::Dictionary(key, values) = array.data_type()
            && key.as_ref() == &DataType::UInt32
        {
            self.check_type(values)?;
            return self.entries(array.as_dictionary(), each);
        }
        self.check_type(array.data_type())?;
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let values = Text::new(array)?;
        with_values!(&values, values => self.look_up(values, array.len(), nulls, each));
        Ok(())
    }

    /// Bytes that are not UTF-8 must not become strings.
    fn check_type(&self, data_type: &DataType) -> Result<()> {
        if self.text != is_text(data_type) {
            return internal_err!("{data_type} among other strings");
        }
        Ok(())
    }

    fn look_up(
        &mut self,
        values: &impl Values,
        rows: usize,
        nulls: Option<&NullBuffer>,
        mut each: impl FnMut(Option<u32>),
    ) {
        let is_valid = |row| nulls.is_none_or(|nulls| nulls.is_valid(row));
        let (mut hashes, mut views) = ([0; TOUCHED], [0; TOUCHED]);
        for start in (0..rows).step_by(TOUCHED) {
            let rows = start..rows.min(start + TOUCHED);
            for (row, (hash, view)) in rows.clone().zip(hashes.iter_mut().zip(&mut views)) {
                if is_valid(row) {
                    *view = values.view(row);
                    *hash = text::hash(*view, || values.long(*view));
                }
            }
            self.touch(&hashes[..rows.len()]);
            for (row, (&hash, &view)) in rows.zip(hashes.iter().zip(&views)) {
                each(match is_valid(row) {
                    true => Some(self.intern(hash, view, || values.long(view))),
                    false => self.null(),
                });
            }
        }
    }

    fn touch(&mut self, hashes: &[u64]) {
        let (views, blocks) = (&self.views, &self.blocks);
        self.ids.touch(hashes.iter().copied(), |id| match views[id as usize] {
            view if is_short(view) => view as u64,
            view => u64::from(long_value(view, blocks)[INLINE]),
        });
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
        let entries = Text::new(values)?;
        for (row, &entry) in array.keys().values().iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                each(self.null());
                continue;
            }
            let code = &mut codes[entry as usize];
            if *code == UNSEEN {
                *code = with_values!(&entries, entries => self.entry(entries, entry as usize));
            }
            each(Some(*code));
        }
        self.dictionary = Some((Arc::clone(values), codes));
        Ok(())
    }

    /// The code of one value, which is not NULL.
    fn entry(&mut self, values: &impl Values, at: usize) -> u32 {
        let view = values.view(at);
        self.intern(text::hash(view, || values.long(view)), view, || values.long(view))
    }

    #[inline(always)]
    fn intern<'a>(&mut self, hash: u64, view: u128, value: impl Fn() -> &'a [u8]) -> u32 {
        let next = self.views.len() as u32;
        let (views, blocks) = (&self.views, &self.blocks);
        if is_short(view) {
            let id = self.ids.intern(hash, next, |id| views[id as usize] == view);
            if id == next {
                self.views.push(view);
            }
            return id;
        }
        let id = self.ids.intern(hash, next, |id| {
            let other = views[id as usize];
            other as u64 == view as u64 && text::equal_long(long_value(other, blocks), value())
        });
        if id == next {
            self.keep(value());
        }
        id
    }

    /// Copies a long value, which has the next code.
    fn keep(&mut self, value: &[u8]) {
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
    }

    /// The values by code, as an array of `data_type`. Leaves no codes.
    pub(super) fn take(
        &mut self,
        data_type: &DataType,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef> {
        self.check_type(data_type)?;
        self.ids.clear();
        self.dictionary = None;
        self.block_bytes = 0;
        let views = std::mem::take(&mut self.views);
        text::array(data_type, views, std::mem::take(&mut self.blocks), nulls)
    }
}
