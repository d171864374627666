//! Direct addressing: an array by code.

use datafusion_common::Result;
use rayon::prelude::*;

use super::filter::Prefilter;
use super::partition::{Chunk, counts, cut, partition_bits, split};
use super::{Index, JoinTable, RowKeys, Run};
use crate::CancelFlag;

/// Finds a code's run by address.
pub(in super::super) enum Direct {
    /// Row + 1 of each code, or 0. No code has two rows.
    Unique(Vec<u32>),
    /// Where each code's run begins in the table's rows; the next code's begin is its end.
    Runs(Vec<u32>),
}

impl Direct {
    pub(super) fn build(keys: &RowKeys, last: u64, cancel: &CancelFlag) -> Result<JoinTable> {
        // The caller found `last` to be a small multiple of the rows.
        let codes = last as usize + 1;
        // Partitions are stretches of codes: a power of two each, so that a shift finds them.
        let bits = partition_bits(keys.keys.len());
        let width = codes.next_power_of_two() >> bits.min(codes.next_power_of_two().ilog2());
        let shift = width.ilog2();
        let parts = codes.div_ceil(width);
        let chunks = split(keys, parts, |code| (code >> shift) as usize, cancel)?;
        let counts = counts(&chunks, parts);
        let total: usize = counts.iter().sum();
        if total == 0 {
            return Ok(JoinTable::empty());
        }
        let mut heads = vec![0u32; codes];
        let lengths = (0..parts).map(|part| width.min(codes - part * width));
        let unique = cut(&mut heads, lengths.clone())
            .into_par_iter()
            .enumerate()
            .map(|(part, heads)| {
                cancel.check()?;
                Ok(fill_unique(&chunks, part, part * width, heads))
            })
            .collect::<Result<Vec<bool>>>()?;
        if unique.into_iter().all(|unique| unique) {
            let filter = Prefilter::of_codes(codes, |code| heads[code] != 0);
            return Ok(JoinTable {
                index: Index::Direct(Direct::Unique(heads)),
                rows: Vec::new(),
                filter,
            });
        }
        heads.clear();
        heads.resize(codes + 1, 0);
        heads[codes] = total as u32;
        let mut rows = vec![0u32; total];
        let mut base = 0;
        let bases: Vec<usize> = counts
            .iter()
            .map(|count| {
                base += count;
                base - count
            })
            .collect();
        cut(&mut heads[..codes], lengths)
            .into_par_iter()
            .zip(cut(&mut rows, counts.iter().copied()))
            .enumerate()
            .try_for_each(|(part, (starts, rows))| {
                cancel.check()?;
                fill_runs(&chunks, part, part * width, starts, rows, bases[part]);
                Ok::<(), datafusion_common::DataFusionError>(())
            })?;
        let filter = Prefilter::of_codes(codes, |code| heads[code] != heads[code + 1]);
        Ok(JoinTable { index: Index::Direct(Direct::Runs(heads)), rows, filter })
    }

    /// Overwrites `runs` with those of these codes, whose `starts` are the index of `rows`.
    #[inline(always)]
    pub(in super::super) fn find_all(
        starts: &[u32],
        rows: &[u32],
        codes: &[u64],
        runs: &mut [Run],
    ) {
        for (run, &code) in runs.iter_mut().zip(codes) {
            let first = starts[code as usize];
            *run = Run { first, len: starts[code as usize + 1] - first };
        }
        for run in runs {
            run.first = if run.len == 1 { rows[run.first as usize] } else { run.first };
        }
    }

    /// The number of runs.
    pub(super) fn distinct(&self) -> usize {
        match self {
            Self::Unique(heads) => heads.iter().filter(|&&head| head != 0).count(),
            Self::Runs(starts) => starts.windows(2).filter(|pair| pair[0] != pair[1]).count(),
        }
    }

    /// All runs of a table with these rows.
    pub(super) fn runs<'a>(&'a self, rows: &'a [u32]) -> Box<dyn Iterator<Item = Run> + 'a> {
        match self {
            Self::Unique(heads) => Box::new(
                heads.iter().filter(|&&head| head != 0).map(|row| Run { first: row - 1, len: 1 }),
            ),
            Self::Runs(starts) => {
                Box::new(starts.windows(2).filter_map(|pair| stretch(pair[0], pair[1], rows)))
            }
        }
    }

    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Unique(entries) | Self::Runs(entries) => entries.capacity() * 4,
        }
    }
}

/// The run of the rows from `start` to `end`, if there are any.
#[inline(always)]
fn stretch(start: u32, end: u32, rows: &[u32]) -> Option<Run> {
    match end - start {
        0 => None,
        1 => Some(Run { first: rows[start as usize], len: 1 }),
        len => Some(Run { first: start, len }),
    }
}

/// Writes row + 1 at each code; false at the first code that has a row already.
fn fill_unique(chunks: &[Chunk], part: usize, base: usize, heads: &mut [u32]) -> bool {
    for chunk in chunks {
        for (code, row) in chunk.part(part) {
            let head = &mut heads[code as usize - base];
            if *head != 0 {
                return false;
            }
            *head = row + 1;
        }
    }
    true
}

/// Counting sort of a partition's rows by code: `starts` gets where each code begins.
fn fill_runs(
    chunks: &[Chunk],
    part: usize,
    base: usize,
    starts: &mut [u32],
    rows: &mut [u32],
    rows_base: usize,
) {
    for chunk in chunks {
        for (code, _) in chunk.part(part) {
            starts[code as usize - base] += 1;
        }
    }
    let mut next = 0;
    for start in starts.iter_mut() {
        let count = std::mem::replace(start, next);
        next += count;
    }
    for chunk in chunks {
        for (code, row) in chunk.part(part) {
            let cursor = &mut starts[code as usize - base];
            rows[*cursor as usize] = row;
            *cursor += 1;
        }
    }
    // Each cursor now stands at its run's end, which is the next run's begin.
    let codes = starts.len();
    starts.copy_within(..codes - 1, 1);
    starts[0] = 0;
    let rows_base = rows_base as u32;
    starts.iter_mut().for_each(|start| *start += rows_base);
}
