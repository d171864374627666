//! Makes the table and the columns of a sealed build side.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use datafusion_common::hash_utils::create_hashes;
use datafusion_common::utils::memory::RecordBatchMemoryCounter;
use datafusion_common::{JoinType, NullEquality, Result, resources_err};
use datafusion_execution::memory_pool::MemoryReservation;
use rayon::prelude::*;
use tokio::sync::OnceCell;

use super::build::{Local, Shared};
use super::columns::{BuildColumn, BuildColumns};
use super::equal::{Equal, Side};
use super::keys::Coder;
use super::lookup::{KeyPlan, random_state, valid_rows};
use super::spill::{Settled, settle};
use super::state::{Countdown, JoinState, Seen};
use super::table::{JoinTable, RowKeys};
use super::visited::Visited;
use crate::CancelFlag;
use crate::engine::Sealed;
use crate::plan::JoinKind;

/// Rows that one task hashes.
const HASH_ROWS: usize = 1 << 16;

/// Whether a join emits build rows after its probe side has ended.
pub(super) fn emits_build_rows(join_type: JoinType) -> bool {
    matches!(
        join_type,
        JoinType::Left
            | JoinType::Full
            | JoinType::LeftSemi
            | JoinType::LeftAnti
            | JoinType::LeftMark
    )
}

/// A state with the bytes that it holds, and the rows that it was made of.
type SealedRows = ((Arc<dyn Sealed>, usize), usize);

/// Seals the lanes' rows as the state of partition `partition`; also gives the bytes that it holds, and how
/// many rows came.
pub(super) fn seal(
    shared: &Arc<Shared>,
    partition: usize,
    mut locals: Vec<Local>,
    reservation: MemoryReservation,
) -> Result<SealedRows> {
    let rows = locals.iter().map(Local::rows).sum();
    let input_rows = locals.iter().map(Local::input_rows).sum();
    let fits = match locals.iter().all(|local| local.parts.is_none()) {
        true => room(shared, &locals, rows, &reservation)?,
        false => None,
    };
    let made = match fits {
        Some(prepaid) => {
            let mut batches = Vec::new();
            for local in locals {
                // The same consumer's: what one gives back the other takes, and nobody can fail.
                reservation.grow(local.reservation.free());
                batches.extend(local.batches);
            }
            let rows = Rows { batches, rows, reservation, prepaid };
            make(shared, rows, None, &Arc::default())?
        }
        None => {
            locals.iter_mut().try_for_each(|local| local.split().map(|_| ()))?;
            let parts = locals.into_iter().filter_map(|local| local.parts).collect();
            match settle(shared, parts, reservation)? {
                Settled::Whole(made) => made,
                Settled::Hybrid(sealed, bytes) => return Ok(((sealed, bytes), input_rows)),
            }
        }
    };
    shared.reports.report(&shared.context, partition, &made.keys, &made.state);
    Ok(((made.state, made.bytes), input_rows))
}

/// Reserves what the table takes while it is made; nothing where that is to be had by spilling only.
fn room(
    shared: &Shared,
    locals: &[Local],
    rows: usize,
    reservation: &MemoryReservation,
) -> Result<Option<usize>> {
    if shared.spills && rows > MOST_ROWS {
        return Ok(None);
    }
    // Mostly there is plenty.
    let most = most_table_bytes(shared, rows);
    if reservation.try_grow(most).is_ok() {
        return Ok(Some(most));
    }
    let batches: Vec<RecordBatch> = locals.iter().flat_map(|l| l.batches.clone()).collect();
    let bytes = table_bytes(shared, &batches, rows)?;
    match reservation.try_grow(bytes) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if shared.may_spill(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Most rows of a state: row numbers are `u32`, and one more must fit.
pub(super) const MOST_ROWS: usize = u32::MAX as usize - 1;

/// What goes into a state.
pub(super) struct Rows {
    /// The rows.
    pub(super) batches: Vec<RecordBatch>,
    /// How many there are.
    pub(super) rows: usize,
    /// Accounts for them, and for `prepaid` bytes more.
    pub(super) reservation: MemoryReservation,
    /// What is reserved for the table already.
    pub(super) prepaid: usize,
}

/// A state, the keys of its rows, and the bytes that it holds.
pub(super) struct Made {
    pub(super) state: Arc<JoinState>,
    pub(super) keys: Vec<ArrayRef>,
    pub(super) bytes: usize,
}

/// Makes the table of these rows. `visited` are their bits, where they have some already.
pub(super) fn make(
    shared: &Shared,
    rows: Rows,
    visited: Option<Visited>,
    seen: &Arc<Seen>,
) -> Result<Made> {
    let Rows { batches, rows, reservation, prepaid } = rows;
    let Some(rows) = u32::try_from(rows).ok().filter(|&rows| rows as usize <= MOST_ROWS) else {
        return resources_err!("a join's build side has {rows} rows, more than 2^32 - 2");
    };
    let spec = &shared.spec;
    let cancel = &shared.context.cancel;
    let mut columns = join_columns(shared, batches, cancel)?;
    let (table, keys, key_arrays) = match spec.kind {
        JoinKind::Loop => {
            grow(&reservation, rows as usize * 4, prepaid)?;
            (JoinTable::all(rows), KeyPlan::None, Vec::new())
        }
        JoinKind::Hash if rows == 0 => (JoinTable::empty(), KeyPlan::None, Vec::new()),
        JoinKind::Hash => {
            let arrays = key_arrays(shared, &columns)?;
            let (table, keys) =
                build_table(&arrays, spec.null_equality, &reservation, prepaid, cancel)?;
            (table, keys, arrays)
        }
    };
    let key_nulls = match spec.null_aware {
        true => key_arrays.first().and_then(|key| key.nulls().cloned()),
        false => None,
    };
    // Keys that only the table needed go now.
    columns.truncate(shared.kept.len());
    let mut held: Vec<&ArrayRef> = columns.iter().flat_map(BuildColumn::arrays).collect();
    let mut bytes = table.bytes();
    if let KeyPlan::Hashes { side, .. } = &keys {
        held.extend(&key_arrays);
        bytes += side.bytes();
    }
    let device_keys = spec.for_device.then(|| key_arrays.clone());
    held.extend(device_keys.iter().flatten());
    bytes += array_bytes(&held)?;
    let visited = match visited {
        None if emits_build_rows(spec.join_type) => {
            bytes += Visited::bytes(rows as usize);
            Some(Visited::new(rows as usize))
        }
        visited => visited,
    };
    // All of it is there already: what is left is to say so.
    reservation.resize(bytes);
    let state = Arc::new(JoinState {
        columns: BuildColumns::new(columns, rows as usize),
        rows,
        table,
        keys,
        visited,
        key_nulls,
        device_keys,
        on_device: OnceCell::new(),
        seen: Arc::clone(seen),
        lanes: Countdown::default(),
        _reservation: reservation,
    });
    Ok(Made { state, keys: key_arrays, bytes })
}

/// The bytes that the table of `batches` takes while it is made, key codes included.
pub(super) fn table_bytes(shared: &Shared, batches: &[RecordBatch], rows: usize) -> Result<usize> {
    if shared.spec.kind == JoinKind::Loop || rows == 0 {
        return Ok(rows * 4);
    }
    let keys = shared.key_places.iter().map(|&place| {
        let arrays: Vec<&dyn Array> = batches.iter().map(|b| b.column(place).as_ref()).collect();
        Ok(concat(&arrays)?)
    });
    // Keys that do not fit in one array have no codes.
    let coder = match keys.collect::<Result<Vec<ArrayRef>>>() {
        Ok(keys) => Coder::new(&keys, shared.spec.null_equality),
        Err(_) => None,
    };
    Ok(build_bytes(coder.as_ref(), rows))
}

/// No table of so many rows takes more than this while it is made.
pub(super) fn most_table_bytes(shared: &Shared, rows: usize) -> usize {
    match shared.spec.kind {
        JoinKind::Loop => rows * 4,
        JoinKind::Hash => rows * 9 + JoinTable::most_build_bytes(rows),
    }
}

/// Reserves `bytes`, of which `prepaid` are reserved already. A pool that holds too much refuses even
/// nothing, so nothing is not asked for.
fn grow(reservation: &MemoryReservation, bytes: usize, prepaid: usize) -> Result<()> {
    match bytes.saturating_sub(prepaid) {
        0 => Ok(()),
        more => reservation.try_grow(more),
    }
}

/// 8 bytes a key and one for whether it matches, and the table.
fn build_bytes(coder: Option<&Coder>, rows: usize) -> usize {
    rows * 9 + JoinTable::build_bytes(coder.map(|coder| coder.last), rows)
}

/// Bytes of arrays; a buffer that several share counts once.
fn array_bytes(arrays: &[&ArrayRef]) -> Result<usize> {
    let mut counter = RecordBatchMemoryCounter::new();
    for array in arrays {
        let batch = RecordBatch::try_from_iter_with_nullable([("", Arc::clone(array), true)])?;
        counter.count_batch(&batch);
    }
    Ok(counter.memory_usage())
}

/// Joins the batches, a column a task; a column's arrays go as soon as they are joined.
fn join_columns(
    shared: &Shared,
    batches: Vec<RecordBatch>,
    cancel: &CancelFlag,
) -> Result<Vec<BuildColumn>> {
    let mut columns: Vec<Vec<ArrayRef>> =
        shared.schema.fields().iter().map(|_| Vec::with_capacity(batches.len())).collect();
    for batch in batches {
        let (_, arrays, _) = batch.into_parts();
        for (column, array) in columns.iter_mut().zip(arrays) {
            column.push(array);
        }
    }
    columns
        .into_par_iter()
        .zip(shared.schema.fields().par_iter())
        .map(|(arrays, field)| {
            cancel.check()?;
            BuildColumn::concat(arrays, field.data_type(), shared.offset_limit)
        })
        .collect()
}

/// The key columns, each as one array.
fn key_arrays(shared: &Shared, columns: &[BuildColumn]) -> Result<Vec<ArrayRef>> {
    shared
        .key_places
        .iter()
        .map(|&place| match &columns[place] {
            BuildColumn::One(array) => Ok(Arc::clone(array)),
            BuildColumn::Parts(parts) => {
                let arrays = &parts.arrays[..parts.arrays.len() - 1];
                let wide: DataType = match shared.schema.field(place).data_type() {
                    DataType::Utf8 => DataType::LargeUtf8,
                    DataType::Binary => DataType::LargeBinary,
                    DataType::Dictionary(_, values) => match values.as_ref() {
                        DataType::Utf8 => DataType::LargeUtf8,
                        DataType::Binary => DataType::LargeBinary,
                        other => other.clone(),
                    },
                    other => return resources_err!("a join's keys of type {other} pass 2 GB"),
                };
                let arrays = arrays
                    .iter()
                    .map(|array| Ok(cast(array, &wide)?))
                    .collect::<Result<Vec<ArrayRef>>>()?;
                let refs: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
                Ok(concat(&refs)?)
            }
        })
        .collect()
}

/// The codes of all rows, a stretch of rows a task.
fn encode(coder: &Coder, keys: &[ArrayRef], rows: usize, cancel: &CancelFlag) -> Result<RowKeys> {
    let mut codes = vec![0; rows];
    let mut matchable = vec![true; rows];
    codes
        .par_chunks_mut(HASH_ROWS)
        .zip(matchable.par_chunks_mut(HASH_ROWS))
        .enumerate()
        .try_for_each(|(chunk, (codes, matchable))| {
            cancel.check()?;
            coder.add(&slices(keys, chunk * HASH_ROWS, codes.len()), codes, matchable)
        })?;
    Ok(RowKeys { keys: codes, matchable: matchable.contains(&false).then_some(matchable) })
}

fn slices(keys: &[ArrayRef], from: usize, rows: usize) -> Vec<ArrayRef> {
    keys.iter().map(|key| key.slice(from, rows)).collect()
}

fn build_table(
    keys: &[ArrayRef],
    null_equality: NullEquality,
    reservation: &MemoryReservation,
    prepaid: usize,
    cancel: &CancelFlag,
) -> Result<(JoinTable, KeyPlan)> {
    let rows = keys.first().map_or(0, |key| key.len());
    // Where the build side has no NULL, a NULL on the probe side matches nothing either way.
    let nulls = keys.iter().any(|key| key.logical_null_count() > 0);
    let null_equality = match nulls {
        true => null_equality,
        false => NullEquality::NullEqualsNothing,
    };
    let coder = Coder::new(keys, null_equality);
    grow(reservation, build_bytes(coder.as_ref(), rows), prepaid)?;
    if let Some(coder) = coder {
        let row_keys = encode(&coder, keys, rows, cancel)?;
        let table = JoinTable::exact(&row_keys, coder.last, cancel)?;
        return Ok((table, KeyPlan::Codes(coder)));
    }
    let mut row_keys = RowKeys {
        keys: vec![0; rows],
        matchable: valid_rows(keys, null_equality).map(|valid| valid.iter().collect()),
    };
    row_keys.keys.par_chunks_mut(HASH_ROWS).enumerate().try_for_each(|(chunk, hashes)| {
        cancel.check()?;
        let keys = slices(keys, chunk * HASH_ROWS, hashes.len());
        create_hashes(&keys, &random_state(), hashes)?;
        Ok::<(), datafusion_common::DataFusionError>(())
    })?;
    let side = Side::new(keys);
    let equal = Equal::new(&side, &side, null_equality)?;
    let table = JoinTable::hashed(&row_keys, &equal, cancel)?;
    let types = keys.iter().map(|key| key.data_type().clone()).collect();
    let plan = KeyPlan::Hashes { types, side, null_equality };
    Ok((table, plan))
}
