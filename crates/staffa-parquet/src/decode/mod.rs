//! The CPU decoder: pages in, Arrow arrays out.
//!
//! A [`ColumnReader`] walks the pages of one column chunk. A page is decompressed once; its
//! definition levels become a bitmap, its values a *body* in one of five forms; a *sink* for the
//! requested Arrow type takes runs of rows from the body.
//!
//! | body | from |
//! |---|---|
//! | fixed-width values | PLAIN, BYTE_STREAM_SPLIT, DELTA_BINARY_PACKED (decoded when the page is opened) |
//! | length-prefixed strings | PLAIN of BYTE_ARRAY |
//! | strings and their lengths | DELTA_LENGTH_BYTE_ARRAY, DELTA_BYTE_ARRAY |
//! | bits | PLAIN and RLE booleans |
//! | codes | RLE_DICTIONARY, PLAIN_DICTIONARY |

use arrow::datatypes::DataType;

mod batch;
mod body;
mod boolean;
mod column;
mod decimal;
mod fixed;
mod fixed_bytes;
mod page;
mod scatter;
mod sink;
mod strings;
mod target;
mod trusted;
mod views;

pub use column::{Column, ColumnReader, ReadOptions};
pub(crate) use page::crc32;
pub use target::{LeafType, supports};

/// Whether values of a type are byte strings of any length.
pub fn is_byte_string(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}
