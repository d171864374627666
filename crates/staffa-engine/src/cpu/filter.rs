//! Filter: composes a selection, and gathers only what is so sparse that the rest of the
//! pipeline would spend its time on nearly empty morsels.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion_common::Result;

use super::compact::Compactor;
use super::predicate::Predicate;
use crate::engine::{Lane, OpFactory, Sealed};
use crate::plan::{FilterSpec, Op};
use crate::{LaneOp, Morsel, RunContext};

/// Makes the filters of a stage's lanes.
pub(super) struct Filter {
    predicate: Arc<Predicate>,
    projection: Option<Arc<[usize]>>,
    schema: SchemaRef,
    rows: usize,
    /// Rows that a limit right above is content with.
    enough: Option<usize>,
}

impl Filter {
    pub(super) fn new(
        spec: &FilterSpec,
        op: &Op,
        context: &RunContext,
        enough: Option<usize>,
    ) -> Result<Self> {
        Ok(Self {
            predicate: Arc::new(Predicate::new(&spec.predicate, &op.input)?),
            projection: spec.projection.as_ref().map(|columns| columns.as_slice().into()),
            schema: Arc::clone(&op.schema),
            rows: context.morsel_rows,
            enough,
        })
    }
}

impl OpFactory for Filter {
    fn lane(&self, _: Lane, _: Option<&Arc<dyn Sealed>>) -> Result<Box<dyn LaneOp>> {
        Ok(Box::new(FilterLane {
            predicate: Arc::clone(&self.predicate),
            projection: self.projection.clone(),
            compactor: Compactor::new(Arc::clone(&self.schema), self.rows, self.enough),
        }))
    }
}

struct FilterLane {
    predicate: Arc<Predicate>,
    projection: Option<Arc<[usize]>>,
    compactor: Compactor,
}

impl LaneOp for FilterLane {
    fn push(&mut self, morsel: Morsel) -> Result<()> {
        let passed = self.predicate.filter(&morsel)?;
        if passed.rows() == 0 {
            return Ok(());
        }
        self.compactor.push(match &self.projection {
            Some(columns) => passed.project(columns),
            None => passed,
        })
    }

    fn next(&mut self) -> Result<Option<Morsel>> {
        self.compactor.next()
    }

    fn end(&mut self) -> Result<()> {
        self.compactor.end();
        Ok(())
    }
}
