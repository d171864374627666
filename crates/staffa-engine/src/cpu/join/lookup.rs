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
use super::table::{Direct, Directory, Index, JoinTable, Run, stretch};

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
        Run {
            first: self.first[at],
            len: self.len.get(at).copied().unwrap_or(1),
        }
    }

    fn clear(&mut self) {
        self.probe.clear();
        self.first.clear();
        self.len.clear();
    }

    #[inline(always)]
    fn push(&mut self, row: usize, run: Run) {
        // A morsel has fewer rows than u32::MAX.
        self.probe.push(row as u32);
        self.first.push(run.first);
        self.len.push(run.len);
    }
}

/// Buffers that a lane uses again for every morsel.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    keys: Vec<u64>,
    matchable: Vec<bool>,
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
            coder.encode(&as_types(keys, coder.types())?, &mut scratch.keys, &mut scratch.matchable)?;
            match index {
                Index::Direct(direct) => find_direct(direct, table, scratch, hits),
                Index::Directory(directory) => find_exact(directory, table, scratch, hits),
                Index::Empty | Index::All(_) => {}
            }
        }
        (
            KeyPlan::Hashes {
                types,
                side,
                null_equality,
            },
            Index::Directory(directory),
        ) => {
            let keys = as_types(keys, types.iter())?;
            let valid = valid_rows(&keys, *null_equality);
            scratch.keys.clear();
            scratch.keys.resize(rows, 0);
            create_hashes(&keys, &random_state(), &mut scratch.keys)?;
            let equal = Equal::new(side, &Side::new(&keys), *null_equality)?;
            find_hashed(directory, table, &scratch.keys, valid.as_ref(), &equal, hits);
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

fn find_direct(direct: &Direct, table: &JoinTable, scratch: &Scratch, hits: &mut Hits) {
    let keys = scratch.keys.iter().zip(&scratch.matchable);
    match direct {
        Direct::Unique(heads) => {
            // Written at every row, kept where there is a match: no branch to mispredict.
            let rows = scratch.keys.len();
            hits.probe.resize(rows, 0);
            hits.first.resize(rows, 0);
            let mut count = 0;
            for (row, (&key, &matchable)) in keys.enumerate() {
                let key = if matchable { key as usize } else { usize::MAX };
                let head = heads.get(key).copied().unwrap_or(0);
                hits.probe[count] = row as u32;
                hits.first[count] = head.wrapping_sub(1);
                count += usize::from(head != 0);
            }
            hits.probe.truncate(count);
            hits.first.truncate(count);
        }
        Direct::Runs(starts) => {
            let codes = starts.len() - 1;
            for (row, (&key, &matchable)) in keys.enumerate() {
                // What is matchable lies in the range of the codes.
                let code = if matchable { key as usize } else { codes };
                if code < codes
                    && let Some(run) = stretch(starts[code], starts[code + 1], &table.rows)
                {
                    hits.push(row, run);
                }
            }
        }
    }
}

fn find_exact(directory: &Directory, table: &JoinTable, scratch: &Scratch, hits: &mut Hits) {
    let keys = scratch.keys.iter().zip(&scratch.matchable).enumerate();
    if !table.rows.is_empty() {
        for (row, (&key, &matchable)) in keys {
            if matchable && let Some(slot) = directory.find(key) {
                hits.push(row, slot.run());
            }
        }
        return;
    }
    let rows = scratch.keys.len();
    hits.probe.resize(rows, 0);
    hits.first.resize(rows, 0);
    let mut count = 0;
    for (row, (&key, &matchable)) in keys {
        let slot = if matchable { directory.find(key) } else { None };
        hits.probe[count] = row as u32;
        hits.first[count] = slot.map_or(0, |slot| slot.run().first);
        count += usize::from(slot.is_some());
    }
    hits.probe.truncate(count);
    hits.first.truncate(count);
}

/// Finds candidates by hash, compares them column by column, and searches on for the rare row
/// whose first candidate only had the same hash.
fn find_hashed(
    directory: &Directory,
    table: &JoinTable,
    hashes: &[u64],
    valid: Option<&NullBuffer>,
    equal: &Equal,
    hits: &mut Hits,
) {
    for (row, &hash) in hashes.iter().enumerate() {
        if valid.is_none_or(|valid| valid.is_valid(row))
            && let Some(slot) = directory.find(hash)
        {
            hits.push(row, slot.run());
        }
    }
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
