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
}

impl BytesKeys {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), codes: ByteCodes::with_null(data_type) }
    }
}

impl Keys for BytesKeys {
    fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()> {
        let array = &columns[0];
        ids.clear();
        ids.reserve(array.len());
        self.codes.codes(array, |code| {
            if let Some(code) = code {
                ids.push(code as usize);
            }
        })
    }

    fn len(&self) -> usize {
        self.codes.len()
    }

    fn size(&self) -> usize {
        self.codes.size()
    }

    fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let nulls = one_null(self.codes.take_null(), self.codes.len());
        Ok(vec![self.codes.take(&self.data_type, nulls)?])
    }
}
