//! One or more key columns packed into 64, 128 or 256 bits.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion_common::{DataFusionError, Result, internal_err};

use super::bytes::ByteCodes;
use super::combined::Combined;
use super::hashed::TOUCHED;
use super::layout::Layout;
use super::slots::{Ids, Key, check_room};
use super::{Keys, fixed, one_null, text};

/// A column of the packed key.
struct Column {
    data_type: DataType,
    layout: Layout,
    /// Strings are packed as 32-bit codes.
    codes: Option<ByteCodes>,
}

/// Keys as numbers of type `K`.
pub(super) struct PackedKeys<K: Key> {
    columns: Vec<Column>,
    slots: K::Ids,
    /// Packed key by id.
    keys: Vec<K>,
    /// The id of NULL where a single column has no bit for it.
    null: Option<u32>,
    packed: Vec<K>,
    combined: Combined,
}

/// Bits that keys of `schema` take together; none if a column cannot be packed.
pub(super) fn width(schema: &Schema) -> Option<u32> {
    layouts(schema).map(|(_, bits)| bits)
}

/// A single column leaves out the bit for NULL, which then is looked after by itself.
fn layouts(schema: &Schema) -> Option<(Vec<Layout>, u32)> {
    Layout::of(schema, schema.fields().len() > 1, |data_type| match text::supported(data_type) {
        true => Some(32),
        false => fixed::width(data_type),
    })
}

impl<K: Key> PackedKeys<K> {
    pub(super) fn new(schema: &Schema) -> Result<Self> {
        let Some((layouts, _)) = layouts(schema).filter(|(_, bits)| *bits <= K::BITS) else {
            return internal_err!("no packed keys of {schema}");
        };
        let column = |(field, layout): (&FieldRef, Layout)| {
            let data_type = field.data_type().clone();
            let codes = text::supported(&data_type).then(|| ByteCodes::new(&data_type));
            Column { codes, data_type, layout }
        };
        Ok(Self {
            columns: schema.fields().iter().zip(layouts).map(column).collect(),
            slots: K::Ids::default(),
            keys: Vec::new(),
            null: None,
            packed: Vec::new(),
            combined: Combined::default(),
        })
    }

    fn pack(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        let rows = arrays.first().map_or(0, |array| array.len());
        check_room(self.keys.len(), rows)?;
        self.packed.clear();
        self.packed.resize(rows, K::default());
        let single = self.columns.len() == 1;
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            let shift = column.layout.shift;
            match &mut column.codes {
                None => fixed::pack(array, shift, &mut self.packed)?,
                Some(codes) => {
                    let mut keys = self.packed.iter_mut();
                    codes.codes(array, |code| {
                        if let (Some(key), Some(code)) = (keys.next(), code) {
                            *key = key.with(u128::from(code), shift);
                        }
                    })?;
                }
            }
            column.layout.pack_nulls(array.nulls(), single, &mut self.packed)?;
        }
        Ok(())
    }

    /// Row by row.
    fn intern_each(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()> {
        self.pack(columns)?;
        ids.clear();
        let nulls = columns[0].nulls().filter(|nulls| nulls.null_count() > 0);
        let nulls = nulls.filter(|_| self.columns.len() == 1);
        self.look_up(nulls, ids);
        Ok(())
    }

    fn look_up(&mut self, nulls: Option<&NullBuffer>, ids: &mut Vec<usize>) {
        let (slots, keys) = (&mut self.slots, &mut self.keys);
        slots.expect(&self.packed);
        let Some(nulls) = nulls else {
            for packed in self.packed.chunks(TOUCHED) {
                slots.touch(packed, keys);
                ids.extend(packed.iter().map(|&key| slots.intern(key, keys) as usize));
            }
            return;
        };
        for (&key, valid) in self.packed.iter().zip(nulls) {
            if valid {
                ids.push(slots.intern(key, keys) as usize);
            } else {
                let null = *self.null.get_or_insert_with(|| {
                    keys.push(K::default());
                    keys.len() as u32 - 1
                });
                ids.push(null as usize);
            }
        }
    }
}

impl<K: Key> Keys for PackedKeys<K> {
    fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()> {
        let mut combined = std::mem::take(&mut self.combined);
        let mut one = Vec::with_capacity(1);
        let done = combined.ids(columns, ids, |columns| {
            self.intern_each(columns, &mut one)?;
            // There are fewer than `u32::MAX`.
            Ok::<u32, DataFusionError>(one.first().map_or(0, |&id| id as u32))
        });
        self.combined = combined;
        match done? {
            true => Ok(()),
            false => self.intern_each(columns, ids),
        }
    }

    fn reserve(&mut self, more: usize) {
        self.slots.reserve(more);
        self.keys.reserve(more);
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn size(&self) -> usize {
        let keys = (self.keys.capacity() + self.packed.capacity()) * size_of::<K>();
        let codes = self.columns.iter().flat_map(|column| &column.codes);
        self.slots.size() + self.combined.size() + keys + codes.map(ByteCodes::size).sum::<usize>()
    }

    fn take(&mut self) -> Result<Vec<ArrayRef>> {
        self.slots.clear();
        self.combined.clear();
        let keys = std::mem::take(&mut self.keys);
        let null = one_null(self.null.take(), keys.len());
        self.columns.iter_mut().map(|column| column.unpack(&keys, null.clone())).collect()
    }
}

impl Column {
    fn unpack<K: Key>(&mut self, keys: &[K], null: Option<NullBuffer>) -> Result<ArrayRef> {
        let (nulls, shift) = (self.layout.nulls(keys, null), self.layout.shift);
        let Some(codes) = &mut self.codes else {
            return fixed::unpack(&self.data_type, keys, shift, nulls);
        };
        if codes.len() == 0 {
            codes.reserve();
        }
        let values = codes.take(&self.data_type, None)?;
        let codes = keys.iter().map(|key| key.bits_at(shift) as u32).collect();
        let codes = UInt32Array::try_new(codes, nulls)?;
        Ok(take(values.as_ref(), &codes, None)?)
    }
}
