//! Where columns lie in a packed key.

use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Schema};
use datafusion_common::{Result, internal_err};

use super::slots::Key;

/// Where a column lies in a packed key.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) shift: u32,
    /// Where the bit lies that is set for NULL.
    null_shift: Option<u32>,
}

impl Layout {
    /// The layouts of the columns of `schema`, and the bits that they take together; none if `width` knows none
    /// for a column.
    pub(super) fn of(
        schema: &Schema,
        null_bits: bool,
        width: impl Fn(&DataType) -> Option<u32>,
    ) -> Option<(Vec<Self>, u32)> {
        let mut at = 0;
        let layouts = schema.fields().iter().map(|field| {
            let shift = at;
            at += width(field.data_type())?;
            let null_shift = (field.is_nullable() && null_bits).then_some(at);
            at += u32::from(null_shift.is_some());
            Some(Self { shift, null_shift })
        });
        let layouts = layouts.collect::<Option<Vec<_>>>()?;
        Some((layouts, at))
    }

    /// Sets the bits of NULLs, where the column has a bit for them.
    ///
    /// # Errors
    /// An internal error for NULLs in a column without, unless it is the only one.
    pub(super) fn pack_nulls<K: Key>(
        self,
        nulls: Option<&NullBuffer>,
        single: bool,
        keys: &mut [K],
    ) -> Result<()> {
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
            return Ok(());
        };
        match self.null_shift {
            Some(shift) => {
                for (key, valid) in keys.iter_mut().zip(nulls) {
                    *key = key.with(u128::from(!valid), shift);
                }
                Ok(())
            }
            None if single => Ok(()),
            None => internal_err!("NULLs in a key column declared without"),
        }
    }

    /// The column's NULLs; `otherwise` where it has no bit for them.
    pub(super) fn nulls<K: Key>(
        self,
        keys: &[K],
        otherwise: Option<NullBuffer>,
    ) -> Option<NullBuffer> {
        let Some(shift) = self.null_shift else { return otherwise };
        let valid = |i: usize| keys[i].bits_at(shift) & 1 == 0;
        let nulls = NullBuffer::new(BooleanBuffer::collect_bool(keys.len(), valid));
        (nulls.null_count() > 0).then_some(nulls)
    }
}
