//! A parallel sort of entries: split by sampled splitters, then sort each bucket on its own.
//!
//! ```text
//! batches ──encode──▶ entries ──classify──▶ buckets ──sort──▶ rows in order
//!   (in parallel over batches)                (in parallel over buckets)
//! ```
//!
//! A bucket holds about [`BUCKET_ROWS`] entries, which stay in the second-level cache while they
//! are sorted and gathered. Entries are all different (they end in the row's position), so that
//! many rows of one key still spread over buckets.

use std::cmp::Ordering;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::Rows;
use datafusion_common::Result;
use rayon::prelude::*;

use super::entry::{Entry, Narrow, Wide, narrow, place, position};
use super::keys::SortKeys;
use super::packed::{Packing, Word};
use crate::{CancelFlag, Morsel};

/// Rows of a bucket: 1 to 1.5 MB of entries.
pub(super) const BUCKET_ROWS: usize = 1 << 16;
/// More buckets than this cost more to fill than they gain.
const BUCKETS: usize = 2048;
/// Samples per bucket: the largest bucket is then about twice the mean.
const SAMPLES: usize = 16;

/// Sorts the rows of `batches`, of which only the first `fetch` are wanted. `finish` gets, bucket
/// after bucket (but in parallel), the rows' places in order; its results come back in order.
///
/// # Errors
/// What the keys or `finish` raise; "cancelled".
pub(super) fn sort<R: Send>(
    batches: &[RecordBatch],
    keys: &SortKeys,
    fetch: Option<usize>,
    cancel: &CancelFlag,
    finish: impl Fn(&[(usize, usize)]) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let arrays = |batch: &RecordBatch| {
        cancel.check()?;
        keys.arrays(&Morsel::from_batch(batch.clone()))
    };
    if keys.is_narrow() {
        let parts = batches
            .par_iter()
            .enumerate()
            .map(|(at, batch)| {
                let mut entries = keys.narrow(&arrays(batch)?)?;
                for (row, entry) in entries.iter_mut().enumerate() {
                    *entry = entry.moved(position(at, row));
                }
                Ok(entries)
            })
            .collect::<Result<Vec<Vec<Narrow>>>>()?;
        return sort_entries(parts, &[], fetch, cancel, finish);
    }
    let values = batches.par_iter().map(arrays).collect::<Result<Vec<_>>>()?;
    if let Some(packing) = keys.packing(&values) {
        return if packing.bits() <= u64::BITS {
            let parts = packed(&packing, values, |key, at| narrow(false, key, 0).moved(at));
            sort_entries(parts, &[], fetch, cancel, finish)
        } else {
            sort_entries(packed(&packing, values, Wide::of), &[], fetch, cancel, finish)
        };
    }
    let rows = values
        .into_par_iter()
        .map(|arrays| {
            cancel.check()?;
            keys.rows(&arrays)
        })
        .collect::<Result<Vec<_>>>()?;
    let prefix = Prefix::of(&rows);
    let parts: Vec<Vec<Wide>> = rows
        .par_iter()
        .enumerate()
        .map(|(at, rows)| {
            let keys = rows.iter().enumerate();
            keys.map(|(row, key)| {
                Wide::without(key.data(), prefix.skip(key.data()), position(at, row))
            })
            .collect()
        })
        .collect();
    let rows = if prefix.exact { Vec::new() } else { rows };
    sort_entries(parts, &rows, fetch, cancel, finish)
}

/// An entry for each row, made of its packed key and its position.
fn packed<W: Word, E: Entry>(
    packing: &Packing,
    values: Vec<Vec<ArrayRef>>,
    entry: impl Fn(W, u64) -> E + Sync,
) -> Vec<Vec<E>> {
    let parts = values.into_par_iter().enumerate().map(|(at, arrays)| {
        let keys = packing.pack::<W>(&arrays).into_iter().enumerate();
        keys.map(|(row, key)| entry(key, position(at, row))).collect()
    });
    parts.collect()
}

/// What most keys start with, which entries need not hold: the high bytes of small numbers, the
/// scheme of an address. Keys of another class (another first byte, which says NULL, empty or
/// neither) are left as they are: the first byte stays in the entry and tells them apart.
struct Prefix {
    /// The first byte of the keys that share the prefix.
    class: Option<u8>,
    length: usize,
    /// Whether entries then hold all there is.
    exact: bool,
}

impl Prefix {
    fn of(rows: &[Rows]) -> Self {
        // A key of the class of values stands behind no NULL and no empty string, or before all.
        let firsts = rows.iter().filter(|rows| rows.num_rows() > 0);
        let mut firsts: Vec<&[u8]> = firsts
            .flat_map(|rows| [rows.row(0).data(), rows.row(rows.num_rows() / 2).data()])
            .collect();
        firsts.sort_unstable_by_key(|key| key.first().copied());
        let model = firsts.get(firsts.len() / 2).copied().unwrap_or_default();
        let class = model.first().copied();
        let (length, uniform) = rows
            .par_iter()
            .map(|rows| {
                rows.iter().fold((model.len(), true), |(length, same), key| {
                    let key = key.data();
                    if key.first().copied() != class {
                        return (length, false);
                    }
                    let shared = model[..length].iter().zip(key);
                    let shared = shared.take_while(|(a, b)| a == b).count();
                    (shared, same && key.len() == model.len())
                })
            })
            .reduce(|| (model.len(), true), |a, b| (a.0.min(b.0), a.1 && b.1));
        Self {
            class,
            length: length.max(1),
            exact: uniform && model.len().saturating_sub(length.max(1)) <= 15,
        }
    }

    /// How many bytes of a key, after the first, its entry leaves out.
    fn skip(&self, key: &[u8]) -> usize {
        if key.first().copied() == self.class { self.length - 1 } else { 0 }
    }
}

fn sort_entries<E: Entry, R: Send>(
    parts: Vec<Vec<E>>,
    rows: &[Rows],
    fetch: Option<usize>,
    cancel: &CancelFlag,
    finish: impl Fn(&[(usize, usize)]) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let total: usize = parts.iter().map(Vec::len).sum();
    let splitters = splitters(&parts, total, rows);
    let buckets = classify(parts, &splitters, rows, cancel)?;
    wanted(buckets, fetch)
        .into_par_iter()
        .map(|(pieces, limit)| {
            cancel.check()?;
            let mut entries = pieces.concat();
            drop(pieces);
            if limit < entries.len() {
                entries.select_nth_unstable_by(limit, |a, b| a.compare(b, rows));
                entries.truncate(limit);
            }
            entries.sort_unstable_by(|a, b| a.compare(b, rows));
            let places: Vec<_> = entries.iter().map(|e| place(e.position())).collect();
            drop(entries);
            finish(&places)
        })
        .collect()
}

/// The buckets that hold the first `fetch` rows, each with how many of its rows are wanted.
fn wanted<E>(buckets: Vec<Vec<Vec<E>>>, fetch: Option<usize>) -> Vec<(Vec<Vec<E>>, usize)> {
    let mut left = fetch.unwrap_or(usize::MAX);
    let mut kept = Vec::with_capacity(buckets.len());
    for pieces in buckets {
        let size = pieces.iter().map(Vec::len).sum::<usize>();
        let limit = size.min(left);
        left -= limit;
        if limit > 0 {
            kept.push((pieces, limit));
        }
    }
    kept
}

/// Entries at which to cut all entries into buckets of about equal size.
fn splitters<E: Entry>(parts: &[Vec<E>], total: usize, rows: &[Rows]) -> Vec<E> {
    let buckets = (total / BUCKET_ROWS).clamp(1, BUCKETS);
    if buckets == 1 {
        return Vec::new();
    }
    let step = (total / (buckets * SAMPLES)).max(1);
    let mut samples = Vec::with_capacity(buckets * SAMPLES + 1);
    // A stride over all parts, as if they stood end to end.
    let mut next = step / 2;
    let mut start = 0;
    for part in parts {
        while next < start + part.len() {
            samples.push(part[next - start]);
            next += step;
        }
        start += part.len();
    }
    samples.sort_unstable_by(|a, b| a.compare(b, rows));
    let count = samples.len();
    (1..buckets).map(|at| samples[(at * count / buckets).min(count - 1)]).collect()
}

/// Per bucket the pieces that the parts have in it, in the order of the parts.
fn classify<E: Entry>(
    parts: Vec<Vec<E>>,
    splitters: &[E],
    rows: &[Rows],
    cancel: &CancelFlag,
) -> Result<Vec<Vec<Vec<E>>>> {
    if splitters.is_empty() {
        return Ok(vec![parts]);
    }
    let groups = rayon::current_num_threads() * 4;
    let per_group = parts.len().div_ceil(groups).max(1);
    let grouped: Vec<Vec<Vec<E>>> = parts
        .into_par_iter()
        .chunks(per_group)
        .map(|group| {
            let size = group.iter().map(Vec::len).sum::<usize>();
            let room = size / (splitters.len() + 1);
            let mut buckets: Vec<Vec<E>> =
                (0..=splitters.len()).map(|_| Vec::with_capacity(room + room / 4)).collect();
            for part in group {
                cancel.check()?;
                for entry in part {
                    let bucket =
                        splitters.partition_point(|s| s.compare(&entry, rows) != Ordering::Greater);
                    buckets[bucket].push(entry);
                }
            }
            Ok(buckets)
        })
        .collect::<Result<_>>()?;
    let mut buckets: Vec<Vec<Vec<E>>> =
        (0..=splitters.len()).map(|_| Vec::with_capacity(grouped.len())).collect();
    for group in grouped {
        for (bucket, piece) in buckets.iter_mut().zip(group) {
            if !piece.is_empty() {
                bucket.push(piece);
            }
        }
    }
    Ok(buckets)
}
