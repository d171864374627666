//! A lane of a lifted chain: collects the host's morsels, has the device do them together, and gives back what comes
//! out. What the device cannot do of them, for whatever reason, goes on as it came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::ArrayRef;
use arrow::compute::concat;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::physical_expr::expressions::Column;
use futures::StreamExt;
use staffa_common::StaffaError;
use staffa_engine::{LaneStream, Morsel, Sealed};
use staffa_kernels::abi::ErrorSlot;
use staffa_kernels::expression::InputColumn;
use staffa_parquet::cuda::DeviceColumn;

use super::chain::{Came, DeviceChain, Uploaded, undone};
use super::grouping::Outcome;
use super::joined::Joined;
use super::lift::LiftedRun;
use super::metrics::LiftMetrics;
use super::riding::{Made, Putting};
use super::together::{Parked, Together};

/// Rows, and bytes of the columns that the host holds, that go to the device at a time.
const MOST_ROWS: usize = 1 << 20;
const MOST_BYTES: usize = 64 << 20;
/// Bytes of the host that a lane remembers until its groups are there; then the groups leave the device.
const MOST_HELD_BYTES: usize = 256 << 20;

/// Morsels of the host that the device has, for the CPU to do where that comes to nothing.
pub(super) struct Held {
    morsels: Vec<Morsel>,
    rows: usize,
    reservation: MemoryReservation,
}

/// See the module.
pub(super) struct LiftLane {
    run: Arc<LiftedRun>,
    source: Option<LaneStream>,
    builds: Vec<Option<Arc<dyn Sealed>>>,
    lane: usize,
    metrics: LiftMetrics,
    /// Whether the device was asked; it is when the first rows are here.
    asked: bool,
    /// None where the device does nothing of this.
    device: Option<(DeviceChain<Held>, Arc<Joined>)>,
    /// Where its groups go when it ends.
    together: Option<Arc<Together<Parked<Held>>>>,
    /// Rows from the device, which go on in pieces that fit caches.
    made: VecDeque<Putting>,
    /// Morsels that go on as they are.
    out: VecDeque<Morsel>,
    /// Bytes of what the groups hold.
    held_bytes: usize,
}

impl LiftLane {
    pub(super) fn new(
        run: Arc<LiftedRun>,
        lane: usize,
        source: LaneStream,
        builds: Vec<Option<Arc<dyn Sealed>>>,
    ) -> Self {
        Self {
            metrics: run.metrics(lane),
            together: run.together.clone(),
            run,
            source: Some(source),
            builds,
            lane,
            asked: false,
            device: None,
            made: VecDeque::new(),
            out: VecDeque::new(),
            held_bytes: 0,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Morsel>> {
        loop {
            if let Some(made) = self.made.front_mut() {
                if let Some(piece) = made.next(self.run.context.morsel_rows).await? {
                    return Ok(Some(piece));
                }
                self.made.pop_front();
                continue;
            }
            if let Some(morsel) = self.out.pop_front() {
                return Ok(Some(morsel));
            }
            self.run.context.cancel.check()?;
            if self.source.is_some() && self.may_ask() {
                let held = self.collect().await?;
                if held.rows > 0 {
                    self.work(held).await?;
                }
                continue;
            }
            let ends = self.source.is_none();
            if ends && let Some(together) = self.together.take() {
                self.end(&together).await;
                continue;
            }
            if self.device.as_ref().is_some_and(|(chain, _)| chain.holds_groups()) {
                self.flush().await;
                continue;
            }
            let Some(source) = &mut self.source else { return Ok(None) };
            let morsel = source.next().await.transpose()?;
            if morsel.is_none() {
                self.source = None;
                continue;
            }
            self.metrics.left.add(morsel.as_ref().map_or(0, Morsel::rows));
            return Ok(morsel);
        }
    }

    /// Whether the device may take the next rows.
    fn may_ask(&self) -> bool {
        !self.asked || self.device.as_ref().is_some_and(|(chain, _)| chain.lives())
    }

    /// Has the build sides brought to the device, and takes a part of it for this lane.
    async fn ask(&mut self) {
        self.asked = true;
        if let Some(joined) = self.run.resolve(&self.builds).await {
            self.device = self.run.chain(self.lane).map(|chain| (chain, joined));
        }
    }

    /// Morsels that the device takes together; none at the end.
    async fn collect(&mut self) -> Result<Held> {
        let reservation = self.run.context.reservation("rows for a device");
        let mut held = Held { morsels: Vec::new(), rows: 0, reservation };
        let mut bytes = 0;
        while held.rows < MOST_ROWS && bytes < MOST_BYTES {
            let Some(source) = &mut self.source else { break };
            let Some(morsel) = source.next().await.transpose()? else {
                self.source = None;
                break;
            };
            held.rows += morsel.rows();
            bytes += morsel.host_bytes();
            if morsel.rows() > 0 {
                held.morsels.push(morsel);
            }
        }
        if held.reservation.try_grow(bytes).is_err() {
            // The groups hold rows, too.
            self.flush().await;
            if held.reservation.try_grow(bytes).is_err() {
                self.put_out(std::mem::take(&mut held.morsels));
                held.rows = 0;
            }
        }
        Ok(held)
    }

    /// Has the device do morsels.
    async fn work(&mut self, held: Held) -> Result<()> {
        if !self.asked {
            self.ask().await;
        }
        let Some((chain, joined)) = &mut self.device else {
            self.put_out(held.morsels);
            return Ok(());
        };
        let began = Instant::now();
        let bytes = held.reservation.size();
        let came = match upload(chain, joined, &held) {
            Ok((columns, rows, sources)) => {
                self.metrics.morsels.add(1);
                self.metrics.rows.add(held.rows);
                let entering = Uploaded { columns, rows, sources: &sources };
                chain.join(joined, entering, held).await
            }
            Err(_) => chain.unjoined(joined, held),
        };
        chain.metrics.record(&chain.lane.counters.snapshot());
        chain.metrics.morsel_time.add_duration(began.elapsed());
        match came {
            Came::Rows(rows) => {
                for made in rows.into_iter().map(Made::of) {
                    self.made.push_back(Putting::new(made, &self.run.context)?);
                }
            }
            Came::Grouped(outcome) => {
                self.held_bytes += bytes;
                self.take(outcome);
                if self.held_bytes > MOST_HELD_BYTES {
                    self.flush().await;
                }
            }
            Came::Undone(held) => self.put_out(held.morsels),
        }
        Ok(())
    }

    /// Brings the groups out.
    async fn flush(&mut self) {
        if let Some((chain, _)) = &mut self.device {
            let outcome = chain.flush().await;
            self.take(outcome);
            self.held_bytes = 0;
        }
    }

    /// Has the groups meet those of other lanes.
    async fn end(&mut self, together: &Together<Parked<Held>>) {
        let outcome = match &mut self.device {
            Some((chain, _)) => chain.end(together).await,
            None => match together.leave() {
                // Somebody has to bring the others' groups out.
                Some(parked) => {
                    if !self.asked {
                        self.ask().await;
                    }
                    match &mut self.device {
                        Some((chain, _)) => chain.bring_out(parked).await,
                        None => undone(Some(parked)),
                    }
                }
                None => return,
            },
        };
        self.take(outcome);
        self.held_bytes = 0;
    }

    /// States go on, and so do the rows that are in none of them.
    fn take(&mut self, outcome: Outcome<Held>) {
        self.out.extend(outcome.states);
        for held in outcome.undone {
            self.put_out(held.morsels);
        }
    }

    /// Morsels go on as they came.
    fn put_out(&mut self, morsels: Vec<Morsel>) {
        self.metrics.left.add(morsels.iter().map(Morsel::rows).sum());
        self.out.extend(morsels);
    }
}

type OnDevice = (Vec<InputColumn>, u32, Vec<DeviceColumn>);

/// Copies what the chain reads to the device.
///
/// # Errors
/// Columns that no device takes; more strings than an array holds; out of memory; the device's fault.
fn upload(
    chain: &DeviceChain<Held>,
    joined: &Joined,
    held: &Held,
) -> Result<OnDevice, StaffaError> {
    let slot = chain.lane.memory.buffer::<ErrorSlot>(1, &chain.lane.stream)?;
    let context = chain.context(&slot);
    let rows = u32::try_from(held.rows)
        .map_err(|_| StaffaError::unsupported(format!("{} rows of a host", held.rows)))?;
    let mut sources = Vec::with_capacity(joined.chain.entry.len());
    for expr in &joined.chain.entry {
        let Some(column) = expr.downcast_ref::<Column>() else {
            return Err(StaffaError::bug(format!("{expr} enters a lifted chain")));
        };
        let array = gathered(&held.morsels, column.index());
        let array = array.map_err(|error| StaffaError::unsupported(error.to_string()))?;
        sources.push(DeviceColumn::from_array(&context, &array)?);
    }
    let columns = sources.iter();
    let columns = columns
        .map(|of| InputColumn { descriptor: of.descriptor(), buffers: of.buffers() })
        .collect();
    Ok((columns, rows, sources))
}

/// A column of all morsels.
fn gathered(morsels: &[Morsel], column: usize) -> Result<ArrayRef> {
    // Of a copy, so that what is gathered is not kept.
    let arrays = morsels.iter().map(|morsel| morsel.project(&[column]).column(0));
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    if let [only] = arrays.as_slice() {
        return Ok(Arc::clone(only));
    }
    let arrays: Vec<_> = arrays.iter().map(AsRef::as_ref).collect();
    Ok(concat(&arrays)?)
}
