//! Pages: their headers, and the table of a column chunk's pages.

mod header;
mod table;
pub(crate) mod thrift;

pub use header::{PageHeader, PageKind};
pub use table::{Page, PageTable, TableInput};
