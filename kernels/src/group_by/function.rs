//! Aggregate functions and the types that they take.

use crate::abi::{Column, ColumnKind, WordForm};

/// What an accumulator does with values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    /// Rows with a value; all rows when there is no value column. `u64`, never NULL.
    Count,
    /// The sum of integers and decimals, wrapping at the width of the output; of floats, as doubles.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// Bitwise; of booleans: whether all are true.
    And,
    /// Bitwise; of booleans: whether any is true.
    Or,
    /// Bitwise.
    Xor,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// Integers, dates, times and decimals with a sign.
    Signed,
    /// Integers without a sign.
    Unsigned,
    /// Floats.
    Float,
    /// Bitmaps.
    Boolean,
    /// Strings and binary.
    Bytes,
}

/// How an accumulator keeps its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// A word a group, changed by this kernel.
    Word { symbol: &'static str, form: WordForm, neutral: u64 },
    /// A sum of 2 or 4 limbs.
    Limbs { symbol: &'static str, limbs: u32 },
    /// A value of 16 or 32 bytes, elected by rows.
    Elected { greatest: bool },
}

impl State {
    /// Words a group, for values of `width` bytes.
    pub(super) fn words(self, width: u32) -> usize {
        match self {
            State::Word { .. } => 1,
            State::Limbs { limbs, .. } => limbs as usize,
            State::Elected { .. } => width as usize / 8,
        }
    }

    /// What a group starts with.
    pub(super) fn neutral(self) -> u64 {
        match self {
            State::Word { neutral, .. } => neutral,
            State::Limbs { .. } | State::Elected { .. } => 0,
        }
    }
}

/// Whether results can be values of `output` bytes (0: bits). Only sums of integers have a choice: they wrap at
/// the width of the output, which is not narrower than the values.
pub(super) fn finishes_as(function: Function, value: ValueType, width: u32, output: u32) -> bool {
    match (function, value) {
        (Function::Count, _) | (Function::Sum, ValueType::Float) => output == 8,
        (Function::Sum, _) if width <= 8 => output >= width && matches!(output, 1 | 2 | 4 | 8),
        (_, ValueType::Boolean) => output == 0,
        _ => output == width,
    }
}

/// How `function` works on such values, `width` bytes each; `None`: it does not.
pub(super) fn state_of(function: Function, value: ValueType, width: u32) -> Option<State> {
    use Function as F;
    use ValueType as V;
    use WordForm as W;
    let word = |symbol, form, neutral| Some(State::Word { symbol, form, neutral });
    let narrow = matches!(width, 1 | 2 | 4 | 8);
    match (function, value) {
        (F::Count, _) => word("aggregate_word_add", W::One, 0),
        (F::Sum, V::Signed) if narrow => word("aggregate_word_add", W::Signed, 0),
        (F::Sum, V::Unsigned) if narrow => word("aggregate_word_add", W::Unsigned, 0),
        (F::Sum, V::Float) if matches!(width, 4 | 8) => word("aggregate_word_add_f64", W::Float, 0),
        (F::Sum, V::Signed) if width == 16 => {
            Some(State::Limbs { symbol: "aggregate_limbs_128", limbs: 2 })
        }
        (F::Sum, V::Signed) if width == 32 => {
            Some(State::Limbs { symbol: "aggregate_limbs_256", limbs: 4 })
        }
        (F::Min | F::Max, V::Bytes) => {
            (width == 16).then_some(State::Elected { greatest: function == F::Max })
        }
        (F::Min | F::Max, V::Signed) if matches!(width, 16 | 32) => {
            Some(State::Elected { greatest: function == F::Max })
        }
        (F::Min | F::Max, _) if narrow || value == V::Boolean => {
            let form = match value {
                V::Signed => W::OrderedSigned,
                V::Float if width == 1 => return None,
                V::Float => W::OrderedFloat,
                _ => W::OrderedUnsigned,
            };
            match function {
                F::Min => word("aggregate_word_min", form, least_neutral(value, width)),
                _ => word("aggregate_word_max", form, greatest_neutral(value, width)),
            }
        }
        (F::And, V::Signed | V::Unsigned) if narrow => {
            word("aggregate_word_and", W::Unsigned, u64::MAX)
        }
        (F::And, V::Boolean) => word("aggregate_word_and", W::Unsigned, u64::MAX),
        (F::Or, V::Signed | V::Unsigned) if narrow => word("aggregate_word_or", W::Unsigned, 0),
        (F::Or, V::Boolean) => word("aggregate_word_or", W::Unsigned, 0),
        (F::Xor, V::Signed | V::Unsigned) if narrow => word("aggregate_word_xor", W::Unsigned, 0),
        _ => None,
    }
}

/// Where a minimum starts: DataFusion's at the type's greatest finite float, so infinity never comes out.
fn least_neutral(value: ValueType, width: u32) -> u64 {
    if value == ValueType::Float { ordered(greatest_finite(width)) } else { u64::MAX }
}

/// Where a maximum starts.
fn greatest_neutral(value: ValueType, width: u32) -> u64 {
    if value == ValueType::Float { ordered(greatest_finite(width) | 1 << 63) } else { 0 }
}

/// The bits of a type's greatest finite float, moved to the top of a word.
fn greatest_finite(width: u32) -> u64 {
    match width {
        2 => 0x7bff << 48,
        4 => u64::from(f32::MAX.to_bits()) << 32,
        _ => f64::MAX.to_bits(),
    }
}

fn ordered(top: u64) -> u64 {
    if top >> 63 != 0 { !top } else { top | 1 << 63 }
}

/// Whether a column's values are of this type.
pub(super) fn fits(value: ValueType, c: &Column) -> bool {
    let (kind, _) = crate::columns::rows::logical_storage(c);
    match value {
        ValueType::Boolean => kind == ColumnKind::Bits as u8,
        ValueType::Bytes => kind == ColumnKind::Spans as u8,
        ValueType::Signed | ValueType::Unsigned | ValueType::Float => {
            kind == ColumnKind::Fixed as u8
        }
    }
}
