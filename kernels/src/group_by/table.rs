//! The table from keys to group numbers.

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::stored::{
    check_packing, copy, enlarged, fill_keys, key_bytes, key_packing, packs, slots_for,
};
use crate::abi::{BLOCK, Column, ColumnKind, GroupArgs, GroupState, KeyRule, KeySet, RowsAbi};
use crate::columns::rows::check_column;
use crate::columns::{GatheredColumn, RowList, launch_gather};
use crate::keys::{KeyColumn, KeyColumns, PackedAs, Packing, mappable, upload};
use crate::parquet::Context;

/// How a table finds keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupKeys {
    /// The packed key is the slot: for a small range. No hash, no comparison.
    Direct(Packing),
    /// By the packed key.
    Packed(Packing),
    /// By a hash, then by comparing columns: for all types.
    Hashed,
}

/// Sizes of a table.
#[derive(Debug, Clone, Copy)]
pub struct GroupTableConfig {
    /// Groups that there is room for; the table has twice as many slots or more.
    pub groups: u32,
    /// Slots that are looked at before the table counts as full.
    pub probes: u32,
}

impl GroupTableConfig {
    /// Room for so many groups. At half load the longest of a million linear probes is about 100 slots.
    pub fn for_groups(groups: u32) -> Self {
        Self { groups, probes: 512 }
    }
}

/// A table of groups: their keys, and the slots through which they are found.
pub struct GroupTable {
    keys: GroupKeys,
    config: GroupTableConfig,
    rules: Vec<KeyRule>,
    /// What stands for each column in a packed key.
    packed_as: Vec<PackedAs>,
    columns: Vec<GatheredColumn>,
    descriptors: DeviceSlice<Column>,
    /// Packed keys or hashes of the groups.
    stored: DeviceBuffer<u8>,
    slots: DeviceBuffer<u64>,
    state: DeviceBuffer<GroupState>,
    /// What stored strings point into.
    kept: Vec<DeviceSlice<u8>>,
}

impl GroupTable {
    /// An empty table for keys like these.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] when packed keys are not the columns', of values that do not pack, or too many to be
    /// slots; what the driver says.
    pub fn new(
        context: &Context<'_>,
        like: &[KeyColumn],
        keys: GroupKeys,
        config: GroupTableConfig,
    ) -> Result<Self> {
        let mut state = context.memory.buffer(1, context.stream)?;
        state.zero(context.stream)?;
        let columns = like
            .iter()
            .map(|key| GatheredColumn::like(context, &key.column.descriptor, config.groups))
            .collect::<Result<Vec<_>>>()?;
        let rules: Vec<KeyRule> = like.iter().map(|key| key.rule).collect();
        let packed_as: Vec<PackedAs> = if packs(&keys) {
            like.iter().try_for_each(mappable)?;
            like.iter().map(PackedAs::of).collect()
        } else {
            vec![PackedAs::Values; like.len()]
        };
        Self::with_columns(context, (columns, rules, packed_as), keys, config, state)
    }

    fn with_columns(
        context: &Context<'_>,
        (columns, rules, packed_as): (Vec<GatheredColumn>, Vec<KeyRule>, Vec<PackedAs>),
        keys: GroupKeys,
        config: GroupTableConfig,
        state: DeviceBuffer<GroupState>,
    ) -> Result<Self> {
        if config.groups == 0 || config.groups > 1 << 30 || config.probes == 0 || columns.is_empty()
        {
            return Err(CudaError::Misuse(format!("a group table of {config:?}")));
        }
        let slots = slots_for(&keys, config.groups)?;
        check_packing(&keys, &columns, &rules, &packed_as)?;
        let bytes = config.groups as usize * key_bytes(&keys).max(8) as usize;
        let stored = context.memory.buffer(bytes, context.stream)?;
        let mut slots = context.memory.buffer::<u64>(slots, context.stream)?;
        slots.zero(context.stream)?;
        let descriptors: Vec<Column> = columns
            .iter()
            .zip(&rules)
            .map(|(column, rule)| Column {
                type_: *rule as u32,
                ..column.descriptor(config.groups)
            })
            .collect();
        let descriptors = upload(context, &descriptors)?;
        Ok(Self {
            keys,
            config,
            rules,
            packed_as,
            columns,
            descriptors,
            stored,
            slots,
            state,
            kept: Vec::new(),
        })
    }

    /// The group of every row of the list, by position; new groups are appended to the table. Strings of new
    /// groups point into the key columns' buffers, which the table keeps.
    ///
    /// The ids mean something only if the state, read later, shows that this morsel was committed.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] when the columns are of other types than the table's, or, with packed keys, codes of
    /// another dictionary than the first ones'; what the driver says.
    pub fn assign(
        &mut self,
        context: &Context<'_>,
        keys: &KeyColumns,
        list: RowList<'_>,
    ) -> Result<DeviceSlice<u32>> {
        list.check(keys.rows())?;
        self.check_types(keys)?;
        let rows = list.rows as usize;
        let stop = self.stop();
        let abi = list.abi(stop)?;
        let scratch = || context.memory.buffer::<u32>(rows.max(1), context.stream);
        let (mut position_slots, mut fresh_slots, mut fresh_rows) =
            (scratch()?, scratch()?, scratch()?);
        let mut ids = scratch()?;
        let mut made = self.key_per_position(context, keys, list, abi)?;
        let args = GroupArgs {
            list: abi,
            keys: keys.abi(),
            position_slots: position_slots.address(),
            fresh_slots: fresh_slots.address(),
            fresh_rows: fresh_rows.address(),
            ids: ids.address(),
            ..self.args(made.address())
        };
        let symbol = match (&self.keys, args.packed_bytes) {
            (GroupKeys::Direct(_), _) => "group_by_find_direct",
            (GroupKeys::Packed(_), 8) => "group_by_find_64",
            (GroupKeys::Packed(_), _) => "group_by_find_128",
            (GroupKeys::Hashed, _) => "group_by_find_columns",
        };
        let grid = Grid::covering(rows as u64, BLOCK, BLOCK)?;
        self.run(context, "group_by/find", symbol, &args, grid, |launch| {
            keys.using(list.using(launch))
                .using_write(&mut made)
                .using_write(&mut position_slots)
                .using_write(&mut fresh_slots)
        })?;
        self.run(context, "group_by/number", "group_by_number", &args, grid, |launch| {
            list.using(launch)
                .using_write(&mut made)
                .using_write(&mut fresh_slots)
                .using_write(&mut fresh_rows)
        })?;
        self.append_keys(context, keys, &mut fresh_rows, stop)?;
        // At least one block, which commits.
        let grid = Grid::linear(grid.blocks[0].max(1), BLOCK);
        self.run(context, "group_by/number", "group_by_ids", &args, grid, |launch| {
            list.using(launch).using_write(&mut position_slots).using_write(&mut ids)
        })?;
        self.keep_strings(keys);
        ids.truncate(rows);
        Ok(ids.freeze())
    }

    /// Packs or hashes the morsel's keys. A key outside of its range stops the table.
    fn key_per_position(
        &mut self,
        context: &Context<'_>,
        keys: &KeyColumns,
        list: RowList<'_>,
        abi: RowsAbi,
    ) -> Result<DeviceBuffer<u8>> {
        let bytes = list.rows as usize * key_bytes(&self.keys).max(8) as usize;
        let made = context.memory.buffer::<u8>(bytes, context.stream)?;
        let columns: Vec<Column> = keys.columns().iter().map(KeyColumn::descriptor).collect();
        let (stop, state) = (self.stop(), &self.state);
        fill_keys(context, &self.keys, &columns, keys.abi(), abi, stop, made, |launch| {
            keys.using(list.using(launch)).using_shared(state)
        })
    }

    /// Gathers the keys of new groups behind those of the old ones.
    fn append_keys(
        &mut self,
        context: &Context<'_>,
        keys: &KeyColumns,
        fresh_rows: &mut DeviceBuffer<u32>,
        stop: u64,
    ) -> Result<()> {
        let base = self.state.address();
        let rows = u32::try_from(fresh_rows.len()).unwrap_or(u32::MAX);
        let list = RowsAbi {
            selection: fresh_rows.address(),
            count: base + std::mem::offset_of!(GroupState, fresh) as u64,
            stop,
            rows,
            reserved: 0,
        };
        let first = base + std::mem::offset_of!(GroupState, groups) as u64;
        for (key, target) in keys.columns().iter().zip(&mut self.columns) {
            let state = &self.state;
            launch_gather(context, &key.column, key.rule, list, first, target, |launch| {
                launch.using_shared(state).using_shared(fresh_rows)
            })?;
        }
        Ok(())
    }

    fn keep_strings(&mut self, keys: &KeyColumns) {
        for (key, stored) in keys.columns().iter().zip(&self.columns) {
            if stored.kind != ColumnKind::Spans as u8 {
                continue;
            }
            for buffer in &key.column.buffers {
                let kept = self.kept.iter().any(|k| k.address() == buffer.address());
                if !kept {
                    self.kept.push(buffer.clone());
                }
            }
        }
    }

    /// Makes room for more groups, or finds keys in another way from now on. Groups keep their numbers; what
    /// an overflow left behind is forgotten, so that the morsels that did not count can be assigned again.
    /// Waits for the device.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for less room than there are groups, or a packing that does not hold them: another
    /// one than now for codes, whose groups keep values only; what the driver says. The table is as it was then.
    pub fn grow(
        &mut self,
        context: &Context<'_>,
        keys: GroupKeys,
        config: GroupTableConfig,
    ) -> Result<()> {
        let old = self.state(context)?;
        if old.groups > config.groups {
            return Err(CudaError::Misuse(format!("{} groups in {config:?}", old.groups)));
        }
        // The groups' packed keys stay theirs; others are made from columns, which hold values.
        let same = packs(&keys) && key_packing(&keys) == key_packing(&self.keys);
        let packed_as = if same {
            self.packed_as.clone()
        } else {
            let by_codes = self.packed_as.iter().any(|p| matches!(p, PackedAs::Codes(_)));
            if by_codes && packs(&keys) {
                return Err(CudaError::Misuse("codes packed in another way".into()));
            }
            vec![PackedAs::Values; self.columns.len()]
        };
        let mut state = context.memory.buffer(1, context.stream)?;
        let clean = GroupState { fresh: 0, overflow: 0, ..old };
        state.write(0, &[clean], context.ring, context.stream)?;
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            columns.push(enlarged(context, column, config.groups)?);
        }
        let rules = self.rules.clone();
        let mut new =
            Self::with_columns(context, (columns, rules, packed_as), keys, config, state)?;
        if same {
            let bytes = old.groups as usize * key_bytes(&new.keys) as usize;
            copy(context, &mut self.stored, &mut new.stored, bytes)?;
        } else {
            new.fill_stored(context, old.groups)?;
        }
        let args = new.args(0);
        let grid = Grid::covering(u64::from(old.groups), BLOCK, BLOCK)?;
        new.run(context, "group_by/number", "group_by_rebuild", &args, grid, |launch| launch)?;
        let found = new.state(context)?;
        if found.overflow != 0 {
            return Err(CudaError::Misuse(format!(
                "{} groups do not fit {config:?} (overflow {})",
                old.groups, found.overflow
            )));
        }
        new.kept = std::mem::take(&mut self.kept);
        *self = new;
        Ok(())
    }

    /// Packed keys or hashes of the groups, from their columns.
    fn fill_stored(&mut self, context: &Context<'_>, groups: u32) -> Result<()> {
        let list = RowsAbi { stop: self.stop(), rows: groups, ..RowsAbi::default() };
        let columns: Vec<Column> = self
            .columns
            .iter()
            .zip(&self.rules)
            .map(|(column, rule)| Column {
                type_: *rule as u32,
                ..column.descriptor(self.config.groups)
            })
            .collect();
        let (set, stop) = (self.stored_set(), self.stop());
        let stored = std::mem::replace(&mut self.stored, context.memory.buffer(0, context.stream)?);
        let (state, stored_columns, descriptors) =
            (&self.state, &mut self.columns, &self.descriptors);
        self.stored =
            fill_keys(context, &self.keys, &columns, set, list, stop, stored, |launch| {
                let launch = launch.using_shared(state).using_read(descriptors);
                stored_columns.iter_mut().fold(launch, |launch, column| {
                    launch.using_write(&mut column.values).using_write(&mut column.validity)
                })
            })?;
        Ok(())
    }

    /// The counts, read from the device: waits for it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn state(&self, context: &Context<'_>) -> Result<GroupState> {
        let state = self.state.read(context.ring, context.stream)?;
        state.first().copied().ok_or_else(|| CudaError::Misuse("a state without a value".into()))
    }

    /// The counts where they are, for a mailbox.
    pub fn state_buffer(&self) -> &DeviceBuffer<GroupState> {
        &self.state
    }

    /// How keys are found.
    pub fn keys(&self) -> &GroupKeys {
        &self.keys
    }

    /// Sizes.
    pub fn config(&self) -> GroupTableConfig {
        self.config
    }

    /// Ends grouping: the key columns, a row a group, of which `state` said there are `groups`; and the memory
    /// that strings point into.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for sizes that do not fit.
    pub fn into_keys(self, groups: u32) -> Result<Vec<crate::expression::InputColumn>> {
        let mut out = Vec::with_capacity(self.columns.len());
        for column in self.columns {
            let spans = column.kind == ColumnKind::Spans as u8;
            let mut column = column.freeze(groups)?;
            if spans {
                column.buffers.extend(self.kept.iter().cloned());
            }
            check_column(&column)?;
            out.push(column);
        }
        Ok(out)
    }

    /// Where the word is that stops launches.
    pub(super) fn stop(&self) -> u64 {
        self.state.address() + std::mem::offset_of!(GroupState, overflow) as u64
    }

    fn stored_set(&self) -> KeySet {
        KeySet {
            columns: self.descriptors.address(),
            count: u32::try_from(self.columns.len()).unwrap_or(u32::MAX),
            rows: self.config.groups,
        }
    }

    /// What all launches have in common; `made` is where the morsel's packed keys or hashes are.
    fn args(&self, made: u64) -> GroupArgs {
        let packed_bytes = key_bytes(&self.keys);
        let (packed, hashes) = if packed_bytes == 0 { (0, made) } else { (made, 0) };
        let stored = self.stored.address();
        GroupArgs {
            stored: self.stored_set(),
            packed,
            hashes,
            stored_packed: if packed_bytes == 0 { 0 } else { stored },
            stored_hashes: if packed_bytes == 0 { stored } else { 0 },
            slots: self.slots.address(),
            state: self.state.address(),
            mask: u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX),
            capacity: self.config.groups,
            probes: u32::try_from(self.slots.len()).unwrap_or(u32::MAX).min(self.config.probes),
            packed_bytes,
            direct: u32::from(matches!(self.keys, GroupKeys::Direct(_))),
            ..GroupArgs::default()
        }
    }

    /// Launches a kernel that uses the table; `using` names what else it uses.
    fn run(
        &mut self,
        context: &Context<'_>,
        module: &str,
        symbol: &str,
        args: &GroupArgs,
        grid: Grid,
        using: impl for<'l> FnOnce(Launch<'l>) -> Launch<'l>,
    ) -> Result<()> {
        let function = context.kernels.function(module, symbol)?;
        let launch = Launch::new(&function)
            .value(args)
            .using_write(&mut self.slots)
            .using_write(&mut self.stored)
            .using_write(&mut self.state)
            .using_read(&self.descriptors);
        // Keys of strings are compared where they stand.
        let launch = self.kept.iter().fold(launch, |launch, memory| launch.using_read(memory));
        let launch = self.columns.iter_mut().fold(using(launch), |launch, column| {
            launch.using_write(&mut column.values).using_write(&mut column.validity)
        });
        // SAFETY: the parameter is the kernel's. It reads the list's rows of columns that were checked to lie in
        // their buffers, and writes slots by a masked hash or by a packed key, which is below the number of
        // slots of a direct table; scratch and ids have a slot per position; groups are below the capacity,
        // at which the kernel sets the overflow.
        unsafe { launch.run(grid, context.stream) }
    }

    fn check_types(&self, keys: &KeyColumns) -> Result<()> {
        let own = self.columns.iter().zip(&self.rules).map(|(c, rule)| ((c.kind, c.width), *rule));
        let theirs = keys
            .columns()
            .iter()
            .map(|key| (crate::columns::rows::logical_storage(&key.column.descriptor), key.rule));
        if own.eq(theirs) {
            if packs(&self.keys) {
                let pairs = self.packed_as.iter().zip(keys.columns());
                return pairs.into_iter().try_for_each(|(own, key)| own.check(key));
            }
            return Ok(());
        }
        Err(CudaError::Misuse("key columns of other types than the group table's".into()))
    }
}
