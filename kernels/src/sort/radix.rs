//! Radix sort of rows by numbers (`kernels/sort/radix.cu`).

use std::ops::Range;

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Grid, Launch, Result};

use crate::abi::{
    BLOCK, RADIX, RADIX_BITS, RadixCountArgs, RadixPassArgs, RadixStartsArgs, SORT_ROWS, TILE_ROWS,
};
use crate::columns::RowList;
use crate::parquet::Context;

const MODULE: &str = "sort/radix";

/// Bytes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyBytes {
    /// `u32`.
    Four,
    /// `u64`.
    Eight,
    /// `u128`.
    Sixteen,
}

impl KeyBytes {
    /// The narrowest key with so many bits; `None` above 128.
    pub fn for_bits(bits: u32) -> Option<Self> {
        match bits {
            0..=32 => Some(Self::Four),
            33..=64 => Some(Self::Eight),
            65..=128 => Some(Self::Sixteen),
            _ => None,
        }
    }

    /// How many bytes.
    pub fn bytes(self) -> u32 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }

    /// The kernel of a family that takes such keys.
    pub(crate) fn symbol(self, of: [&'static str; 3]) -> &'static str {
        let [four, eight, sixteen] = of;
        match self {
            Self::Four => four,
            Self::Eight => eight,
            Self::Sixteen => sixteen,
        }
    }
}

/// Keys of a list's rows, by position.
pub struct RadixKeys {
    /// The keys, little endian.
    pub keys: DeviceBuffer<u8>,
    /// How wide they are.
    pub width: KeyBytes,
    /// The bits to sort by: from the first multiple of 8 not above its start to its end.
    pub bits: Range<u32>,
}

/// What a radix sort made.
pub struct RadixSorted {
    /// The list's rows, by their keys; rows of one key in the list's order. As many as the list has positions.
    pub rows: DeviceSlice<u32>,
    /// The keys in that order, if they were wanted.
    pub keys: Option<DeviceSlice<u8>>,
    /// The keys as they came, if one pass did and they were not wanted sorted.
    pub(crate) unsorted: Option<DeviceSlice<u8>>,
    /// Where the keys of each value of the last digit start.
    pub(crate) starts: DeviceSlice<u32>,
    /// The same for each tile of 2,048 rows, if it was wanted.
    pub(crate) tile_starts: Option<DeviceSlice<u32>>,
}

/// What else a sort is to leave behind.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) keys: bool,
    pub(crate) tile_starts: bool,
}

/// Sorts the rows of a list by their keys, ascending and stable. Queued; nothing is read.
///
/// # Errors
/// [`CudaError::Misuse`] for fewer keys than rows or bits that keys do not have; [`CudaError::Unsupported`] for
/// 2^30 rows and more; what the driver says.
pub fn radix_sort(
    context: &Context<'_>,
    keys: RadixKeys,
    list: RowList<'_>,
    keep_keys: bool,
) -> Result<RadixSorted> {
    sort(context, keys, list, None, Wanted { keys: keep_keys, tile_starts: false })
}

/// The same over `rows` by position instead of the list's own.
pub(crate) fn sort(
    context: &Context<'_>,
    keys: RadixKeys,
    list: RowList<'_>,
    rows: Option<&DeviceSlice<u32>>,
    wanted: Wanted,
) -> Result<RadixSorted> {
    check(&keys, list, rows)?;
    let first_shift = keys.bits.start / RADIX_BITS * RADIX_BITS;
    // A key without bits keeps the order, by a pass over a digit that all keys share.
    let passes = (keys.bits.end.max(first_shift) - first_shift).div_ceil(RADIX_BITS).max(1);
    let mut sort = Sort::new(context, keys, list, first_shift, passes, wanted)?;
    sort.count(context, list)?;
    for pass in 0..passes {
        let rows_in = if pass == 0 { rows } else { None };
        sort.pass(context, list, rows_in, pass)?;
    }
    let tile_starts = wanted.tile_starts.then(|| sort.tile_starts.freeze());
    let starts = sort.starts.freeze();
    let last = (passes as usize - 1) * RADIX as usize;
    // A pass that writes no keys leaves those that it read.
    let keys = sort.keys.keys.freeze();
    Ok(RadixSorted {
        rows: sort.rows.freeze(),
        unsorted: (passes == 1 && !wanted.keys).then(|| keys.clone()),
        keys: wanted.keys.then_some(keys),
        starts: starts.slice(last..last + RADIX as usize)?,
        tile_starts,
    })
}

fn check(keys: &RadixKeys, list: RowList<'_>, rows: Option<&DeviceSlice<u32>>) -> Result<()> {
    let bytes = u64::from(list.rows) * u64::from(keys.width.bytes());
    let bits_fit = keys.bits.start <= keys.bits.end && keys.bits.end <= 8 * keys.width.bytes();
    if keys.keys.bytes() < bytes || !bits_fit {
        return Err(CudaError::Misuse(format!(
            "bits {:?} of {:?} keys of {} rows in {:?}",
            keys.bits, keys.width, list.rows, keys.keys
        )));
    }
    if rows.is_some_and(|rows| rows.len() < list.rows as usize) {
        return Err(CudaError::Misuse(format!("fewer rows than the {} keys", list.rows)));
    }
    if list.rows > SORT_ROWS {
        return Err(CudaError::Unsupported(format!("{} rows in one sort", list.rows)));
    }
    Ok(())
}

/// Buffers of a sort, which change places after each pass.
struct Sort {
    keys: RadixKeys,
    spare_keys: DeviceBuffer<u8>,
    rows: DeviceBuffer<u32>,
    spare_rows: DeviceBuffer<u32>,
    counts: DeviceBuffer<u32>,
    starts: DeviceBuffer<u32>,
    trivial: DeviceBuffer<u32>,
    /// Of all passes, one behind the other.
    look_back: DeviceBuffer<u32>,
    tile_starts: DeviceBuffer<u32>,
    first_shift: u32,
    passes: u32,
    tiles: u32,
    wanted: Wanted,
}

impl Sort {
    fn new(
        context: &Context<'_>,
        keys: RadixKeys,
        list: RowList<'_>,
        first_shift: u32,
        passes: u32,
        wanted: Wanted,
    ) -> Result<Self> {
        let (memory, stream) = (context.memory, context.stream);
        let tiles = list.rows.div_ceil(TILE_ROWS);
        let room = list.rows.max(1) as usize;
        let bins = (passes * RADIX) as usize;
        // The last pass writes no keys that nobody wants, so one pass alone needs no room for them.
        let spare = if passes > 1 || wanted.keys { room * keys.width.bytes() as usize } else { 0 };
        let mut counts = memory.buffer::<u32>(bins, stream)?;
        counts.zero(stream)?;
        let mut look_back =
            memory.buffer::<u32>(passes as usize * look_back_words(tiles), stream)?;
        look_back.zero(stream)?;
        let tile_starts = if wanted.tile_starts { (tiles * RADIX) as usize } else { 0 };
        Ok(Self {
            spare_keys: memory.buffer(spare, stream)?,
            rows: memory.buffer(room, stream)?,
            spare_rows: memory.buffer(if passes > 1 { room } else { 0 }, stream)?,
            counts,
            starts: memory.buffer(bins, stream)?,
            trivial: memory.buffer(passes as usize, stream)?,
            look_back,
            tile_starts: memory.buffer(tile_starts, stream)?,
            keys,
            first_shift,
            passes,
            tiles,
            wanted,
        })
    }

    /// Counts all digits, and sums up where their values start.
    fn count(&mut self, context: &Context<'_>, list: RowList<'_>) -> Result<()> {
        let args = RadixCountArgs {
            list: list.abi(0)?,
            keys: self.keys.keys.address(),
            counts: self.counts.address(),
            first_shift: self.first_shift,
            passes: self.passes,
        };
        let symbol =
            self.keys.width.symbol(["radix_count_32", "radix_count_64", "radix_count_128"]);
        let function = context.kernels.function(MODULE, symbol)?;
        let launch = Launch::new(&function)
            .value(&args)
            .using_write(&mut self.keys.keys)
            .using_write(&mut self.counts);
        // As many blocks as run at a time: each adds its counts to the sums in the end.
        let most = function.blocks_per_multiprocessor(BLOCK, 0)?.max(1)
            * function.device().limits().multiprocessors.max(1);
        let blocks = list.rows.div_ceil(4 * BLOCK).min(most);
        // SAFETY: the parameter is the kernel's; it reads a key per position (checked before) and changes 256
        // counts per pass.
        unsafe { list.using(launch).run(Grid::linear(blocks, BLOCK), context.stream) }?;
        let args = RadixStartsArgs {
            counts: self.counts.address(),
            starts: self.starts.address(),
            trivial: self.trivial.address(),
        };
        let function = context.kernels.function(MODULE, "radix_starts")?;
        let launch = Launch::new(&function)
            .value(&args)
            .using_write(&mut self.counts)
            .using_write(&mut self.starts)
            .using_write(&mut self.trivial);
        // SAFETY: the parameter is the kernel's; it reads 256 counts per pass and writes as many starts and a word.
        unsafe { launch.run(Grid::linear(self.passes, BLOCK), context.stream) }
    }

    fn pass(
        &mut self,
        context: &Context<'_>,
        list: RowList<'_>,
        rows_in: Option<&DeviceSlice<u32>>,
        pass: u32,
    ) -> Result<()> {
        let last = pass + 1 == self.passes;
        let keys_out = !last || self.wanted.keys;
        let tile_starts = last && self.wanted.tile_starts;
        if pass > 0 {
            std::mem::swap(&mut self.rows, &mut self.spare_rows);
        }
        let words = look_back_words(self.tiles) as u64;
        let args = RadixPassArgs {
            list: list.abi(0)?,
            keys_in: self.keys.keys.address(),
            keys_out: if keys_out { self.spare_keys.address() } else { 0 },
            rows_in: match rows_in {
                Some(rows) => rows.address(),
                None if pass > 0 => self.spare_rows.address(),
                None => 0,
            },
            rows_out: self.rows.address(),
            starts: self.starts.address() + u64::from(pass) * u64::from(RADIX) * 4,
            trivial: self.trivial.address() + u64::from(pass) * 4,
            look_back: self.look_back.address() + u64::from(pass) * words * 4,
            tile_starts: if tile_starts { self.tile_starts.address() } else { 0 },
            shift: self.first_shift + pass * RADIX_BITS,
            reserved: 0,
        };
        let symbol = self.keys.width.symbol(["radix_pass_32", "radix_pass_64", "radix_pass_128"]);
        let function = context.kernels.function(MODULE, symbol)?;
        let mut launch = Launch::new(&function)
            .value(&args)
            .using_write(&mut self.keys.keys)
            .using_write(&mut self.spare_keys)
            .using_write(&mut self.rows)
            .using_write(&mut self.spare_rows)
            .using_write(&mut self.starts)
            .using_write(&mut self.trivial)
            .using_write(&mut self.look_back)
            .using_write(&mut self.tile_starts);
        if let Some(rows) = rows_in {
            launch = launch.using_read(rows);
        }
        // SAFETY: the parameter is the kernel's; it reads a key and a row per position and writes them to places
        // that counts of the same keys give, below the number of positions; 256 words of look-back and of
        // starts a tile, and four more.
        unsafe { list.using(launch).run(Grid::linear(self.tiles, BLOCK), context.stream) }?;
        if keys_out {
            std::mem::swap(&mut self.keys.keys, &mut self.spare_keys);
        }
        Ok(())
    }
}

fn look_back_words(tiles: u32) -> usize {
    4 + tiles as usize * RADIX as usize
}
