//! A single string or byte string as the key.

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion_common::Result;

use super::bytes::ByteCodes;
use super::{Keys, one_null};

/// Codes are ids; NULL has one of its own.
pub(super) struct BytesKeys {
    data_type: DataType,
    codes: ByteCodes,
    null: Option<u32>,
}

impl BytesKeys {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            codes: ByteCodes::default(),
            null: None,
        }
    }
}

impl Keys for BytesKeys {
    fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()> {
        let array = &columns[0];
        ids.clear();
        ids.reserve(array.len());
        if array.null_count() > 0 && self.null.is_none() {
            self.null = Some(self.codes.reserve());
        }
        let null = self.null.unwrap_or_default();
        self.codes
            .codes(array, |code| ids.push(code.unwrap_or(null) as usize))
    }

    fn len(&self) -> usize {
        self.codes.len()
    }

    fn size(&self) -> usize {
        self.codes.size()
    }

    fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let nulls = one_null(self.null.take(), self.codes.len());
        Ok(vec![self.codes.take(&self.data_type, nulls)?])
    }
}
