//! Decompression (`kernels/parquet/{snappy,lz4}.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::pages::Context;
use crate::abi::{CompressedPage, DecompressArgs};

/// What pages are compressed with. Others are decompressed by the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Snappy, without framing.
    Snappy,
    /// LZ4 blocks, without framing (LZ4_RAW).
    Lz4Raw,
}

/// A compressed page.
#[derive(Debug, Clone, Copy)]
pub struct CompressedInput {
    /// Which of the buffers holds it.
    pub buffer: usize,
    /// Where it starts there.
    pub offset: u64,
    /// Compressed bytes.
    pub bytes: u32,
    /// Where its output goes in `target`.
    pub target_offset: u64,
    /// Bytes that must come out: the page header's word, which bounds the memory written.
    pub target_bytes: u32,
    /// What errors name.
    pub ordinal: u32,
}

/// Decompresses pages into `target`, all in one launch, the largest first.
///
/// # Errors
/// [`CudaError::Misuse`] if a page lies outside its buffer or `target`, or two pages' outputs overlap;
/// what the driver says.
pub fn decompress(
    context: &Context<'_>,
    codec: Codec,
    buffers: &[DeviceSlice<u8>],
    pages: &[CompressedInput],
    target: &mut DeviceBuffer<u8>,
) -> Result<()> {
    let mut host = Vec::with_capacity(pages.len());
    for input in pages {
        let wrong =
            |what: &str| CudaError::Misuse(format!("page {}: {what}: {input:?}", input.ordinal));
        let buffer = buffers.get(input.buffer).ok_or_else(|| wrong("no such buffer"))?;
        let inside = |offset: u64, bytes: u32, limit: u64| {
            offset.checked_add(u64::from(bytes)).is_some_and(|end| end <= limit)
        };
        if !inside(input.offset, input.bytes, buffer.bytes()) {
            return Err(wrong("it is not inside its buffer"));
        }
        if !inside(input.target_offset, input.target_bytes, target.bytes()) {
            return Err(wrong("its output is not inside the target"));
        }
        host.push(CompressedPage {
            source: buffer.address() + input.offset,
            target: target.address() + input.target_offset,
            source_bytes: input.bytes,
            target_bytes: input.target_bytes,
            ordinal: input.ordinal,
            reserved: 0,
        });
    }
    host.sort_by_key(|page| page.target);
    if host.windows(2).any(|pair| pair[0].target + u64::from(pair[0].target_bytes) > pair[1].target)
    {
        return Err(CudaError::Misuse("outputs of compressed pages overlap".into()));
    }
    host.sort_by_key(|page| std::cmp::Reverse(page.target_bytes));
    let count = u32::try_from(host.len())
        .map_err(|_| CudaError::Misuse(format!("{} pages are no grid", host.len())))?;
    let (module, symbol) = match codec {
        Codec::Snappy => ("parquet/snappy", "decompress_snappy"),
        Codec::Lz4Raw => ("parquet/lz4", "decompress_lz4"),
    };
    let function = context.kernels.function(module, symbol)?;
    let descriptors = context.upload(&host)?;
    let args = DecompressArgs {
        pages: descriptors.address(),
        error: context.error.address(),
        count,
        reserved: 0,
    };
    let mut launch = Launch::new(&function)
        .value(&args)
        .using_read(&descriptors)
        .using_shared(context.error)
        .using_write(target);
    for buffer in buffers {
        launch = launch.using_read(buffer);
    }
    // SAFETY: the parameter is the kernel's; a block writes `target_bytes` of its page at most, inside
    // the target and apart from the others (checked above), and reads `source_bytes` with padding.
    unsafe { launch.run(Grid::linear(count, 32), context.stream) }
}
