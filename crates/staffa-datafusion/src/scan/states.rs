//! Groups on their way back: keys and results as DataFusion's partial states.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::datatypes::{DataType, Float64Type};
use staffa_common::StaffaError;
use staffa_cuda::DeviceBuffer;
use staffa_engine::cuda::aggregate::{Finished, Grouping, Groups, Set, Settled};
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::expression::InputColumn;
use staffa_parquet::cuda::{DeviceColumn, HostColumn};

use super::grouping::Here;

/// The columns of the state schema, a row a group; of grouping sets, those of each. Waits twice, without holding its
/// thread: for the bytes of strings and the flags of NaNs, and for the columns.
///
/// # Errors
/// A least or greatest float met a NaN, so that only DataFusion can tell; out of memory; the device's fault. The
/// groups are gone then.
pub(super) async fn download(
    here: Here<'_>,
    slot: &DeviceBuffer<ErrorSlot>,
    grouping: &Grouping,
    groups: Groups,
) -> Result<Vec<Vec<ArrayRef>>, StaffaError> {
    let context = here.context(slot).kernels;
    let (mailbox, stream) = (&here.lane.mailbox, &here.lane.stream);
    let flags = groups
        .nan_flags()
        .map(|flag| mailbox.post_buffer(flag, 0..1, stream))
        .collect::<Result<Vec<_>, _>>()?;
    let finished = groups.finish(&context)?;
    let mut states = Vec::with_capacity(grouping.sets().len().max(1));
    for set in grouping.sets() {
        let of_set = match set.is_all() {
            true => finished.clone(),
            false => regroup(here, slot, set, &finished).await?,
        };
        let rows = of_set.groups as usize;
        let columns = states_of(here, slot, set.grouping(), of_set).await?;
        let columns = set.states(grouping, &columns, rows);
        states.push(columns.map_err(|error| StaffaError::bug(error.to_string()))?);
    }
    if grouping.sets().is_empty() {
        states.push(states_of(here, slot, grouping, finished).await?);
    }
    for flag in flags {
        if flag.await?.iter().any(|&met| met != 0) {
            return Err(StaffaError::unsupported("a least or greatest float met a NaN"));
        }
    }
    Ok(states)
}

/// The groups of a grouping set, from those by all keys. Waits for their number, and for larger tables.
async fn regroup(
    here: Here<'_>,
    slot: &DeviceBuffer<ErrorSlot>,
    set: &Set,
    all: &Finished,
) -> Result<Finished, StaffaError> {
    let context = here.context(slot).kernels;
    let columns = set.columns(all);
    let mut groups = Groups::new_for_groups(&context, set.grouping(), &columns)?;
    loop {
        groups.absorb(&context, &columns, all.groups)?;
        let Some(state) = groups.state() else { break };
        let state = here.lane.mailbox.post_buffer(state, 0..1, context.stream)?.await?;
        match state.first().map(|state| groups.settle(state)) {
            Some(Settled::Counted) => break,
            Some(Settled::TooSmall) if groups.grow(&context)? => {}
            _ => return Err(StaffaError::unsupported("a table that cannot grow")),
        }
    }
    Ok(groups.finish(&context)?)
}

/// Groups as the columns of their states.
async fn states_of(
    here: Here<'_>,
    slot: &DeviceBuffer<ErrorSlot>,
    grouping: &Grouping,
    finished: Finished,
) -> Result<Vec<ArrayRef>, StaffaError> {
    let context = here.context(slot);
    let (mailbox, stream) = (&here.lane.mailbox, &here.lane.stream);
    let Finished { keys, results, groups: rows } = finished;
    let (key_types, result_types) = grouping.types();
    let key_count = keys.len();
    let columns = keys.iter().chain(&results).zip(key_types.into_iter().chain(result_types));
    let columns =
        columns.map(|(column, of)| typed(column, of)).collect::<Result<Vec<_>, StaffaError>>()?;
    let totals = here.lane.memory.buffer::<u64>(columns.len().max(1), stream)?;
    let strings = columns
        .iter()
        .enumerate()
        .map(|(number, column)| column.string_offsets(&context, None, &totals, number))
        .collect::<staffa_parquet::Result<Vec<_>>>()?;
    let totals = match strings.iter().any(Option::is_some) {
        true => mailbox.post(&totals.freeze(), stream)?.await?,
        false => Vec::new(),
    };
    let returning = columns
        .iter()
        .enumerate()
        .map(|(number, column)| {
            let offsets = strings.get(number).and_then(Option::as_ref);
            column.to_host(&context, rows, offsets.zip(totals.get(number).copied()))
        })
        .collect::<staffa_parquet::Result<Vec<_>>>()?;
    let mut arrays = Vec::with_capacity(returning.len());
    for column in returning {
        match column.arrived().await? {
            HostColumn::Array(array) => arrays.push(array),
            HostColumn::Codes { .. } => return Err(StaffaError::bug("groups came back as codes")),
        }
    }
    let results = arrays.split_off(key_count);
    for result in grouping.finite().filter_map(|at| results.get(at)) {
        let doubles = result.as_primitive_opt::<Float64Type>();
        if doubles.is_none_or(|doubles| doubles.values().iter().any(|value| !value.is_finite())) {
            return Err(StaffaError::unsupported("a mean or a deviation that is not finite"));
        }
    }
    for state in grouping.states() {
        arrays.push(state_column(&results, state)?);
    }
    Ok(arrays)
}

fn typed(column: &InputColumn, of: &DataType) -> Result<DeviceColumn, StaffaError> {
    Ok(DeviceColumn::of_parts(of, &column.descriptor, &column.buffers, &[])?)
}

/// A result in the type of a state, which has the same layout, and NULL where another result is.
fn state_column(
    results: &[ArrayRef],
    (at, of, null_with): (usize, &DataType, Option<usize>),
) -> Result<ArrayRef, StaffaError> {
    let missing = || StaffaError::bug(format!("no result {at}"));
    let result = results.get(at).ok_or_else(missing)?;
    if result.data_type() == of && null_with.is_none() {
        return Ok(Arc::clone(result));
    }
    let nulls = match null_with {
        Some(other) => results.get(other).ok_or_else(missing)?.nulls().cloned(),
        None => result.nulls().cloned(),
    };
    let state = result.to_data().into_builder().data_type(of.clone()).nulls(nulls);
    let state = state.build().map_err(|error| StaffaError::bug(error.to_string()))?;
    Ok(make_array(state))
}
