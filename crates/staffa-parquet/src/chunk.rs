//! The fetched bytes of a column chunk: all of it, or the pages that were asked for.

use std::ops::Range;

use bytes::Bytes;

/// Bytes of one column chunk, addressed by their offset in the file.
#[derive(Debug, Clone, Default)]
pub struct ChunkBytes {
    range: Range<u64>,
    /// Ascending, disjoint.
    pieces: Vec<(u64, Bytes)>,
}

impl ChunkBytes {
    /// A chunk that lies at `range` of the file, with the pieces of it that were fetched. Pieces
    /// may come in any order; what lies outside the chunk is ignored.
    pub fn new(range: Range<u64>, pieces: impl IntoIterator<Item = (u64, Bytes)>) -> Self {
        let mut pieces: Vec<_> = pieces
            .into_iter()
            .filter_map(|(at, bytes)| {
                let end = (at + bytes.len() as u64).min(range.end);
                let start = at.max(range.start);
                (start < end)
                    .then(|| (start, bytes.slice((start - at) as usize..(end - at) as usize)))
            })
            .collect();
        pieces.sort_by_key(|(at, _)| *at);
        Self { range, pieces }
    }

    /// A whole chunk that starts at `offset` of the file.
    pub fn whole(offset: u64, bytes: Bytes) -> Self {
        Self { range: offset..offset + bytes.len() as u64, pieces: vec![(offset, bytes)] }
    }

    /// Where the chunk lies in the file.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// Whether all bytes are there, in one piece.
    pub fn is_whole(&self) -> bool {
        self.range.is_empty()
            || matches!(&self.pieces[..], [(at, b)]
                if *at == self.range.start && b.len() as u64 == self.range.end - self.range.start)
    }

    /// The bytes at a range of the file, if they were fetched in one piece. Shares the buffer.
    pub fn slice(&self, range: Range<u64>) -> Option<Bytes> {
        let i = self.pieces.partition_point(|(at, _)| *at <= range.start).checked_sub(1)?;
        let (at, bytes) = &self.pieces[i];
        let start = usize::try_from(range.start - at).ok()?;
        let end = usize::try_from(range.end.checked_sub(*at)?).ok()?;
        (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
    }

    /// Bytes held.
    pub fn len_bytes(&self) -> usize {
        self.pieces.iter().map(|(_, b)| b.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces() {
        let all = Bytes::from_static(b"0123456789");
        let c = ChunkBytes::whole(100, all.clone());
        assert!(c.is_whole());
        assert_eq!(c.slice(102..105).as_deref(), Some(&b"234"[..]));
        assert_eq!(c.slice(99..105), None);
        assert_eq!(c.slice(105..111), None);
        let c = ChunkBytes::new(102..108, [(106, all.slice(6..10)), (100, all.slice(0..4))]);
        assert!(!c.is_whole());
        assert_eq!(c.slice(102..104).as_deref(), Some(&b"23"[..]));
        assert_eq!(c.slice(106..108).as_deref(), Some(&b"67"[..]));
        assert_eq!(c.slice(102..107), None);
        assert_eq!(c.slice(107..109), None);
        assert_eq!(c.len_bytes(), 4);
    }
}
