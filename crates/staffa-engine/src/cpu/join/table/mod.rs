//! The join table: from a key to its run of build rows.

mod direct;
mod directory;
mod filter;
mod partition;

use datafusion_common::Result;

pub(super) use direct::Direct;
pub(super) use directory::{Directory, mix};
pub(super) use filter::Prefilter;

use super::equal::Equal;
use crate::CancelFlag;

/// The rows of one key. A run of length 1 names its row; a longer one is a stretch of
/// [`JoinTable::rows`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Run {
    /// The row, or where the stretch begins.
    pub(super) first: u32,
    /// Number of rows.
    pub(super) len: u32,
}

/// How a key finds its run.
pub(super) enum Index {
    /// No row can match.
    Empty,
    /// There is no key: all rows are one run.
    All(Run),
    /// The code is an address.
    Direct(Direct),
    /// Open addressing.
    Directory(Directory),
}

/// From a key (an exact code or a hash) to its run of build rows.
pub(super) struct JoinTable {
    /// Finds runs.
    pub(super) index: Index,
    /// The rows of runs longer than one, a run's rows next to each other and ascending.
    pub(super) rows: Vec<u32>,
    /// Tells most keys that have no run from those that may, in a fraction of the index's size.
    pub(super) filter: Option<Prefilter>,
}

/// The build side's keys: a code or hash per row, and whether the row may match at all.
pub(super) struct RowKeys {
    /// Codes or hashes.
    pub(super) keys: Vec<u64>,
    /// False for rows that stay out of the table; `None` takes all in.
    pub(super) matchable: Option<Vec<bool>>,
}

/// Codes up to this many times the rows are addressed directly: four bytes a code, as much as
/// a directory would take.
const DIRECT_CODES_PER_ROW: u64 = 8;

/// So few codes are always addressed directly.
const DIRECT_CODES_MIN: u64 = 1 << 16;

impl JoinTable {
    /// A table in which nothing matches.
    pub(super) fn empty() -> Self {
        Self { index: Index::Empty, rows: Vec::new(), filter: None }
    }

    /// One run of all `rows` rows.
    pub(super) fn all(rows: u32) -> Self {
        match rows {
            0 => Self::empty(),
            1 => {
                Self { index: Index::All(Run { first: 0, len: 1 }), rows: Vec::new(), filter: None }
            }
            _ => Self {
                index: Index::All(Run { first: 0, len: rows }),
                rows: (0..rows).collect(),
                filter: None,
            },
        }
    }

    /// Whether exact codes up to `last` of so many rows are addressed directly.
    pub(super) fn is_direct(last: u64, rows: usize) -> bool {
        last < DIRECT_CODES_MIN.max(DIRECT_CODES_PER_ROW.saturating_mul(rows as u64))
    }

    /// The bytes that building a table takes at its peak, keys not counted.
    pub(super) fn build_bytes(last: Option<u64>, rows: usize) -> usize {
        let chunks = rows * 12;
        let table = match last {
            Some(last) if Self::is_direct(last, rows) => {
                (usize::try_from(last).unwrap_or(usize::MAX / 16) + 2) * 4
            }
            _ => Directory::bytes(rows),
        };
        // The prefilter: up to 8 bytes a row, or an eighth of a byte a code.
        let rows_bits = (rows as u64 * 8).max((last.unwrap_or(0) / 8).min(rows as u64 * 32));
        let bits = if last.is_some() { rows_bits as usize } else { 0 };
        chunks + table + table / 32 + rows * 8 + bits
    }

    /// No table of so many rows takes more while it is built, keys not counted.
    pub(super) fn most_build_bytes(rows: usize) -> usize {
        let direct = DIRECT_CODES_MIN.max(DIRECT_CODES_PER_ROW.saturating_mul(rows as u64)) - 1;
        Self::build_bytes(Some(direct), rows).max(Self::build_bytes(Some(u64::MAX), rows))
    }

    /// Of exact codes, none greater than `last`.
    pub(super) fn exact(keys: &RowKeys, last: u64, cancel: &CancelFlag) -> Result<Self> {
        if Self::is_direct(last, keys.keys.len()) {
            return Direct::build(keys, last, cancel);
        }
        Directory::build(keys, Some(last), None, cancel)
    }

    /// Of hashes; `equal` compares two build rows.
    pub(super) fn hashed(keys: &RowKeys, equal: &Equal, cancel: &CancelFlag) -> Result<Self> {
        Directory::build(keys, None, Some(equal), cancel)
    }

    /// Whether nothing can match.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.index, Index::Empty)
    }

    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Empty | Index::All(_) => 0,
            Index::Direct(direct) => direct.held_bytes(),
            Index::Directory(directory) => directory.held_bytes(),
        };
        let filter = self.filter.as_ref().map_or(0, Prefilter::bytes);
        index + filter + self.rows.capacity() * 4
    }

    /// A row of each key, if there are at most `limit` keys.
    pub(super) fn representatives(&self, limit: usize) -> Option<Vec<u32>> {
        let mut out = Vec::new();
        let mut add = |run: Run| {
            out.push(self.first(run));
            out.len() <= limit
        };
        let fits = match &self.index {
            Index::Empty => true,
            Index::All(_) => false,
            Index::Direct(direct) => {
                direct.distinct() <= limit && direct.runs(&self.rows).all(&mut add)
            }
            Index::Directory(directory) => {
                directory.distinct() <= limit && directory.runs().all(&mut add)
            }
        };
        fits.then_some(out)
    }

    /// The first row of a run.
    #[inline]
    pub(super) fn first(&self, run: Run) -> u32 {
        match run.len {
            1 => run.first,
            _ => self.rows[run.first as usize],
        }
    }
}
