//! Rows of one row group, as ascending ranges.

use std::ops::Range;

use arrow::buffer::BooleanBuffer;

/// Which rows of a row group to read: ascending, disjoint, non-empty ranges, counted from the row
/// group's first row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    ranges: Vec<Range<u64>>,
    len: u64,
}

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
        let mut s = Self::default();
        for (start, end) in mask.set_slices() {
            s.push(first + start as u64..first + end as u64);
        }
        s
    }

    /// Adds rows behind the last; ranges that touch are joined. Rows that are selected already, or
    /// lie before the last one, are ignored.
    pub fn push(&mut self, rows: Range<u64>) {
        let start = rows.start.max(self.ranges.last().map_or(0, |r| r.end));
        if start >= rows.end {
            return;
        }
        self.len += rows.end - start;
        match self.ranges.last_mut() {
            Some(last) if last.end == start => last.end = rows.end,
            _ => self.ranges.push(start..rows.end),
        }
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
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
        Some(self.ranges.first()?.start..self.ranges.last()?.end)
    }

    /// Rows in both.
    pub fn intersect(&self, other: &Selection) -> Selection {
        let mut out = Selection::default();
        let (mut a, mut b) = (self.ranges.iter().peekable(), other.ranges.iter().peekable());
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
        let i = self.ranges.partition_point(|r| r.end <= rows.start);
        self.ranges.get(i).is_some_and(|r| r.start < rows.end)
    }

    /// Of the selected rows, those for which `keep` has its bit set; bit `i` stands for the `i`-th
    /// selected row. This is what a filter over a decoded batch gives.
    ///
    /// `keep` shorter than the selection keeps nothing beyond its end.
    pub fn filter(&self, keep: &BooleanBuffer) -> Selection {
        let mut out = Selection::default();
        let mut runs = keep.set_slices();
        let mut run = runs.next();
        let mut base = 0u64; // selected rows before the current range
        for r in &self.ranges {
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
        for r in &self.ranges {
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
