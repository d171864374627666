//! Splits keys into partitions that threads then build on their own.

use datafusion_common::Result;
use rayon::prelude::*;

use super::RowKeys;
use crate::CancelFlag;

/// Rows that one task splits: its output stays in the second-level cache.
const CHUNK_ROWS: usize = 1 << 16;

/// Rows below which a table is built by one thread.
const PARALLEL_ROWS: usize = 1 << 16;

/// The rows of one chunk, those of a partition next to each other, in order of the rows.
pub(super) struct Chunk {
    keys: Vec<u64>,
    rows: Vec<u32>,
    /// Where each partition begins; one more than there are.
    starts: Vec<usize>,
}

impl Chunk {
    /// The (key, row) pairs of a partition.
    pub(super) fn part(&self, part: usize) -> impl Iterator<Item = (u64, u32)> + '_ {
        let range = self.starts[part]..self.starts[part + 1];
        self.keys[range.clone()].iter().copied().zip(self.rows[range].iter().copied())
    }

    fn len(&self, part: usize) -> usize {
        self.starts[part + 1] - self.starts[part]
    }
}

/// How many bits select a partition for so many rows.
pub(super) fn partition_bits(rows: usize) -> u32 {
    if rows < PARALLEL_ROWS {
        return 0;
    }
    // About 16 K rows each: their slots fit a second-level cache.
    (rows >> 14).ilog2().clamp(1, 8)
}

/// Splits the matchable rows by `part_of` their key into `parts` partitions.
pub(super) fn split(
    keys: &RowKeys,
    parts: usize,
    part_of: impl Fn(u64) -> usize + Sync,
    cancel: &CancelFlag,
) -> Result<Vec<Chunk>> {
    keys.keys
        .par_chunks(CHUNK_ROWS)
        .enumerate()
        .map(|(index, chunk)| {
            cancel.check()?;
            let base = index * CHUNK_ROWS;
            let matchable = keys.matchable.as_ref().map(|all| &all[base..base + chunk.len()]);
            Ok(split_chunk(chunk, matchable, base, parts, &part_of))
        })
        .collect()
}

fn split_chunk(
    keys: &[u64],
    matchable: Option<&[bool]>,
    base: usize,
    parts: usize,
    part_of: &impl Fn(u64) -> usize,
) -> Chunk {
    let taken = |row: usize| matchable.is_none_or(|all| all[row]);
    let mut starts = vec![0usize; parts + 1];
    for (row, &key) in keys.iter().enumerate() {
        if taken(row) {
            starts[part_of(key) + 1] += 1;
        }
    }
    for part in 0..parts {
        starts[part + 1] += starts[part];
    }
    let total = starts[parts];
    let mut cursors = starts.clone();
    let mut out = Chunk { keys: vec![0; total], rows: vec![0; total], starts };
    for (row, &key) in keys.iter().enumerate() {
        if taken(row) {
            let cursor = &mut cursors[part_of(key)];
            out.keys[*cursor] = key;
            // The state was checked to hold fewer rows than u32::MAX.
            out.rows[*cursor] = (base + row) as u32;
            *cursor += 1;
        }
    }
    out
}

/// The number of rows in each partition.
pub(super) fn counts(chunks: &[Chunk], parts: usize) -> Vec<usize> {
    (0..parts).map(|part| chunks.iter().map(|chunk| chunk.len(part)).sum()).collect()
}

/// Cuts a slice into consecutive pieces of these lengths, which sum up to its own.
pub(super) fn cut<T>(mut slice: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    lengths
        .map(|length| {
            let (piece, rest) = std::mem::take(&mut slice).split_at_mut(length);
            slice = rest;
            piece
        })
        .collect()
}
