//! How a client reads a plan's output: whole, partition by partition in any order, or not to the end.

use std::panic::AssertUnwindSafe;

use arrow::array::RecordBatch;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::physical_plan::execute_stream;
use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::engine::Planned;
use crate::oracle::Answer;
use crate::rng::Rng;

/// A way to read a plan's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consumption {
    /// One stream, read to its end.
    Whole,
    /// Every partition read to its end, one after the other, in a random order: later ones are
    /// executed and first polled when earlier ones are done.
    Shuffled(u64),
    /// Every partition executed at once, then polled in turns drawn at random.
    Interleaved(u64),
    /// One stream, dropped after so many batches.
    Dropped(usize),
}

impl Consumption {
    /// Mostly whole; else one of the others.
    pub fn random(rng: &mut Rng) -> Self {
        match rng.below(10) {
            0 => Self::Dropped(rng.below(3)),
            1 => Self::Shuffled(rng.bits()),
            2 => Self::Interleaved(rng.bits()),
            _ => Self::Whole,
        }
    }

    /// Whether all rows are read, so that they can be compared.
    pub fn complete(&self) -> bool {
        !matches!(self, Self::Dropped(_))
    }

    /// Whether rows come in the order of the plan's single output.
    pub fn ordered(&self, partitions: usize) -> bool {
        partitions == 1 || *self == Self::Whole
    }

    /// Reads `planned` in this way; a panic of the query is an error like any other.
    ///
    /// # Errors
    /// What the query errs with, or that it panicked.
    pub async fn read(&self, planned: &Planned) -> Result<Answer> {
        match AssertUnwindSafe(self.read_on(planned)).catch_unwind().await {
            Ok(result) => result,
            Err(_) => Err(exec_datafusion_err!("panicked")),
        }
    }

    async fn read_on(&self, planned: &Planned) -> Result<Answer> {
        let batches = match self {
            Self::Whole => return planned.answer().await,
            Self::Shuffled(seed) => shuffled(planned, *seed).await?,
            Self::Interleaved(seed) => interleaved(planned, *seed).await?,
            Self::Dropped(batches) => {
                let stream = execute_stream(planned.plan.clone(), planned.task.clone())?;
                stream.take(*batches).try_collect().await?
            }
        };
        Ok(Answer { schema: planned.plan.schema(), batches })
    }
}

async fn shuffled(planned: &Planned, seed: u64) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for partition in order(planned, &mut Rng::new(seed)) {
        let stream = planned.plan.execute(partition, planned.task.clone())?;
        batches.extend(stream.try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}

async fn interleaved(planned: &Planned, seed: u64) -> Result<Vec<RecordBatch>> {
    let mut rng = Rng::new(seed);
    let mut streams = Vec::new();
    for partition in order(planned, &mut rng) {
        streams.push(planned.plan.execute(partition, planned.task.clone())?);
    }
    let mut batches = Vec::new();
    while !streams.is_empty() {
        let at = rng.below(streams.len());
        match streams[at].next().await {
            Some(batch) => batches.push(batch?),
            None => drop(streams.swap_remove(at)),
        }
    }
    Ok(batches)
}

fn order(planned: &Planned, rng: &mut Rng) -> Vec<usize> {
    let partitions = planned.plan.properties().partitioning.partition_count();
    let mut order: Vec<usize> = (0..partitions).collect();
    rng.shuffle(&mut order);
    order
}
