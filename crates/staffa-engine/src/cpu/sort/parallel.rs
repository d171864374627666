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

use arrow::array::RecordBatch;
use arrow::row::Rows;
use datafusion_common::Result;
use rayon::prelude::*;

use super::entry::{Entry, Narrow, Wide, place, position};
use super::keys::{Encoded, SortKeys};
use crate::{CancelFlag, Morsel};

/// Rows of a bucket: 1 to 1.5 MB of entries.
const BUCKET_ROWS: usize = 1 << 16;
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
    let encoded = batches
        .par_iter()
        .map(|batch| {
            cancel.check()?;
            keys.encode(&keys.arrays(&Morsel::from_batch(batch.clone()))?)
        })
        .collect::<Result<Vec<_>>>()?;
    if keys.is_narrow() {
        let parts: Vec<Vec<Narrow>> = encoded
            .into_iter()
            .filter_map(|part| match part {
                Encoded::Narrow(entries) => Some(entries),
                Encoded::Wide(..) => None,
            })
            .collect();
        return sort_entries(parts, &[], fetch, cancel, finish);
    }
    let mut parts: Vec<Vec<Wide>> = Vec::with_capacity(encoded.len());
    let mut rows = Vec::new();
    for part in encoded {
        if let Encoded::Wide(entries, whole) = part {
            parts.push(entries);
            rows.extend(whole);
        }
    }
    sort_entries(parts, &rows, fetch, cancel, finish)
}

fn sort_entries<E: Entry, R: Send>(
    mut parts: Vec<Vec<E>>,
    rows: &[Rows],
    fetch: Option<usize>,
    cancel: &CancelFlag,
    finish: impl Fn(&[(usize, usize)]) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    parts.par_iter_mut().enumerate().for_each(|(batch, part)| {
        for (row, entry) in part.iter_mut().enumerate() {
            *entry = entry.moved(position(batch, row));
        }
    });
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
    (1..buckets)
        .map(|at| samples[(at * count / buckets).min(count - 1)])
        .collect()
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
            let mut buckets: Vec<Vec<E>> = (0..=splitters.len())
                .map(|_| Vec::with_capacity(room + room / 4))
                .collect();
            for part in group {
                cancel.check()?;
                for entry in part {
                    let bucket = splitters
                        .partition_point(|s| s.compare(&entry, rows) != Ordering::Greater);
                    buckets[bucket].push(entry);
                }
            }
            Ok(buckets)
        })
        .collect::<Result<_>>()?;
    let mut buckets: Vec<Vec<Vec<E>>> = (0..=splitters.len())
        .map(|_| Vec::with_capacity(grouped.len()))
        .collect();
    for group in grouped {
        for (bucket, piece) in buckets.iter_mut().zip(group) {
            if !piece.is_empty() {
                bucket.push(piece);
            }
        }
    }
    Ok(buckets)
}
