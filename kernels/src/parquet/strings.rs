//! Spans (`kernels/parquet/{spans,utf8}.cu`).

use bytemuck::Pod;
use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::fixed::{check_bytes, check_output, decimal_suffix};
use super::pages::{Context, PageSet};
use crate::abi::{BLOCK, FixedArgs, Span, Utf8Args};

/// What becomes of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpanConversion {
    /// The span itself; NULL rows become the empty span.
    Span,
    /// A BYTE_ARRAY of big-endian bytes to a decimal of 4, 8, 16 or 32 bytes.
    Decimal {
        /// Bytes of the decimal.
        width: u32,
    },
    /// FIXED_LEN_BYTE_ARRAY (DELTA_BYTE_ARRAY) of `stored` bytes: `width` of them from `offset` on.
    Bytes {
        /// The type's length.
        stored: u32,
        /// Bytes a row.
        width: u32,
        /// Where they start.
        offset: u32,
    },
}

/// Spreads compact spans over the rows of the column. `pointed` is the memory that the spans point
/// into, beside the set's own.
///
/// # Errors
/// [`CudaError::Misuse`] if a buffer is too small; what the driver says.
pub fn spans<T: Pod>(
    context: &Context<'_>,
    set: &PageSet,
    compact: &DeviceSlice<Span>,
    pointed: &[DeviceSlice<u8>],
    conversion: SpanConversion,
    output: &mut DeviceBuffer<T>,
) -> Result<()> {
    let (suffix, stored, width, offset) = match conversion {
        SpanConversion::Span => ("rows", 16, 16, 0),
        SpanConversion::Decimal { width } => (decimal_suffix(width, width)?, width, width, 0),
        SpanConversion::Bytes { stored, width, offset } => {
            check_bytes(stored, width, offset)?;
            ("bytes", stored, width, offset)
        }
    };
    check_output(set, width, output)?;
    if compact.len() < set.slots() {
        return Err(CudaError::Misuse(format!("{} slots are not in {compact:?}", set.slots())));
    }
    let tail = if set.nullable()? { "_nullable" } else { "" };
    let function = context.kernels.function("parquet/spans", &format!("spans_{suffix}{tail}"))?;
    let args = FixedArgs {
        set: set.abi(context),
        values: output.address(),
        compact: compact.address(),
        rows: set.rows(),
        stored,
        width,
        offset,
        factor: 1,
    };
    let mut launch = set
        .used(context, Launch::new(&function).value(&args))
        .using_read(compact)
        .using_write(output);
    for memory in pointed {
        launch = launch.using_read(memory);
    }
    // SAFETY: the parameter is the kernel's; it writes `rows * width` bytes at most (checked above)
    // and reads as many slots as the set has, and the bytes of spans that a kernel validated.
    unsafe { launch.run(Grid::linear(set.tiles(), BLOCK), context.stream) }
}

/// Checks that strings are UTF-8; `ordinal` stands in the error.
///
/// # Errors
/// [`CudaError::Misuse`] for more rows than spans; what the driver says.
pub fn utf8(
    context: &Context<'_>,
    strings: &DeviceSlice<Span>,
    rows: u32,
    ordinal: u32,
    pointed: &[DeviceSlice<u8>],
) -> Result<()> {
    if strings.len() < rows as usize {
        return Err(CudaError::Misuse(format!("{rows} strings are not in {strings:?}")));
    }
    let function = context.kernels.function("parquet/utf8", "spans_utf8")?;
    let args = Utf8Args { spans: strings.address(), error: context.error.address(), rows, ordinal };
    let mut launch =
        Launch::new(&function).value(&args).using_read(strings).using_shared(context.error);
    for memory in pointed {
        launch = launch.using_read(memory);
    }
    // SAFETY: the parameter is the kernel's; it reads `rows` spans and the bytes that they name,
    // which a kernel validated.
    unsafe { launch.run(Grid::covering(u64::from(rows), BLOCK, BLOCK)?, context.stream) }
}
