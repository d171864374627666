//! Which rows of a lane have matched, where the build side comes piece by piece.

/// A bit per probe row, in the order in which the rows come in every pass.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    words: Vec<u64>,
    /// Where the current morsel begins.
    base: usize,
    last: bool,
}

impl Earlier {
    /// Bytes for so many rows.
    pub(super) fn bytes(rows: usize) -> usize {
        rows.div_ceil(64) * 8
    }

    /// For `rows` rows, none matched.
    pub(super) fn new(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)], base: 0, last: false }
    }

    /// A pass begins; the `last` one knows of each row whether it has matched.
    pub(super) fn begin(&mut self, last: bool) {
        self.base = 0;
        self.last = last;
    }

    /// A morsel of `rows` rows is done.
    pub(super) fn advance(&mut self, rows: usize) {
        self.base += rows;
    }

    /// Whether there is no further pass.
    pub(super) fn is_last(&self) -> bool {
        self.last
    }

    /// Whether a row of the current morsel has matched.
    pub(super) fn has(&self, row: u32) -> bool {
        let at = self.base + row as usize;
        self.words[at / 64] >> (at % 64) & 1 == 1
    }

    /// Rows of the current morsel have matched.
    pub(super) fn note(&mut self, rows: &[u32]) {
        for &row in rows {
            let at = self.base + row as usize;
            self.words[at / 64] |= 1 << (at % 64);
        }
    }

    /// As [`Earlier::note`], for the rows of the current morsel that are true.
    pub(super) fn note_all(&mut self, matched: &[bool]) {
        for (row, _) in matched.iter().enumerate().filter(|(_, matched)| **matched) {
            let at = self.base + row;
            self.words[at / 64] |= 1 << (at % 64);
        }
    }
}
