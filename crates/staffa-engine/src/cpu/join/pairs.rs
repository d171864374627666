//! From hits to pairs of rows, in chunks, so that a fan-out is never held as a whole.

use arrow::array::UInt32Array;
use arrow::buffer::NullBuffer;

use super::lookup::Hits;
use super::table::JoinTable;

/// Pairs of a build row and a probe row.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Build rows.
    pub(super) build: Vec<u32>,
    /// Probe rows, ascending.
    pub(super) probe: Vec<u32>,
}

impl Pairs {
    /// Keeps the pairs of a build and a probe row that `keeps` names.
    pub(super) fn retain(&mut self, keeps: impl Fn(u32, u32) -> bool) {
        let mut count = 0;
        for at in 0..self.build.len() {
            let (build, probe) = (self.build[at], self.probe[at]);
            self.build[count] = build;
            self.probe[count] = probe;
            count += usize::from(keeps(build, probe));
        }
        self.build.truncate(count);
        self.probe.truncate(count);
    }
}

/// Whether ascending row numbers are all those of a morsel of `rows` rows, each once.
pub(super) fn covers(row_numbers: &[u32], rows: usize) -> bool {
    row_numbers.len() == rows && row_numbers.iter().zip(0..).all(|(&row, at)| row == at)
}

/// How far the hits of a morsel have been expanded.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cursor {
    /// The hit that is expanded next.
    pub(super) hit: usize,
    /// How far into its run.
    pub(super) within: u32,
}

impl Cursor {
    /// Whether nothing was expanded yet.
    pub(super) fn is_start(self) -> bool {
        self.hit == 0 && self.within == 0
    }

    /// Whether all hits have been expanded.
    pub(super) fn is_end(self, hits: &Hits) -> bool {
        self.hit == hits.probe.len()
    }

    /// The first probe row that may still get pairs; `rows` at the end.
    pub(super) fn open_row(self, hits: &Hits, rows: u32) -> u32 {
        hits.probe.get(self.hit).copied().unwrap_or(rows)
    }

    /// Appends up to `limit` pairs, none of a probe row that `skip` names.
    pub(super) fn expand(
        &mut self,
        hits: &Hits,
        table: &JoinTable,
        limit: usize,
        skip: impl Fn(u32) -> bool,
        pairs: &mut Pairs,
    ) {
        while self.hit < hits.probe.len() && pairs.probe.len() < limit {
            let probe = hits.probe[self.hit];
            let run = hits.run(self.hit);
            if skip(probe) {
                self.hit += 1;
                self.within = 0;
                continue;
            }
            if run.len == 1 {
                pairs.build.push(run.first);
                pairs.probe.push(probe);
                self.hit += 1;
                continue;
            }
            let room = limit - pairs.probe.len();
            let take = (run.len - self.within).min(u32::try_from(room).unwrap_or(u32::MAX));
            let from = (run.first + self.within) as usize;
            pairs.build.extend_from_slice(&table.rows[from..from + take as usize]);
            pairs.probe.extend(std::iter::repeat_n(probe, take as usize));
            self.within += take;
            if self.within == run.len {
                self.hit += 1;
                self.within = 0;
            }
        }
    }
}

/// Puts probe rows without a match where they stand among those that have one, with a null build
/// row. Rows from `*next` up to `complete` are known in full; `*next` moves on. Those that `matched` names
/// have a match elsewhere.
pub(super) fn with_unmatched(
    pairs: Pairs,
    next: &mut u32,
    complete: u32,
    matched: impl Fn(u32) -> bool,
) -> (UInt32Array, Vec<u32>) {
    let Pairs { build, probe } = pairs;
    let room = build.len() + complete.saturating_sub(*next) as usize;
    let mut out_build = Vec::with_capacity(room);
    let mut out_probe = Vec::with_capacity(room);
    let mut valid = Vec::with_capacity(room);
    let gap = |from: u32, to: u32, b: &mut Vec<u32>, p: &mut Vec<u32>, v: &mut Vec<bool>| {
        for row in (from..to).filter(|&row| !matched(row)) {
            // A valid row number even where null: the gathers may read it.
            b.push(0);
            p.push(row);
            v.push(false);
        }
    };
    for (build, probe) in build.into_iter().zip(probe) {
        gap(*next, probe, &mut out_build, &mut out_probe, &mut valid);
        out_build.push(build);
        out_probe.push(probe);
        valid.push(true);
        *next = (*next).max(probe + 1);
    }
    gap(*next, complete, &mut out_build, &mut out_probe, &mut valid);
    *next = (*next).max(complete);
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    (UInt32Array::new(out_build.into(), nulls), out_probe)
}
