//! Booleans (`kernels/parquet/booleans.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, Grid, Launch, Result};

use super::dictionary::{Indexes, hybrid_args};
use super::pages::{Context, PageSet};
use crate::abi::{BLOCK, FixedArgs};

fn check(set: &PageSet, bitmap: &DeviceBuffer<u32>) -> Result<()> {
    let words = set.rows().div_ceil(32) as usize;
    if bitmap.len() < words {
        return Err(CudaError::Misuse(format!("{words} words of bits do not fit in {bitmap:?}")));
    }
    Ok(())
}

/// PLAIN booleans to a zeroed bitmap; NULL rows stay 0.
///
/// # Errors
/// [`CudaError::Misuse`] if the bitmap is too small; what the driver says.
pub fn booleans_plain(
    context: &Context<'_>,
    set: &PageSet,
    bitmap: &mut DeviceBuffer<u32>,
) -> Result<()> {
    check(set, bitmap)?;
    let symbol = if set.nullable()? { "booleans_plain_nullable" } else { "booleans_plain" };
    let function = context.kernels.function("parquet/booleans", symbol)?;
    let args = FixedArgs {
        set: set.abi(context),
        values: bitmap.address(),
        rows: set.rows(),
        ..FixedArgs::default()
    };
    let launch = set.used(context, Launch::new(&function).value(&args)).using_shared(bitmap);
    // SAFETY: the parameter is the kernel's; it ORs into the words of `rows` bits (checked above) and
    // reads pages whose ranges were checked.
    unsafe { launch.run(Grid::linear(set.tiles(), BLOCK), context.stream) }
}

/// RLE booleans to a zeroed bitmap, after [`super::index`] with [`Indexes::booleans`].
///
/// # Errors
/// [`CudaError::Misuse`] if the bitmap is too small or the indexes are not of booleans; what the
/// driver says.
pub fn booleans_rle(
    context: &Context<'_>,
    set: &PageSet,
    indexes: &Indexes,
    bitmap: &mut DeviceBuffer<u32>,
) -> Result<()> {
    check(set, bitmap)?;
    if !indexes.booleans {
        return Err(CudaError::Misuse("these are indexes of a dictionary".into()));
    }
    let symbol = if set.nullable()? { "booleans_rle_nullable" } else { "booleans_rle" };
    let function = context.kernels.function("parquet/booleans", symbol)?;
    let mut args = hybrid_args(context, set, indexes)?;
    args.values = bitmap.address();
    let launch = set
        .used(context, Launch::new(&function).value(&args))
        .using_shared(&indexes.checkpoints)
        .using_shared(bitmap);
    // SAFETY: as above; there is a checkpoint per tile (checked by hybrid_args).
    unsafe { launch.run(Grid::linear(set.tiles(), BLOCK), context.stream) }
}
