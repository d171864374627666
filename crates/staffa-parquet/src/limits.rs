//! Bounds on memory that bytes of a file may claim.

/// Bounds on what a file may make a reader allocate. Row counts and type widths bound the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest page, decompressed, in bytes. At most 2 GiB - 1.
    pub page_bytes: usize,
    /// The most bytes of strings that one call to `decode` may copy out; arrays of views copy none.
    pub batch_bytes: usize,
    /// The largest footer in bytes.
    pub footer_bytes: u64,
    /// Check the CRC-32 of pages that carry one. Costs about 0.1 ns a compressed byte.
    pub check_crc: bool,
}

impl Default for Limits {
    /// Pages up to 1 GiB, batches of strings up to 4 GiB, footers up to 512 MiB, no CRC check.
    fn default() -> Self {
        Self {
            page_bytes: 1 << 30,
            batch_bytes: 4 << 30,
            footer_bytes: 512 << 20,
            check_crc: false,
        }
    }
}
