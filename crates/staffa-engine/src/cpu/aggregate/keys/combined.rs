//! Rows of few different keys whose columns all come as codes of dictionaries: the codes together are an address.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, UInt32Type};

/// Combinations of dictionary entries that have a place, at most; and for each, so many rows are looked up at once or
/// more, as each is looked up in the table once.
const MOST: usize = 1 << 12;
const ROWS_EACH: usize = 32;

/// Ids of combinations of entries of some dictionaries.
#[derive(Default)]
pub(super) struct Combined {
    dictionaries: Vec<ArrayRef>,
    /// Id + 1 by combination, or 0 for one that was not looked up.
    ids: Vec<u32>,
    /// Combination by row.
    rows: Vec<u32>,
}

impl Combined {
    /// Gives each row's id, as `intern` gives it for the first row with the same entries. False where the columns do not
    /// all come as such codes, one has a NULL, or there are many combinations: nothing has been done then.
    ///
    /// # Errors
    /// Those of `intern`.
    pub(super) fn ids<E>(
        &mut self,
        columns: &[ArrayRef],
        ids: &mut Vec<usize>,
        mut intern: impl FnMut(&[ArrayRef]) -> Result<u32, E>,
    ) -> Result<bool, E> {
        let Some(combinations) = combinations(columns) else {
            return Ok(false);
        };
        let dictionaries = columns.iter().map(|column| column.as_dictionary::<UInt32Type>());
        let known = self.dictionaries.len() == columns.len()
            && self
                .dictionaries
                .iter()
                .zip(dictionaries.clone())
                .all(|(a, b)| Arc::ptr_eq(a, b.values()));
        if !known {
            self.dictionaries =
                dictionaries.clone().map(|column| Arc::clone(column.values())).collect();
            self.ids.clear();
            self.ids.resize(combinations, 0);
        }
        self.rows.clear();
        for (at, column) in dictionaries.enumerate() {
            let (codes, entries) = (column.keys().values(), column.values().len() as u32);
            match at {
                0 => self.rows.extend_from_slice(codes),
                _ => {
                    let rows = self.rows.iter_mut().zip(codes);
                    rows.for_each(|(row, code)| *row = *row * entries + code);
                }
            }
        }
        ids.clear();
        ids.reserve(self.rows.len());
        for (row, &combination) in self.rows.iter().enumerate() {
            let id = &mut self.ids[combination as usize];
            if *id == 0 {
                let columns: Vec<ArrayRef> =
                    columns.iter().map(|column| column.slice(row, 1)).collect();
                *id = intern(&columns)? + 1;
            }
            ids.push(*id as usize - 1);
        }
        Ok(true)
    }

    /// Forgets all ids.
    pub(super) fn clear(&mut self) {
        self.dictionaries.clear();
    }

    /// Bytes held, without the dictionaries.
    pub(super) fn size(&self) -> usize {
        (self.ids.capacity() + self.rows.capacity()) * size_of::<u32>()
    }
}

/// How many combinations the columns' entries have, where these are looked up.
fn combinations(columns: &[ArrayRef]) -> Option<usize> {
    let rows = columns.first()?.len();
    let mut combinations = 1;
    for column in columns {
        let DataType::Dictionary(key, _) = column.data_type() else { return None };
        if key.as_ref() != &DataType::UInt32 || column.null_count() > 0 {
            return None;
        }
        combinations *= column.as_dictionary::<UInt32Type>().values().len();
        if combinations == 0 || combinations > MOST.min(rows / ROWS_EACH) {
            return None;
        }
    }
    Some(combinations)
}
