//! The loops that look keys up.
//!
//! A loop that reads memory and, by what it finds, writes at the next place or at the same one again has its reads wait
//! for each other: processors hold them back behind writes whose place they do not know yet. (A lookup in 8 MB
//! took 30 ns so, and takes 9.) Hence a block's reads come first, into an array, and are sorted out then.

use std::ops::Range;

use super::keys::{Code, OneColumn};
use super::lookup::Hits;
use super::table::{Directory, Run};

/// Rows whose reads come before what is written of them.
pub(super) const BLOCK: usize = 256;

/// The bits of up to 64 values whose code passes.
#[inline(always)]
fn passing<T: Code>(values: &[T], min: u64, span: u64, passes: impl Fn(u64) -> bool) -> u64 {
    values.iter().enumerate().fold(0, |bits, (at, value)| {
        let code = value.code().wrapping_sub(min);
        bits | u64::from((code <= span) & passes(code)) << at
    })
}

/// Calls `put` with the next place, from `count` on, and the row, for each of (up to 64) `rows` whose bit is set; a
/// place may be put to several times, the last of which counts. Gives the place after them.
#[inline(always)]
pub(super) fn keep(
    mut bits: u64,
    rows: Range<usize>,
    mut count: usize,
    mut put: impl FnMut(usize, usize),
) -> usize {
    if (bits.count_ones() as usize) < rows.len() / 4 {
        while bits != 0 {
            put(count, rows.start + bits.trailing_zeros() as usize);
            count += 1;
            bits &= bits - 1;
        }
        return count;
    }
    // Every row is written and only some are kept: there is no branch to mispredict.
    for (at, row) in rows.enumerate() {
        put(count, row);
        count += (bits >> at & 1) as usize;
    }
    count
}

/// Chooses the rows of a key's only column whose code passes.
pub(super) struct Choose<'a, P> {
    /// Get the rows, at their beginning.
    pub(super) candidates: &'a mut [u32],
    /// Get their codes.
    pub(super) keys: &'a mut [u64],
    /// Gets their number.
    pub(super) count: &'a mut usize,
    /// Whether a code passes.
    pub(super) passes: P,
}

impl<P: Fn(u64) -> bool> OneColumn for Choose<'_, P> {
    fn look<T: Code>(self, values: &[T], min: u64, span: u64) {
        let Self { candidates, keys, count: chosen, passes } = self;
        let (candidates, keys) = (&mut candidates[..values.len()], &mut keys[..values.len()]);
        let mut count = 0;
        for (block, part) in values.chunks(64).enumerate() {
            let from = block * 64;
            let bits = passing(part, min, span, &passes);
            count = keep(bits, from..from + part.len(), count, |place, row| {
                candidates[place] = row as u32;
                keys[place] = values[row].code().wrapping_sub(min);
            });
        }
        *chosen = count;
    }
}

/// Sets the bits of the rows of a key's only column whose code passes.
pub(super) struct Mark<'a, P> {
    /// A bit a row.
    pub(super) words: &'a mut [u64],
    /// Whether a code passes.
    pub(super) passes: P,
}

impl<P: Fn(u64) -> bool> OneColumn for Mark<'_, P> {
    fn look<T: Code>(self, values: &[T], min: u64, span: u64) {
        for (word, values) in self.words.iter_mut().zip(values.chunks(64)) {
            *word = passing(values, min, span, &self.passes);
        }
    }
}

/// Finds the rows of a key's only column in an array of unique keys.
pub(super) struct FindUnique<'a> {
    /// By code: row + 1, or 0.
    pub(super) heads: &'a [u32],
    /// Get what is found.
    pub(super) hits: &'a mut Hits,
}

impl OneColumn for FindUnique<'_> {
    fn look<T: Code>(self, values: &[T], min: u64, span: u64) {
        let Self { heads, hits } = self;
        let mut out = Out::new(hits, values.len());
        let mut found = [0; BLOCK];
        for (block, values) in values.chunks(BLOCK).enumerate() {
            for (found, value) in found.iter_mut().zip(values) {
                let code = value.code().wrapping_sub(min);
                // Codes up to `span` are addresses.
                *found = if code <= span { heads[code as usize] } else { 0 };
            }
            let from = (block * BLOCK) as u32;
            out.put_rows((from..).zip(found[..values.len()].iter().copied()));
        }
        out.end();
    }
}

/// Finds the rows of a key's only column in a directory of unique keys.
pub(super) struct FindKeys<'a> {
    pub(super) directory: &'a Directory,
    /// Get what is found.
    pub(super) hits: &'a mut Hits,
}

impl OneColumn for FindKeys<'_> {
    /// A code beyond `span` is no key of the directory, which is asked all the same.
    fn look<T: Code>(self, values: &[T], min: u64, _: u64) {
        let Self { directory, hits } = self;
        let mut out = Out::new(hits, values.len());
        let (mut codes, mut found) = ([0; BLOCK], [0; BLOCK]);
        for (block, values) in values.chunks(BLOCK).enumerate() {
            let codes = &mut codes[..values.len()];
            for (code, value) in codes.iter_mut().zip(values) {
                *code = value.code().wrapping_sub(min);
            }
            directory.find_rows(codes, &mut found[..values.len()]);
            let from = (block * BLOCK) as u32;
            out.put_rows((from..).zip(found[..values.len()].iter().copied()));
        }
        out.end();
    }
}

/// Looks up rows with their keys in an index whose keys have a row each: `find` overwrites an array with row + 1 of each
/// key, or 0.
#[inline(always)]
pub(super) fn find_single(
    rows: &[u32],
    key_of: impl Fn(usize, u32) -> u64,
    hits: &mut Hits,
    find: impl Fn(&[u64], &mut [u32]),
) {
    let mut out = Out::new(hits, rows.len());
    let mut found = [0; BLOCK];
    in_blocks(rows, key_of, |rows, keys| {
        find(keys, &mut found[..keys.len()]);
        out.put_rows(rows.iter().copied().zip(found.iter().copied()));
    });
    out.end();
}

/// Looks up rows with their keys in an index whose keys may have several rows: `find` overwrites an array with each
/// key's run, whose length is 0 where it has none.
#[inline(always)]
pub(super) fn find_runs(
    rows: &[u32],
    key_of: impl Fn(usize, u32) -> u64,
    hits: &mut Hits,
    find: impl Fn(&[u64], &mut [Run]),
) {
    hits.len.resize(rows.len(), 0);
    let mut lengths = std::mem::take(&mut hits.len);
    let mut out = Out::new(hits, rows.len());
    let mut found = [Run::default(); BLOCK];
    in_blocks(rows, key_of, |rows, keys| {
        find(keys, &mut found[..keys.len()]);
        for (&row, run) in rows.iter().zip(&found) {
            out.probe[out.count] = row;
            out.first[out.count] = run.first;
            lengths[out.count] = run.len;
            out.count += usize::from(run.len != 0);
        }
    });
    lengths.truncate(out.end());
    hits.len = lengths;
}

/// Calls `work` with up to [`BLOCK`] rows and their keys at a time.
#[inline(always)]
fn in_blocks(
    rows: &[u32],
    key_of: impl Fn(usize, u32) -> u64,
    mut work: impl FnMut(&[u32], &[u64]),
) {
    let mut keys = [0; BLOCK];
    for (block, rows) in rows.chunks(BLOCK).enumerate() {
        for (at, (key, &row)) in keys.iter_mut().zip(rows).enumerate() {
            *key = key_of(block * BLOCK + at, row);
        }
        work(rows, &keys[..rows.len()]);
    }
}

/// Hits that are being written.
struct Out<'a> {
    probe: &'a mut Vec<u32>,
    first: &'a mut Vec<u32>,
    count: usize,
}

impl<'a> Out<'a> {
    /// For so many at most.
    fn new(hits: &'a mut Hits, most: usize) -> Self {
        hits.probe.resize(most, 0);
        hits.first.resize(most, 0);
        Self { probe: &mut hits.probe, first: &mut hits.first, count: 0 }
    }

    /// Adds rows of a block, each with row + 1 of its match or 0.
    #[inline(always)]
    fn put_rows(&mut self, rows: impl Iterator<Item = (u32, u32)>) {
        let (probe, first) = (self.probe.as_mut_slice(), self.first.as_mut_slice());
        let mut count = self.count;
        for (row, head) in rows {
            probe[count] = row;
            first[count] = head.wrapping_sub(1);
            count += usize::from(head != 0);
        }
        self.count = count;
    }

    /// Cuts off what is not written; gives the number of hits.
    fn end(self) -> usize {
        self.probe.truncate(self.count);
        self.first.truncate(self.count);
        self.count
    }
}
