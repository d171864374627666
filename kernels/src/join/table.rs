//! The build side.

use std::sync::Arc;

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::side::{JoinKeys, JoinSide, Made, check_form, make};
use crate::abi::{
    BLOCK, JoinBuildArgs, JoinMatchedArgs, JoinScanArgs, JoinState, JoinTableAbi, TILE_ROWS,
};
use crate::columns::rows::bitmap_words;
use crate::keys::KeyColumns;
use crate::parquet::Context;

const MODULE: &str = "join/build";

/// Slots that are looked at before a table counts as full. At half load the longest of a million linear probes
/// is about 100 slots.
const PROBES: u32 = 512;

/// The hash table of a build side. The key columns belong to it: probes compare with them.
pub struct JoinTable {
    /// Which table this is: probes hold on to it, so no later table is taken for it.
    pub(super) identity: Arc<()>,
    form: JoinKeys,
    nulls_equal: bool,
    keys: KeyColumns,
    selection: Option<DeviceSlice<u32>>,
    made: Made,
    pub(super) slots: DeviceSlice<u64>,
    pub(super) counts: DeviceSlice<u32>,
    pub(super) starts: DeviceSlice<u32>,
    pub(super) rows: DeviceSlice<u32>,
    position_slots: DeviceSlice<u32>,
    state: DeviceSlice<JoinState>,
    /// A bit a slot.
    pub(super) matched: DeviceBuffer<u32>,
    build_rows: u32,
    unique: bool,
}

impl JoinTable {
    /// Builds the table, and waits for the device to learn whether keys stand more than once.
    ///
    /// `nulls_equal`: NULL matches NULL; else a row with a NULL among its keys matches nothing.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for keys that the form cannot hold, or that lie outside of its ranges;
    /// [`CudaError::Unsupported`] when a key found no slot, which at half load means a flood of equal
    /// hashes; what the driver says.
    pub fn build(
        context: &Context<'_>,
        form: JoinKeys,
        nulls_equal: bool,
        keys: KeyColumns,
        list: crate::columns::RowList<'_>,
    ) -> Result<Self> {
        check_form(&form, &keys)?;
        let build_rows = list.rows;
        let slots = slots_for(&form, build_rows)?;
        let mut state = context.memory.buffer::<JoinState>(1, context.stream)?;
        state.zero(context.stream)?;
        let made =
            make(context, &form, JoinSide { keys: &keys, list }, nulls_equal, Some(&mut state))?;
        let mut parts = Parts::new(context, slots, build_rows, state)?;
        let matched = zeroed(context, slots.div_ceil(32))?;
        parts.fill(context, &form, &keys, list, &made)?;
        let found = parts.state.read(context.ring, context.stream)?;
        let found = found.first().copied().unwrap_or_default();
        match found.overflow {
            0 => {}
            crate::abi::KEY_OUTSIDE => {
                return Err(CudaError::Misuse("a build key outside of its packed range".into()));
            }
            _ => {
                return Err(CudaError::Unsupported(format!(
                    "a key of {build_rows} found none of {PROBES} slots free"
                )));
            }
        }
        Ok(Self {
            form,
            nulls_equal,
            identity: Arc::new(()),
            keys,
            selection: list.selection.cloned(),
            made,
            slots: parts.slots.freeze(),
            counts: parts.counts.freeze(),
            starts: parts.starts.freeze(),
            rows: parts.rows.freeze(),
            position_slots: parts.position_slots.freeze(),
            state: parts.state.freeze(),
            matched,
            build_rows,
            unique: found.duplicates == 0,
        })
    }

    /// Whether no key stands more than once: then no probe row has more than one match.
    pub fn unique(&self) -> bool {
        self.unique
    }

    /// How keys are found.
    pub fn form(&self) -> &JoinKeys {
        &self.form
    }

    /// Whether NULL matches NULL.
    pub fn nulls_equal(&self) -> bool {
        self.nulls_equal
    }

    /// The build side's keys.
    pub fn keys(&self) -> &KeyColumns {
        &self.keys
    }

    /// Which positions of the build side probes with `mark` have met so far: a bit a position, zero behind them.
    ///
    /// # Errors
    /// What the driver says.
    pub fn matched_rows(&mut self, context: &Context<'_>) -> Result<DeviceSlice<u32>> {
        let words = bitmap_words(self.build_rows).max(1);
        let mut bits = context.memory.buffer::<u32>(words, context.stream)?;
        let args = JoinMatchedArgs {
            matched: self.matched.address(),
            position_slots: self.position_slots.address(),
            bits: bits.address(),
            rows: self.build_rows,
            reserved: 0,
        };
        let function = context.kernels.function(MODULE, "join_matched_rows")?;
        let launch = Launch::new(&function)
            .value(&args)
            .using_read(&self.position_slots)
            .using_write(&mut self.matched)
            .using_write(&mut bits);
        let grid = Grid::covering(u64::from(self.build_rows), BLOCK, BLOCK)?;
        // SAFETY: the parameter is the kernel's; it reads a slot per position, each NONE or one of the table's,
        // for which there are matched bits, and writes a bit per position.
        unsafe { launch.run(grid, context.stream) }?;
        Ok(bits.freeze())
    }

    /// The table as kernels take it.
    pub(super) fn abi(&self, mark: bool) -> JoinTableAbi {
        let packed = if self.form.key_bytes() == 0 { 0 } else { self.made.keys.address() };
        JoinTableAbi {
            keys: self.keys.abi(),
            selection: self.selection.as_ref().map_or(0, DeviceSlice::address),
            packed,
            slots: self.slots.address(),
            counts: self.counts.address(),
            starts: self.starts.address(),
            rows: self.rows.address(),
            state: self.state.address(),
            matched: if mark { self.matched.address() } else { 0 },
            mask: u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX),
            probes: probes(self.slots.len()),
            direct: u32::from(matches!(self.form, JoinKeys::Direct(_))),
            unique: u32::from(self.unique),
        }
    }

    /// Names its memory, but for the matched bits.
    pub(super) fn using<'l>(&self, launch: Launch<'l>) -> Launch<'l> {
        let launch = self.keys.using(self.made.using(launch));
        let launch = launch
            .using_read(&self.slots)
            .using_read(&self.counts)
            .using_read(&self.starts)
            .using_read(&self.rows)
            .using_read(&self.state);
        match &self.selection {
            Some(selection) => launch.using_read(selection),
            None => launch,
        }
    }
}

/// What a build writes.
struct Parts {
    slots: DeviceBuffer<u64>,
    counts: DeviceBuffer<u32>,
    starts: DeviceBuffer<u32>,
    rows: DeviceBuffer<u32>,
    position_slots: DeviceBuffer<u32>,
    ranks: DeviceBuffer<u32>,
    state: DeviceBuffer<JoinState>,
}

impl Parts {
    fn new(
        context: &Context<'_>,
        slots: usize,
        build_rows: u32,
        state: DeviceBuffer<JoinState>,
    ) -> Result<Self> {
        let rows = build_rows.max(1) as usize;
        // Positions behind the list's count are nobody's: NONE.
        let mut position_slots = context.memory.buffer::<u32>(rows, context.stream)?;
        position_slots.fill_bytes(0xff, context.stream)?;
        Ok(Self {
            slots: zeroed(context, 2 * slots)?.cast()?,
            counts: zeroed(context, slots)?,
            starts: context.memory.buffer(slots, context.stream)?,
            rows: context.memory.buffer(rows, context.stream)?,
            position_slots,
            ranks: context.memory.buffer(rows, context.stream)?,
            state,
        })
    }

    fn fill(
        &mut self,
        context: &Context<'_>,
        form: &JoinKeys,
        keys: &KeyColumns,
        list: crate::columns::RowList<'_>,
        made: &Made,
    ) -> Result<()> {
        let (packed, hashes) = match form.key_bytes() {
            0 => (0, made.keys.address()),
            _ => (made.keys.address(), 0),
        };
        let table = JoinTableAbi {
            keys: keys.abi(),
            selection: list.selection.map_or(0, DeviceSlice::address),
            packed,
            slots: self.slots.address(),
            counts: self.counts.address(),
            starts: self.starts.address(),
            rows: self.rows.address(),
            state: self.state.address(),
            mask: u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX),
            probes: probes(self.slots.len()),
            ..JoinTableAbi::default()
        };
        let args = JoinBuildArgs {
            list: list.abi(self.state.address())?,
            table,
            hashes,
            matchable: made.matchable.address(),
            position_slots: self.position_slots.address(),
            ranks: self.ranks.address(),
        };
        let insert = match (form, form.key_bytes()) {
            (JoinKeys::Direct(_), _) => "join_insert_direct",
            (_, 0) => "join_insert_columns",
            (_, 8) => "join_insert_64",
            _ => "join_insert_128",
        };
        let grid = Grid::covering(u64::from(list.rows), BLOCK, BLOCK)?;
        self.run(context, insert, &args, grid, |launch| {
            made.using(keys.using(list.using(launch)))
        })?;
        self.scan(context)?;
        self.run(context, "join_fill", &args, grid, |launch| {
            made.using(keys.using(list.using(launch)))
        })
    }

    fn run(
        &mut self,
        context: &Context<'_>,
        symbol: &str,
        args: &JoinBuildArgs,
        grid: Grid,
        using: impl for<'l> FnOnce(Launch<'l>) -> Launch<'l>,
    ) -> Result<()> {
        let function = context.kernels.function(MODULE, symbol)?;
        let launch = Launch::new(&function)
            .value(args)
            .using_write(&mut self.slots)
            .using_write(&mut self.counts)
            .using_write(&mut self.starts)
            .using_write(&mut self.rows)
            .using_write(&mut self.position_slots)
            .using_write(&mut self.ranks)
            .using_write(&mut self.state);
        // SAFETY: the parameter is the kernel's. It reads the list's rows of columns that lie in their buffers, with
        // keys and bits per position; slots are masked hashes or packed keys below the slots of a direct
        // table; ranks of a slot are below its count, so that rows land inside their array.
        unsafe { using(launch).run(grid, context.stream) }
    }

    fn scan(&mut self, context: &Context<'_>) -> Result<()> {
        let slots = self.counts.len();
        let tiles = u32::try_from(slots.div_ceil(TILE_ROWS as usize)).unwrap_or(u32::MAX);
        let mut look_back = context.memory.buffer::<u64>(1 + tiles as usize, context.stream)?;
        look_back.zero(context.stream)?;
        let args = JoinScanArgs {
            counts: self.counts.address(),
            starts: self.starts.address(),
            look_back: look_back.address(),
            slots: slots as u64,
        };
        let function = context.kernels.function(MODULE, "join_scan")?;
        let launch = Launch::new(&function)
            .value(&args)
            .using_write(&mut self.counts)
            .using_write(&mut self.starts)
            .using_write(&mut look_back);
        // SAFETY: the parameter is the kernel's; it reads a count and writes a start per slot, and a word of
        // look-back per tile and one more.
        unsafe { launch.run(Grid::linear(tiles, BLOCK), context.stream) }
    }
}

fn zeroed(context: &Context<'_>, len: usize) -> Result<DeviceBuffer<u32>> {
    let mut buffer = context.memory.buffer::<u32>(len, context.stream)?;
    buffer.zero(context.stream)?;
    Ok(buffer)
}

fn probes(slots: usize) -> u32 {
    u32::try_from(slots).unwrap_or(u32::MAX).min(PROBES)
}

/// Slots of a table: one a key of a direct one, else twice the rows, rounded up to a power of two.
fn slots_for(form: &JoinKeys, rows: u32) -> Result<usize> {
    if rows > 1 << 30 {
        return Err(CudaError::Unsupported(format!("a build side of {rows} rows in one table")));
    }
    match form {
        JoinKeys::Direct(packing) => u32::try_from(packing.keys())
            .ok()
            .filter(|&keys| keys <= 1 << 30)
            .map(|keys| keys as usize)
            .ok_or_else(|| {
                CudaError::Misuse(format!("{} keys as slots of a table", packing.keys()))
            }),
        _ => Ok((2 * rows.max(1) as usize).next_power_of_two()),
    }
}
