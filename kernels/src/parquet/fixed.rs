//! Fixed-width values (`kernels/parquet/{plain,plain_bytes,split,copy}.cu`).

use bytemuck::Pod;
use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Function, Grid, Launch, Result};

use super::pages::{Context, PageSet};
use crate::abi::{BLOCK, FixedArgs};

/// Where the stored values are.
#[derive(Clone, Copy)]
pub enum Stored<'a> {
    /// In the pages, one after the other: PLAIN.
    Plain,
    /// In the pages, a stream per byte: BYTE_STREAM_SPLIT.
    Split,
    /// In slots, which a delta kernel wrote.
    Compact(&'a DeviceSlice<u8>),
}

/// From the stored value to the column's, as arrow-rs converts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// INT32 to (u)int8: the low byte.
    I32To8,
    /// INT32 to (u)int16: the low two bytes.
    I32To16,
    /// INT32 or FLOAT as it is.
    I32To32,
    /// INT32 to 64 bits, times a factor: 1 for timestamps and decimals, 86,400,000 for Date64.
    I32To64 {
        /// The factor.
        factor: i64,
    },
    /// INT32 to a decimal of 128 bits.
    I32To128,
    /// INT32 to a decimal of 256 bits.
    I32To256,
    /// INT64 or DOUBLE as it is.
    I64To64,
    /// INT64 to a decimal of 128 bits.
    I64To128,
    /// INT64 to a decimal of 256 bits.
    I64To256,
    /// INT96 to a timestamp in seconds.
    I96ToSeconds,
    /// INT96 to a timestamp in milliseconds.
    I96ToMillis,
    /// INT96 to a timestamp in microseconds.
    I96ToMicros,
    /// INT96 to a timestamp in nanoseconds.
    I96ToNanos,
    /// FIXED_LEN_BYTE_ARRAY of `stored` (1 to `width`) big-endian bytes to a decimal of 4, 8, 16 or 32
    /// bytes.
    Decimal {
        /// The type's length.
        stored: u32,
        /// Bytes of the decimal.
        width: u32,
    },
    /// `width` bytes at `offset` of FIXED_LEN_BYTE_ARRAY of `stored` bytes: binary, float16 (2, 2, 0),
    /// intervals (12, 4, 0 and 12, 8, 4).
    Bytes {
        /// The type's length.
        stored: u32,
        /// Bytes a row.
        width: u32,
        /// Where they start.
        offset: u32,
    },
}

/// The widest values that are decoded on a device, in bytes: a tile's rows of them are 2^31 bytes, and
/// kernels count those in 32 bits.
pub const WIDEST_VALUE: u32 = 1 << 20;

/// Checks that bytes `offset..offset + width` are in a stored value, and that it is not too wide.
pub(super) fn check_bytes(stored: u32, width: u32, offset: u32) -> Result<()> {
    if width == 0 || offset.checked_add(width).is_none_or(|end| end > stored) {
        return Err(CudaError::Misuse(format!(
            "{width} bytes at {offset} are not in values of {stored} bytes"
        )));
    }
    if stored > WIDEST_VALUE {
        return Err(CudaError::Unsupported(format!(
            "values of {stored} bytes; at most {WIDEST_VALUE} are decoded on a device"
        )));
    }
    Ok(())
}

impl Conversion {
    /// Bytes of a stored value.
    pub fn stored_bytes(self) -> u32 {
        match self {
            Self::I32To8 | Self::I32To16 | Self::I32To32 => 4,
            Self::I32To64 { .. } | Self::I32To128 | Self::I32To256 => 4,
            Self::I64To64 | Self::I64To128 | Self::I64To256 => 8,
            Self::I96ToSeconds | Self::I96ToMillis | Self::I96ToMicros | Self::I96ToNanos => 12,
            Self::Decimal { stored, .. } | Self::Bytes { stored, .. } => stored,
        }
    }

    /// Bytes of a row.
    pub fn row_bytes(self) -> u32 {
        match self {
            Self::I32To8 => 1,
            Self::I32To16 => 2,
            Self::I32To32 => 4,
            Self::I32To64 { .. } | Self::I64To64 => 8,
            Self::I96ToSeconds | Self::I96ToMillis | Self::I96ToMicros | Self::I96ToNanos => 8,
            Self::I32To128 | Self::I64To128 => 16,
            Self::I32To256 | Self::I64To256 => 32,
            Self::Decimal { width, .. } | Self::Bytes { width, .. } => width,
        }
    }

    /// Whether rows are the stored bytes.
    fn is_copy(self) -> bool {
        match self {
            Self::I32To32 | Self::I64To64 => true,
            Self::Bytes { stored, width, offset } => stored == width && offset == 0,
            _ => false,
        }
    }

    /// The kernel's name behind `plain_` or `split_`.
    fn suffix(self) -> Result<&'static str> {
        Ok(match self {
            Self::I32To8 => "32_8",
            Self::I32To16 => "32_16",
            Self::I32To32 => "32_32",
            Self::I32To64 { .. } => "32_64",
            Self::I32To128 => "32_128",
            Self::I32To256 => "32_256",
            Self::I64To64 => "64_64",
            Self::I64To128 => "64_128",
            Self::I64To256 => "64_256",
            Self::I96ToSeconds => "96_seconds",
            Self::I96ToMillis => "96_millis",
            Self::I96ToMicros => "96_micros",
            Self::I96ToNanos => "96_nanos",
            Self::Decimal { stored, width } => decimal_suffix(width, stored)?,
            Self::Bytes { stored, width, offset } => {
                check_bytes(stored, width, offset)?;
                "bytes"
            }
        })
    }
}

/// `decimal_<bits>` for decimals of 4 to 32 bytes; `stored` bytes must fit.
pub(super) fn decimal_suffix(width: u32, stored: u32) -> Result<&'static str> {
    if stored == 0 || stored > width {
        return Err(CudaError::Unsupported(format!(
            "a decimal of {width} bytes does not hold {stored} stored bytes"
        )));
    }
    match width {
        4 => Ok("decimal_32"),
        8 => Ok("decimal_64"),
        16 => Ok("decimal_128"),
        32 => Ok("decimal_256"),
        _ => Err(CudaError::Misuse(format!("there are no decimals of {width} bytes"))),
    }
}

/// Checks that a column's output holds `rows * width` bytes.
pub(super) fn check_output<T: Pod>(
    set: &PageSet,
    width: u32,
    output: &DeviceBuffer<T>,
) -> Result<()> {
    let needed = u64::from(set.rows()) * u64::from(width);
    if output.bytes() < needed {
        return Err(CudaError::Misuse(format!("{needed} bytes of rows do not fit in {output:?}")));
    }
    Ok(())
}

/// Values to rows of the column; NULL rows become zero.
///
/// # Errors
/// [`CudaError::Misuse`] if the output or the compact values are too small; Unsupported for INT96 in
/// BYTE_STREAM_SPLIT and decimals that do not fit; what the driver says.
pub fn fixed<T: Pod>(
    context: &Context<'_>,
    set: &PageSet,
    stored: Stored<'_>,
    conversion: Conversion,
    output: &mut DeviceBuffer<T>,
) -> Result<()> {
    let suffix = conversion.suffix()?;
    let nullable = set.nullable()?;
    if !nullable && conversion.is_copy() && !matches!(stored, Stored::Split) {
        return copy(context, set, stored, conversion.row_bytes(), output);
    }
    let tail = if nullable { "_nullable" } else { "" };
    let bytes_like = matches!(conversion, Conversion::Decimal { .. } | Conversion::Bytes { .. });
    let (module, prefix) = match stored {
        Stored::Split if suffix.starts_with("96") => {
            return Err(CudaError::Unsupported("INT96 has no BYTE_STREAM_SPLIT".into()));
        }
        Stored::Split => ("parquet/split", "split"),
        Stored::Plain | Stored::Compact(_) if bytes_like => ("parquet/plain_bytes", "plain"),
        Stored::Plain | Stored::Compact(_) => ("parquet/plain", "plain"),
    };
    let function = context.kernels.function(module, &format!("{prefix}_{suffix}{tail}"))?;
    launch(context, set, &function, stored, conversion, output)
}

/// Stored values as they are, without NULLs: a copy of `width` bytes a row.
///
/// # Errors
/// [`CudaError::Misuse`] if rows may be NULL or the output is too small; what the driver says.
pub fn copy<T: Pod>(
    context: &Context<'_>,
    set: &PageSet,
    stored: Stored<'_>,
    width: u32,
    output: &mut DeviceBuffer<T>,
) -> Result<()> {
    check_bytes(width, width, 0)?;
    if set.nullable()? || matches!(stored, Stored::Split) {
        return Err(CudaError::Misuse("only PLAIN values without NULLs are copied".into()));
    }
    let function = context.kernels.function("parquet/copy", "copy_rows")?;
    launch(
        context,
        set,
        &function,
        stored,
        Conversion::Bytes { stored: width, width, offset: 0 },
        output,
    )
}

fn launch<T: Pod>(
    context: &Context<'_>,
    set: &PageSet,
    function: &Function,
    stored: Stored<'_>,
    conversion: Conversion,
    output: &mut DeviceBuffer<T>,
) -> Result<()> {
    check_output(set, conversion.row_bytes(), output)?;
    let mut args = FixedArgs {
        set: set.abi(context),
        values: output.address(),
        compact: 0,
        rows: set.rows(),
        stored: conversion.stored_bytes(),
        width: conversion.row_bytes(),
        offset: 0,
        factor: 1,
    };
    match conversion {
        Conversion::I32To64 { factor } => args.factor = factor,
        Conversion::Bytes { offset, .. } => args.offset = offset,
        _ => {}
    }
    let mut uses = None;
    if let Stored::Compact(slots) = stored {
        let needed = set.slots() as u64 * u64::from(args.stored);
        if slots.bytes() < needed {
            return Err(CudaError::Misuse(format!("{needed} bytes of slots are not in {slots:?}")));
        }
        args.compact = slots.address();
        uses = Some(slots);
    }
    let mut launch = set.used(context, Launch::new(function).value(&args)).using_write(output);
    if let Some(slots) = uses {
        launch = launch.using_read(slots);
    }
    // SAFETY: the parameter is the kernel's. It writes `rows * width` bytes of output at most (checked
    // above; rows outside are skipped) and the error slot, and reads pages whose ranges were checked,
    // with 64 bytes of padding, and as many slots as the set has.
    unsafe { launch.run(Grid::linear(set.tiles(), BLOCK), context.stream) }
}
