//! Rows of one row group, as ascending ranges.

use std::ops::Range;
use std::sync::OnceLock;

use arrow::buffer::BooleanBuffer;

/// Which rows of a row group to read, counted from its first row: ascending, disjoint, non-empty
/// ranges, or the set bits of a mask.
///
/// A mask is what a filter gives, and stays one: with rows chosen at random, making ranges of it
/// costs several times what decoding all rows and filtering does.
#[derive(Debug, Clone)]
pub struct Selection {
    pub(crate) rows: Rows,
    len: u64,
}

/// A mask with fewer than one row in this many becomes ranges. Measured: with one in ten a mask is
/// twice as fast, with one in a hundred half as fast.
const SPARSE: usize = 30;

#[derive(Debug, Clone)]
pub(crate) enum Rows {
    Ranges(Vec<Range<u64>>),
    /// Row `first + i` where bit `i` is set; the first and the last bit are.
    /// `ranges` says the same, once somebody asks for it.
    Mask {
        first: u64,
        mask: BooleanBuffer,
        ranges: OnceLock<Vec<Range<u64>>>,
    },
}

impl Default for Selection {
    fn default() -> Self {
        Self { rows: Rows::Ranges(vec![]), len: 0 }
    }
}

impl PartialEq for Selection {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.ranges() == other.ranges()
    }
}

impl Eq for Selection {}

impl Selection {
    /// No row.
    pub fn none() -> Self {
        Self::default()
    }

    /// One range; empty when `rows` is.
    pub fn range(rows: Range<u64>) -> Self {
        let mut s = Self::default();
        s.push(rows);
        s
    }

    /// The first `rows` rows: all of a row group.
    pub fn all(rows: u64) -> Self {
        Self::range(0..rows)
    }

    /// The rows `first + i` for which bit `i` of `mask` is set.
    pub fn from_mask(first: u64, mask: &BooleanBuffer) -> Self {
        let len = mask.count_set_bits();
        if len == 0 {
            return Self::default();
        }
        let start = leading_zeros(mask);
        let end = mask.len() - trailing_zeros(mask);
        let first = first + start as u64;
        if end - start == len {
            return Self::range(first..first + len as u64);
        }
        let mask = mask.slice(start, end - start);
        if len < (end - start) / SPARSE {
            let runs = mask.set_slices();
            return runs.map(|(s, e)| first + s as u64..first + e as u64).collect();
        }
        Self { rows: Rows::Mask { first, mask, ranges: OnceLock::new() }, len: len as u64 }
    }

    /// Adds rows behind the last; ranges that touch are joined. Rows that are selected already, or
    /// lie before the last one, are ignored.
    pub fn push(&mut self, rows: Range<u64>) {
        if let Rows::Mask { .. } = self.rows {
            self.rows = Rows::Ranges(self.ranges().to_vec());
        }
        let Rows::Ranges(ranges) = &mut self.rows else { return };
        let start = rows.start.max(ranges.last().map_or(0, |r| r.end));
        if start >= rows.end {
            return;
        }
        self.len += rows.end - start;
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = rows.end,
            _ => ranges.push(start..rows.end),
        }
    }

    /// The ranges; made of the mask when that is what it is.
    pub fn ranges(&self) -> &[Range<u64>] {
        match &self.rows {
            Rows::Ranges(ranges) => ranges,
            Rows::Mask { first, mask, ranges } => ranges.get_or_init(|| {
                mask.set_slices().map(|(s, e)| first + s as u64..first + e as u64).collect()
            }),
        }
    }

    /// Rows selected.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no row is selected.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first row selected and the row behind the last one.
    pub fn bounds(&self) -> Option<Range<u64>> {
        match &self.rows {
            Rows::Ranges(ranges) => Some(ranges.first()?.start..ranges.last()?.end),
            Rows::Mask { first, mask, .. } => Some(*first..first + mask.len() as u64),
        }
    }

    /// Rows in both.
    pub fn intersect(&self, other: &Selection) -> Selection {
        let mut out = Selection::default();
        let (a, b) = (self.ranges(), other.ranges());
        let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
        while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
            let (start, end) = (x.start.max(y.start), x.end.min(y.end));
            if start < end {
                out.push(start..end);
            }
            if x.end <= y.end {
                a.next();
            } else {
                b.next();
            }
        }
        out
    }

    /// Whether any row of `rows` is selected.
    pub fn overlaps(&self, rows: &Range<u64>) -> bool {
        match &self.rows {
            Rows::Ranges(ranges) => {
                let i = ranges.partition_point(|r| r.end <= rows.start);
                ranges.get(i).is_some_and(|r| r.start < rows.end)
            }
            Rows::Mask { first, mask, .. } => {
                let start = rows.start.max(*first);
                let end = rows.end.min(first + mask.len() as u64);
                let at = start.saturating_sub(*first) as usize;
                start < end && mask.slice(at, (end - start) as usize).count_set_bits() > 0
            }
        }
    }

    /// Of the selected rows, those for which `keep` has its bit set; bit `i` stands for the `i`-th
    /// selected row. This is what a filter over a decoded batch gives.
    ///
    /// `keep` shorter than the selection keeps nothing beyond its end.
    pub fn filter(&self, keep: &BooleanBuffer) -> Selection {
        if let Rows::Ranges(ranges) = &self.rows
            && let [rows] = &ranges[..]
        {
            // A morsel: the mask itself says which of its rows.
            let len = (rows.end - rows.start).min(keep.len() as u64) as usize;
            return Self::from_mask(rows.start, &keep.slice(0, len));
        }
        let mut out = Selection::default();
        let mut runs = keep.set_slices();
        let mut run = runs.next();
        let mut base = 0u64; // selected rows before the current range
        for r in self.ranges() {
            let end = base + (r.end - r.start);
            while let Some((s, e)) = run {
                let (s, e) = (s as u64, e as u64);
                if s >= end {
                    break;
                }
                out.push(r.start + s.max(base) - base..r.start + e.min(end) - base);
                if e > end {
                    break;
                }
                run = runs.next();
            }
            base = end;
        }
        out
    }

    /// Cuts into selections of at most `rows` selected rows each: a row group's morsels.
    pub fn batches(&self, rows: u64) -> Vec<Selection> {
        let rows = rows.max(1);
        let mut out = vec![];
        let mut batch = Selection::default();
        for r in self.ranges() {
            let mut start = r.start;
            while start < r.end {
                let end = r.end.min(start + (rows - batch.len));
                batch.push(start..end);
                start = end;
                if batch.len == rows {
                    out.push(std::mem::take(&mut batch));
                }
            }
        }
        if !batch.is_empty() {
            out.push(batch);
        }
        out
    }
}

fn leading_zeros(mask: &BooleanBuffer) -> usize {
    mask.set_indices().next().unwrap_or(mask.len())
}

/// Looks at 64 bits at a time from the end.
fn trailing_zeros(mask: &BooleanBuffer) -> usize {
    let mut end = mask.len();
    while end > 0 {
        let n = end.min(64);
        if let Some(last) = mask.slice(end - n, n).set_indices().last() {
            return mask.len() - (end - n + last + 1);
        }
        end -= n;
    }
    mask.len()
}

impl FromIterator<Range<u64>> for Selection {
    /// Collects ascending ranges, as [`push`](Self::push) does.
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut s = Self::default();
        ranges.into_iter().for_each(|r| s.push(r));
        s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(s: &Selection) -> Vec<u64> {
        s.ranges().iter().cloned().flatten().collect()
    }

    #[test]
    fn equals_lists_of_rows() {
        let mut seed = 3u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            (seed >> 33) % n
        };
        for _ in 0..300 {
            let mut pick = |n: u64| -> Vec<bool> {
                let density = next(10) + 1;
                (0..n).map(|_| next(10) < density).collect()
            };
            let (a, b) = (pick(150), pick(150));
            let sa = Selection::from_mask(0, &BooleanBuffer::from(a.clone()));
            let sb = Selection::from_mask(0, &BooleanBuffer::from(b.clone()));
            let list = |m: &[bool]| -> Vec<u64> { (0..150).filter(|i| m[*i as usize]).collect() };
            assert_eq!(rows(&sa), list(&a));
            let both: Vec<bool> = a.iter().zip(&b).map(|(x, y)| *x && *y).collect();
            assert_eq!(rows(&sa.intersect(&sb)), list(&both));
            let keep = pick(sa.len());
            let want: Vec<u64> =
                rows(&sa).into_iter().zip(&keep).filter(|(_, k)| **k).map(|(r, _)| r).collect();
            assert_eq!(rows(&sa.filter(&BooleanBuffer::from(keep))), want);
            let batches = sa.batches(7);
            assert!(batches.iter().all(|s| s.len() <= 7 && !s.is_empty()));
            let joined: Vec<u64> = batches.iter().flat_map(rows).collect();
            assert_eq!(joined, rows(&sa));
            for r in [0..1, 5..9, 140..150, 149..200, 300..301] {
                let want = rows(&sa).iter().any(|x| r.contains(x));
                assert_eq!(sa.overlaps(&r), want);
            }
        }
        assert_eq!(Selection::range(5..5), Selection::none());
    }
}
