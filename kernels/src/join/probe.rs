//! The probe side.

use std::sync::Arc;

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::side::{JoinKeys, JoinSide, check_probe, make};
use super::table::JoinTable;
use crate::abi::{BLOCK, JoinProbeArgs, JoinRetrieveArgs, TILE_ROWS};
use crate::columns::RowList;
use crate::columns::rows::{KeptList, bitmap_words};
use crate::parquet::Context;

const MODULE: &str = "join/probe";

/// What a probe is for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProbeOptions {
    /// A row without a match has one output, with no build row.
    pub outer: bool,
    /// Note which build rows were met.
    pub mark: bool,
    /// No pairs are wanted, only which rows match.
    pub matches_only: bool,
}

/// What a probe found, by position.
pub struct Probe {
    found: DeviceSlice<u32>,
    matches: DeviceSlice<u32>,
    offsets: Option<DeviceSlice<u64>>,
    /// The table and the list that were probed: slots and positions mean nothing with others.
    table: Arc<()>,
    list: KeptList,
}

/// Pairs of rows of a chunk.
pub struct Pairs {
    /// Build rows; `NONE` for outer rows without a match.
    pub build: DeviceSlice<u32>,
    /// Probe rows, in the order of the probe side's positions.
    pub probe: DeviceSlice<u32>,
    /// One value: how many pairs there are.
    pub count: DeviceSlice<u32>,
}

impl JoinTable {
    /// Finds the keys of a probe side's rows. Queued; nothing is read.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for keys of other types than the build side's, or packed keys by another dictionary;
    /// what the driver says.
    pub fn probe(
        &mut self,
        context: &Context<'_>,
        side: JoinSide<'_>,
        options: ProbeOptions,
    ) -> Result<Probe> {
        if !side.keys.same_types(self.keys().columns()) {
            return Err(CudaError::Misuse(
                "key columns of other types than the build side's".into(),
            ));
        }
        check_probe(self.form(), self.keys(), side.keys)?;
        let made = make(context, self.form(), side, self.nulls_equal(), None)?;
        let rows = side.list.rows;
        let stream = context.stream;
        let tiles = (rows + 1).div_ceil(TILE_ROWS);
        let mut found = context.memory.buffer::<u32>(rows.max(1) as usize, stream)?;
        let mut matches = context.memory.buffer::<u32>(bitmap_words(rows).max(1), stream)?;
        let mut look_back = context.memory.buffer::<u64>(1 + tiles as usize, stream)?;
        look_back.zero(stream)?;
        let wanted = if options.matches_only { 0 } else { rows as usize + 1 };
        let mut offsets = context.memory.buffer::<u64>(wanted, stream)?;
        let packed = !matches!(self.form(), JoinKeys::Hashed);
        let args = JoinProbeArgs {
            list: side.list.abi(0)?,
            table: self.abi(options.mark),
            keys: side.keys.abi(),
            packed: if packed { made.keys.address() } else { 0 },
            hashes: if packed { 0 } else { made.keys.address() },
            matchable: made.matchable.address(),
            found: found.address(),
            matches: matches.address(),
            offsets: if options.matches_only { 0 } else { offsets.address() },
            look_back: look_back.address(),
            outer: u32::from(options.outer),
            reserved: 0,
        };
        let symbol = match (self.form(), self.form().key_bytes()) {
            (JoinKeys::Direct(_), _) => "join_probe_direct",
            (_, 0) => "join_probe_columns",
            (_, 8) => "join_probe_64",
            _ => "join_probe_128",
        };
        let function = context.kernels.function(MODULE, symbol)?;
        let launch = Launch::new(&function)
            .value(&args)
            .using_write(&mut found)
            .using_write(&mut matches)
            .using_write(&mut offsets)
            .using_write(&mut look_back)
            .using_shared(&self.matched);
        let launch = side.keys.using(side.list.using(made.using(self.using(launch))));
        // SAFETY: the parameter is the kernel's. It reads the list's rows of columns that lie in their buffers, keys
        // and bits per position, and the table at masked hashes or at packed keys, which are below the slots of a
        // direct table; it writes a slot and a bit per position, one offset more, and a word of look-back per
        // tile and one more.
        unsafe { launch.run(Grid::linear(tiles, BLOCK), stream) }?;
        let offsets = (!options.matches_only).then(|| offsets.freeze());
        Ok(Probe {
            found: found.freeze(),
            matches: matches.freeze(),
            offsets,
            table: Arc::clone(&self.identity),
            list: KeptList::new(&side.list),
        })
    }
}

impl Probe {
    /// Which positions have a match: a bit a position, zero behind the last one.
    pub fn matches(&self) -> &DeviceSlice<u32> {
        &self.matches
    }

    /// How many outputs come before each position, and behind the last one how many there are, if pairs were
    /// wanted. With a count of fewer positions than rows, the total stands at that count.
    pub fn offsets(&self) -> Option<&DeviceSlice<u64>> {
        self.offsets.as_ref()
    }

    /// The pairs of outputs `first` to `first + limit`, as many as there are. Table and list are those of the probe.
    /// Queued; nothing is read.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for another table or list, or a probe without pairs; what the driver says.
    pub fn retrieve(
        &self,
        context: &Context<'_>,
        table: &JoinTable,
        list: RowList<'_>,
        first: u64,
        limit: u32,
    ) -> Result<Pairs> {
        let Some(offsets) = &self.offsets else {
            return Err(CudaError::Misuse("pairs of a probe that wanted none".into()));
        };
        if !Arc::ptr_eq(&self.table, &table.identity) {
            return Err(CudaError::Misuse("pairs of another table than the probed one".into()));
        }
        if !self.list.is(&list) || limit > i32::MAX as u32 {
            return Err(CudaError::Misuse(format!("{limit} pairs of another list, {list:?}")));
        }
        let room = limit.max(1) as usize;
        let stream = context.stream;
        let mut build: DeviceBuffer<u32> = context.memory.buffer(room, stream)?;
        let mut probe: DeviceBuffer<u32> = context.memory.buffer(room, stream)?;
        let mut count: DeviceBuffer<u32> = context.memory.buffer(1, stream)?;
        let args = JoinRetrieveArgs {
            list: list.abi(0)?,
            table: table.abi(false),
            found: self.found.address(),
            offsets: offsets.address(),
            first,
            build: build.address(),
            probe: probe.address(),
            count: count.address(),
            limit,
            reserved: 0,
        };
        let function = context.kernels.function(MODULE, "join_retrieve")?;
        let launch = Launch::new(&function)
            .value(&args)
            .using_read(&self.found)
            .using_read(offsets)
            .using_write(&mut build)
            .using_write(&mut probe)
            .using_write(&mut count);
        let launch = list.using(table.using(launch));
        let blocks = limit.div_ceil(BLOCK).max(1);
        // SAFETY: the parameter is the kernel's. Slots, offsets and positions are of this table and list (checked
        // above). Offsets ascend and end with the total, so the position found for an
        // output is below the list's, and its rank below its key's count; it writes `limit` pairs at most, and a
        // count.
        unsafe { launch.run(Grid::linear(blocks, BLOCK), stream) }?;
        Ok(Pairs { build: build.freeze(), probe: probe.freeze(), count: count.freeze() })
    }
}
