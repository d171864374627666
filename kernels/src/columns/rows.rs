//! Which rows a launch takes, and whether columns hold what their descriptors say.

use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Launch, Result};

use crate::abi::{Column, ColumnKind, RowsAbi};
use crate::expression::InputColumn;

/// The rows of a launch: the first `rows` of the columns, or those that a selection names.
///
/// Selected rows stand at *positions*, and what a launch makes per row has the position's number.
#[derive(Debug, Clone, Copy)]
pub struct RowList<'a> {
    /// Positions at most.
    pub rows: u32,
    /// Row numbers, made by a kernel: each is below the columns' rows.
    pub selection: Option<&'a DeviceSlice<u32>>,
    /// One value: how many positions there are, at most `rows`.
    pub count: Option<&'a DeviceSlice<u32>>,
}

impl<'a> RowList<'a> {
    /// The first `rows` rows.
    pub fn all(rows: u32) -> Self {
        Self { rows, selection: None, count: None }
    }

    /// The rows that a selection names, as many as `count` says.
    pub fn selected(selection: &'a DeviceSlice<u32>, count: &'a DeviceSlice<u32>) -> Result<Self> {
        let rows = row_count(selection.len())?;
        Ok(Self { rows, selection: Some(selection), count: Some(count) })
    }

    /// The list as kernels take it.
    pub(crate) fn abi(&self, stop: u64) -> Result<RowsAbi> {
        if self.rows > i32::MAX as u32 {
            return Err(CudaError::Misuse(format!("{} rows in a morsel", self.rows)));
        }
        if self.selection.is_some_and(|s| s.len() < self.rows as usize)
            || self.count.is_some_and(DeviceSlice::is_empty)
        {
            return Err(CudaError::Misuse("a selection without its rows or count".into()));
        }
        Ok(RowsAbi {
            selection: self.selection.map_or(0, DeviceSlice::address),
            count: self.count.map_or(0, DeviceSlice::address),
            stop,
            rows: self.rows,
            reserved: 0,
        })
    }

    /// Names the memory that a launch reads.
    pub(crate) fn using<'l>(&self, mut launch: Launch<'l>) -> Launch<'l> {
        for memory in [self.selection, self.count].into_iter().flatten() {
            launch = launch.using_read(memory);
        }
        launch
    }

    /// Whether columns of `rows` rows have all rows of the list, as far as the host can tell.
    pub(crate) fn check(&self, rows: u32) -> Result<()> {
        if self.selection.is_none() && self.rows > rows {
            return Err(CudaError::Misuse(format!("{} rows of columns of {rows}", self.rows)));
        }
        Ok(())
    }
}

/// A list to compare others with. It shares the memory, so that no other list can come to stand there.
pub(crate) struct KeptList {
    rows: u32,
    selection: Option<DeviceSlice<u32>>,
    count: Option<DeviceSlice<u32>>,
}

impl KeptList {
    pub(crate) fn new(list: &RowList<'_>) -> Self {
        let (selection, count) = (list.selection.cloned(), list.count.cloned());
        Self { rows: list.rows, selection, count }
    }

    /// Whether this is the same list: the same memory, not only the same rows.
    pub(crate) fn is(&self, list: &RowList<'_>) -> bool {
        let at = |memory: Option<&DeviceSlice<u32>>| memory.map(|m| (m.address(), m.len()));
        self.rows == list.rows
            && at(self.selection.as_ref()) == at(list.selection)
            && at(self.count.as_ref()) == at(list.count)
    }
}

/// A length as a number of rows.
pub(crate) fn row_count(len: usize) -> Result<u32> {
    u32::try_from(len)
        .ok()
        .filter(|&rows| rows <= i32::MAX as u32)
        .ok_or_else(|| CudaError::Misuse(format!("{len} rows in a morsel")))
}

/// Words of a bitmap.
pub(crate) fn bitmap_words(rows: u32) -> usize {
    rows.div_ceil(32) as usize
}

/// Names a column's memory.
pub(crate) fn using_column<'l>(mut launch: Launch<'l>, column: &InputColumn) -> Launch<'l> {
    for buffer in &column.buffers {
        launch = launch.using_read(buffer);
    }
    launch
}

/// Names memory that is there only sometimes.
pub(crate) fn using_optional<'l, T: bytemuck::Pod>(
    launch: Launch<'l>,
    memory: Option<&mut DeviceBuffer<T>>,
) -> Launch<'l> {
    match memory {
        Some(memory) => launch.using_write(memory),
        None => launch,
    }
}

/// Checks that a column's addresses lie inside its buffers, for all its rows.
pub(crate) fn check_column(column: &InputColumn) -> Result<()> {
    let c = &column.descriptor;
    let wrong = |what: &str| Err(CudaError::Misuse(format!("a column {what}: {c:?}")));
    let Some(values) = stored_bytes(c.kind, c.width, c.rows) else {
        return wrong("of no known kind or width");
    };
    let dictionary = if c.kind == ColumnKind::Codes as u8 {
        match stored_bytes(c.dictionary_kind, c.width, c.dictionary_rows) {
            Some(bytes) if c.dictionary_kind != ColumnKind::Codes as u8 => bytes,
            _ => return wrong("with a dictionary of no known kind or width"),
        }
    } else {
        0
    };
    let validity = if c.validity == 0 { 0 } else { 4 * bitmap_words(c.rows) as u64 };
    for (address, bytes) in [(c.values, values), (c.dictionary, dictionary), (c.validity, validity)]
    {
        let inside = |buffer: &DeviceSlice<u8>| {
            let start = buffer.address();
            start <= address
                && address.checked_add(bytes).is_some_and(|end| end <= start + buffer.bytes())
        };
        if bytes != 0 && !column.buffers.iter().any(inside) {
            return wrong("whose addresses are outside of its buffers");
        }
    }
    Ok(())
}

/// Bytes of `rows` values as stored; `None` for what no kernel reads.
fn stored_bytes(kind: u8, width: u32, rows: u32) -> Option<u64> {
    let rows64 = u64::from(rows);
    let fixed = matches!(width, 1 | 2 | 4 | 8 | 16 | 32);
    match kind {
        k if k == ColumnKind::Fixed as u8 && fixed => Some(rows64 * u64::from(width)),
        k if k == ColumnKind::Bytes as u8 && width > 0 => rows64.checked_mul(u64::from(width)),
        k if k == ColumnKind::Bits as u8 => Some(4 * bitmap_words(rows) as u64),
        k if k == ColumnKind::Spans as u8 => Some(rows64 * 16),
        k if k == ColumnKind::Codes as u8 => Some(rows64 * 4),
        _ => None,
    }
}

/// The kind and bytes a value of a column, dictionaries followed.
pub(crate) fn logical_storage(c: &Column) -> (u8, u32) {
    let kind = if c.kind == ColumnKind::Codes as u8 { c.dictionary_kind } else { c.kind };
    let width = if kind == ColumnKind::Spans as u8 { 16 } else { c.width };
    (kind, width)
}
