//! DataFusion's own key tables, for the types that we have none for.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use datafusion_common::Result;
use datafusion_expr::EmitTo;
use datafusion_physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion_physical_plan::aggregates::order::GroupOrdering;

use super::Keys;

/// A [`GroupValues`] of DataFusion.
pub(super) struct VanillaKeys {
    schema: SchemaRef,
    values: Box<dyn GroupValues>,
}

impl VanillaKeys {
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        Ok(Self {
            schema: Arc::clone(schema),
            values: new_group_values(Arc::clone(schema), &GroupOrdering::None)?,
        })
    }
}

impl Keys for VanillaKeys {
    fn intern(&mut self, columns: &[ArrayRef], ids: &mut Vec<usize>) -> Result<()> {
        self.values.intern(columns, ids)
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn size(&self) -> usize {
        self.values.size()
    }

    fn take(&mut self) -> Result<Vec<ArrayRef>> {
        let columns = self.values.emit(EmitTo::All)?;
        self.values = new_group_values(Arc::clone(&self.schema), &GroupOrdering::None)?;
        Ok(columns)
    }
}
