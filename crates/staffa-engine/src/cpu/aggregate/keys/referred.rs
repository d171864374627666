//! Keys with strings that stay in the arrays they came in.
//!
//! Where groups of several tables meet, their keys are in memory as long as it takes. So strings are neither
//! copied nor, where a key is new, read: a group remembers the row that it was first seen in.

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Schema};
use datafusion_common::Result;
use datafusion_common::hash_utils::{RandomState, create_hashes};

use super::hashed::{HashedIds, TOUCHED};
use super::layout::Layout;
use super::slots::{Key, check_room};
use super::text::{self, Text, Values, is_short, with_values};
use super::{Keys, fixed};

/// Neither that of exchanges nor that of runs: rows that meet here share bits of those.
const SEED: RandomState = RandomState::with_seed(0x57AF_FA00_9EFE_22ED);

/// A string column of the rows that were interned together.
struct TextPart {
    array: ArrayRef,
    text: Text,
    nulls: Option<NullBuffer>,
}

/// See the module.
pub(super) struct ReferredKeys {
    columns: Vec<(DataType, Layout)>,
    ids: HashedIds,
    /// By id: the columns of fixed width, and the NULL bits of all.
    keys: Vec<u128>,
    /// By id: in which part and row it was seen first.
    rows: Vec<(u32, u32)>,
    /// Parts, each with its string columns.
    parts: Vec<Vec<TextPart>>,
    packed: Vec<u128>,
    hashes: Vec<u64>,
}

/// Whether there are such tables for keys of `schema`: some are strings, and the others fit 128 bits.
pub(super) fn supported(schema: &Schema) -> bool {
    let fields = schema.fields();
    fields.iter().any(|field| text::supported(field.data_type()))
        && layouts(schema).is_some_and(|(_, bits)| bits <= u128::BITS)
}

/// Where columns lie in the packed part of a key, and its bits. Strings only have their NULL bit there.
fn layouts(schema: &Schema) -> Option<(Vec<Layout>, u32)> {
    Layout::of(schema, true, |data_type| match text::supported(data_type) {
        true => Some(0),
        false => fixed::width(data_type),
    })
}

impl ReferredKeys {
    /// `None` if keys of `schema` are not [`supported`].
    pub(super) fn new(schema: &Schema) -> Option<Self> {
        let (layouts, _) = layouts(schema).filter(|_| supported(schema))?;
        let types = schema.fields().iter().map(|field| field.data_type().clone());
        Some(Self {
            columns: types.zip(layouts).collect(),
            ids: HashedIds::default(),
            keys: Vec::new(),
            rows: Vec::new(),
            parts: Vec::new(),
            packed: Vec::new(),
            hashes: Vec::new(),
        })
    }

    fn pack(&mut self, arrays: &[ArrayRef]) -> Result<Vec<TextPart>> {
        let rows = arrays.first().map_or(0, |array| array.len());
        self.packed.clear();
        self.packed.resize(rows, 0);
        let mut part = Vec::new();
        for ((data_type, layout), array) in self.columns.iter().zip(arrays) {
            let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
            if text::supported(data_type) {
                let (array, text) = (array.clone(), Text::new(array)?);
                part.push(TextPart { array, text, nulls: nulls.cloned() });
            } else {
                fixed::pack(array, layout.shift, &mut self.packed)?;
            }
            layout.pack_nulls(nulls, false, &mut self.packed)?;
        }
        Ok(part)
    }
}

/// Whether the strings in a row of one part are those of a row of another one. Their NULLs agree.
fn same(part: &[TextPart], row: usize, other: &[TextPart], other_row: usize) -> bool {
    part.iter().zip(other).all(|(part, other)| {
        let is_null = part.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        is_null
            || match (&part.text, &other.text) {
                (Text::Views(left), Text::Views(right)) => equal(left, row, right, other_row),
                (Text::Narrow(left), Text::Narrow(right)) => equal(left, row, right, other_row),
                (Text::Wide(left), Text::Wide(right)) => equal(left, row, right, other_row),
                (left, right) => with_values!(left, left => {
                    with_values!(right, right => equal(left, row, right, other_row))
                }),
            }
    })
}

#[inline(always)]
fn equal(left: &impl Values, at: usize, right: &impl Values, other: usize) -> bool {
    let (view, other_view) = (left.view(at), right.view(other));
    match is_short(view) {
        true => view == other_view,
        false => {
            view as u64 == other_view as u64
                && text::equal_long(left.long(view), right.long(other_view))
        }
    }
}

impl Keys for ReferredKeys {
    fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()> {
        let part = self.pack(columns)?;
        check_room(self.keys.len(), self.packed.len())?;
        self.hashes.clear();
        self.hashes.resize(self.packed.len(), 0);
        create_hashes(columns, &SEED, &mut self.hashes)?;
        ids.clear();
        ids.reserve(self.packed.len());
        let (number, groups) = (self.parts.len() as u32, self.keys.len());
        self.parts.push(part);
        let Self { ids: table, keys, rows, parts, packed, hashes, .. } = self;
        let (parts, mut row) = (&*parts, 0);
        for (packed, hashes) in packed.chunks(TOUCHED).zip(hashes.chunks(TOUCHED)) {
            table.touch(hashes.iter().map(|&hash| mixed(hash)), |id| keys[id as usize] as u64);
            for (&key, &hash) in packed.iter().zip(hashes) {
                let next = keys.len() as u32;
                let id = table.intern(mixed(hash), next, |id| {
                    let (part, first) = rows[id as usize];
                    keys[id as usize] == key
                        && same(&parts[number as usize], row, &parts[part as usize], first as usize)
                });
                if id == next {
                    keys.push(key);
                    rows.push((number, row as u32));
                }
                ids.push(id as usize);
                row += 1;
            }
        }
        if keys.len() == groups {
            // Nobody refers to it.
            self.parts.pop();
        }
        Ok(())
    }

    fn reserve(&mut self, more: usize) {
        self.ids.reserve(more);
        self.keys.reserve(more);
        self.rows.reserve(more);
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    /// Without the strings, which are the caller's.
    fn size(&self) -> usize {
        let keys = self.keys.capacity() + self.packed.capacity();
        let rows = self.rows.capacity() + self.hashes.capacity();
        self.ids.size() + keys * size_of::<u128>() + rows * size_of::<u64>()
    }

    fn take(&mut self) -> Result<Vec<ArrayRef>> {
        self.ids.clear();
        let (keys, parts) = (std::mem::take(&mut self.keys), std::mem::take(&mut self.parts));
        let rows: Vec<(usize, usize)> = std::mem::take(&mut self.rows)
            .into_iter()
            .map(|(part, row)| (part as usize, row as usize))
            .collect();
        let mut texts = 0;
        self.columns
            .iter()
            .map(|(data_type, layout)| {
                if !text::supported(data_type) {
                    let nulls = layout.nulls(&keys, None);
                    return fixed::unpack(data_type, &keys, layout.shift, nulls);
                }
                texts += 1;
                let arrays = parts.iter().filter_map(|part| part.get(texts - 1));
                let arrays: Vec<&dyn Array> = arrays.map(|part| part.array.as_ref()).collect();
                match arrays.is_empty() {
                    true => Ok(arrow::array::new_empty_array(data_type)),
                    false => Ok(interleave(&arrays, &rows)?),
                }
            })
            .collect()
    }
}

/// DataFusion's hashes of single numbers have weak top bits.
#[inline(always)]
fn mixed(hash: u64) -> u64 {
    hash.hash()
}
