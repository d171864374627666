//! What a leaf column becomes in device memory.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use parquet::basic::Type as Physical;
use parquet::schema::types::ColumnDescriptor;
use staffa_kernels::parquet::{Conversion, WIDEST_VALUE};

use crate::decode::LeafType;

/// How a leaf's values are stored on the device, and how they get there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceTarget {
    /// A bitmap.
    Bits,
    /// Fixed-width values, from fixed-width stored ones.
    Fixed(Conversion),
    /// Spans into pages.
    Spans {
        /// Whether the bytes must be UTF-8.
        utf8: bool,
    },
    /// Decimals of so many bytes, from BYTE_ARRAY.
    Decimals {
        /// Bytes of a decimal.
        width: u32,
    },
}

impl DeviceTarget {
    /// Bytes a row; 0 for bits.
    pub fn row_bytes(self) -> u32 {
        match self {
            Self::Bits => 0,
            Self::Fixed(conversion) => conversion.row_bytes(),
            Self::Spans { .. } => 16,
            Self::Decimals { width } => width,
        }
    }
}

/// The device form of a leaf read as an Arrow type: the same pairs that the CPU decoder reads.
///
/// # Errors
/// Why the device has none; the CPU decoder, or arrow-rs, then reads the column.
pub fn target(leaf: &LeafType, data_type: &DataType) -> Result<DeviceTarget, String> {
    let width = u32::try_from(leaf.width).unwrap_or(u32::MAX);
    if width > WIDEST_VALUE {
        return Err(format!("values of {width} bytes"));
    }
    let found =
        match leaf.physical {
            Physical::BOOLEAN => (*data_type == DataType::Boolean).then_some(DeviceTarget::Bits),
            Physical::BYTE_ARRAY => byte_array(data_type),
            Physical::INT32 => int32(data_type).map(DeviceTarget::Fixed),
            Physical::INT64 => int64(data_type).map(DeviceTarget::Fixed),
            Physical::INT96 => int96(data_type).map(DeviceTarget::Fixed),
            Physical::FLOAT => (*data_type == DataType::Float32)
                .then_some(DeviceTarget::Fixed(Conversion::I32To32)),
            Physical::DOUBLE => (*data_type == DataType::Float64)
                .then_some(DeviceTarget::Fixed(Conversion::I64To64)),
            Physical::FIXED_LEN_BYTE_ARRAY => fixed_len(width, data_type).map(DeviceTarget::Fixed),
        };
    found.ok_or_else(|| format!("{} read as {data_type}", leaf.physical))
}

/// Whether a leaf column can be decoded to an Arrow type on a device.
///
/// # Errors
/// Why not.
pub fn supports(column: &ColumnDescriptor, data_type: &DataType) -> Result<(), String> {
    let leaf = LeafType::of(column).map_err(|flaw| flaw.what.into_owned())?;
    target(&leaf, data_type).map(drop)
}

fn byte_array(data_type: &DataType) -> Option<DeviceTarget> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            DeviceTarget::Spans { utf8: true }
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            DeviceTarget::Spans { utf8: false }
        }
        other => DeviceTarget::Decimals { width: decimal_bytes(other)? },
    })
}

fn int32(data_type: &DataType) -> Option<Conversion> {
    Some(match data_type {
        DataType::Int8 | DataType::UInt8 => Conversion::I32To8,
        DataType::Int16 | DataType::UInt16 => Conversion::I32To16,
        DataType::Int32
        | DataType::UInt32
        | DataType::Date32
        | DataType::Time32(_)
        | DataType::Decimal32(..) => Conversion::I32To32,
        DataType::Date64 => Conversion::I32To64 { factor: 86_400_000 },
        DataType::Timestamp(..) | DataType::Decimal64(..) => Conversion::I32To64 { factor: 1 },
        DataType::Decimal128(..) => Conversion::I32To128,
        DataType::Decimal256(..) => Conversion::I32To256,
        _ => return None,
    })
}

fn int64(data_type: &DataType) -> Option<Conversion> {
    Some(match data_type {
        DataType::Int64
        | DataType::UInt64
        | DataType::Date64
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_)
        | DataType::Decimal64(..) => Conversion::I64To64,
        DataType::Decimal128(..) => Conversion::I64To128,
        DataType::Decimal256(..) => Conversion::I64To256,
        _ => return None,
    })
}

fn int96(data_type: &DataType) -> Option<Conversion> {
    let DataType::Timestamp(unit, _) = data_type else { return None };
    Some(match unit {
        TimeUnit::Second => Conversion::I96ToSeconds,
        TimeUnit::Millisecond => Conversion::I96ToMillis,
        TimeUnit::Microsecond => Conversion::I96ToMicros,
        TimeUnit::Nanosecond => Conversion::I96ToNanos,
    })
}

fn fixed_len(stored: u32, data_type: &DataType) -> Option<Conversion> {
    let bytes = |width, offset| Conversion::Bytes { stored, width, offset };
    match data_type {
        DataType::FixedSizeBinary(width) => {
            (u32::try_from(*width) == Ok(stored)).then(|| bytes(stored, 0))
        }
        DataType::Float16 => (stored == 2).then(|| bytes(2, 0)),
        DataType::Interval(IntervalUnit::YearMonth) => (stored == 12).then(|| bytes(4, 0)),
        DataType::Interval(IntervalUnit::DayTime) => (stored == 12).then(|| bytes(8, 4)),
        other => {
            let width = decimal_bytes(other)?;
            (1..=width).contains(&stored).then_some(Conversion::Decimal { stored, width })
        }
    }
}

/// Bytes of a decimal type's values.
fn decimal_bytes(data_type: &DataType) -> Option<u32> {
    Some(match data_type {
        DataType::Decimal32(..) => 4,
        DataType::Decimal64(..) => 8,
        DataType::Decimal128(..) => 16,
        DataType::Decimal256(..) => 32,
        _ => return None,
    })
}
