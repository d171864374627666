//! Byte arrays: as spans, and as the fixed-width values that some files store in them.

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice};
use staffa_kernels::abi::Span;
use staffa_kernels::parquet::{
    Conversion, DeltaBytes, Levels, PageInput, PageLevels, PageSet, Slots, SpanConversion, Stored,
    byte_array, delta_lengths, fixed, levels, spans,
};

use super::values::{Form, Work};

type Outcome<T> = staffa_cuda::Result<T>;

/// Which column, and how its strings are stored.
pub(super) struct Strings<'a> {
    pub(super) work: &'a Work<'a>,
    pub(super) form: Form,
}

/// Strings to rows; the memory that they were built in, where they are not the pages' own bytes.
pub(super) fn spans_into(
    strings: &Strings<'_>,
    set: &mut PageSet,
    rows: &mut DeviceBuffer<Span>,
) -> Outcome<Option<DeviceSlice<u8>>> {
    // A dictionary's page is required, in a nullable column too.
    if set.is_nullable() == Some(false) {
        return decode(strings, set, Slots::Rows(rows));
    }
    let (compact, heap) = compact(strings, set)?;
    let pointed: Vec<_> = heap.iter().cloned().collect();
    let context = &strings.work.context.kernels;
    spans(context, set, &compact, &pointed, SpanConversion::Span, rows)?;
    Ok(heap)
}

/// Big-endian integers of any length to decimals of `width` bytes.
pub(super) fn decimals_of_spans(
    strings: &Strings<'_>,
    set: &mut PageSet,
    width: u32,
    rows: &mut DeviceBuffer<u8>,
) -> Outcome<()> {
    let (compact, heap) = compact(strings, set)?;
    let pointed: Vec<_> = heap.into_iter().collect();
    let context = &strings.work.context.kernels;
    spans(context, set, &compact, &pointed, SpanConversion::Decimal { width }, rows)
}

/// FIXED_LEN_BYTE_ARRAY in DELTA_BYTE_ARRAY: every string must have the type's length.
pub(super) fn fixed_of_spans(
    strings: &Strings<'_>,
    set: &mut PageSet,
    conversion: Conversion,
    rows: &mut DeviceBuffer<u8>,
) -> Outcome<()> {
    let context = &strings.work.context.kernels;
    let (compact, heap) = compact(strings, set)?;
    let pointed: Vec<_> = heap.into_iter().collect();
    let stored = conversion.stored_bytes();
    if let Conversion::Bytes { stored, width, offset } = conversion {
        let bytes = SpanConversion::Bytes { stored, width, offset };
        return spans(context, set, &compact, &pointed, bytes, rows);
    }
    // Decimals: first as bytes of the type's length, which checks the lengths, then as values of PLAIN
    // pages over those bytes. A NULL's bytes are zero, and so is its decimal.
    let bytes = u64::from(set.rows()) * u64::from(stored);
    let bytes = usize::try_from(bytes)
        .map_err(|_| CudaError::OverBudget(format!("{bytes} bytes of a column")))?;
    let mut raw = context.memory.buffer::<u8>(bytes, context.stream)?;
    let whole = SpanConversion::Bytes { stored, width: stored, offset: 0 };
    spans(context, set, &compact, &pointed, whole, &mut raw)?;
    let pages: Vec<PageInput> = set
        .placed()
        .filter_map(|(first_row, page_rows, ordinal)| {
            // Only rows of the morsel have bytes.
            let from = i64::from(first_row).max(0);
            let to = (i64::from(first_row) + i64::from(page_rows)).min(i64::from(set.rows()));
            let page_rows = u32::try_from(to - from).ok().filter(|rows| *rows > 0)?;
            Some(PageInput {
                buffer: 0,
                offset: from as u64 * u64::from(stored),
                bytes: page_rows.checked_mul(stored)?,
                rows: page_rows,
                first_row: from as i32,
                ordinal,
                levels: PageLevels::None,
                max_level: 0,
            })
        })
        .collect();
    let mut plain = PageSet::new(context, &[raw.freeze()], &pages, set.rows())?;
    levels(context, &mut plain, Levels::Skip)?;
    fixed(context, &plain, Stored::Plain, conversion, rows)
}

/// Strings to slots.
fn compact(
    strings: &Strings<'_>,
    set: &mut PageSet,
) -> Outcome<(DeviceSlice<Span>, Option<DeviceSlice<u8>>)> {
    let context = &strings.work.context.kernels;
    let mut compact = context.memory.buffer::<Span>(set.slots(), context.stream)?;
    let heap = decode(strings, set, Slots::Compact(&mut compact))?;
    Ok((compact.freeze(), heap))
}

fn decode(
    strings: &Strings<'_>,
    set: &mut PageSet,
    slots: Slots<'_, Span>,
) -> Outcome<Option<DeviceSlice<u8>>> {
    let context = strings.work.context;
    let kernels = &context.kernels;
    match strings.form {
        Form::DeltaLength => delta_lengths(kernels, set, slots).map(|()| None),
        Form::DeltaBytes => {
            let lengths = DeltaBytes::lengths(kernels, set)?;
            // The one read-back of decoding: strings may repeat each other for a byte each, so that
            // nothing but their lengths bounds their bytes.
            let states = set.states().read(context.results, kernels.stream)?;
            let sizes: Vec<u64> = states.iter().map(|state| state.heap_needed).collect();
            let limit = strings.work.chunk.limits.page_bytes as u64;
            if let Some(bytes) = sizes.iter().find(|bytes| **bytes > limit) {
                return Err(CudaError::OverBudget(format!("a page with {bytes} bytes of strings")));
            }
            let total = usize::try_from(sizes.iter().sum::<u64>())
                .map_err(|_| CudaError::OverBudget("more strings than memory".into()))?;
            let mut heap = kernels.memory.buffer::<u8>(total, kernels.stream)?;
            lengths.expand(kernels, set, &sizes, &mut heap, slots)?;
            Ok(Some(heap.freeze()))
        }
        _ => byte_array(kernels, set, slots).map(|()| None),
    }
}
