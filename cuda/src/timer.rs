//! Times on the device.

use std::sync::Arc;

use crate::counters::Counters;
use crate::error::{CudaError, Result};
use crate::event::{Event, Recorded};
use crate::stream::Stream;

/// Measures the time between two places of a stream, on the device.
#[must_use = "a timer measures nothing until it is stopped"]
pub struct Timer {
    start: Recorded,
    stop: Option<(Recorded, Event)>,
    counters: Arc<Counters>,
}

impl Timer {
    /// Marks the start.
    ///
    /// # Errors
    /// What the driver says.
    pub fn start(stream: &Stream) -> Result<Self> {
        let start = Recorded::new(stream.device(), true)?;
        stream.core().record(&start)?;
        Ok(Self { start, stop: None, counters: Arc::clone(stream.counters()) })
    }

    /// Marks the end, usually on the same stream.
    ///
    /// # Errors
    /// What the driver says.
    pub fn stop(&mut self, stream: &Stream) -> Result<()> {
        let stop = Recorded::new(stream.device(), true)?;
        stream.core().record(&stop)?;
        let event = stream.record()?;
        self.stop = Some((stop, event));
        Ok(())
    }

    /// The time in nanoseconds (resolution about 500), or `None` while it runs. Does not block. The
    /// time is added to `device_ns` of the stream's counters.
    ///
    /// # Errors
    /// What the driver says; a timer that was not stopped is [`CudaError::Misuse`].
    pub fn elapsed_ns(self) -> Result<std::result::Result<u64, Self>> {
        let Some((stop, event)) = &self.stop else {
            return Err(CudaError::Misuse("the timer was not stopped".into()));
        };
        if !event.is_done()? {
            return Ok(Err(self));
        }
        let mut milliseconds = 0f32;
        // SAFETY: both events are alive, recorded with time stamps and done.
        unsafe {
            driver_call!(
                self.start.device(),
                event_elapsed(&mut milliseconds, self.start.raw(), stop.raw())
            )
        }?;
        // Saturates: a negative or absurd figure becomes 0 or the maximum.
        let ns = (f64::from(milliseconds) * 1e6) as u64;
        self.counters.device_ns(ns);
        Ok(Ok(ns))
    }
}
