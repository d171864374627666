//! The error slot, through which kernels report bad input.

use bytemuck::{Pod, Zeroable};
use staffa_common::{FaultClass, StaffaError};

/// The first error that a kernel met; all zero before the launch and when there was none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct ErrorSlot {
    /// An [`ErrorCode`]; 0: none.
    pub code: u32,
    /// Page ordinal, or operator number (`where` in C++).
    pub where_: u32,
    /// Within the page, or within the morsel.
    pub row: u32,
    /// An index, a length or a width, by code.
    pub detail: u32,
    /// What `detail` had to stay within, where there is such a bound.
    pub bound: u64,
    /// Zero.
    pub reserved: u64,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $text:literal;)+) => {
        /// What is wrong with a page. Numbers are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum ErrorCode { $(#[doc = $text] $name = $code),+ }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name),+];

            /// The code with this number.
            pub fn from_number(number: u32) -> Option<Self> {
                match number { $($code => Some(Self::$name),)+ _ => None }
            }

            /// What it means, for messages.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }
        }
    };
}

codes! {
    LevelsTruncated = 1, "definition levels end before the page's rows";
    LevelRange = 2, "a definition level is above the column's maximum";
    LevelsSection = 3, "the definition levels are longer than the page";
    ValuesTruncated = 4, "values end before the page's rows";
    RunHeader = 5, "a run header is no varint of at most 32 bits, or its value needs more bits than its width";
    IndexWidth = 6, "dictionary indexes have more than 32 bits";
    IndexRange = 7, "a dictionary index is not below the dictionary's size";
    StringLength = 8, "a string is longer than the rest of its page, or its length is negative";
    DeltaHeader = 9, "a delta header has block sizes that the format forbids";
    DeltaWidth = 10, "a delta miniblock is wider than its type";
    DeltaCount = 11, "a delta header declares fewer values than the page has rows";
    DeltaTruncated = 12, "delta blocks end before the values do";
    PrefixLength = 13, "a prefix is longer than the string before it, or its length is negative";
    HeapSize = 14, "strings need more bytes than were reserved for them";
    CompressedHeader = 15, "the compressed bytes declare another size than the page header";
    CompressedTruncated = 16, "the compressed bytes end inside a token";
    CompressedOffset = 17, "the compressed bytes copy from before their start";
    CompressedOverflow = 18, "decompression gives more bytes than the page header says";
    CompressedShort = 19, "decompression gives fewer bytes than the page header says";
    DecimalWidth = 20, "a decimal has more bytes than its type, or none";
    FixedWidth = 21, "a value's length is not the column's fixed length";
    Utf8 = 22, "a string is not UTF-8";
}

impl ErrorSlot {
    /// The error as a typed one, without the file, row group and column that only the caller knows.
    ///
    /// # Errors
    /// `BadInput` for a known code, `Bug` for a number that no kernel writes.
    pub fn check(&self) -> Result<(), StaffaError> {
        if self.code == 0 {
            return Ok(());
        }
        let Some(code) = ErrorCode::from_number(self.code) else {
            return Err(StaffaError::bug(format!(
                "a kernel reported the unknown error {}",
                self.code
            )));
        };
        Err(StaffaError::new(
            FaultClass::BadInput,
            format!(
                "P{:03} {} (page {}, row {}, {} against {})",
                self.code,
                code.meaning(),
                self.where_,
                self.row,
                self.detail,
                self.bound
            ),
        ))
    }
}
