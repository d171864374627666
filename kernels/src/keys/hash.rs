//! Hashes of key rows (`kernels/keys/hash.cu`).

use staffa_cuda::{DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::KeyColumns;
use crate::abi::{BLOCK, HashArgs};
use crate::columns::RowList;
use crate::columns::rows::bitmap_words;
use crate::parquet::Context;

const MODULE: &str = "keys/hash";

/// Hashes of rows, by position.
pub struct RowHashes {
    /// 64 bits a row; equal for equal keys.
    pub hashes: DeviceSlice<u64>,
    /// The row has no NULL among its keys.
    pub matchable: DeviceSlice<u32>,
}

/// Hashes the rows of a list.
///
/// # Errors
/// What the driver says.
pub fn hash(context: &Context<'_>, keys: &KeyColumns, list: RowList<'_>) -> Result<RowHashes> {
    list.check(keys.rows())?;
    let mut hashes = context.memory.buffer::<u64>(list.rows as usize, context.stream)?;
    let mut matchable = context.memory.buffer::<u32>(bitmap_words(list.rows), context.stream)?;
    let args = HashArgs {
        list: list.abi(0)?,
        keys: keys.abi(),
        hashes: hashes.address(),
        matchable: matchable.address(),
    };
    launch(context, &args, &mut hashes, |launch| {
        keys.using(list.using(launch)).using_write(&mut matchable)
    })?;
    Ok(RowHashes { hashes: hashes.freeze(), matchable: matchable.freeze() })
}

/// The launch behind [`hash`]; the caller checked the columns and names the memory in `args`.
pub(crate) fn launch(
    context: &Context<'_>,
    args: &HashArgs,
    hashes: &mut DeviceBuffer<u64>,
    using: impl for<'l> FnOnce(Launch<'l>) -> Launch<'l>,
) -> Result<()> {
    let function = context.kernels.function(MODULE, "keys_hash")?;
    let launch = using(Launch::new(&function).value(args).using_write(hashes));
    let grid = Grid::covering(u64::from(args.list.rows), BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads the list's rows of columns that lie in their buffers, and
    // writes a hash, and a bit, per position, for which there is room.
    unsafe { launch.run(grid, context.stream) }
}
