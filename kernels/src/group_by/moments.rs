//! Counts, means and sums of squared deviations by group (`kernels/group_by/moments.cu`).

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::accumulator::{Accumulator, Input, take_over};
use super::function::{Function, ValueType};
use super::table::GroupTable;
use crate::abi::{BLOCK, Column, ColumnKind, MomentsArgs};
use crate::columns::rows::check_column;
use crate::expression::InputColumn;
use crate::parquet::Context;

/// Bytes of a value.
const WIDTH: u32 = 8;
/// Columns that moments finish as.
const COLUMNS: usize = 3;

/// The moments of doubles, a row a group: how many, their mean, and the sum of their squared deviations from it.
pub struct Moments {
    groups: u32,
    counts: DeviceBuffer<u64>,
    means: DeviceBuffer<f64>,
    deviations: DeviceBuffer<f64>,
}

impl Moments {
    /// Moments of so many groups, none of which met a value.
    ///
    /// # Errors
    /// What the driver says.
    pub fn new(context: &Context<'_>, groups: u32) -> Result<Self> {
        let doubles = || -> Result<DeviceBuffer<f64>> { zeroed(context, groups) };
        Ok(Self {
            groups,
            counts: zeroed(context, groups)?,
            means: doubles()?,
            deviations: doubles()?,
        })
    }

    /// Adds a morsel of doubles. Does nothing once the table has overflowed.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] when the values are no doubles; what the driver says.
    pub fn update(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        input: Input<'_>,
    ) -> Result<()> {
        if input.value.is_none() {
            return Err(CudaError::Misuse("moments without values".into()));
        }
        let new =
            |function| Accumulator::new(context, function, ValueType::Float, WIDTH, self.groups);
        let (mut counts, mut sums) = (new(Function::Count)?, new(Function::Sum)?);
        let mut deviations = new(Function::Sum)?;
        counts.update(context, table, input)?;
        sums.update(context, table, input)?;
        deviations.update_deviations(context, table, input, (&counts, &sums))?;
        let args = MomentsArgs {
            stop: table.stop(),
            counts: counts.words().address(),
            sums: sums.words().address(),
            deviations: deviations.words().address(),
            rows: self.groups,
            ..MomentsArgs::default()
        };
        let parts = [counts.words(), sums.words(), deviations.words()];
        self.merge_into(context, table, args, |launch| {
            parts.into_iter().fold(launch, |launch, words| launch.using_shared(words))
        })
    }

    /// Adds the moments of other groups, as [`Moments::finish`] gave them; `ids` says which groups of these they are,
    /// each named once. Does nothing once the table has overflowed.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for other columns; what the driver says.
    pub fn merge(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        ids: &DeviceSlice<u32>,
        results: &[InputColumn],
    ) -> Result<()> {
        let [counts, means, deviations] = results else {
            return Err(CudaError::Misuse(format!("{} columns of moments", results.len())));
        };
        let rows = counts.descriptor.rows;
        for column in results {
            check_column(column)?;
            let Column { kind, width, rows: others, .. } = column.descriptor;
            if (kind, width, others) != (ColumnKind::Fixed as u8, WIDTH, rows) {
                return Err(CudaError::Misuse(format!("{:?} as moments", column.descriptor)));
            }
        }
        if ids.len() < rows as usize {
            return Err(CudaError::Misuse("fewer group ids than groups".into()));
        }
        let args = MomentsArgs {
            stop: table.stop(),
            ids: ids.address(),
            counts: counts.descriptor.values,
            means: means.descriptor.values,
            deviations: deviations.descriptor.values,
            rows,
            ..MomentsArgs::default()
        };
        self.merge_into(context, table, args, |launch| {
            let buffers = results.iter().flat_map(|column| &column.buffers);
            buffers.fold(launch.using_read(ids), |launch, memory| launch.using_read(memory))
        })
    }

    fn merge_into(
        &mut self,
        context: &Context<'_>,
        table: &GroupTable,
        args: MomentsArgs,
        using: impl for<'l> FnOnce(Launch<'l>) -> Launch<'l>,
    ) -> Result<()> {
        if self.groups < table.config().groups {
            return Err(CudaError::Misuse(format!(
                "moments of {} groups for a table of {}",
                self.groups,
                table.config().groups
            )));
        }
        let args = MomentsArgs {
            into_counts: self.counts.address(),
            into_means: self.means.address(),
            into_deviations: self.deviations.address(),
            groups: self.groups,
            ..args
        };
        let function = context.kernels.function("group_by/moments", "moments_merge")?;
        let launch = using(Launch::new(&function).value(&args))
            .using_shared(table.state_buffer())
            .using_write(&mut self.counts)
            .using_write(&mut self.means)
            .using_write(&mut self.deviations);
        let grid = Grid::covering(u64::from(args.rows), BLOCK, BLOCK)?;
        // SAFETY: the parameter is the kernel's. It reads `rows` rows of columns that have as many (checked, or as
        // long as the groups), and changes groups below `groups`, for which there is room.
        unsafe { launch.run(grid, context.stream) }
    }

    /// Makes room for more groups.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for fewer; what the driver says.
    pub fn grow(&mut self, context: &Context<'_>, groups: u32) -> Result<()> {
        if groups < self.groups {
            return Err(CudaError::Misuse(format!("{groups} groups instead of {}", self.groups)));
        }
        let mut larger = Self::new(context, groups)?;
        take_over(context, &mut larger.counts, &mut self.counts)?;
        take_over(context, &mut larger.means, &mut self.means)?;
        take_over(context, &mut larger.deviations, &mut self.deviations)?;
        self.groups = groups;
        Ok(())
    }

    /// Counts (`u64`), means and sums of squared deviations (doubles), a row a group, none NULL: 0 where no value was
    /// met.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] for more groups than there are.
    pub fn finish(self, groups: u32) -> Result<[InputColumn; COLUMNS]> {
        if groups > self.groups {
            return Err(CudaError::Misuse(format!("{groups} groups of {}", self.groups)));
        }
        let column = |values: DeviceSlice<u8>| InputColumn {
            descriptor: Column {
                values: values.address(),
                rows: groups,
                kind: ColumnKind::Fixed as u8,
                width: WIDTH,
                ..Column::default()
            },
            buffers: vec![values],
        };
        Ok([
            column(self.counts.freeze().cast()?),
            column(self.means.freeze().cast()?),
            column(self.deviations.freeze().cast()?),
        ])
    }
}

fn zeroed<T: bytemuck::Pod>(context: &Context<'_>, groups: u32) -> Result<DeviceBuffer<T>> {
    let mut buffer = context.memory.buffer::<T>(groups.max(1) as usize, context.stream)?;
    buffer.zero(context.stream)?;
    Ok(buffer)
}
