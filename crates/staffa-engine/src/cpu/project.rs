//! Projection.

use std::sync::Arc;

use datafusion_common::Result;

use crate::bound::BoundExpr;
use crate::engine::{Lane, OpFactory, Sealed};
use crate::plan::{Op, ProjectSpec};
use crate::{LaneOp, Morsel};

/// Makes the projections of a stage's lanes.
pub(super) struct Project {
    exprs: Arc<[BoundExpr]>,
}

impl Project {
    pub(super) fn new(spec: &ProjectSpec, op: &Op) -> Result<Self> {
        Ok(Self { exprs: BoundExpr::all(&spec.exprs, &op.input)?.into() })
    }
}

impl OpFactory for Project {
    fn lane(&self, _: Lane, _: Option<&Arc<dyn Sealed>>) -> Result<Box<dyn LaneOp>> {
        Ok(Box::new(ProjectLane { exprs: Arc::clone(&self.exprs), ready: None }))
    }
}

struct ProjectLane {
    exprs: Arc<[BoundExpr]>,
    ready: Option<Morsel>,
}

impl LaneOp for ProjectLane {
    fn push(&mut self, morsel: Morsel) -> Result<()> {
        let mut out = Morsel::from_arrays(Vec::with_capacity(self.exprs.len()), morsel.rows());
        for expr in self.exprs.iter() {
            // A plain column stays as it is, not gathered.
            out = match expr.as_column() {
                Some(index) => out.zip(morsel.project(&[index])),
                None => out.with_column(expr.array(&morsel)?),
            };
        }
        self.ready = Some(out);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Morsel>> {
        Ok(self.ready.take())
    }
}
