//! Looks up a morsel's keys: which probe rows have matches, and which run of build rows each has.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::hash_utils::{RandomState, create_hashes};
use datafusion_common::{NullEquality, Result};

use super::equal::{Equal, Side};
use super::keys::Coder;
use super::table::{Direct, Directory, Index, JoinTable, Prefilter, Run, mix, stretch};

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
    keys: Vec<u64>,
    matchable: Vec<bool>,
    /// Rows worth a look into the index, unless all are.
    candidates: Vec<u32>,
    all: bool,
    /// Rows looked up and found of late, to know whether the filter pays.
    looked: usize,
    found: usize,
}

impl Scratch {
    /// Finds the rows that may match: those that can at all and pass the table's filter, which
    /// is asked while less than half of the rows have a match.
    fn choose(&mut self, table: &JoinTable) {
        let selective = self.found * 2 < self.looked;
        let filter = table.filter.as_ref().filter(|_| selective);
        self.all = filter.is_none() && !self.matchable.contains(&false);
        if self.all {
            return;
        }
        self.candidates.clear();
        self.candidates.resize(self.keys.len(), 0);
        let rows = self.keys.iter().zip(&self.matchable);
        let count = match filter {
            Some(Prefilter::Codes(words)) => keep(&mut self.candidates, rows, |code| {
                let word = words.get((code >> 6) as usize).copied().unwrap_or(0);
                word >> (code & 63) & 1 == 1
            }),
            Some(Prefilter::Keys(bloom)) => {
                keep(&mut self.candidates, rows, |key| bloom.may_have(mix(key)))
            }
            None => keep(&mut self.candidates, rows, |_| true),
        };
        self.candidates.truncate(count);
    }

    /// Notes how many of a morsel's rows had a match.
    fn learn(&mut self, rows: usize, found: usize) {
        self.looked = self.looked / 2 + rows;
        self.found = self.found / 2 + found;
    }
}

/// Writes the numbers of the matchable rows whose key passes; gives how many. Every row is
/// written and only some are kept: there is no branch to mispredict.
#[inline(always)]
fn keep<'a>(
    out: &mut [u32],
    rows: impl Iterator<Item = (&'a u64, &'a bool)>,
    passes: impl Fn(u64) -> bool,
) -> usize {
    let mut count = 0;
    for (row, (&key, &matchable)) in rows.enumerate() {
        out[count] = row as u32;
        count += usize::from(matchable & passes(key));
    }
    count
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
            coder.encode(&keys, &mut scratch.keys, &mut scratch.matchable)?;
            scratch.choose(table);
            match index {
                Index::Direct(Direct::Unique(heads)) => {
                    find_single(scratch, hits, |code| heads[code as usize].checked_sub(1));
                }
                Index::Direct(Direct::Runs(starts)) => find_runs(scratch, hits, |code| {
                    let code = code as usize;
                    stretch(starts[code], starts[code + 1], &table.rows)
                }),
                Index::Directory(directory) if table.rows.is_empty() => {
                    find_single(scratch, hits, |key| directory.find(key).map(|run| run.first));
                }
                Index::Directory(directory) => {
                    find_runs(scratch, hits, |key| directory.find(key));
                }
                Index::Empty | Index::All(_) => {}
            }
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
            scratch.choose(table);
            find_runs(scratch, hits, |hash| directory.find(hash));
            let equal = Equal::new(side, &Side::new(&keys), *null_equality)?;
            verify(directory, table, &scratch.keys, &equal, hits);
            scratch.learn(rows, hits.probe.len());
        }
        (KeyPlan::Hashes { .. }, Index::Direct(_)) => {}
    }
    Ok(())
}

/// The keys in the types of the build side's, which they have but for odd plans.
fn as_types<'a>(
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

/// Looks up the candidates in an index whose keys have a row each.
#[inline(always)]
fn find_single(scratch: &Scratch, hits: &mut Hits, find: impl Fn(u64) -> Option<u32>) {
    #[inline(always)]
    fn each(
        rows: impl ExactSizeIterator<Item = usize>,
        keys: &[u64],
        hits: &mut Hits,
        find: impl Fn(u64) -> Option<u32>,
    ) {
        hits.probe.resize(rows.len(), 0);
        hits.first.resize(rows.len(), 0);
        let mut count = 0;
        for row in rows {
            let found = find(keys[row]);
            hits.probe[count] = row as u32;
            hits.first[count] = found.unwrap_or(0);
            count += usize::from(found.is_some());
        }
        hits.probe.truncate(count);
        hits.first.truncate(count);
    }
    match scratch.all {
        true => each(0..scratch.keys.len(), &scratch.keys, hits, find),
        false => {
            let rows = scratch.candidates.iter().map(|&row| row as usize);
            each(rows, &scratch.keys, hits, find);
        }
    }
}

/// Looks up the candidates in an index whose keys may have several rows.
#[inline(always)]
fn find_runs(scratch: &Scratch, hits: &mut Hits, find: impl Fn(u64) -> Option<Run>) {
    #[inline(always)]
    fn each(
        rows: impl ExactSizeIterator<Item = usize>,
        keys: &[u64],
        hits: &mut Hits,
        find: impl Fn(u64) -> Option<Run>,
    ) {
        hits.probe.reserve(rows.len());
        hits.first.reserve(rows.len());
        hits.len.reserve(rows.len());
        for row in rows {
            if let Some(run) = find(keys[row]) {
                // A morsel has fewer rows than u32::MAX.
                hits.probe.push(row as u32);
                hits.first.push(run.first);
                hits.len.push(run.len);
            }
        }
    }
    match scratch.all {
        true => each(0..scratch.keys.len(), &scratch.keys, hits, find),
        false => {
            let rows = scratch.candidates.iter().map(|&row| row as usize);
            each(rows, &scratch.keys, hits, find);
        }
    }
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
