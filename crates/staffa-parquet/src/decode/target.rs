//! Which Arrow types a leaf column can be decoded to, and the sink for each.
//!
//! The mapping is that of arrow-rs's reader: what its schema conversion can produce for a physical
//! and logical type, with or without an Arrow schema as a hint.

use arrow::datatypes::{
    BinaryType, DataType, IntervalDayTime, IntervalUnit, LargeBinaryType, LargeUtf8Type, TimeUnit,
    Utf8Type, i256,
};
use half::f16;
use parquet::basic::Type as Physical;
use parquet::schema::types::ColumnDescriptor;

use crate::decode::boolean::BooleanSink;
use crate::decode::decimal::DecimalBytesSink;
use crate::decode::fixed::FixedSink;
use crate::decode::fixed_bytes::FixedBytesSink;
use crate::decode::sink::Sink;
use crate::decode::strings::StringSink;
use crate::decode::views::ViewSink;
use crate::error::{Flaw, Flawed};
use crate::limits::Limits;

/// What of a leaf column's schema its decoder needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafType {
    /// The physical type.
    pub physical: Physical,
    /// Bytes of a value; 0 for BOOLEAN and BYTE_ARRAY.
    pub width: usize,
    /// Whether the column has definition levels.
    pub nullable: bool,
}

impl LeafType {
    /// # Errors
    /// When the leaf is part of a list, map or struct, or has an impossible width.
    pub(crate) fn of(column: &ColumnDescriptor) -> Flawed<Self> {
        if column.max_rep_level() > 0 {
            return Err(Flaw::unsupported("part of a list or map"));
        }
        if column.path().parts().len() != 1 || column.max_def_level() > 1 {
            return Err(Flaw::unsupported("part of a struct"));
        }
        let physical = column.physical_type();
        let width = match physical {
            Physical::BOOLEAN | Physical::BYTE_ARRAY => 0,
            Physical::INT32 | Physical::FLOAT => 4,
            Physical::INT64 | Physical::DOUBLE => 8,
            Physical::INT96 => 12,
            Physical::FIXED_LEN_BYTE_ARRAY => usize::try_from(column.type_length())
                .ok()
                .filter(|w| *w > 0)
                .ok_or_else(|| Flaw::unsupported("FIXED_LEN_BYTE_ARRAY of no bytes"))?,
        };
        Ok(Self { physical, width, nullable: column.max_def_level() == 1 })
    }
}

/// Whether a leaf column can be decoded to an Arrow type by this package.
///
/// # Errors
/// Why not: the caller then uses arrow-rs's reader for this column.
pub fn supports(column: &ColumnDescriptor, data_type: &DataType) -> Result<(), String> {
    LeafType::of(column)
        .and_then(|leaf| sink(&leaf, data_type, &Limits::default()))
        .map(drop)
        .map_err(|f| f.what.into_owned())
}

/// The sink that makes `data_type` of the leaf's values.
pub(crate) fn sink(
    leaf: &LeafType,
    data_type: &DataType,
    limits: &Limits,
) -> Flawed<Box<dyn Sink>> {
    let sink = match leaf.physical {
        Physical::BOOLEAN if *data_type == DataType::Boolean => {
            Some(Box::new(BooleanSink::new()) as Box<dyn Sink>)
        }
        Physical::BOOLEAN => None,
        Physical::INT32 => int32(data_type),
        Physical::INT64 => int64(data_type),
        Physical::INT96 => int96(data_type),
        Physical::FLOAT if *data_type == DataType::Float32 => {
            Some(FixedSink::<4, f32, _>::boxed(data_type, f32::from_le_bytes))
        }
        Physical::DOUBLE if *data_type == DataType::Float64 => {
            Some(FixedSink::<8, f64, _>::boxed(data_type, f64::from_le_bytes))
        }
        Physical::FLOAT | Physical::DOUBLE => None,
        Physical::BYTE_ARRAY => byte_array(data_type, limits),
        Physical::FIXED_LEN_BYTE_ARRAY => fixed_len(leaf.width, data_type),
    };
    sink.ok_or_else(|| Flaw::unsupported(format!("{} read as {data_type}", leaf.physical)))
}

fn int32(dt: &DataType) -> Option<Box<dyn Sink>> {
    let int = i32::from_le_bytes;
    // Narrow and unsigned types are stored as their low bits, as arrow-rs and parquet-cpp do.
    Some(match dt {
        DataType::Int32 | DataType::Date32 | DataType::Time32(_) | DataType::Decimal32(..) => {
            FixedSink::<4, i32, _>::boxed(dt, int)
        }
        DataType::UInt32 => FixedSink::<4, u32, _>::boxed(dt, u32::from_le_bytes),
        DataType::Int8 => FixedSink::<4, i8, _>::boxed(dt, |b| b[0].cast_signed()),
        DataType::UInt8 => FixedSink::<4, u8, _>::boxed(dt, |b| b[0]),
        DataType::Int16 => FixedSink::<4, i16, _>::boxed(dt, |b| i16::from_le_bytes([b[0], b[1]])),
        DataType::UInt16 => FixedSink::<4, u16, _>::boxed(dt, |b| u16::from_le_bytes([b[0], b[1]])),
        DataType::Date64 => {
            FixedSink::<4, i64, _>::boxed(dt, move |b| i64::from(int(b)) * 86_400_000)
        }
        DataType::Timestamp(..) | DataType::Decimal64(..) => {
            FixedSink::<4, i64, _>::boxed(dt, move |b| i64::from(int(b)))
        }
        DataType::Decimal128(..) => FixedSink::<4, i128, _>::boxed(dt, move |b| i128::from(int(b))),
        DataType::Decimal256(..) => {
            FixedSink::<4, i256, _>::boxed(dt, move |b| i256::from_i128(i128::from(int(b))))
        }
        _ => return None,
    })
}

fn int64(dt: &DataType) -> Option<Box<dyn Sink>> {
    let int = i64::from_le_bytes;
    Some(match dt {
        DataType::Int64
        | DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_)
        | DataType::Decimal64(..) => FixedSink::<8, i64, _>::boxed(dt, int),
        DataType::UInt64 => FixedSink::<8, u64, _>::boxed(dt, u64::from_le_bytes),
        DataType::Decimal128(..) => FixedSink::<8, i128, _>::boxed(dt, move |b| i128::from(int(b))),
        DataType::Decimal256(..) => {
            FixedSink::<8, i256, _>::boxed(dt, move |b| i256::from_i128(i128::from(int(b))))
        }
        _ => return None,
    })
}

/// INT96 is nanoseconds of the day (8 bytes) and a Julian day (4 bytes). All sums wrap.
fn int96(dt: &DataType) -> Option<Box<dyn Sink>> {
    const EPOCH_JULIAN_DAY: i64 = 2_440_588;
    let DataType::Timestamp(unit, _) = dt else { return None };
    let per_second: i64 = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let nanos_per_unit = 1_000_000_000 / per_second;
    Some(FixedSink::<12, i64, _>::boxed(dt, move |b: [u8; 12]| {
        let nanos = i64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]);
        let day = i64::from(i32::from_le_bytes([b[8], b[9], b[10], b[11]]));
        (day - EPOCH_JULIAN_DAY)
            .wrapping_mul(86_400 * per_second)
            .wrapping_add(nanos / nanos_per_unit)
    }))
}

fn byte_array(dt: &DataType, limits: &Limits) -> Option<Box<dyn Sink>> {
    let limit = limits.batch_bytes;
    Some(match dt {
        DataType::Utf8View => Box::new(ViewSink::new(true)),
        DataType::BinaryView => Box::new(ViewSink::new(false)),
        DataType::Utf8 => Box::new(StringSink::<Utf8Type>::new(true, limit)),
        DataType::LargeUtf8 => Box::new(StringSink::<LargeUtf8Type>::new(true, limit)),
        DataType::Binary => Box::new(StringSink::<BinaryType>::new(false, limit)),
        DataType::LargeBinary => Box::new(StringSink::<LargeBinaryType>::new(false, limit)),
        DataType::Decimal32(..) => DecimalBytesSink::<i32>::boxed(dt),
        DataType::Decimal64(..) => DecimalBytesSink::<i64>::boxed(dt),
        DataType::Decimal128(..) => DecimalBytesSink::<i128>::boxed(dt),
        DataType::Decimal256(..) => DecimalBytesSink::<i256>::boxed(dt),
        _ => return None,
    })
}

fn fixed_len(width: usize, dt: &DataType) -> Option<Box<dyn Sink>> {
    match dt {
        DataType::FixedSizeBinary(w) if usize::try_from(*w) == Ok(width) => {
            Some(Box::new(FixedBytesSink::new(width)))
        }
        DataType::Decimal32(..) => small_decimal::<i32>(width, dt),
        DataType::Decimal64(..) => small_decimal::<i64>(width, dt),
        DataType::Decimal128(..) => decimal128(width, dt),
        DataType::Decimal256(..) => decimal256(width, dt),
        DataType::Float16 if width == 2 => {
            Some(FixedSink::<2, f16, _>::boxed(dt, f16::from_le_bytes))
        }
        DataType::Interval(IntervalUnit::YearMonth) if width == 12 => {
            Some(FixedSink::<12, i32, _>::boxed(dt, |b| {
                i32::from_le_bytes([b[0], b[1], b[2], b[3]])
            }))
        }
        DataType::Interval(IntervalUnit::DayTime) if width == 12 => {
            Some(FixedSink::<12, IntervalDayTime, _>::boxed(dt, |b| {
                let days = i32::from_le_bytes([b[4], b[5], b[6], b[7]]);
                IntervalDayTime::new(days, i32::from_le_bytes([b[8], b[9], b[10], b[11]]))
            }))
        }
        _ => None,
    }
}

/// A big-endian two's complement integer of `N` up to 16 bytes: set at the top, shifted down.
#[inline(always)]
fn big_endian<const N: usize>(b: [u8; N]) -> i128 {
    let mut wide = [0; 16];
    wide[..N].copy_from_slice(&b);
    i128::from_be_bytes(wide) >> (128 - 8 * N)
}

/// The same in 64 bits, which is half the work.
#[inline(always)]
fn big_endian_8<const N: usize>(b: [u8; N]) -> i64 {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(&b);
    i64::from_be_bytes(wide) >> (64 - 8 * N)
}

trait SmallDecimal: arrow::datatypes::ArrowNativeType {
    const BYTES: usize;
    fn narrow(v: i64) -> Self;
}

impl SmallDecimal for i32 {
    const BYTES: usize = 4;
    #[expect(clippy::cast_possible_truncation, reason = "from at most 4 bytes")]
    fn narrow(v: i64) -> Self {
        v as i32
    }
}

impl SmallDecimal for i64 {
    const BYTES: usize = 8;
    fn narrow(v: i64) -> Self {
        v
    }
}

fn small_decimal<T: SmallDecimal>(width: usize, dt: &DataType) -> Option<Box<dyn Sink>> {
    if width > T::BYTES {
        return None;
    }
    macro_rules! widths {
        ($($n:literal)+) => {
            match width {
                $($n => Some(FixedSink::<$n, T, _>::boxed(dt, |b| T::narrow(big_endian_8(b)))),)+
                _ => None,
            }
        };
    }
    widths!(1 2 3 4 5 6 7 8)
}

fn decimal128(width: usize, dt: &DataType) -> Option<Box<dyn Sink>> {
    macro_rules! widths {
        ($($small:literal)+; $($n:literal)+) => {
            match width {
                $($small => Some(FixedSink::<$small, i128, _>::boxed(dt, |b| {
                    i128::from(big_endian_8(b))
                })),)+
                $($n => Some(FixedSink::<$n, i128, _>::boxed(dt, big_endian::<$n>)),)+
                _ => None,
            }
        };
    }
    widths!(1 2 3 4 5 6 7 8; 9 10 11 12 13 14 15 16)
}

/// A big-endian two's complement integer of up to 32 bytes.
pub(crate) fn big_endian_256(b: &[u8]) -> i256 {
    let fill = if b.first().is_some_and(|b| *b >= 0x80) { 0xff } else { 0 };
    let mut wide = [fill; 32];
    wide[32 - b.len().min(32)..].copy_from_slice(&b[..b.len().min(32)]);
    i256::from_be_bytes(wide)
}

fn decimal256(width: usize, dt: &DataType) -> Option<Box<dyn Sink>> {
    macro_rules! widths {
        ($($n:literal)+) => {
            match width {
                $($n => Some(FixedSink::<$n, i256, _>::boxed(dt, |b| big_endian_256(&b))),)+
                _ => None,
            }
        };
    }
    widths!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}
