//! A lane's groups in device memory: keys, and an accumulator per function.

use std::sync::Arc;

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Result};
use staffa_kernels::abi::{Column, ColumnKind, GroupState, KeyRule};
use staffa_kernels::columns::RowList;
use staffa_kernels::expression::InputColumn;
use staffa_kernels::group_by::{
    Accumulator, Function, GroupKeys, GroupTable, GroupTableConfig, Input, Moments, ValueType,
};
use staffa_kernels::keys::{KeyColumn, KeyColumns};
use staffa_kernels::parquet::Context;

use super::{Aggregate, Grouping, Holds};

/// Groups that a new table has room for: little to clear, and enough for most queries.
const ROOM: u32 = 1 << 14;
/// A table that is too small grows by this factor: seldom, as growing waits for the device.
const GROWTH: u32 = 8;
/// A table never has room for more groups: beyond, its groups leave for the host as states.
const MOST_GROUPS: u32 = 1 << 22;

/// What the device said of a morsel that was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its rows are in the groups.
    Counted,
    /// It counts for nothing: there was no room. Add it again after [`Groups::grow`].
    TooSmall,
    /// The groups cannot be believed any more.
    Broken,
}

/// A table and its accumulators. Whatever fails, [`Groups::is_intact`] tells whether they hold the morsels that
/// were counted, all of them and nothing else.
pub struct Groups {
    grouping: Arc<Grouping>,
    table: GroupTable,
    accumulators: Vec<Accumulates>,
    /// Group 0 for every row, where there are no keys.
    zeros: Option<DeviceSlice<u32>>,
    /// Morsels that the device has committed.
    counted: u32,
    groups: u32,
    /// A morsel is in some of the accumulators, and perhaps not in others.
    halfway: bool,
    /// Bytes that strings in the groups may point into.
    kept_bytes: u64,
}

/// Groups that leave the device.
#[derive(Clone)]
pub struct Finished {
    /// A row a group.
    pub keys: Vec<InputColumn>,
    /// The columns of results, those of each accumulator together.
    pub results: Vec<InputColumn>,
    /// Rows.
    pub groups: u32,
}

impl Groups {
    /// No groups yet, for morsels of columns like these.
    ///
    /// # Errors
    /// Out of memory; what the driver says.
    pub fn new(
        context: &Context<'_>,
        grouping: &Arc<Grouping>,
        like: &[InputColumn],
    ) -> Result<Self> {
        Self::of_keys(context, grouping, grouping.key_columns(like)?)
    }

    /// No groups yet, for [`Groups::absorb`] of groups like these.
    ///
    /// # Errors
    /// Out of memory; what the driver says.
    pub fn new_for_groups(
        context: &Context<'_>,
        grouping: &Arc<Grouping>,
        like: &[InputColumn],
    ) -> Result<Self> {
        Self::of_keys(context, grouping, grouping.keys_of_groups(like)?.0)
    }

    fn of_keys(
        context: &Context<'_>,
        grouping: &Arc<Grouping>,
        keys: Vec<KeyColumn>,
    ) -> Result<Self> {
        let keyed = grouping.is_keyed();
        let (keys, form) = match keyed {
            true => (keys, grouping.form.clone()),
            false => (vec![no_key(context)?], GroupKeys::Hashed),
        };
        let room = match &form {
            _ if !keyed => 1,
            // Never too small.
            GroupKeys::Direct(packing) => u32::try_from(packing.keys()).unwrap_or(MOST_GROUPS),
            _ => ROOM,
        };
        let config = GroupTableConfig::for_groups(room);
        let table = GroupTable::new(context, &keys, form, config)?;
        let accumulators = grouping
            .accumulators
            .iter()
            .map(|of| Accumulates::new(context, of, room))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            grouping: Arc::clone(grouping),
            table,
            accumulators,
            zeros: None,
            counted: 0,
            // Without keys there is one as soon as there is a row.
            groups: u32::from(!keyed),
            halfway: false,
            kept_bytes: 0,
        })
    }

    /// Queues the first `rows` rows of a morsel. Whether they count shows in [`Groups::state`], read later; without
    /// keys they do. Nothing waits for the device.
    ///
    /// # Errors
    /// Out of memory; what the driver says. Ask [`Groups::is_intact`] then.
    pub fn add(&mut self, context: &Context<'_>, columns: &[InputColumn], rows: u32) -> Result<()> {
        let list = RowList::all(rows);
        let ids = match self.grouping.is_keyed() {
            true => {
                let keys = self.grouping.key_columns(columns)?;
                let keys = KeyColumns::new(context, keys)?;
                self.table.assign(context, &keys, list)?
            }
            false => self.zeros(context, rows)?,
        };
        self.halfway = true;
        for (accumulator, of) in self.accumulators.iter_mut().zip(&self.grouping.accumulators) {
            let value = of.argument.map(|at| column(columns, at)).transpose()?;
            let filter = of.mask.map(|at| column(columns, at)).transpose()?;
            let input = Input { list, ids: &ids, value, filter };
            accumulator.update(context, &self.table, input)?;
        }
        self.halfway = false;
        self.kept_bytes += self.grouping.kept_bytes(columns);
        Ok(())
    }

    /// Queues the groups of another table of the same grouping, as [`Groups::finish`] gave them: `columns` are its keys,
    /// then its results. Counts as a morsel does.
    ///
    /// # Errors
    /// As [`Groups::add`].
    pub fn absorb(
        &mut self,
        context: &Context<'_>,
        columns: &[InputColumn],
        rows: u32,
    ) -> Result<()> {
        let (keys, results) = self.grouping.keys_of_groups(columns)?;
        let ids = match self.grouping.is_keyed() {
            true => {
                let keys = KeyColumns::new(context, keys)?;
                self.table.assign(context, &keys, RowList::all(rows))?
            }
            false => self.zeros(context, rows)?,
        };
        self.halfway = true;
        let mut results = results;
        for (accumulator, of) in self.accumulators.iter_mut().zip(&self.grouping.accumulators) {
            let (own, others) = results.split_at(of.results());
            accumulator.merge(context, &self.table, &ids, own)?;
            results = others;
        }
        self.halfway = false;
        let buffers = columns.iter().filter(|column| is_strings(&column.descriptor));
        let bytes = buffers.flat_map(|column| &column.buffers).map(DeviceSlice::bytes);
        self.kept_bytes += bytes.sum::<u64>();
        Ok(())
    }

    fn zeros(&mut self, context: &Context<'_>, rows: u32) -> Result<DeviceSlice<u32>> {
        match &self.zeros {
            Some(zeros) if zeros.len() >= rows as usize => Ok(zeros.clone()),
            _ => {
                let mut zeros = context.memory.buffer::<u32>(rows as usize, context.stream)?;
                zeros.zero(context.stream)?;
                Ok(self.zeros.insert(zeros.freeze()).clone())
            }
        }
    }

    /// The table's counts on the device; to be read before the next morsel is added. `None` without keys.
    pub fn state(&self) -> Option<&DeviceBuffer<GroupState>> {
        self.grouping.is_keyed().then(|| self.table.state_buffer())
    }

    /// Takes note of the counts that the device has after one more morsel.
    pub fn settle(&mut self, state: &GroupState) -> Settled {
        let GroupState { groups, fresh, overflow, commits } = *state;
        if self.halfway || groups < self.groups {
            return Settled::Broken;
        }
        match overflow {
            0 if fresh == 0 && commits == self.counted + 1 => {
                (self.counted, self.groups) = (commits, groups);
                Settled::Counted
            }
            1 if commits == self.counted && groups == self.groups => Settled::TooSmall,
            _ => Settled::Broken,
        }
    }

    /// Whether the groups hold what was counted, after a morsel could not be added: `state` as the device has it
    /// now, where there is one.
    pub fn is_intact(&self, state: Option<&GroupState>) -> bool {
        let as_counted = |state: &GroupState| {
            let GroupState { groups, fresh, overflow, commits } = *state;
            (groups, fresh, overflow, commits) == (self.groups, 0, 0, self.counted)
        };
        !self.halfway && state.is_none_or(as_counted)
    }

    /// Makes room for more groups; `false` where there are as many as may be. Waits for the device.
    ///
    /// # Errors
    /// Out of memory; what the driver says. What was counted can still be had by [`Groups::finish`].
    pub fn grow(&mut self, context: &Context<'_>) -> Result<bool> {
        let room = self.table.config().groups.saturating_mul(GROWTH);
        if room > MOST_GROUPS {
            return Ok(false);
        }
        let keys = self.table.keys().clone();
        self.table.grow(context, keys, GroupTableConfig::for_groups(room))?;
        for accumulator in &mut self.accumulators {
            accumulator.grow(context, room)?;
        }
        Ok(true)
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.groups
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups == 0
    }

    /// Bytes of morsels that are kept because strings in the groups may point into them.
    pub fn kept_bytes(&self) -> u64 {
        self.kept_bytes
    }

    /// A word each for the accumulators that look for NaNs: 1 where they met one.
    pub fn nan_flags(&self) -> impl Iterator<Item = &DeviceBuffer<u32>> {
        let of = self.accumulators.iter().zip(&self.grouping.accumulators);
        of.filter(|(_, of)| of.meets_nan()).filter_map(|(accumulator, _)| accumulator.nan_flag())
    }

    /// Ends grouping.
    ///
    /// # Errors
    /// Out of memory; what the driver says. The groups are gone then.
    pub fn finish(self, context: &Context<'_>) -> Result<Finished> {
        let Self { grouping, table, accumulators, groups, .. } = self;
        let keys = match grouping.is_keyed() {
            true => table.into_keys(groups)?,
            false => Vec::new(),
        };
        let mut results = Vec::new();
        for (accumulator, of) in accumulators.into_iter().zip(&grouping.accumulators) {
            match accumulator {
                Accumulates::One(one) => {
                    results.push(one.finish(context, groups, of.result_width)?);
                }
                Accumulates::Moments(moments) => results.extend(moments.finish(groups)?),
            }
        }
        Ok(Finished { keys, results, groups })
    }
}

/// An accumulator in device memory.
enum Accumulates {
    One(Accumulator),
    Moments(Moments),
}

impl Accumulates {
    fn new(context: &Context<'_>, of: &Aggregate, room: u32) -> Result<Self> {
        Ok(match of.holds {
            Holds::One(function) => {
                Self::One(Accumulator::new(context, function, of.value, of.width, room)?)
            }
            Holds::Moments => Self::Moments(Moments::new(context, room)?),
        })
    }

    fn update(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        input: Input<'_>,
    ) -> Result<()> {
        match self {
            Self::One(one) => one.update(context, table, input),
            Self::Moments(moments) => moments.update(context, table, input),
        }
    }

    fn merge(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        ids: &DeviceSlice<u32>,
        results: &[InputColumn],
    ) -> Result<()> {
        match (self, results) {
            (Self::One(one), [results]) => one.merge(context, table, ids, results),
            (Self::One(_), _) => Err(CudaError::Misuse(format!("{} results", results.len()))),
            (Self::Moments(moments), results) => moments.merge(context, table, ids, results),
        }
    }

    fn grow(&mut self, context: &Context<'_>, room: u32) -> Result<()> {
        match self {
            Self::One(one) => one.grow(context, room),
            Self::Moments(moments) => moments.grow(context, room),
        }
    }

    fn nan_flag(&self) -> Option<&DeviceBuffer<u32>> {
        match self {
            Self::One(one) => Some(one.nan_flag()),
            Self::Moments(_) => None,
        }
    }
}

impl Aggregate {
    /// Whether the answer may depend on where a NaN stands.
    fn meets_nan(&self) -> bool {
        let extreme = matches!(self.holds, Holds::One(Function::Min | Function::Max));
        self.value == ValueType::Float && extreme
    }
}

impl Grouping {
    fn key_columns(&self, columns: &[InputColumn]) -> Result<Vec<KeyColumn>> {
        let packs = !matches!(self.form, GroupKeys::Hashed);
        self.keys
            .iter()
            .map(|key| {
                let column = column(columns, key.column)?.clone();
                if packs && column.descriptor.kind == ColumnKind::Codes as u8 {
                    // Codes would be taken for the values.
                    return Err(CudaError::Unsupported("codes as packed keys".into()));
                }
                Ok(KeyColumn { column, rule: key.rule })
            })
            .collect()
    }

    /// The keys of groups that came out of a table, and the results behind them.
    fn keys_of_groups<'c>(
        &self,
        columns: &'c [InputColumn],
    ) -> Result<(Vec<KeyColumn>, &'c [InputColumn])> {
        let (keys, results) = columns.split_at(self.keys.len().min(columns.len()));
        let wanted: usize = self.accumulators.iter().map(Aggregate::results).sum();
        if keys.len() < self.keys.len() || results.len() != wanted {
            let what = format!("{} columns of groups", columns.len());
            return Err(CudaError::Misuse(what));
        }
        let keys = keys.iter().zip(&self.keys);
        let keys = keys.map(|(of, key)| KeyColumn { column: of.clone(), rule: key.rule });
        Ok((keys.collect(), results))
    }

    /// Bytes of a morsel's columns that groups keep.
    fn kept_bytes(&self, columns: &[InputColumn]) -> u64 {
        let elected = self.accumulators.iter().filter(|of| of.value == ValueType::Bytes);
        let mut kept: Vec<usize> = self.keys.iter().map(|key| key.column).collect();
        kept.extend(elected.filter_map(|of| of.argument));
        kept.sort_unstable();
        kept.dedup();
        let columns = kept.into_iter().filter_map(|at| columns.get(at));
        let strings = columns.filter(|column| is_strings(&column.descriptor));
        strings.flat_map(|column| &column.buffers).map(DeviceSlice::bytes).sum()
    }
}

/// Whether values are strings, as they are or by a dictionary.
fn is_strings(c: &Column) -> bool {
    let strings = ColumnKind::Spans as u8;
    c.kind == strings || (c.kind == ColumnKind::Codes as u8 && c.dictionary_kind == strings)
}

fn column(columns: &[InputColumn], at: usize) -> Result<&InputColumn> {
    let missing = || CudaError::Misuse(format!("no column {at} of {}", columns.len()));
    columns.get(at).ok_or_else(missing)
}

/// A key for a table that nobody asks: accumulators need one to be stopped by.
fn no_key(context: &Context<'_>) -> Result<KeyColumn> {
    let mut values = context.memory.buffer::<u8>(1, context.stream)?;
    values.zero(context.stream)?;
    let values = values.freeze();
    let descriptor = Column {
        values: values.address(),
        rows: 1,
        kind: ColumnKind::Fixed as u8,
        width: 1,
        ..Column::default()
    };
    let column = InputColumn { descriptor, buffers: vec![values] };
    Ok(KeyColumn { column, rule: KeyRule::Bits })
}
