//! Values that are found one after the other: variable-length and delta encodings
//! (`kernels/parquet/{byte_array,delta,delta_bytes}.cu`).

use bytemuck::Pod;
use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::pages::{Context, PageSet};
use crate::abi::{BLOCK, CompactArgs, Span};

/// Where values go.
pub enum Slots<'a, T> {
    /// One per row of the column; only when no row is NULL.
    Rows(&'a mut DeviceBuffer<T>),
    /// [`PageSet::slots`] of them, to be spread over rows.
    Compact(&'a mut DeviceBuffer<T>),
}

impl<T: Pod> Slots<'_, T> {
    fn buffer(&mut self) -> &mut DeviceBuffer<T> {
        match self {
            Self::Rows(buffer) | Self::Compact(buffer) => buffer,
        }
    }

    /// The arguments' output part, checked.
    fn args(&mut self, context: &Context<'_>, set: &PageSet) -> Result<CompactArgs> {
        let nullable = set.nullable()?;
        let (needed, direct) = match self {
            Self::Rows(_) if nullable => {
                return Err(CudaError::Misuse(
                    "rows that may be NULL are spread from slots".into(),
                ));
            }
            Self::Rows(_) => (set.rows() as usize, 1),
            Self::Compact(_) => (set.slots(), 0),
        };
        let buffer = self.buffer();
        if buffer.len() < needed {
            return Err(CudaError::Misuse(format!("{needed} values do not fit in {buffer:?}")));
        }
        let (output, rows) = (buffer.address(), set.rows());
        Ok(CompactArgs { set: set.abi(context), output, rows, direct, ..CompactArgs::default() })
    }
}

/// PLAIN BYTE_ARRAY to spans into the pages.
///
/// # Errors
/// [`CudaError::Misuse`] if the output is too small; what the driver says.
pub fn byte_array(context: &Context<'_>, set: &PageSet, mut output: Slots<'_, Span>) -> Result<()> {
    let function = context.kernels.function("parquet/byte_array", "byte_array_spans")?;
    let args = output.args(context, set)?;
    let launch =
        set.used(context, Launch::new(&function).value(&args)).using_write(output.buffer());
    // SAFETY: the parameter is the kernel's; it writes spans of the rows or slots that the output has
    // (checked by `args`) and reads pages whose ranges were checked.
    unsafe { launch.run(Grid::linear(set.pages(), 32), context.stream) }
}

/// DELTA_BINARY_PACKED of 4- or 8-byte integers, by `T`'s size.
///
/// # Errors
/// [`CudaError::Misuse`] if the output is too small or of another size; what the driver says.
pub fn delta<T: Pod>(context: &Context<'_>, set: &PageSet, mut output: Slots<'_, T>) -> Result<()> {
    let symbol = match size_of::<T>() {
        4 => "delta_32",
        8 => "delta_64",
        bytes => {
            return Err(CudaError::Misuse(format!(
                "there are no delta-encoded integers of {bytes} bytes"
            )));
        }
    };
    let function = context.kernels.function("parquet/delta", symbol)?;
    let args = output.args(context, set)?;
    let launch =
        set.used(context, Launch::new(&function).value(&args)).using_write(output.buffer());
    // SAFETY: as above; it also moves `consumed` of the pages' states.
    unsafe { launch.run(Grid::linear(set.pages(), 32), context.stream) }
}

/// DELTA_LENGTH_BYTE_ARRAY to spans into the pages.
///
/// # Errors
/// [`CudaError::Misuse`] if the output is too small; what the driver says.
pub fn delta_lengths(
    context: &Context<'_>,
    set: &PageSet,
    mut output: Slots<'_, Span>,
) -> Result<()> {
    let mut lengths = context.memory.buffer::<i32>(set.slots(), context.stream)?;
    delta(context, set, Slots::Compact(&mut lengths))?;
    let lengths = lengths.freeze();
    let function = context.kernels.function("parquet/delta_bytes", "delta_length_spans")?;
    let mut args = output.args(context, set)?;
    args.lengths = lengths.address();
    let launch = set
        .used(context, Launch::new(&function).value(&args))
        .using_read(&lengths)
        .using_write(output.buffer());
    // SAFETY: as above; there is a length per slot.
    unsafe { launch.run(Grid::linear(set.pages(), BLOCK), context.stream) }
}

/// DELTA_BYTE_ARRAY, in two steps, because the size of its strings is known only once their lengths
/// are decoded.
pub struct DeltaBytes {
    prefixes: DeviceSlice<i32>,
    suffixes: DeviceSlice<i32>,
}

impl DeltaBytes {
    /// Decodes and checks the lengths; [`PageSet::states`] then tells `heap_needed` of every page.
    ///
    /// # Errors
    /// What the driver says.
    pub fn lengths(context: &Context<'_>, set: &PageSet) -> Result<Self> {
        let mut prefixes = context.memory.buffer::<i32>(set.slots(), context.stream)?;
        let mut suffixes = context.memory.buffer::<i32>(set.slots(), context.stream)?;
        delta(context, set, Slots::Compact(&mut prefixes))?;
        delta(context, set, Slots::Compact(&mut suffixes))?;
        let this = Self { prefixes: prefixes.freeze(), suffixes: suffixes.freeze() };
        let function = context.kernels.function("parquet/delta_bytes", "delta_bytes_sizes")?;
        let args = CompactArgs {
            set: set.abi(context),
            lengths: this.suffixes.address(),
            prefixes: this.prefixes.address(),
            ..CompactArgs::default()
        };
        let launch = set
            .used(context, Launch::new(&function).value(&args))
            .using_read(&this.suffixes)
            .using_read(&this.prefixes);
        // SAFETY: the parameter is the kernel's; it reads lengths, one per slot, and writes states.
        unsafe { launch.run(Grid::linear(set.pages(), BLOCK), context.stream) }?;
        Ok(this)
    }

    /// Builds the strings, page after page, in `heap`: `sizes[i]` bytes for page `i`, at least its
    /// `heap_needed`. Spans point into the heap.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] if the sizes are not those of the pages or exceed the heap, or the output
    /// is too small; what the driver says.
    pub fn expand(
        &self,
        context: &Context<'_>,
        set: &mut PageSet,
        sizes: &[u64],
        heap: &mut DeviceBuffer<u8>,
        mut output: Slots<'_, Span>,
    ) -> Result<()> {
        let total = sizes.iter().try_fold(0u64, |sum, bytes| sum.checked_add(*bytes));
        if sizes.len() != set.pages() as usize || total.is_none_or(|total| total > heap.bytes()) {
            return Err(CudaError::Misuse(format!(
                "{} pages' strings do not fit in {heap:?}",
                sizes.len()
            )));
        }
        set.with_heaps(context, heap.address(), sizes.iter().copied())?;
        let function = context.kernels.function("parquet/delta_bytes", "delta_bytes_expand")?;
        let mut args = output.args(context, set)?;
        args.lengths = self.suffixes.address();
        args.prefixes = self.prefixes.address();
        let launch = set
            .used(context, Launch::new(&function).value(&args))
            .using_read(&self.suffixes)
            .using_read(&self.prefixes)
            .using_write(heap)
            .using_write(output.buffer());
        // SAFETY: as above; it writes `heap_bytes` of each page's part of the heap at most.
        unsafe { launch.run(Grid::linear(set.pages(), 32), context.stream) }
    }
}
