//! Copies between the host and the device. All are queued; what they use is kept until they ran.

use std::future::Future;
use std::marker::PhantomData;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytemuck::Pod;
use cudarc::driver::sys::CUstream;

use crate::access::AccessLog;
use crate::buffer::{DeviceBuffer, DeviceSlice};
use crate::error::{CudaError, Result};
use crate::event::{Event, Wait};
use crate::pinned::{PinnedBuffer, Sealed, StagingRing};
use crate::pool::Extent;
use crate::stream::Stream;

impl<T: Pod> DeviceBuffer<T> {
    /// Copies bytes of sealed pinned memory to the values from `at` on. Returns when the copy is
    /// queued; the memory is kept until it ran.
    ///
    /// # Errors
    /// What the driver says; [`CudaError::Misuse`] if a range is not inside.
    pub fn upload(
        &mut self,
        at: usize,
        source: &Sealed,
        bytes: Range<usize>,
        stream: &Stream,
    ) -> Result<()> {
        let room = self.len().saturating_sub(at) * size_of::<T>();
        let Some(part) = source.get(bytes.clone()).filter(|part| part.len() <= room) else {
            return Err(CudaError::Misuse(format!(
                "bytes {bytes:?} of {} do not fit in {self:?} from value {at}",
                source.len()
            )));
        };
        let (Some((_, log)), false) = (source.parts(), part.is_empty()) else { return Ok(()) };
        let to = self.address() + (at * size_of::<T>()) as u64;
        let device = stream.device();
        AccessLog::copy_run(log, &self.extent().log, stream, |queue| {
            // SAFETY: `part` lies in pinned memory that its log keeps from being used again before
            // this copy is done; the target range lies in the buffer.
            unsafe {
                driver_call!(device, copy_to_device(to, part.as_ptr().cast(), part.len(), queue))
            }
        })?;
        stream.counters().uploads(1);
        stream.counters().upload_bytes(part.len() as u64);
        Ok(())
    }

    /// Copies values of ordinary memory to the values from `at` on, through the ring's slabs. The
    /// values are free when it returns; the last copies may still be queued.
    ///
    /// # Errors
    /// What the driver says; [`CudaError::Misuse`] if they do not fit.
    pub fn write(
        &mut self,
        at: usize,
        values: &[T],
        ring: &StagingRing,
        stream: &Stream,
    ) -> Result<()> {
        if at.checked_add(values.len()).is_none_or(|end| end > self.len()) {
            return Err(CudaError::Misuse(format!("{} values at {at} in {self:?}", values.len())));
        }
        let per_slab = (ring.slab_bytes() / size_of::<T>().max(1)).max(1);
        for (index, chunk) in values.chunks(per_slab).enumerate() {
            let bytes: &[u8] = bytemuck::cast_slice(chunk);
            let mut slab = ring.next(stream.counters())?;
            slab.resize(bytes.len())?;
            slab.copy_from_slice(bytes);
            self.upload(at + index * per_slab, &slab.seal(), 0..bytes.len(), stream)?;
        }
        Ok(())
    }

    /// As [`DeviceSlice::read`], between writes.
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, ring: &StagingRing, stream: &Stream) -> Result<Vec<T>> {
        read(self.extent(), self.address(), self.len(), ring, stream)
    }
}

impl<T: Pod> DeviceSlice<T> {
    /// Copies the values to pinned memory. Returns when the copy is queued.
    ///
    /// # Errors
    /// What the driver says; [`CudaError::Misuse`] if `into` is too small.
    pub fn download(&self, into: PinnedBuffer, stream: &Stream) -> Result<Download<T>> {
        download(self.extent(), self.address(), self.len(), into, stream)
    }

    /// Copies the values to ordinary memory, through the ring's slabs, and waits for them.
    ///
    /// # Errors
    /// The device's fault, that of earlier work included.
    pub fn read(&self, ring: &StagingRing, stream: &Stream) -> Result<Vec<T>> {
        read(self.extent(), self.address(), self.len(), ring, stream)
    }
}

fn download<T: Pod>(
    extent: &Extent,
    from: u64,
    len: usize,
    mut into: PinnedBuffer,
    stream: &Stream,
) -> Result<Download<T>> {
    let bytes = len * size_of::<T>();
    into.resize(bytes)?;
    if let (Some((start, log)), true) = (into.parts(), bytes > 0) {
        to_host(extent, from, start.as_ptr(), bytes, log, stream)?;
    }
    let event = stream.record()?;
    Ok(Download { event, wait: None, buffer: Some(into), len, values: PhantomData })
}

/// Queues a copy to pinned memory that `log` keeps from other uses until the copy is done. The caller
/// vouches for `bytes` at both ends.
fn to_host(
    extent: &Extent,
    from: u64,
    to: *mut u8,
    bytes: usize,
    log: &AccessLog,
    stream: &Stream,
) -> Result<()> {
    let device = stream.device();
    AccessLog::copy_run(&extent.log, log, stream, |queue: CUstream| {
        // SAFETY: the source range lies in a live buffer; the target is pinned, long enough, and
        // nobody refers to it until its log says that this copy is done.
        unsafe { driver_call!(device, copy_to_host(to.cast(), from, bytes, queue)) }
    })?;
    stream.counters().downloads(1);
    stream.counters().download_bytes(bytes as u64);
    Ok(())
}

/// Chunk by chunk, with the next chunk's copy queued before the last one is read.
fn read<T: Pod>(
    extent: &Extent,
    from: u64,
    len: usize,
    ring: &StagingRing,
    stream: &Stream,
) -> Result<Vec<T>> {
    let size = size_of::<T>().max(1);
    let per_slab = (ring.slab_bytes() / size).max(1);
    let mut values = Vec::with_capacity(len);
    let mut queued: Option<Download<T>> = None;
    for first in (0..len).step_by(per_slab) {
        let count = per_slab.min(len - first);
        let slab = match ring.next(stream.counters()) {
            // A ring of one slab: finish with it first.
            Err(CudaError::Busy(_)) if queued.is_some() => {
                append(&mut values, queued.take())?;
                ring.next(stream.counters())?
            }
            slab => slab?,
        };
        let next = download(extent, from + (first * size) as u64, count, slab, stream)?;
        append(&mut values, queued.replace(next))?;
    }
    append(&mut values, queued)?;
    Ok(values)
}

fn append<T: Pod>(values: &mut Vec<T>, download: Option<Download<T>>) -> Result<()> {
    if let Some(download) = download {
        let len = download.len;
        let buffer = download.finish()?;
        values.extend(buffer.chunks_exact(size_of::<T>().max(1)).take(len).map(|bytes| {
            // Exactly one value's bytes; they need not be aligned.
            bytemuck::pod_read_unaligned::<T>(bytes)
        }));
    }
    Ok(())
}

/// A copy to pinned memory that is under way; it owns the memory. Dropped early, the copy still runs,
/// and the memory is used again after it.
///
/// As a future it is ready when the copy is done.
pub struct Download<T> {
    event: Event,
    wait: Option<Wait>,
    buffer: Option<PinnedBuffer>,
    len: usize,
    values: PhantomData<T>,
}

impl<T> Unpin for Download<T> {}

impl<T: Pod> Download<T> {
    /// How many values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the copy is done. Does not block.
    ///
    /// # Errors
    /// The device's fault.
    pub fn is_done(&self) -> Result<bool> {
        self.event.is_done()
    }

    /// Blocks until the copy is done, and gives the bytes. Counted as a wait if it was not done yet.
    ///
    /// # Errors
    /// The device's fault.
    pub fn finish(mut self) -> Result<PinnedBuffer> {
        self.event.synchronize()?;
        self.taken()
    }

    fn taken(&mut self) -> Result<PinnedBuffer> {
        self.buffer.take().ok_or_else(|| CudaError::Misuse("the copy was already taken".into()))
    }
}

impl<T: Pod> Future for Download<T> {
    type Output = Result<PinnedBuffer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let event = &this.event;
        let wait = this.wait.get_or_insert_with(|| event.wait());
        match Pin::new(wait).poll(context) {
            Poll::Ready(Ok(())) => Poll::Ready(this.taken()),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}
