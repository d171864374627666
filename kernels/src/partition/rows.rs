//! Rows by partition.

use staffa_cuda::{CudaError, DeviceSlice, Grid, Launch, Result};

use super::hash::{HashColumn, assign};
use crate::abi::{BLOCK, PartitionOffsetsArgs, RADIX, SORT_ROWS};
use crate::columns::RowList;
use crate::columns::rows::KeptList;
use crate::parquet::Context;
use crate::sort::{KeyBytes, RadixKeys, Wanted, sort_positions};

/// Partitions at most.
pub const MOST_PARTITIONS: u32 = 1 << 16;

/// A list's rows by partition. A partition may have no rows.
pub struct Partitions {
    pub(super) list: KeptList,
    pub(super) ids: DeviceSlice<u32>,
    pub(super) order: DeviceSlice<u32>,
    pub(super) tile_starts: Option<DeviceSlice<u32>>,
    offsets: DeviceSlice<u32>,
    count: u32,
}

/// Assigns the rows of a list to partitions as DataFusion 55's `RepartitionExec` does, hash modulo `partitions`,
/// and orders them by partition. Queued; nothing is read.
///
/// # Errors
/// [`CudaError::Misuse`] for no partitions or more than [`MOST_PARTITIONS`], and for columns as in
/// [`hashes`](super::hashes); [`CudaError::Unsupported`] for 2^30 rows and more; what the driver says.
pub fn partition(
    context: &Context<'_>,
    columns: &[HashColumn],
    list: RowList<'_>,
    partitions: u32,
) -> Result<Partitions> {
    if partitions > MOST_PARTITIONS {
        return Err(CudaError::Misuse(format!("{partitions} partitions")));
    }
    if list.rows > SORT_ROWS {
        return Err(CudaError::Unsupported(format!("{} rows to partition", list.rows)));
    }
    let stream = context.stream;
    let mut ids = context.memory.buffer::<u32>(list.rows.max(1) as usize, stream)?;
    assign(context, columns, list, partitions, &mut ids, None)?;
    // The sort keeps the order of rows within a partition, as RepartitionExec does. One pass leaves the ids as they
    // are, for the columns that move by them; two passes sort a copy.
    let one_pass = partitions <= RADIX;
    let bits = 0..(u32::BITS - (partitions - 1).leading_zeros());
    let mut copy = None;
    let keys = if one_pass {
        ids.cast()?
    } else {
        let mut keys = context.memory.buffer::<u32>(ids.len(), stream)?;
        keys.copy_from(copy.insert(ids.freeze()), stream)?;
        keys.cast()?
    };
    let wanted = Wanted { keys: !one_pass, tile_starts: one_pass };
    let keys = RadixKeys { keys, width: KeyBytes::Four, bits };
    let sorted = sort_positions(context, keys, list, None, wanted)?;
    let ids = match (copy, sorted.unsorted) {
        (Some(ids), _) => ids,
        (None, Some(ids)) => ids.cast()?,
        (None, None) => return Err(CudaError::Misuse("a sort that kept no ids".into())),
    };
    let ascending = sorted.keys.map(DeviceSlice::cast::<u32>).transpose()?;
    let offsets = find_offsets(context, list, ascending.as_ref(), &sorted.starts, partitions)?;
    Ok(Partitions {
        list: KeptList::new(&list),
        ids,
        order: sorted.rows,
        tile_starts: sorted.tile_starts,
        offsets,
        count: partitions,
    })
}

/// Where each partition starts: by ids that ascend, or by the starts of the sort's only digit.
fn find_offsets(
    context: &Context<'_>,
    list: RowList<'_>,
    ascending: Option<&DeviceSlice<u32>>,
    starts: &DeviceSlice<u32>,
    partitions: u32,
) -> Result<DeviceSlice<u32>> {
    let mut offsets = context.memory.buffer::<u32>(partitions as usize + 1, context.stream)?;
    let args = PartitionOffsetsArgs {
        list: list.abi(0)?,
        ids: ascending.map_or(0, DeviceSlice::address),
        starts: starts.address(),
        offsets: offsets.address(),
        partitions,
        reserved: 0,
    };
    let function = context.kernels.function("partition/ids", "partition_offsets")?;
    let mut launch =
        Launch::new(&function).value(&args).using_read(starts).using_write(&mut offsets);
    if let Some(ids) = ascending {
        launch = launch.using_read(ids);
    }
    let grid = Grid::covering(u64::from(partitions) + 1, BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it reads ids by position, or 256 starts of at most 256 partitions, and
    // writes an offset per partition and one more.
    unsafe { list.using(launch).run(grid, context.stream) }?;
    Ok(offsets.freeze())
}

impl Partitions {
    /// How many partitions there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The partition of each position of the list.
    pub fn ids(&self) -> &DeviceSlice<u32> {
        &self.ids
    }

    /// The list's rows, partition by partition, each in the list's order.
    pub fn order(&self) -> &DeviceSlice<u32> {
        &self.order
    }

    /// Where in the order each partition starts, and behind the last one how many rows there are.
    pub fn offsets(&self) -> &DeviceSlice<u32> {
        &self.offsets
    }
}
