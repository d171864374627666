//! Looks up a morsel's keys: which probe rows have matches, and which run of build rows each has.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::hash_utils::{RandomState, create_hashes};
use datafusion_common::{NullEquality, Result};

use super::equal::{Equal, Side};
use super::find::{Choose, FindKeys, FindUnique, Mark, find_runs, find_single, keep};
use super::keys::Coder;
use super::table::{Direct, Directory, Index, JoinTable, Prefilter, Run, mix};

/// Hashes of join tables: another seed than RepartitionExec's, whose partitions would else use
/// only a part of the table.
pub(super) fn random_state() -> RandomState {
    RandomState::with_seed(0x57af_fa10_6a11_5eed)
}

/// How keys are looked up.
pub(super) enum KeyPlan {
    /// There are no keys.
    None,
    /// By exact codes.
    Codes(Coder),
    /// By hashes, then compared with the build side's keys.
    Hashes {
        /// Types of the build side's keys.
        types: Vec<DataType>,
        /// The build side's keys.
        side: Side,
        /// Whether NULLs match, and there are any on the build side.
        null_equality: NullEquality,
    },
}

/// The rows of a morsel that have matches, ascending.
#[derive(Debug, Default)]
pub(super) struct Hits {
    /// Probe rows.
    pub(super) probe: Vec<u32>,
    /// Of each: the build row, or where its run begins.
    pub(super) first: Vec<u32>,
    /// Of each: the run's length. Empty when all are 1.
    pub(super) len: Vec<u32>,
}

impl Hits {
    /// A hit's run.
    #[inline]
    pub(super) fn run(&self, at: usize) -> Run {
        Run { first: self.first[at], len: self.len.get(at).copied().unwrap_or(1) }
    }

    fn clear(&mut self) {
        self.probe.clear();
        self.first.clear();
        self.len.clear();
    }
}

/// Buffers that a lane uses again for every morsel.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Codes or hashes: of each row, or of each candidate.
    keys: Vec<u64>,
    matchable: Vec<bool>,
    /// Rows worth a look into the index.
    candidates: Vec<u32>,
    /// Number of candidates; what stands behind them in the buffers means nothing.
    count: usize,
    /// Rows looked up and found of late, to know whether the filter pays.
    looked: usize,
    found: usize,
}

impl Scratch {
    /// The table's filter, which is asked while less than half of the rows have a match.
    fn filter<'a>(&self, table: &'a JoinTable) -> Option<&'a Prefilter> {
        table.filter.as_ref().filter(|_| self.found * 2 < self.looked)
    }

    /// Finds the rows that may match, with their codes: those that have a code and pass the filter.
    fn choose(
        &mut self,
        coder: &Coder,
        keys: &[ArrayRef],
        filter: Option<&Prefilter>,
    ) -> Result<()> {
        let rows = keys.first().map_or(0, |key| key.len());
        let one_column = match filter {
            Some(Prefilter::Codes(words)) => self.one_column(coder, keys, rows, has_bit(words)),
            Some(Prefilter::Stretches(stretches)) => {
                self.one_column(coder, keys, rows, |code| stretches.may_have(code))
            }
            Some(Prefilter::Keys(bloom)) => {
                self.one_column(coder, keys, rows, |code| bloom.may_have(mix(code)))
            }
            None => self.one_column(coder, keys, rows, |_| true),
        };
        if one_column {
            return Ok(());
        }
        coder.encode(keys, &mut self.keys, &mut self.matchable)?;
        match filter {
            Some(Prefilter::Codes(words)) => self.compact(rows, true, has_bit(words)),
            Some(Prefilter::Stretches(stretches)) => {
                self.compact(rows, true, |code| stretches.may_have(code));
            }
            Some(Prefilter::Keys(bloom)) => {
                self.compact(rows, true, |code| bloom.may_have(mix(code)));
            }
            None => self.compact(rows, true, |_| true),
        }
        Ok(())
    }

    /// Chooses by the key's only column, if it is one without NULLs.
    fn one_column(
        &mut self,
        coder: &Coder,
        keys: &[ArrayRef],
        rows: usize,
        passes: impl Fn(u64) -> bool,
    ) -> bool {
        grow(&mut self.candidates, rows);
        grow(&mut self.keys, rows);
        let Self { candidates, keys: codes, count, .. } = self;
        coder.one_column(keys, Choose { candidates, keys: codes, count, passes })
    }

    /// Writes the numbers of the matchable rows whose key passes. `moves` their keys to the same places, too.
    #[inline(always)]
    fn compact(&mut self, rows: usize, moves: bool, passes: impl Fn(u64) -> bool) {
        grow(&mut self.candidates, rows);
        let (candidates, keys) = (&mut self.candidates[..rows], &mut self.keys[..rows]);
        let matchable = &self.matchable[..rows];
        let mut count = 0;
        for from in (0..rows).step_by(64) {
            let block = from..rows.min(from + 64);
            let both = matchable[block.clone()].iter().zip(&keys[block.clone()]);
            let bits = both.enumerate().fold(0, |bits, (at, (matchable, &key))| {
                bits | u64::from(matchable & passes(key)) << at
            });
            count = keep(bits, block, count, |place, row| {
                candidates[place] = row as u32;
                if moves {
                    keys[place] = keys[row];
                }
            });
        }
        self.count = count;
    }

    /// Notes how many of a morsel's rows had a match.
    fn learn(&mut self, rows: usize, found: usize) {
        self.looked = self.looked / 2 + rows;
        self.found = self.found / 2 + found;
    }
}

/// Whether a code's bit is set.
#[inline(always)]
fn has_bit(words: &[u64]) -> impl Fn(u64) -> bool {
    |code| {
        let word = words.get((code >> 6) as usize).copied().unwrap_or(0);
        word >> (code & 63) & 1 == 1
    }
}

/// Makes room for `rows` values without clearing what is there.
fn grow<T: Copy + Default>(buffer: &mut Vec<T>, rows: usize) {
    if buffer.len() < rows {
        buffer.resize(rows, T::default());
    }
}

/// The rows that can match at all: where NULL matches nothing, those without NULLs.
pub(super) fn valid_rows(keys: &[ArrayRef], null_equality: NullEquality) -> Option<NullBuffer> {
    if null_equality == NullEquality::NullEqualsNull {
        return None;
    }
    let nulls: Vec<_> = keys.iter().map(|key| key.logical_nulls()).collect();
    NullBuffer::union_many(nulls.iter().map(Option::as_ref)).filter(|nulls| nulls.null_count() > 0)
}

/// Finds the matches of `rows` probe rows with these keys.
pub(super) fn lookup(
    plan: &KeyPlan,
    table: &JoinTable,
    keys: &[ArrayRef],
    rows: usize,
    scratch: &mut Scratch,
    hits: &mut Hits,
) -> Result<()> {
    hits.clear();
    match (plan, &table.index) {
        (_, Index::Empty) => {}
        (_, Index::All(run)) => {
            hits.probe.extend(0..rows as u32);
            hits.first.resize(rows, run.first);
            if run.len > 1 {
                hits.len.resize(rows, run.len);
            }
        }
        (KeyPlan::None, _) => {}
        (KeyPlan::Codes(coder), index) => {
            let keys = as_types(keys, coder.types())?;
            look_up_codes(coder, index, table, &keys, scratch, hits)?;
            scratch.learn(rows, hits.probe.len());
        }
        (KeyPlan::Hashes { types, side, null_equality }, Index::Directory(directory)) => {
            let keys = as_types(keys, types.iter())?;
            scratch.keys.clear();
            scratch.keys.resize(rows, 0);
            create_hashes(&keys, &random_state(), &mut scratch.keys)?;
            scratch.matchable.clear();
            match valid_rows(&keys, *null_equality) {
                Some(valid) => scratch.matchable.extend(valid.iter()),
                None => scratch.matchable.resize(rows, true),
            }
            match scratch.filter(table) {
                Some(Prefilter::Keys(bloom)) => {
                    scratch.compact(rows, false, |hash| bloom.may_have(mix(hash)));
                }
                _ => scratch.compact(rows, false, |_| true),
            }
            let chosen = &scratch.candidates[..scratch.count];
            let key_of = |_, row: u32| scratch.keys[row as usize];
            find_runs(chosen, key_of, hits, |hashes, runs| directory.find_all(hashes, runs));
            let equal = Equal::new(side, &Side::new(&keys), *null_equality)?;
            verify(directory, table, &scratch.keys, &equal, hits);
            scratch.learn(rows, hits.probe.len());
        }
        (KeyPlan::Hashes { .. }, Index::Direct(_)) => {}
    }
    Ok(())
}

fn look_up_codes(
    coder: &Coder,
    index: &Index,
    table: &JoinTable,
    keys: &[ArrayRef],
    scratch: &mut Scratch,
    hits: &mut Hits,
) -> Result<()> {
    let filter = scratch.filter(table);
    if let (Index::Direct(Direct::Unique(heads)), None) = (index, filter)
        && coder.one_column(keys, FindUnique { heads, hits })
    {
        return Ok(());
    }
    if let (Index::Directory(directory), None) = (index, filter)
        && table.rows.is_empty()
        && coder.one_column(keys, FindKeys { directory, hits })
    {
        return Ok(());
    }
    scratch.choose(coder, keys, filter)?;
    let rows = &scratch.candidates[..scratch.count];
    let key_of = |place: usize, _| scratch.keys[place];
    match index {
        Index::Direct(Direct::Unique(heads)) => {
            find_single(rows, key_of, hits, |codes, found| {
                for (found, &code) in found.iter_mut().zip(codes) {
                    *found = heads[code as usize];
                }
            });
        }
        Index::Direct(Direct::Runs(starts)) => find_runs(rows, key_of, hits, |codes, runs| {
            Direct::find_all(starts, &table.rows, codes, runs);
        }),
        Index::Directory(directory) if table.rows.is_empty() => {
            find_single(rows, key_of, hits, |keys, found| directory.find_rows(keys, found));
        }
        Index::Directory(directory) => {
            find_runs(rows, key_of, hits, |keys, runs| directory.find_all(keys, runs));
        }
        Index::Empty | Index::All(_) => {}
    }
    Ok(())
}

/// Sets the bits of those of `rows` probe rows that may have a match: those that the table's filter lets
/// through, or that have one where it has no filter.
pub(super) fn may_match(
    plan: &KeyPlan,
    table: &JoinTable,
    keys: &[ArrayRef],
    rows: usize,
    (scratch, hits): &mut (Scratch, Hits),
) -> Result<BooleanBuffer> {
    let mut words = vec![0_u64; rows.div_ceil(64)];
    let candidates = match (plan, &table.filter) {
        (KeyPlan::Codes(coder), Some(filter)) => {
            let keys = as_types(keys, coder.types())?;
            if mark(coder, &keys, filter, &mut words) {
                return Ok(BooleanBuffer::new(words.into(), 0, rows));
            }
            scratch.choose(coder, &keys, Some(filter))?;
            &scratch.candidates[..scratch.count]
        }
        _ => {
            lookup(plan, table, keys, rows, scratch, hits)?;
            hits.probe.as_slice()
        }
    };
    for &row in candidates {
        words[(row >> 6) as usize] |= 1 << (row & 63);
    }
    Ok(BooleanBuffer::new(words.into(), 0, rows))
}

/// Sets the bits of the rows whose key passes the filter, if the key is one column without NULLs.
fn mark(coder: &Coder, keys: &[ArrayRef], filter: &Prefilter, words: &mut [u64]) -> bool {
    match filter {
        Prefilter::Codes(codes) => coder.one_column(keys, Mark { words, passes: has_bit(codes) }),
        Prefilter::Stretches(stretches) => {
            coder.one_column(keys, Mark { words, passes: |code| stretches.may_have(code) })
        }
        Prefilter::Keys(bloom) => {
            coder.one_column(keys, Mark { words, passes: |code| bloom.may_have(mix(code)) })
        }
    }
}

/// The keys in the types of the build side's, which they have but for odd plans.
pub(super) fn as_types<'a>(
    keys: &[ArrayRef],
    types: impl Iterator<Item = &'a DataType>,
) -> Result<Vec<ArrayRef>> {
    keys.iter()
        .zip(types)
        .map(|(key, data_type)| match key.data_type() == data_type {
            true => Ok(Arc::clone(key)),
            false => Ok(cast(key, data_type)?),
        })
        .collect()
}

/// Compares the hits' keys, column by column, and searches on for the rare row whose first
/// candidate only had the same hash.
fn verify(
    directory: &Directory,
    table: &JoinTable,
    hashes: &[u64],
    equal: &Equal,
    hits: &mut Hits,
) {
    let candidates = hits.probe.len();
    let sample: Vec<u32> = (0..candidates).map(|at| table.first(hits.run(at))).collect();
    let mut same = vec![true; candidates];
    equal.check(&sample, &hits.probe, &mut same);
    let mut kept = 0;
    for (at, same) in same.into_iter().enumerate() {
        let probe = hits.probe[at];
        let run = match same {
            true => Some(hits.run(at)),
            false => directory.find_equal(hashes[probe as usize], |run| {
                equal.equal(table.first(run) as usize, probe as usize)
            }),
        };
        if let Some(run) = run {
            hits.probe[kept] = probe;
            hits.first[kept] = run.first;
            hits.len[kept] = run.len;
            kept += 1;
        }
    }
    hits.probe.truncate(kept);
    hits.first.truncate(kept);
    hits.len.truncate(kept);
    if table.rows.is_empty() {
        hits.len.clear();
    }
}
