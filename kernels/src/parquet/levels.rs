//! Definition levels (`kernels/parquet/levels.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, Grid, Launch, Result};

use super::pages::{Context, PageSet};
use crate::abi::{BLOCK, Checkpoint, LevelsArgs};

const MODULE: &str = "parquet/levels";

/// What is wanted of the levels.
pub enum Levels<'a> {
    /// Nothing: the column is required, or the host knows that no row is NULL. Level sections are
    /// skipped; a page that has NULLs all the same has too few values, which is an error.
    Skip,
    /// Which rows are valid.
    Decode {
        /// The column's bitmap, `rows` bits, zeroed.
        validity: &'a mut DeviceBuffer<u32>,
        /// One counter, zeroed: NULLs among the column's rows.
        nulls: &'a mut DeviceBuffer<u64>,
    },
}

/// Finds the sections of every page and decodes the levels. Must run before any other kernel on the
/// set.
///
/// # Errors
/// [`CudaError::Misuse`] if the bitmap is too small or the set has no levels; what the driver says.
pub fn levels(context: &Context<'_>, set: &mut PageSet, wanted: Levels<'_>) -> Result<()> {
    let stream = context.stream;
    let mut args = LevelsArgs { rows: set.rows(), ..LevelsArgs::default() };
    match wanted {
        Levels::Skip => {
            args.set = set.abi(context);
            let function = context.kernels.function(MODULE, "levels_index")?;
            let launch = set.used(context, Launch::new(&function).value(&args));
            // SAFETY: the one parameter is the kernel's; it writes `states` (one per page, as many as
            // blocks) and the error slot, and reads pages and bodies, all named by `used`; it works on
            // page descriptors whose ranges `PageSet::new` checked.
            unsafe { launch.run(Grid::linear(set.pages(), 32), stream) }?;
            set.nullable = Some(false);
        }
        Levels::Decode { validity, nulls } => {
            if !set.has_levels() {
                return Err(CudaError::Misuse("a required column has no levels to decode".into()));
            }
            let words = set.rows().div_ceil(32) as usize;
            if validity.len() < words || nulls.is_empty() {
                return Err(CudaError::Misuse(format!(
                    "{words} words of validity do not fit in {validity:?}"
                )));
            }
            let mut checkpoints =
                context.memory.buffer::<Checkpoint>(set.tiles() as usize, stream)?;
            if set.words.is_none() {
                set.words = Some(context.memory.buffer(set.word_count(), stream)?);
            }
            args.set = set.abi(context);
            args.checkpoints = checkpoints.address();
            args.validity = validity.address();
            args.nulls = nulls.address();
            let grids = [
                ("levels_index", Grid::linear(set.pages(), 32)),
                ("levels_expand", Grid::linear(set.tiles(), BLOCK)),
                ("levels_rank", Grid::linear(set.pages(), 32)),
            ];
            for (symbol, grid) in grids {
                let function = context.kernels.function(MODULE, symbol)?;
                let launch = set
                    .used(context, Launch::new(&function).value(&args))
                    .using_write(&mut checkpoints)
                    .using_shared(validity)
                    .using_shared(nulls);
                // SAFETY: as above; checkpoints and tile_valid have an element per tile, words
                // TILE_WORDS of them, the bitmap a bit per row: what the kernels write at most.
                unsafe { launch.run(grid, stream) }?;
            }
            set.nullable = Some(true);
        }
    }
    Ok(())
}
