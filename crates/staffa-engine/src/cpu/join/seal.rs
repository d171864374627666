//! Makes the table and the columns of a sealed build side.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{cast, concat};
use arrow::datatypes::DataType;
use datafusion_common::hash_utils::create_hashes;
use datafusion_common::utils::memory::RecordBatchMemoryCounter;
use datafusion_common::{JoinType, NullEquality, Result, resources_err};
use datafusion_execution::memory_pool::MemoryReservation;
use rayon::prelude::*;
use tokio::sync::OnceCell;

use super::build::Shared;
use super::columns::{BuildColumn, BuildColumns};
use super::equal::{Equal, Side};
use super::keys::Coder;
use super::lookup::{KeyPlan, random_state, valid_rows};
use super::state::JoinState;
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

/// Seals `batches` as the state of partition `partition`; also gives the bytes that it holds.
pub(super) fn seal(
    shared: &Shared,
    partition: usize,
    batches: Vec<RecordBatch>,
    rows: usize,
    reservation: MemoryReservation,
) -> Result<(Arc<dyn Sealed>, usize)> {
    let Some(rows) = u32::try_from(rows).ok().filter(|&rows| rows < u32::MAX) else {
        return resources_err!("a join's build side has {rows} rows, more than 2^32 - 2");
    };
    let spec = &shared.spec;
    let cancel = &shared.context.cancel;
    let mut columns = join_columns(shared, batches, cancel)?;
    let (table, keys, key_arrays) = match spec.kind {
        JoinKind::Loop => {
            reservation.try_grow(rows as usize * 4)?;
            (JoinTable::all(rows), KeyPlan::None, Vec::new())
        }
        JoinKind::Hash if rows == 0 => (JoinTable::empty(), KeyPlan::None, Vec::new()),
        JoinKind::Hash => {
            let arrays = key_arrays(shared, &columns)?;
            let (table, keys) = build_table(&arrays, spec.null_equality, &reservation, cancel)?;
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
    let visited = emits_build_rows(spec.join_type).then(|| Visited::new(rows as usize));
    if visited.is_some() {
        bytes += Visited::bytes(rows as usize);
    }
    reservation.try_resize(bytes)?;
    let state = Arc::new(JoinState {
        columns: BuildColumns::new(columns, rows as usize),
        rows,
        table,
        keys,
        visited,
        key_nulls,
        probe_seen: AtomicBool::new(false),
        probe_null: AtomicBool::new(false),
        device_keys,
        on_device: OnceCell::new(),
        lanes: OnceLock::new(),
        _reservation: reservation,
    });
    shared.reports.report(&shared.context, partition, &key_arrays, &state);
    Ok((state, bytes))
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
    // 8 bytes a key and one for whether it matches.
    let bytes = rows * 9 + JoinTable::build_bytes(coder.as_ref().map(|c| c.last), rows);
    reservation.try_grow(bytes)?;
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
