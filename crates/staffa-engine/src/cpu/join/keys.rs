//! Exact keys: several fixed-width key columns as one `u64`.
//!
//! The build side's ranges decide. With column `c` spanning `n_c` values, a key is
//! `((v_0 - min_0) * n_1 + (v_1 - min_1)) * n_2 + ..`: dense, so that a table may be addressed by
//! it, and injective, so that equal codes are equal keys. A probe value outside of a column's
//! range has no match. Where NULL matches NULL, it is the digit 0 and values begin at 1.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::*;
use datafusion_common::{NullEquality, Result, internal_err};
use rayon::prelude::*;

/// A value as a `u64`, in order for integers; equal values have equal codes.
pub(super) trait Code: Copy {
    /// See the trait.
    fn code(self) -> u64;
}

macro_rules! signed {
    ($($t:ty),*) => {$(impl Code for $t {
        #[inline(always)]
        fn code(self) -> u64 { (i64::from(self) as u64) ^ (1 << 63) }
    })*};
}
macro_rules! unsigned {
    ($($t:ty),*) => {$(impl Code for $t {
        #[inline(always)]
        fn code(self) -> u64 { u64::from(self) }
    })*};
}
signed!(i8, i16, i32, i64);
unsigned!(u8, u16, u32, u64);

// DataFusion joins floats by their bits, but for the sign of zero.
impl Code for f32 {
    #[inline(always)]
    fn code(self) -> u64 {
        u64::from(if self == 0.0 { 0 } else { self.to_bits() })
    }
}
impl Code for f64 {
    #[inline(always)]
    fn code(self) -> u64 {
        if self == 0.0 { 0 } else { self.to_bits() }
    }
}

/// Runs `$body` with `$values` bound to the native values of `$array`, or `$other`.
macro_rules! with_native {
    ($array:expr, $values:ident => $body:expr, $other:expr) => {{
        macro_rules! native {
            ($t:ty) => {{
                let $values: &[<$t as ArrowPrimitiveType>::Native] =
                    $array.as_primitive::<$t>().values();
                $body
            }};
        }
        match $array.data_type() {
            DataType::Boolean => {
                let bytes: Vec<u8> = $array.as_boolean().values().iter().map(u8::from).collect();
                let $values: &[u8] = &bytes;
                $body
            }
            DataType::Int8 => native!(Int8Type),
            DataType::Int16 => native!(Int16Type),
            DataType::Int32 => native!(Int32Type),
            DataType::Int64 => native!(Int64Type),
            DataType::UInt8 => native!(UInt8Type),
            DataType::UInt16 => native!(UInt16Type),
            DataType::UInt32 => native!(UInt32Type),
            DataType::UInt64 => native!(UInt64Type),
            DataType::Float32 => native!(Float32Type),
            DataType::Float64 => native!(Float64Type),
            DataType::Date32 => native!(Date32Type),
            DataType::Date64 => native!(Date64Type),
            DataType::Time32(TimeUnit::Second) => native!(Time32SecondType),
            DataType::Time32(TimeUnit::Millisecond) => native!(Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => native!(Time64MicrosecondType),
            DataType::Time64(TimeUnit::Nanosecond) => native!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => native!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => native!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => native!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => native!(TimestampNanosecondType),
            DataType::Duration(TimeUnit::Second) => native!(DurationSecondType),
            DataType::Duration(TimeUnit::Millisecond) => native!(DurationMillisecondType),
            DataType::Duration(TimeUnit::Microsecond) => native!(DurationMicrosecondType),
            DataType::Duration(TimeUnit::Nanosecond) => native!(DurationNanosecondType),
            DataType::Interval(IntervalUnit::YearMonth) => native!(IntervalYearMonthType),
            DataType::Decimal32(..) => native!(Decimal32Type),
            DataType::Decimal64(..) => native!(Decimal64Type),
            _ => $other,
        }
    }};
}

/// The codes of an array's values, if its type has any; those of NULLs mean nothing.
pub(super) fn codes(array: &dyn Array) -> Option<Vec<u64>> {
    with_native!(array, values => Some(values.iter().map(|v| v.code()).collect()), None)
}

/// How the key's columns become one code.
#[derive(Debug)]
pub(super) struct Coder {
    digits: Vec<Digit>,
    /// The greatest code there is.
    pub(super) last: u64,
}

#[derive(Debug, Clone)]
struct Digit {
    data_type: DataType,
    min: u64,
    span: u64,
    stride: u64,
    /// False when the build side has only NULLs in this column.
    values: bool,
    /// 1 when NULL is a digit of its own.
    null_digit: u64,
}

impl Coder {
    /// For these key columns of the build side; `None` where a type has no codes or the ranges
    /// are too wide.
    pub(super) fn new(keys: &[ArrayRef], null_equality: NullEquality) -> Option<Self> {
        let mut digits = Vec::with_capacity(keys.len());
        for key in keys {
            let range = with_native!(key, values => range(values, key.as_ref()), return None);
            let nulls = null_equality == NullEquality::NullEqualsNull && key.null_count() > 0;
            digits.push(Digit {
                data_type: key.data_type().clone(),
                min: range.map_or(0, |(min, _)| min),
                span: range.map_or(0, |(min, max)| max - min),
                stride: 1,
                values: range.is_some(),
                null_digit: u64::from(nulls),
            });
        }
        let mut product: u128 = 1;
        for digit in digits.iter_mut().rev() {
            // The first digit's stride may not fit, but then the product does not either.
            digit.stride = u64::try_from(product).ok()?;
            let count = u128::from(digit.span) + 1 + u128::from(digit.null_digit);
            product = product.checked_mul(count)?;
            if product > 1 << 64 {
                return None;
            }
        }
        let last = u64::try_from(product - 1).ok()?;
        Some(Self { digits, last })
    }

    /// Types of the key columns.
    pub(super) fn types(&self) -> impl Iterator<Item = &DataType> {
        self.digits.iter().map(|digit| &digit.data_type)
    }

    /// Overwrites both buffers: the code of each row, and whether it has one (false for
    /// NULLs that match nothing and for values out of range).
    pub(super) fn encode(
        &self,
        keys: &[ArrayRef],
        codes: &mut Vec<u64>,
        matchable: &mut Vec<bool>,
    ) -> Result<()> {
        let rows = keys.first().map_or(0, |key| key.len());
        codes.clear();
        codes.resize(rows, 0);
        matchable.clear();
        matchable.resize(rows, true);
        self.add(keys, codes, matchable)
    }

    /// As [`Coder::encode`], into slices of zeros and of true.
    pub(super) fn add(
        &self,
        keys: &[ArrayRef],
        codes: &mut [u64],
        matchable: &mut [bool],
    ) -> Result<()> {
        for (digit, key) in self.digits.iter().zip(keys) {
            if *key.data_type() != digit.data_type {
                return internal_err!("a join key is {}, not {}", key.data_type(), digit.data_type);
            }
            with_native!(key, values => digit.add(values, key.as_ref(), codes, matchable),
                return internal_err!("a join key of type {} has no code", key.data_type()));
        }
        Ok(())
    }
}

/// What is done with the values of a key's only column. The code of a value is `value.code() - min`, where
/// that is at most `span`; other values have none.
pub(super) trait OneColumn {
    /// See the trait.
    fn look<T: Code>(self, values: &[T], min: u64, span: u64);
}

impl Coder {
    /// Lets `work` look at the values where the key is one column without NULLs; false where not.
    pub(super) fn one_column(&self, keys: &[ArrayRef], work: impl OneColumn) -> bool {
        let ([digit], [key]) = (self.digits.as_slice(), keys) else {
            return false;
        };
        let plain = digit.values && digit.null_digit == 0 && key.null_count() == 0;
        if !plain || *key.data_type() != digit.data_type {
            return false;
        }
        with_native!(key, values => work.look(values, digit.min, digit.span), return false);
        true
    }
}

impl Digit {
    fn add<T: Code>(&self, values: &[T], key: &dyn Array, codes: &mut [u64], ok: &mut [bool]) {
        let (min, span, stride, lift) = (self.min, self.span, self.stride, self.null_digit);
        let any = self.values;
        let rows = values.iter().zip(codes.iter_mut().zip(ok.iter_mut()));
        match key.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => {
                for (value, (code, ok)) in rows {
                    let digit = value.code().wrapping_sub(min);
                    *ok &= any & (digit <= span);
                    *code = code.wrapping_add(digit.wrapping_add(lift).wrapping_mul(stride));
                }
            }
            Some(nulls) => {
                for ((value, (code, ok)), valid) in rows.zip(nulls.iter()) {
                    let digit = value.code().wrapping_sub(min);
                    *ok &= if valid { any & (digit <= span) } else { lift == 1 };
                    let digit = if valid { digit.wrapping_add(lift) } else { 0 };
                    *code = code.wrapping_add(digit.wrapping_mul(stride));
                }
            }
        }
    }
}

/// Rows that one task looks at.
const TASK_ROWS: usize = 1 << 16;

/// The least and the greatest code of the values that are not NULL.
fn range<T: Code + Sync>(values: &[T], key: &dyn Array) -> Option<(u64, u64)> {
    const NONE: (u64, u64) = (u64::MAX, 0);
    let fold = |(min, max): (u64, u64), code: u64| (min.min(code), max.max(code));
    let nulls = key.nulls().filter(|nulls| nulls.null_count() > 0);
    let task = |(at, values): (usize, &[T])| match nulls {
        None => values.iter().map(|v| v.code()).fold(NONE, fold),
        Some(nulls) => {
            let nulls = nulls.slice(at * TASK_ROWS, values.len());
            let valid = values.iter().zip(nulls.iter()).filter(|(_, valid)| *valid);
            valid.map(|(v, _)| v.code()).fold(NONE, fold)
        }
    };
    let join = |a: (u64, u64), b: (u64, u64)| (a.0.min(b.0), a.1.max(b.1));
    let tasks = values.par_chunks(TASK_ROWS).enumerate();
    let (min, max) = tasks.map(task).reduce(|| NONE, join);
    (min <= max).then_some((min, max))
}
