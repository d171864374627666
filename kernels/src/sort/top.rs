//! The first rows of an order (`kernels/sort/top.cu`).

use staffa_cuda::{DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use super::keys::row_keys;
use super::order::{check, sort_rows};
use super::plan::{SortColumn, parts, take_key};
use super::radix::{RadixKeys, Wanted, sort};
use crate::abi::{BLOCK, RADIX, RADIX_BITS, TILE_ROWS, TopArgs, TopState};
use crate::columns::RowList;
use crate::parquet::Context;

const MODULE: &str = "sort/top";

/// The first rows of an order.
pub struct TopRows {
    /// Rows in order.
    pub rows: DeviceSlice<u32>,
    /// One value: how many of them there are, which is less than was asked for if the list has fewer.
    pub count: DeviceSlice<u32>,
}

/// The first `limit` rows of a list in the order of columns: those, and in the order, of
/// [`sort_rows`]. Sorts no others but, where the columns need more than 128 bits, rows that tie
/// with the last one in those: how many they are is read, and what `sort_rows` reads of them.
///
/// # Errors
/// As [`sort_rows`].
pub fn top_rows(
    context: &Context<'_>,
    columns: &[SortColumn],
    list: RowList<'_>,
    limit: u32,
) -> Result<TopRows> {
    check(columns, list)?;
    let limit = limit.min(list.rows);
    if limit == 0 {
        let mut count = context.memory.buffer::<u32>(1, context.stream)?;
        count.zero(context.stream)?;
        let rows = context.memory.buffer::<u32>(1, context.stream)?;
        return Ok(TopRows { rows: rows.freeze(), count: count.freeze() });
    }
    let mut left = parts(columns);
    let key = take_key(&mut left, 128);
    let keys = row_keys(context, columns, &key, list)?;
    let exact = left.is_empty();
    let taken = select(context, keys, list, limit, exact)?;
    if !exact {
        // Some of the ties may go, when all columns are compared: of those there may be any number.
        let found = taken.count.read(context.ring, context.stream)?.first().copied().unwrap_or(0);
        let chosen = RowList { rows: found, selection: Some(&taken.rows), count: None };
        let rows = sort_rows(context, columns, chosen)?;
        let mut count = context.memory.buffer::<u32>(1, context.stream)?;
        count.write(0, &[found.min(limit)], context.ring, context.stream)?;
        return Ok(TopRows { rows, count: count.freeze() });
    }
    let positions = RowList { rows: taken.capacity, selection: None, count: Some(&taken.count) };
    let sorted = sort(context, taken.keys, positions, Some(&taken.rows), Wanted::default())?;
    Ok(TopRows { rows: sorted.rows, count: taken.count })
}

/// Rows with the least keys, by position, and how many.
struct Taken {
    rows: DeviceSlice<u32>,
    keys: RadixKeys,
    count: DeviceSlice<u32>,
    capacity: u32,
}

fn select(
    context: &Context<'_>,
    mut keys: RadixKeys,
    list: RowList<'_>,
    limit: u32,
    exact: bool,
) -> Result<Taken> {
    let (memory, stream) = (context.memory, context.stream);
    let capacity = if exact { limit } else { list.rows };
    let mut counts = memory.buffer::<u32>(RADIX as usize, stream)?;
    counts.zero(stream)?;
    let mut state = memory.buffer::<TopState>(1, stream)?;
    let start = TopState { left: limit, ..TopState::default() };
    state.write(0, &[start], context.ring, stream)?;
    let mut rows = memory.buffer::<u32>(capacity.max(1) as usize, stream)?;
    let mut count = memory.buffer::<u32>(1, stream)?;
    let key_bytes = if exact { capacity as usize * keys.width.bytes() as usize } else { 0 };
    let mut keys_out = memory.buffer::<u8>(key_bytes, stream)?;
    let tiles = (list.rows + 1).div_ceil(TILE_ROWS);
    let mut look_back = memory.buffer::<u64>(1 + tiles as usize, stream)?;
    look_back.zero(stream)?;
    let args = TopArgs {
        list: list.abi(0)?,
        keys: keys.keys.address(),
        counts: counts.address(),
        state: state.address(),
        look_back: look_back.address(),
        keys_out: if exact { keys_out.address() } else { 0 },
        rows_out: rows.address(),
        count_out: count.address(),
        shift: 0,
        capacity,
        ties: u32::from(!exact),
        reserved: 0,
    };
    find_last(context, &mut keys, list, &args, &mut counts, &mut state)?;
    let symbol = keys.width.symbol(["top_take_32", "top_take_64", "top_take_128"]);
    let function = context.kernels.function(MODULE, symbol)?;
    let launch = Launch::new(&function)
        .value(&args)
        .using_write(&mut keys.keys)
        .using_write(&mut state)
        .using_write(&mut look_back)
        .using_write(&mut keys_out)
        .using_write(&mut rows)
        .using_write(&mut count);
    // SAFETY: the parameter is the kernel's; it reads a key per position and writes below the capacity of the
    // outputs, a count, and a word of look-back per tile and one more.
    unsafe { list.using(launch).run(Grid::linear(tiles, BLOCK), stream) }?;
    let (width, bits) = (keys.width, keys.bits);
    let keys = RadixKeys { keys: keys_out, width, bits };
    Ok(Taken { rows: rows.freeze(), keys, count: count.freeze(), capacity })
}

/// Finds the last key wanted, digit by digit from the top.
fn find_last(
    context: &Context<'_>,
    keys: &mut RadixKeys,
    list: RowList<'_>,
    args: &TopArgs,
    counts: &mut DeviceBuffer<u32>,
    state: &mut DeviceBuffer<TopState>,
) -> Result<()> {
    let symbol = keys.width.symbol(["top_count_32", "top_count_64", "top_count_128"]);
    let count = context.kernels.function(MODULE, symbol)?;
    let choose = context.kernels.function(MODULE, "top_choose")?;
    let most = count.blocks_per_multiprocessor(BLOCK, 0)?.max(1)
        * count.device().limits().multiprocessors.max(1);
    let blocks = list.rows.div_ceil(4 * BLOCK).min(most);
    for digit in (0..keys.bits.end.div_ceil(RADIX_BITS)).rev() {
        let args = TopArgs { shift: digit * RADIX_BITS, ..*args };
        let launch = Launch::new(&count)
            .value(&args)
            .using_write(&mut keys.keys)
            .using_write(counts)
            .using_write(state);
        // SAFETY: the parameter is the kernel's; it reads a key per position and the state, and changes 256 counts.
        unsafe { list.using(launch).run(Grid::linear(blocks, BLOCK), context.stream) }?;
        let launch = Launch::new(&choose).value(&args).using_write(counts).using_write(state);
        // SAFETY: the parameter is the kernel's; it changes 256 counts and the state.
        unsafe { list.using(launch).run(Grid::linear(1, BLOCK), context.stream) }?;
    }
    Ok(())
}
