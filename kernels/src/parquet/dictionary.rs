//! Dictionary indexes (`kernels/parquet/dictionary.cu`).

use bytemuck::Pod;
use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Function, Grid, Launch, Result};

use super::fixed::check_output;
use super::pages::{Context, PageSet};
use crate::abi::{BLOCK, Checkpoint, HybridArgs};

const MODULE: &str = "parquet/dictionary";

/// Where the hybrid streams of a page set are entered, tile by tile.
pub struct Indexes {
    pub(super) checkpoints: DeviceBuffer<Checkpoint>,
    pub(super) booleans: bool,
}

/// A dictionary's values, decoded from its page: fixed width, or spans (16 bytes).
#[derive(Clone, Copy)]
pub struct Dictionary<'a> {
    /// The values, `rows * width` bytes.
    pub values: &'a DeviceSlice<u8>,
    /// Entries.
    pub rows: u32,
    /// Bytes an entry.
    pub width: u32,
}

pub(super) fn hybrid_args(
    context: &Context<'_>,
    set: &PageSet,
    indexes: &Indexes,
) -> Result<HybridArgs> {
    if indexes.checkpoints.len() < set.tiles() as usize {
        return Err(CudaError::Misuse("the indexes are of another page set".into()));
    }
    Ok(HybridArgs {
        set: set.abi(context),
        checkpoints: indexes.checkpoints.address(),
        rows: set.rows(),
        form: u32::from(indexes.booleans),
        ..HybridArgs::default()
    })
}

/// Walks the runs of every page once: of dictionary indexes, or of RLE booleans.
///
/// # Errors
/// [`CudaError::Misuse`] before the levels were decoded; what the driver says.
pub fn index(context: &Context<'_>, set: &PageSet, booleans: bool) -> Result<Indexes> {
    set.nullable()?;
    let checkpoints = context.memory.buffer(set.tiles() as usize, context.stream)?;
    let mut indexes = Indexes { checkpoints, booleans };
    let function = context.kernels.function(MODULE, "hybrid_index")?;
    let args = hybrid_args(context, set, &indexes)?;
    let launch = set
        .used(context, Launch::new(&function).value(&args))
        .using_write(&mut indexes.checkpoints);
    // SAFETY: the parameter is the kernel's; it writes a checkpoint per tile at most and the error
    // slot, and reads pages whose ranges were checked.
    unsafe { launch.run(Grid::linear(set.pages(), 32), context.stream) }?;
    Ok(indexes)
}

/// Indexes to codes, each below `dictionary_rows`; NULL rows become code 0.
///
/// # Errors
/// [`CudaError::Misuse`] if the output is too small; what the driver says.
pub fn dictionary_codes(
    context: &Context<'_>,
    set: &PageSet,
    indexes: &Indexes,
    dictionary_rows: u32,
    output: &mut DeviceBuffer<u32>,
) -> Result<()> {
    check_output(set, 4, output)?;
    let symbol = if set.nullable()? { "dictionary_codes_nullable" } else { "dictionary_codes" };
    let function = context.kernels.function(MODULE, symbol)?;
    let mut args = hybrid_args(context, set, indexes)?;
    args.dictionary_rows = dictionary_rows;
    args.width = 4;
    launch(context, set, &function, indexes, args, None, output)
}

/// Indexes to the dictionary's values; NULL rows become zero.
///
/// # Errors
/// [`CudaError::Misuse`] if the output or the dictionary is too small; what the driver says.
pub fn dictionary_values<T: Pod>(
    context: &Context<'_>,
    set: &PageSet,
    indexes: &Indexes,
    dictionary: Dictionary<'_>,
    output: &mut DeviceBuffer<T>,
) -> Result<()> {
    check_output(set, dictionary.width, output)?;
    if dictionary.width == 0
        || dictionary.values.bytes() < u64::from(dictionary.rows) * u64::from(dictionary.width)
    {
        return Err(CudaError::Misuse(format!(
            "{} entries of {} bytes are not in {:?}",
            dictionary.rows, dictionary.width, dictionary.values
        )));
    }
    let width = match dictionary.width {
        1 => "8",
        2 => "16",
        4 => "32",
        8 => "64",
        16 => "128",
        32 => "256",
        _ => "bytes",
    };
    let tail = if set.nullable()? { "_nullable" } else { "" };
    let function = context.kernels.function(MODULE, &format!("dictionary_{width}{tail}"))?;
    let mut args = hybrid_args(context, set, indexes)?;
    args.dictionary = dictionary.values.address();
    args.dictionary_rows = dictionary.rows;
    args.width = dictionary.width;
    launch(context, set, &function, indexes, args, Some(dictionary.values), output)
}

fn launch<T: Pod>(
    context: &Context<'_>,
    set: &PageSet,
    function: &Function,
    indexes: &Indexes,
    mut args: HybridArgs,
    dictionary: Option<&DeviceSlice<u8>>,
    output: &mut DeviceBuffer<T>,
) -> Result<()> {
    if indexes.booleans {
        return Err(CudaError::Misuse("these are runs of booleans".into()));
    }
    args.values = output.address();
    let mut launch = set
        .used(context, Launch::new(function).value(&args))
        .using_shared(&indexes.checkpoints)
        .using_write(output);
    if let Some(values) = dictionary {
        launch = launch.using_read(values);
    }
    // SAFETY: the parameter is the kernel's; it writes `rows * width` bytes of output at most (checked
    // by the callers) and reads a checkpoint per tile, entries below `dictionary_rows` (checked by the
    // callers) and pages whose ranges were checked.
    unsafe { launch.run(Grid::linear(set.tiles(), BLOCK), context.stream) }
}
