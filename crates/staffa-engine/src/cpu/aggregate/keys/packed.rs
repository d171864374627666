//! One or more key columns packed into 64 or 128 bits.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema};
use datafusion_common::{Result, internal_err};

use super::bytes::{self, ByteCodes};
use super::fixed;
use super::slots::{Key, Slots, check_room};
use super::{Keys, one_null};

/// Where a column lies in the packed key.
struct Column {
    data_type: DataType,
    shift: u32,
    /// Where the bit lies that is set for NULL.
    null_shift: Option<u32>,
    /// Strings are packed as 32-bit codes.
    codes: Option<ByteCodes>,
}

/// Keys as numbers of type `K`.
pub(super) struct PackedKeys<K: Key> {
    columns: Vec<Column>,
    slots: Slots<K>,
    /// Packed key by id.
    keys: Vec<K>,
    /// The id of NULL where a single column has no bit for it.
    null: Option<u32>,
    packed: Vec<K>,
}

/// Bits that keys of `schema` take together; none if a column cannot be packed.
///
/// A single column leaves out the bit for NULL, which then is looked after by itself.
pub(super) fn width(schema: &Schema) -> Option<u32> {
    let fields = schema.fields();
    let null_bit = u32::from(fields.len() > 1);
    fields
        .iter()
        .map(|field| {
            Some(value_width(field.data_type())? + null_bit * u32::from(field.is_nullable()))
        })
        .sum()
}

fn value_width(data_type: &DataType) -> Option<u32> {
    if bytes::supported(data_type) {
        return Some(32);
    }
    fixed::width(data_type)
}

impl<K: Key> PackedKeys<K> {
    pub(super) fn new(schema: &Schema) -> Result<Self> {
        let single = schema.fields().len() == 1;
        let mut at = 0;
        let mut columns = Vec::new();
        for field in schema.fields() {
            let data_type = field.data_type().clone();
            let Some(width) = value_width(&data_type) else {
                return internal_err!("no packed keys of {data_type}");
            };
            let null_shift = (field.is_nullable() && !single).then_some(at + width);
            columns.push(Column {
                codes: bytes::supported(&data_type).then(ByteCodes::default),
                data_type,
                shift: at,
                null_shift,
            });
            at += width + u32::from(null_shift.is_some());
        }
        if at > K::BITS {
            return internal_err!("{at} key bits do not fit");
        }
        Ok(Self {
            columns,
            slots: Slots::default(),
            keys: Vec::new(),
            null: None,
            packed: Vec::new(),
        })
    }

    fn pack(&mut self, arrays: &[ArrayRef]) -> Result<()> {
        let rows = arrays.first().map_or(0, |array| array.len());
        check_room(self.keys.len(), rows)?;
        self.packed.clear();
        self.packed.resize(rows, K::default());
        let single = self.columns.len() == 1;
        for (column, array) in self.columns.iter_mut().zip(arrays) {
            let shift = column.shift;
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
            let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) else {
                continue;
            };
            match column.null_shift {
                Some(shift) => {
                    for (key, valid) in self.packed.iter_mut().zip(nulls) {
                        *key = key.with(u128::from(!valid), shift);
                    }
                }
                None if single => {}
                None => return internal_err!("NULLs in a key column declared without"),
            }
        }
        Ok(())
    }

    fn look_up(&mut self, nulls: Option<&NullBuffer>, ids: &mut Vec<usize>) {
        let (slots, keys) = (&mut self.slots, &mut self.keys);
        slots.expect(&self.packed);
        let Some(nulls) = nulls else {
            ids.extend(self.packed.iter().map(|&key| id(slots, keys, key)));
            return;
        };
        for (&key, valid) in self.packed.iter().zip(nulls) {
            if valid {
                ids.push(id(slots, keys, key));
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

#[inline(always)]
fn id<K: Key>(slots: &mut Slots<K>, keys: &mut Vec<K>, key: K) -> usize {
    slots.intern(key, keys) as usize
}

impl<K: Key> Keys for PackedKeys<K> {
    fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()> {
        self.pack(columns)?;
        ids.clear();
        let nulls = columns[0].nulls().filter(|nulls| nulls.null_count() > 0);
        let nulls = nulls.filter(|_| self.columns.len() == 1);
        self.look_up(nulls, ids);
        Ok(())
    }

    fn len(&self) -> usize {
        self.keys.len()
    }

    fn size(&self) -> usize {
        let keys = (self.keys.capacity() + self.packed.capacity()) * size_of::<K>();
        let codes = self.columns.iter().flat_map(|column| &column.codes);
        self.slots.size() + keys + codes.map(ByteCodes::size).sum::<usize>()
    }

    fn take(&mut self) -> Result<Vec<ArrayRef>> {
        self.slots.clear();
        let keys = std::mem::take(&mut self.keys);
        let null = one_null(self.null.take(), keys.len());
        self.columns.iter_mut().map(|column| column.unpack(&keys, null.clone())).collect()
    }
}

impl Column {
    fn unpack<K: Key>(&mut self, keys: &[K], null: Option<NullBuffer>) -> Result<ArrayRef> {
        let nulls = match self.null_shift {
            None => null,
            Some(shift) => {
                let valid = |i: usize| keys[i].bits_at(shift) & 1 == 0;
                let nulls = NullBuffer::new(BooleanBuffer::collect_bool(keys.len(), valid));
                (nulls.null_count() > 0).then_some(nulls)
            }
        };
        let Some(codes) = &mut self.codes else {
            return fixed::unpack(&self.data_type, keys, self.shift, nulls);
        };
        if codes.len() == 0 {
            codes.reserve();
        }
        let values = codes.take(&self.data_type, None)?;
        let codes = keys.iter().map(|key| key.bits_at(self.shift) as u32).collect();
        let codes = UInt32Array::try_new(codes, nulls)?;
        Ok(take(values.as_ref(), &codes, None)?)
    }
}
