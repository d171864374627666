//! Which parts of which columns go into which key.

use std::collections::VecDeque;

use staffa_cuda::{CudaError, Result};

use super::KeyBytes;
use crate::abi::{
    Column, ColumnKind, NONE, SORT_DESCENDING, SORT_NULLABLE, SORT_NULLS_LAST, STRING_BITS,
    SortField, ValueOrder,
};
use crate::columns::rows::{check_column, logical_storage};
use crate::expression::InputColumn;

/// A column to sort by.
#[derive(Clone)]
pub struct SortColumn {
    /// The column. Codes sort as what they stand for.
    pub column: InputColumn,
    /// How its values compare.
    pub order: ValueOrder,
    /// The greatest value first.
    pub descending: bool,
    /// NULLs before all values, whatever their direction.
    pub nulls_first: bool,
}

impl SortColumn {
    pub(super) fn check(&self) -> Result<()> {
        check_column(&self.column)?;
        let (kind, width) = logical_storage(&self.column.descriptor);
        let is = |of: ColumnKind| kind == of as u8;
        let fits = match self.order {
            ValueOrder::Unsigned => is(ColumnKind::Bits) || (is(ColumnKind::Fixed) && width <= 8),
            ValueOrder::Signed => is(ColumnKind::Fixed),
            ValueOrder::Float => is(ColumnKind::Fixed) && matches!(width, 2 | 4 | 8),
            ValueOrder::Bytes => is(ColumnKind::Spans) || is(ColumnKind::Bytes),
        };
        if fits {
            return Ok(());
        }
        Err(CudaError::Misuse(format!("{:?} sorted as {:?}", self.column.descriptor, self.order)))
    }

    fn field(&self, unit: u32, bits: u32) -> SortField {
        let (_, width) = logical_storage(&self.column.descriptor);
        // Only the first unit says who is NULL; those that tie in it agree.
        let nullable = self.column.descriptor.validity != 0 && unit == 0;
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        SortField {
            values: Column { type_: self.order as u32, width, ..self.column.descriptor },
            unit,
            bits,
            flags: flag(nullable, SORT_NULLABLE)
                | flag(!self.nulls_first, SORT_NULLS_LAST)
                | flag(self.descending, SORT_DESCENDING),
            shift: 0,
        }
    }
}

/// What is still to be sorted by.
pub(super) enum Part {
    /// A unit of a column.
    Field(SortField),
    /// The rest of a column's strings, behind their first eight bytes.
    Strings(usize),
}

/// Fields of one key, their places given.
pub(super) struct Key {
    pub(super) fields: Vec<SortField>,
    pub(super) bits: u32,
}

impl Key {
    /// The narrowest number that holds the fields, and `more` bits above them.
    pub(super) fn width(&self, more: u32) -> Result<KeyBytes> {
        KeyBytes::for_bits(self.bits + more)
            .ok_or_else(|| CudaError::Misuse(format!("a sort key of {} bits", self.bits + more)))
    }
}

/// The parts of all columns, in the order in which they decide.
pub(super) fn parts(columns: &[SortColumn]) -> VecDeque<Part> {
    let mut parts = VecDeque::new();
    for (number, column) in columns.iter().enumerate() {
        let (kind, width) = logical_storage(&column.column.descriptor);
        let mut field = |unit, bits| parts.push_back(Part::Field(column.field(unit, bits)));
        match kind {
            k if k == ColumnKind::Bits as u8 => field(0, 1),
            k if k == ColumnKind::Spans as u8 => {
                field(0, STRING_BITS);
                parts.push_back(Part::Strings(number));
            }
            _ => {
                for unit in 0..width.div_ceil(8) {
                    field(unit, 8 * (width - 8 * unit).min(8));
                }
            }
        }
    }
    parts
}

/// Takes the next fields, as many as fit, the first highest. None: strings come next, or nothing does.
pub(super) fn take_key(parts: &mut VecDeque<Part>, most_bits: u32) -> Key {
    let mut fields: Vec<SortField> = Vec::new();
    let mut bits = 0;
    while let Some(Part::Field(field)) = parts.front() {
        let needed = field.bits + (field.flags & SORT_NULLABLE);
        if bits + needed > most_bits {
            break;
        }
        bits += needed;
        fields.push(*field);
        parts.pop_front();
    }
    let mut above = bits;
    for field in &mut fields {
        above -= field.bits + (field.flags & SORT_NULLABLE);
        field.shift = above;
    }
    Key { fields, bits }
}

/// The key that goes on with strings, by the unit in which those of a run of ties differ.
pub(super) fn string_key(column: &SortColumn) -> Key {
    Key { fields: vec![column.field(NONE, STRING_BITS)], bits: STRING_BITS }
}
