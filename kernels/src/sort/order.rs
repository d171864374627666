//! Rows in the order of columns.

use std::collections::VecDeque;

use staffa_cuda::{CudaError, DeviceSlice, Result};

use super::keys::{Places, place_keys, row_keys};
use super::plan::{Key, Part, SortColumn, parts, string_key, take_key};
use super::radix::{Wanted, radix_sort, sort};
use super::ties::{all_of, find_common, settle, tied};
use crate::abi::SORT_ROWS;
use crate::columns::RowList;
use crate::parquet::Context;

/// Bits of the first key, and of all fields of a later one, above which the place where ties begin stands.
const FIRST_BITS: u32 = 128;
const LATER_BITS: u32 = 96;

/// Sorts that strings of one column may take behind their first eight bytes. Each splits every run of ties, so only
/// strings made for it take more; they are left to the CPU.
const STRING_ROUNDS: u32 = 256;

/// The rows of a list in the order of columns, stable: rows that agree in all columns come in the list's order. As
/// many as the list has positions.
///
/// Queued without reading while the columns fit 128 bits. Else the rows that tie in those sort again by what
/// follows, and the host reads how many they are, once for every 96 bits more, and for strings once for every eight
/// bytes in which some still differ.
///
/// # Errors
/// [`CudaError::Misuse`] for no columns, columns that are not in their buffers, lack rows of the list, or hold
/// values without the order that is asked for; [`CudaError::Unsupported`] for 2^30 rows and more, and for
/// strings that share too many prefixes; what the driver says.
pub fn sort_rows(
    context: &Context<'_>,
    columns: &[SortColumn],
    list: RowList<'_>,
) -> Result<DeviceSlice<u32>> {
    check(columns, list)?;
    let mut left = parts(columns);
    let key = take_key(&mut left, FIRST_BITS);
    let keys = row_keys(context, columns, &key, list)?;
    let width = keys.width;
    // A last string field alone may still leave strings to compare, so they stay in `left`.
    if left.is_empty() {
        return Ok(radix_sort(context, keys, list, false)?.rows);
    }
    let sorted = radix_sort(context, keys, list, true)?;
    let room = list.rows.max(1) as usize;
    let buffer = || context.memory.buffer::<u32>(room, context.stream);
    let strings = left.iter().any(|part| matches!(part, Part::Strings(_)));
    let depths = if strings { Some(buffer()?) } else { None };
    let mut places = Places { order: buffer()?, segments: buffer()?, depths, units: None };
    settle(context, &mut places, &sorted, width, all_of(list))?;
    drop(sorted);
    resolve(context, columns, list, left, &mut places)?;
    Ok(places.order.freeze())
}

pub(super) fn check(columns: &[SortColumn], list: RowList<'_>) -> Result<()> {
    if columns.is_empty() {
        return Err(CudaError::Misuse("a sort by no columns".into()));
    }
    for column in columns {
        column.check()?;
        list.check(column.column.descriptor.rows)?;
    }
    if list.rows > SORT_ROWS {
        return Err(CudaError::Unsupported(format!("{} rows in one sort", list.rows)));
    }
    Ok(())
}

/// Sorts what ties by the parts that are left, until nothing ties or nothing is left.
fn resolve(
    context: &Context<'_>,
    columns: &[SortColumn],
    list: RowList<'_>,
    mut left: VecDeque<Part>,
    places: &mut Places,
) -> Result<()> {
    while let Some(next) = left.front() {
        if let Part::Strings(number) = *next {
            left.pop_front();
            let column = columns.get(number).ok_or_else(|| {
                CudaError::Misuse(format!("column {number} of {} to sort by", columns.len()))
            })?;
            sort_strings(context, column, list, places)?;
            continue;
        }
        let key = take_key(&mut left, LATER_BITS);
        if key.fields.is_empty() {
            return Err(CudaError::Misuse("a field that fits no sort key".into()));
        }
        let (numbers, count) = tied(context, places, list)?;
        if count == 0 {
            return Ok(());
        }
        sort_tied(context, columns, &key, list, places, (&numbers, count))?;
    }
    Ok(())
}

/// Sorts ties by the rest of a column's strings.
fn sort_strings(
    context: &Context<'_>,
    column: &SortColumn,
    list: RowList<'_>,
    places: &mut Places,
) -> Result<()> {
    let key = string_key(column);
    for _ in 0..STRING_ROUNDS {
        find_common(context, places, column, list)?;
        let (numbers, count) = tied(context, places, list)?;
        if count == 0 {
            places.units = None;
            return Ok(());
        }
        let columns = std::slice::from_ref(column);
        sort_tied(context, columns, &key, list, places, (&numbers, count))?;
    }
    Err(CudaError::Unsupported(format!(
        "strings that are not sorted after {STRING_ROUNDS} rounds of eight bytes"
    )))
}

/// Sorts the places that tie by one more key.
fn sort_tied(
    context: &Context<'_>,
    columns: &[SortColumn],
    key: &Key,
    list: RowList<'_>,
    places: &mut Places,
    (numbers, count): (&DeviceSlice<u32>, u32),
) -> Result<()> {
    let tied = RowList { rows: count, selection: Some(numbers), count: None };
    let segment_bits = u32::BITS - list.rows.leading_zeros();
    let (keys, rows) = place_keys(context, columns, key, places, tied, segment_bits)?;
    let width = keys.width;
    let wanted = Wanted { keys: true, tile_starts: false };
    let sorted = sort(context, keys, RowList::all(count), Some(&rows), wanted)?;
    settle(context, places, &sorted, width, tied)
}
