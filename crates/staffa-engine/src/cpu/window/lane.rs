//! One lane's rows: held until their partition is whole, evaluated, and passed on with the values.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, NullArray};
use arrow::compute::concat;
use datafusion_common::{Result, internal_err};
use datafusion_execution::memory_pool::MemoryReservation;

use super::function::{Function, Needs};
use super::unit::{Edges, Runs, Unit};
use super::{Shared, needs};
use crate::cpu::sort::size::batch_bytes;
use crate::{LaneOp, Morsel};

/// Evaluates window functions over the rows of a lane.
pub(super) struct WindowLane {
    shared: Arc<Shared>,
    functions: Vec<Box<dyn Function>>,
    /// What functions need: nothing is held where that is no later row.
    needs: Needs,
    partitions: Edges,
    orders: Vec<Edges>,
    /// Rows of the partition whose end has not come; of its last peers only, where functions need no more.
    held: Vec<Morsel>,
    /// Whether rows of that partition have been evaluated.
    begun: bool,
    held_bytes: usize,
    reservation: MemoryReservation,
    ready: VecDeque<Morsel>,
}

impl WindowLane {
    pub(super) fn new(
        shared: Arc<Shared>,
        functions: Vec<Box<dyn Function>>,
        reservation: MemoryReservation,
    ) -> Self {
        Self {
            needs: needs(functions.iter().map(|function| function.needs()), shared.orders.len()),
            begun: false,
            partitions: Edges::new(shared.partition_by.clone()),
            orders: shared.orders.iter().map(|keys| Edges::new(keys.clone())).collect(),
            functions,
            held: Vec::new(),
            held_bytes: 0,
            reservation,
            ready: VecDeque::new(),
            shared,
        }
    }

    fn hold(&mut self, morsel: Morsel) -> Result<()> {
        let batch = morsel.into_batch(&self.shared.input)?;
        self.held_bytes += batch_bytes(&batch);
        self.held.push(Morsel::from_batch(batch));
        // DataFusion's operator holds as much without asking, and there is nothing to let go of: the pool
        // is told, so that others spill, but not asked.
        self.reservation.resize(self.held_bytes);
        Ok(())
    }

    /// A morsel of the open partition. Where functions need no more than peers, what was held is evaluated with
    /// the rows before the last peers: a partition of any size then takes no more memory than those.
    fn go_on(&mut self, morsel: Morsel) -> Result<()> {
        let (Needs::Peers, Some(order)) = (self.needs, self.shared.orders.first()) else {
            return self.hold(morsel);
        };
        let peers = Edges::new(order.clone()).runs(&morsel)?;
        let open = peers.starts.last().copied().unwrap_or(0);
        if open == 0 {
            return self.hold(morsel);
        }
        let mut pieces = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        pieces.push(morsel.slice(0, open)?);
        let continues = std::mem::replace(&mut self.begun, true);
        self.evaluate(pieces, Runs { starts: vec![0], continues })?;
        self.hold(morsel.slice(open, morsel.rows() - open)?)
    }

    /// Evaluates the functions over `pieces`, whose rows make these partitions.
    fn evaluate(&mut self, pieces: Vec<Morsel>, partitions: Runs) -> Result<()> {
        let rows = pieces.iter().map(Morsel::rows).sum();
        if rows == 0 {
            return Ok(());
        }
        let morsel = self.shared.joined(&pieces, rows)?;
        let peers =
            self.orders.iter_mut().map(|order| Ok(order.runs(&morsel)?.refined(&partitions)));
        let peers = peers.collect::<Result<_>>()?;
        let unit = Unit { morsel, rows, partitions, peers };
        let mut columns = Vec::with_capacity(self.functions.len());
        for function in &mut self.functions {
            self.shared.context.cancel.check()?;
            let column = function.evaluate(&unit)?;
            if column.len() != rows {
                return internal_err!("a window function has {} values of {rows}", column.len());
            }
            columns.push(column);
        }
        let mut offset = 0;
        for piece in pieces {
            let rows = piece.rows();
            let values = columns.iter().map(|column| column.slice(offset, rows)).collect();
            self.ready.push_back(piece.zip(Morsel::from_arrays(values, rows)));
            offset += rows;
        }
        Ok(())
    }
}

impl Shared {
    /// The rows of several morsels as one, with the columns that functions read.
    fn joined(&self, pieces: &[Morsel], rows: usize) -> Result<Morsel> {
        if let [piece] = pieces {
            return Ok(piece.clone());
        }
        let column = |at: usize| -> Result<ArrayRef> {
            if !self.reads[at] {
                return Ok(Arc::new(NullArray::new(rows)));
            }
            let parts = pieces.iter().map(|piece| piece.column(at)).collect::<Result<Vec<_>>>()?;
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            Ok(concat(&parts)?)
        };
        let columns = (0..self.reads.len()).map(column).collect::<Result<_>>()?;
        Ok(Morsel::from_arrays(columns, rows))
    }
}

impl LaneOp for WindowLane {
    fn push(&mut self, morsel: Morsel) -> Result<()> {
        let mut partitions = self.partitions.runs(&morsel)?;
        if self.needs == Needs::Earlier {
            return self.evaluate(vec![morsel], partitions);
        }
        let rows = morsel.rows();
        let open = match (partitions.continues, partitions.starts.len()) {
            // The partition goes on.
            (true, 1) => 0,
            (_, runs) => partitions.starts[runs - 1],
        };
        if partitions.continues && partitions.starts.len() == 1 {
            return self.go_on(morsel);
        }
        let held: usize = self.held.iter().map(Morsel::rows).sum();
        let mut pieces = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        if open > 0 {
            pieces.push(morsel.slice(0, open)?);
        }
        // Without the open one; the held rows are the first, or belong to it.
        partitions.starts.pop();
        let own = usize::from(partitions.continues);
        let starts = partitions.starts.iter().skip(own).map(|start| start + held);
        let starts = (held > 0).then_some(0).into_iter().chain(starts).collect();
        let continues = std::mem::take(&mut self.begun);
        self.evaluate(pieces, Runs { starts, continues })?;
        self.hold(morsel.slice(open, rows - open)?)
    }

    fn next(&mut self) -> Result<Option<Morsel>> {
        Ok(self.ready.pop_front())
    }

    fn end(&mut self) -> Result<()> {
        let pieces = std::mem::take(&mut self.held);
        self.evaluate(pieces, Runs { starts: vec![0], continues: self.begun })?;
        self.reservation.free();
        Ok(())
    }
}
