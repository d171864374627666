//! Aggregates by group number (`kernels/group_by/aggregate.cu`, `limbs.cu`, `elect.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::function::{Function, State, ValueType, finishes_as, fits, state_of};
use super::table::GroupTable;
use crate::abi::{AggregateArgs, BLOCK, Column, ColumnKind, FinishArgs, WordForm};
use crate::columns::RowList;
use crate::columns::rows::{
    bitmap_words, check_column, logical_storage, using_column, using_optional,
};
use crate::expression::InputColumn;
use crate::parquet::Context;

/// A morsel for an accumulator.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The rows whose groups were assigned.
    pub list: RowList<'a>,
    /// Their groups; `NONE` leaves a row out.
    pub ids: &'a DeviceSlice<u32>,
    /// The values; absent for COUNT(*).
    pub value: Option<&'a InputColumn>,
    /// A column of booleans: rows that count.
    pub filter: Option<&'a InputColumn>,
}

/// The state of one aggregate, a value a group.
pub struct Accumulator {
    function: Function,
    state: State,
    value: ValueType,
    width: u32,
    groups: u32,
    words: DeviceBuffer<u64>,
    seen: Option<DeviceBuffer<u32>>,
    nan: DeviceBuffer<u32>,
    elected: Option<DeviceBuffer<u32>>,
    kept: Vec<DeviceSlice<u8>>,
}

impl Accumulator {
    /// A state for so many groups, none of which met a value. `width` is the value's in bytes (0: booleans, 16:
    /// strings; for COUNT any).
    ///
    /// # Errors
    /// Unsupported when the function does not work on such values; what the driver says.
    pub fn new(
        context: &Context<'_>,
        function: Function,
        value: ValueType,
        width: u32,
        groups: u32,
    ) -> Result<Self> {
        let Some(state) = state_of(function, value, width) else {
            return Err(CudaError::Unsupported(format!(
                "{function:?} of {value:?} values of {width} bytes"
            )));
        };
        let room = groups as usize;
        let words = filled(context, room * state.words(width), state.neutral())?;
        let zeroed = |len: usize| -> Result<DeviceBuffer<u32>> {
            let mut buffer = context.memory.buffer(len.max(1), context.stream)?;
            buffer.zero(context.stream)?;
            Ok(buffer)
        };
        let seen =
            if function == Function::Count { None } else { Some(zeroed(bitmap_words(groups))?) };
        let elected = match state {
            State::Elected { .. } => Some(zeroed(room)?),
            _ => None,
        };
        let nan = zeroed(1)?;
        let kept = Vec::new();
        Ok(Self { function, state, value, width, groups, words, seen, nan, elected, kept })
    }

    /// Adds a morsel. Does nothing once the table has overflowed.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] when the values are not of the accumulator's type; what the driver says.
    pub fn update(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        input: Input<'_>,
    ) -> Result<()> {
        self.check(&input)?;
        self.add(context, table, input, self.state)
    }

    /// Adds groups of another accumulator of the same function and values, as [`Accumulator::finish`] gave them, a row
    /// a group. `ids` says which groups of this one they are. Does nothing once the table has overflowed.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] when the results are another function's; what the driver says.
    pub fn merge(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        ids: &DeviceSlice<u32>,
        results: &InputColumn,
    ) -> Result<()> {
        check_column(results)?;
        let Column { rows, width, .. } = results.descriptor;
        let counts = self.function == Function::Count;
        let value = if counts { ValueType::Unsigned } else { self.value };
        if !fits(value, &results.descriptor)
            || !finishes_as(
                self.function,
                self.value,
                self.width,
                if value == ValueType::Boolean { 0 } else { width },
            )
        {
            return Err(CudaError::Misuse(format!(
                "{:?} as results of {:?} of {:?}",
                results.descriptor, self.function, self.value
            )));
        }
        let list = RowList::all(rows);
        if ids.len() < rows as usize {
            return Err(CudaError::Misuse("fewer group ids than groups".into()));
        }
        // Counts are added, not counted.
        let state = match self.state {
            State::Word { symbol, form: WordForm::One, neutral } => {
                State::Word { symbol, form: WordForm::Unsigned, neutral }
            }
            state => state,
        };
        self.add(context, table, Input { list, ids, value: Some(results), filter: None }, state)
    }

    /// Adds the squared deviations of a morsel of doubles from the means of its groups, which are `counts` and `sums` of
    /// the same input.
    pub(super) fn update_deviations(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        input: Input<'_>,
        (counts, sums): (&Self, &Self),
    ) -> Result<()> {
        self.check(&input)?;
        let args = AggregateArgs {
            counts: counts.words.address(),
            sums: sums.words.address(),
            ..self.args(table, input)?
        };
        let kernel = ("group_by/aggregate", "aggregate_word_add_deviations");
        self.run(context, table, input, kernel, &args, &[&counts.words, &sums.words])
    }

    /// The state of accumulators of one word.
    pub(super) fn words(&self) -> &DeviceBuffer<u64> {
        &self.words
    }

    fn args(&self, table: &GroupTable, input: Input<'_>) -> Result<AggregateArgs> {
        if self.groups < table.config().groups {
            return Err(CudaError::Misuse(format!(
                "an aggregate of {} groups for a table of {}",
                self.groups,
                table.config().groups
            )));
        }
        Ok(AggregateArgs {
            list: input.list.abi(table.stop())?,
            ids: input.ids.address(),
            filter: input.filter.map_or(0, |f| f.descriptor.values),
            filter_validity: input.filter.map_or(0, |f| f.descriptor.validity),
            value: input.value.map_or_else(Column::default, |v| self.described(v)),
            words: self.words.address(),
            seen: self.seen.as_ref().map_or(0, DeviceBuffer::address),
            nan: self.nan.address(),
            elected: self.elected.as_ref().map_or(0, DeviceBuffer::address),
            groups: self.groups,
            ..AggregateArgs::default()
        })
    }

    fn add(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        input: Input<'_>,
        state: State,
    ) -> Result<()> {
        let args = self.args(table, input)?;
        match state {
            State::Word { symbol, form, .. } => {
                let args = AggregateArgs { form: form as u32, ..args };
                self.run(context, table, input, ("group_by/aggregate", symbol), &args, &[])
            }
            State::Limbs { symbol, .. } => {
                self.run(context, table, input, ("group_by/limbs", symbol), &args, &[])
            }
            State::Elected { greatest } => {
                let args = AggregateArgs { greatest: u32::from(greatest), ..args };
                for symbol in ["aggregate_elect", "aggregate_settle"] {
                    self.run(context, table, input, ("group_by/elect", symbol), &args, &[])?;
                }
                if let (ValueType::Bytes, Some(value)) = (self.value, input.value) {
                    self.kept.extend(value.buffers.iter().cloned());
                }
                Ok(())
            }
        }
    }

    fn described(&self, value: &InputColumn) -> Column {
        let (_, width) = logical_storage(&value.descriptor);
        Column { width, ..value.descriptor }
    }

    fn check(&self, input: &Input<'_>) -> Result<()> {
        if input.ids.len() < input.list.rows as usize {
            return Err(CudaError::Misuse("fewer group ids than rows".into()));
        }
        if let Some(filter) = input.filter {
            check_column(filter)?;
            input.list.check(filter.descriptor.rows)?;
            if filter.descriptor.kind != ColumnKind::Bits as u8 {
                return Err(CudaError::Misuse("a filter that is not boolean".into()));
            }
        }
        let counts = matches!(self.state, State::Word { form: WordForm::One, .. });
        match input.value {
            None if counts => Ok(()),
            None => Err(CudaError::Misuse("an aggregate without values".into())),
            Some(value) => {
                check_column(value)?;
                input.list.check(value.descriptor.rows)?;
                let (_, width) = logical_storage(&value.descriptor);
                let width_fits = self.value == ValueType::Boolean || width == self.width;
                if counts || (fits(self.value, &value.descriptor) && width_fits) {
                    return Ok(());
                }
                Err(CudaError::Misuse(format!(
                    "{:?} for an aggregate of {:?}, {} bytes",
                    value.descriptor, self.value, self.width
                )))
            }
        }
    }

    fn run(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        input: Input<'_>,
        (module, symbol): (&str, &str),
        args: &AggregateArgs,
        reads: &[&DeviceBuffer<u64>],
    ) -> Result<()> {
        let function = context.kernels.function(module, symbol)?;
        let mut launch = Launch::new(&function)
            .value(args)
            .using_read(input.ids)
            .using_shared(table.state_buffer())
            .using_write(&mut self.words)
            .using_write(&mut self.nan);
        launch = using_optional(launch, self.seen.as_mut());
        launch = using_optional(launch, self.elected.as_mut());
        launch = reads.iter().fold(launch, |launch, words| launch.using_shared(words));
        launch = input.list.using(launch);
        for column in [input.value, input.filter].into_iter().flatten() {
            launch = using_column(launch, column);
        }
        if self.value == ValueType::Bytes {
            launch = self.kept.iter().fold(launch, |launch, memory| launch.using_read(memory));
        }
        // As many blocks as run at a time: each has a cache to write out in the end.
        let most = function.blocks_per_multiprocessor(BLOCK, 0)?.max(1)
            * function.device().limits().multiprocessors.max(1);
        let blocks = input.list.rows.div_ceil(4 * BLOCK).min(most);
        // SAFETY: the parameter is the kernel's. It reads the list's rows of columns that lie in their buffers
        // (checked), and changes accumulators of groups below `groups`, for which all buffers have room; spans of
        // the state point into `kept`.
        unsafe { launch.run(Grid::linear(blocks, BLOCK), context.stream) }
    }

    /// Makes room for more groups.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for fewer; what the driver says.
    pub fn grow(&mut self, context: &Context<'_>, groups: u32) -> Result<()> {
        if groups < self.groups {
            return Err(CudaError::Misuse(format!("{groups} groups instead of {}", self.groups)));
        }
        // Not from the buffer's length, which is never 0.
        let per_group = self.state.words(self.width);
        let mut words = filled(context, per_group * groups as usize, self.state.neutral())?;
        take_over(context, &mut words, &mut self.words)?;
        if let Some(seen) = &mut self.seen {
            let mut larger = context.memory.buffer(bitmap_words(groups).max(1), context.stream)?;
            larger.zero(context.stream)?;
            take_over(context, &mut larger, seen)?;
        }
        if let Some(elected) = &mut self.elected {
            // Zero between updates.
            let mut larger = context.memory.buffer(groups.max(1) as usize, context.stream)?;
            larger.zero(context.stream)?;
            *elected = larger;
        }
        self.groups = groups;
        Ok(())
    }

    /// Whether MIN or MAX met a NaN: DataFusion's answer then depends on the order of rows. Waits for the device.
    ///
    /// # Errors
    /// What the driver says.
    pub fn met_nan(&self, context: &Context<'_>) -> Result<bool> {
        Ok(self.nan.read(context.ring, context.stream)?.iter().any(|&word| word != 0))
    }

    /// The word that [`Accumulator::met_nan`] reads, where it is, for a mailbox.
    pub fn nan_flag(&self) -> &DeviceBuffer<u32> {
        &self.nan
    }

    /// The column of results, a row a group, in `width` bytes (0: a bitmap): the output type's, which for sums may
    /// be wider than the values'. NULL where no value was met; counts have no NULLs.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for a width that the function's output does not have; what the driver says.
    pub fn finish(mut self, context: &Context<'_>, groups: u32, width: u32) -> Result<InputColumn> {
        if groups > self.groups {
            return Err(CudaError::Misuse(format!("{groups} groups of {}", self.groups)));
        }
        if !finishes_as(self.function, self.value, self.width, width) {
            return Err(CudaError::Misuse(format!(
                "{width} bytes of {:?} of {:?}, {} bytes",
                self.function, self.value, self.width
            )));
        }
        let seen_address = self.seen.as_ref().map_or(0, DeviceBuffer::address);
        let (kind, values) = match self.state {
            State::Word { form, .. } => {
                let values = self.finish_words(context, groups, width, form, seen_address)?;
                let bits = width == 0;
                (if bits { ColumnKind::Bits } else { ColumnKind::Fixed }, values)
            }
            State::Limbs { .. } | State::Elected { .. } => {
                let spans = self.value == ValueType::Bytes;
                let kind = if spans { ColumnKind::Spans } else { ColumnKind::Fixed };
                (kind, self.words.freeze().cast()?)
            }
        };
        let descriptor = Column {
            values: values.address(),
            validity: seen_address,
            rows: groups,
            kind: kind as u8,
            width,
            ..Column::default()
        };
        let mut buffers = vec![values];
        if let Some(seen) = self.seen {
            buffers.push(seen.freeze().cast()?);
        }
        buffers.extend(self.kept);
        Ok(InputColumn { descriptor, buffers })
    }

    fn finish_words(
        &mut self,
        context: &Context<'_>,
        groups: u32,
        width: u32,
        form: WordForm,
        seen: u64,
    ) -> Result<DeviceSlice<u8>> {
        let bytes =
            if width == 0 { 4 * bitmap_words(groups) } else { groups as usize * width as usize };
        let mut values = context.memory.buffer::<u8>(bytes.max(1), context.stream)?;
        let args = FinishArgs {
            words: self.words.address(),
            values: values.address(),
            seen,
            groups,
            width,
            form: form as u32,
            ..FinishArgs::default()
        };
        let function = context.kernels.function("group_by/aggregate", "aggregate_finish")?;
        let mut launch = Launch::new(&function)
            .value(&args)
            .using_write(&mut values)
            .using_write(&mut self.words);
        launch = using_optional(launch, self.seen.as_mut());
        let grid = Grid::covering(u64::from(groups), BLOCK, BLOCK)?;
        // SAFETY: the parameter is the kernel's; it reads a word and a bit a group, at most as many as there are
        // (checked by the caller), and writes as many values, for which there is room.
        unsafe { launch.run(grid, context.stream) }?;
        Ok(values.freeze())
    }
}

/// Words with one value.
fn filled(context: &Context<'_>, len: usize, value: u64) -> Result<DeviceBuffer<u64>> {
    let mut words = context.memory.buffer::<u64>(len.max(1), context.stream)?;
    if value == 0 || value == u64::MAX {
        words.fill_bytes(value as u8, context.stream)?;
        return Ok(words);
    }
    let groups =
        u32::try_from(len).map_err(|_| CudaError::Misuse(format!("{len} accumulators")))?;
    let args = FinishArgs { words: words.address(), first: value, groups, ..FinishArgs::default() };
    let function = context.kernels.function("group_by/aggregate", "aggregate_fill")?;
    let launch = Launch::new(&function).value(&args).using_write(&mut words);
    let grid = Grid::covering(len as u64, BLOCK, BLOCK)?;
    // SAFETY: the parameter is the kernel's; it writes `len` words, as many as there are.
    unsafe { launch.run(grid, context.stream) }?;
    Ok(words)
}

/// Copies `old` to the front of `new`, which takes its place. After an error `old` is as it was.
pub(super) fn take_over<T: bytemuck::Pod>(
    context: &Context<'_>,
    new: &mut DeviceBuffer<T>,
    old: &mut DeviceBuffer<T>,
) -> Result<()> {
    let empty = context.memory.buffer(0, context.stream)?;
    let source = std::mem::replace(old, empty).freeze();
    let copied = new.copy_from(&source, context.stream);
    *old = source
        .thaw()
        .map_err(|_| CudaError::Misuse("an accumulator is shared with somebody".into()))?;
    copied?;
    std::mem::swap(new, old);
    Ok(())
}
