//! What a comparison found, and how it reads.

use std::fmt::Write;

use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::Answer;

/// Which of the two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

/// One thing that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Of the schemas, in words.
    Schema(String),
    /// Answers with no columns have different numbers of rows.
    RowCount,
    /// A row that the other side lacks.
    Row {
        /// The side that has it.
        side: Side,
        /// Its index in that side's answer.
        index: usize,
        /// `column=value` of every column.
        cells: String,
    },
    /// The same rows, but the sort keys differ at this row.
    Order {
        /// Index of the row.
        index: usize,
        /// The keys compared.
        keys: String,
    },
}

/// The outcome of [`super::compare`].
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Rows of the left answer.
    pub left_rows: usize,
    /// Rows of the right answer.
    pub right_rows: usize,
    /// Rows that only the left answer has.
    pub only_left: usize,
    /// Rows that only the right answer has.
    pub only_right: usize,
    /// The first differences; empty when equal.
    pub differences: Vec<Difference>,
    shown: usize,
}

impl Comparison {
    pub(super) fn new(left: &Answer, right: &Answer, shown: usize) -> Self {
        Self {
            left_rows: left.rows(),
            right_rows: right.rows(),
            only_left: 0,
            only_right: 0,
            differences: vec![],
            shown: if shown == 0 { 10 } else { shown },
        }
    }

    /// Whether both answers are the same.
    pub fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    pub(super) fn push_schema(&mut self, what: String) {
        self.differences.push(Difference::Schema(what));
    }

    pub(super) fn push_row_counts(&mut self) {
        if self.left_rows != self.right_rows {
            self.differences.push(Difference::RowCount);
        }
    }

    pub(super) fn push_order(&mut self, index: usize, keys: String) {
        self.differences.push(Difference::Order { index, keys });
    }

    pub(super) fn push_rows(
        &mut self,
        answer: &Answer,
        rows: &[usize],
        side: Side,
    ) -> Result<(), ArrowError> {
        match side {
            Side::Left => self.only_left = rows.len(),
            Side::Right => self.only_right = rows.len(),
        }
        for &index in rows.iter().take(self.shown) {
            let cells = cells(answer, index)?;
            self.differences.push(Difference::Row { side, index, cells });
        }
        Ok(())
    }

    /// Lines for people: `equal, N rows`, or what differs, with the sides called by these names.
    pub fn render(&self, left: &str, right: &str) -> String {
        if self.is_equal() {
            return format!("equal, {} rows", self.left_rows);
        }
        let mut text = format!(
            "different: {left} has {} rows, {right} has {}",
            self.left_rows, self.right_rows
        );
        if self.only_left + self.only_right > 0 {
            let (l, r) = (self.only_left, self.only_right);
            // Writing to a String does not fail.
            let _ = write!(text, "; {l} only in {left}, {r} only in {right}");
        }
        let name = |side| if side == Side::Left { left } else { right };
        for difference in &self.differences {
            let _ = match difference {
                Difference::Schema(what) => write!(text, "\n  schema: {what}"),
                Difference::RowCount => write!(text, "\n  number of rows"),
                Difference::Row { side, index, cells } => {
                    write!(text, "\n  only {} [row {index}]: {cells}", name(*side))
                }
                Difference::Order { index, keys } => {
                    write!(text, "\n  same rows, but the order by {keys} differs at row {index}")
                }
            };
        }
        text
    }
}

/// `column=value` of every column of a row.
fn cells(answer: &Answer, mut row: usize) -> Result<String, ArrowError> {
    let options = FormatOptions::default().with_null("NULL");
    let mut text = String::new();
    for batch in &answer.batches {
        if row >= batch.num_rows() {
            row -= batch.num_rows();
            continue;
        }
        for (field, column) in answer.schema.fields().iter().zip(batch.columns()) {
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
            let comma = if text.is_empty() { "" } else { ", " };
            let _ =
                write!(text, "{comma}{}={}", field.name(), formatter.value(row).try_to_string()?);
        }
        break;
    }
    Ok(text)
}
