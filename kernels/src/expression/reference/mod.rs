//! The interpreter on the host, a row at a time: an oracle for tests, written for plainness.
//!
//! It shares no code with the kernels. Registers are bytes of a row at the program's own offsets, so a
//! fault in register allocation shows here as well.

mod numbers;
mod row;
mod strings;
mod temporal;

use super::constant::Constant;
use super::program::Program;
pub(super) use numbers::decode;
use row::Row;

/// A value, or NULL.
pub type Cell = Option<Constant>;

/// A column on the host.
#[derive(Debug, Clone, PartialEq)]
pub enum HostColumn {
    /// A value a row.
    Plain(Vec<Cell>),
    /// Codes into a dictionary without NULLs.
    Codes {
        /// A code a row.
        codes: Vec<Option<u32>>,
        /// The entries.
        dictionary: Vec<Constant>,
    },
}

impl HostColumn {
    /// Rows.
    pub fn rows(&self) -> usize {
        match self {
            HostColumn::Plain(cells) => cells.len(),
            HostColumn::Codes { codes, .. } => codes.len(),
        }
    }

    fn cell(&self, row: usize) -> Cell {
        match self {
            HostColumn::Plain(cells) => cells.get(row).cloned().flatten(),
            HostColumn::Codes { codes, dictionary } => codes
                .get(row)
                .copied()
                .flatten()
                .and_then(|code| dictionary.get(code as usize).cloned()),
        }
    }
}

/// What a program gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Outcome {
    /// The output columns.
    pub columns: Vec<Vec<Cell>>,
    /// Input rows that stayed, in order.
    pub rows: Vec<u32>,
}

/// The program met a row on which arrow would return an error, or that only the host handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rerun {
    /// The row.
    pub row: u32,
    /// The instruction.
    pub instruction: usize,
}

/// Runs a program over columns, or over the rows of a selection.
///
/// # Errors
/// [`Rerun`] where the device would raise its error slot.
pub fn run(
    program: &Program,
    columns: &[HostColumn],
    selection: Option<&[u32]>,
) -> Result<Outcome, Rerun> {
    let total = columns.first().map_or(0, HostColumn::rows);
    let every: Vec<u32> = (0..u32::try_from(total).unwrap_or(u32::MAX)).collect();
    let mut outcome =
        Outcome { columns: vec![Vec::new(); program.outputs().len()], rows: Vec::new() };
    for row in selection.unwrap_or(&every) {
        let mut state = Row::new(program, columns, *row);
        if let Some(cells) = state.run()? {
            outcome.rows.push(*row);
            for (column, cell) in outcome.columns.iter_mut().zip(cells) {
                column.push(cell);
            }
        }
    }
    Ok(outcome)
}
