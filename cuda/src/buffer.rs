//! Typed device memory: owned while it is written, shared when it no longer is.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::Pod;

use crate::access::{AccessLog, Kind};
use crate::error::{CudaError, Result};
use crate::pool::Extent;
use crate::stream::Stream;

/// Device memory of `len` values with one owner, who may write it.
///
/// It starts at a multiple of 256 bytes and has at least 64 addressable bytes behind the last value.
/// Its content is undefined until it is written. Every use is noted with its stream, and a use on
/// another stream waits for those that it conflicts with, on the device. Dropping the buffer is
/// allowed at any time: its memory is handed out again, or freed, behind the uses that were queued.
pub struct DeviceBuffer<T> {
    extent: Arc<Extent>,
    offset: u64,
    len: usize,
    values: PhantomData<T>,
}

/// Shared, read-only device memory: a view of a buffer that is no longer written. Clones are cheap
/// and keep the memory alive.
pub struct DeviceSlice<T> {
    extent: Arc<Extent>,
    offset: u64,
    len: usize,
    values: PhantomData<T>,
}

impl<T> Clone for DeviceSlice<T> {
    fn clone(&self) -> Self {
        Self {
            extent: Arc::clone(&self.extent),
            offset: self.offset,
            len: self.len,
            values: PhantomData,
        }
    }
}

/// What both kinds have, so that launches and copies take either.
macro_rules! common {
    ($kind:ident) => {
        impl<T: Pod> $kind<T> {
            /// How many values.
            pub fn len(&self) -> usize {
                self.len
            }

            /// Whether there are none.
            pub fn is_empty(&self) -> bool {
                self.len == 0
            }

            /// Their size in bytes, without padding.
            pub fn bytes(&self) -> u64 {
                (self.len * size_of::<T>()) as u64
            }

            /// Where they are, for descriptors that kernels read. Valid as long as the memory is
            /// kept, for work on a stream that was ordered after its last write: launches and copies
            /// that are given the buffer itself see to that.
            pub fn address(&self) -> u64 {
                self.extent.address() + self.offset
            }

            /// The device whose memory it is.
            pub fn device(&self) -> &crate::Device {
                self.extent.device()
            }

            /// Blocks until every use that was queued is done; counted for the stream's query.
            ///
            /// # Errors
            /// The device's fault.
            pub fn synchronize(&self, counters: &crate::Counters) -> Result<()> {
                self.extent.log.synchronize(counters)
            }

            pub(crate) fn extent(&self) -> &Arc<Extent> {
                &self.extent
            }

            /// The same bytes as values of another type.
            ///
            /// # Errors
            /// [`CudaError::Misuse`] if they do not divide evenly or are not aligned for it.
            pub fn cast<U: Pod>(self) -> Result<$kind<U>> {
                let len = recount::<T, U>(self.address(), self.bytes())?;
                Ok($kind { extent: self.extent, offset: self.offset, len, values: PhantomData })
            }
        }

        impl<T> std::fmt::Debug for $kind<T> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let address = self.extent.address() + self.offset;
                write!(f, "{} x {} at {address:#x}", self.len, std::any::type_name::<T>())
            }
        }
    };
}

common!(DeviceBuffer);
common!(DeviceSlice);

fn recount<T, U>(address: u64, bytes: u64) -> Result<usize> {
    let (size, alignment) = (size_of::<U>() as u64, align_of::<U>() as u64);
    if size == 0 || !bytes.is_multiple_of(size) || !address.is_multiple_of(alignment) {
        let (from, to) = (std::any::type_name::<T>(), std::any::type_name::<U>());
        return Err(CudaError::Misuse(format!("{bytes} bytes of {from} are no whole {to}")));
    }
    // At most the number of bytes, which fitted before.
    Ok((bytes / size) as usize)
}

impl<T: Pod> DeviceBuffer<T> {
    /// The whole of a new block.
    pub(crate) fn whole(extent: Arc<Extent>, len: usize) -> Self {
        Self { extent, offset: 0, len, values: PhantomData }
    }

    /// Fills it with zero bytes.
    ///
    /// # Errors
    /// What the driver says.
    pub fn zero(&mut self, stream: &Stream) -> Result<()> {
        self.fill_bytes(0, stream)
    }

    /// Fills every byte of it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fill_bytes(&mut self, byte: u8, stream: &Stream) -> Result<()> {
        let (address, bytes) = (self.address(), self.len * size_of::<T>());
        if bytes == 0 {
            return Ok(());
        }
        let device = stream.device();
        self.extent.log.run(stream, Kind::Write, |queue| {
            // SAFETY: the buffer holds `bytes` at `address`, is kept until this work is done, and
            // the stream waits for its other uses.
            unsafe { driver_call!(device, fill_u8(address, byte, bytes, queue)) }
        })?;
        stream.counters().device_bytes(bytes as u64);
        Ok(())
    }

    /// Copies values from other device memory to the front of it.
    ///
    /// # Errors
    /// What the driver says; [`CudaError::Misuse`] if `source` is longer.
    pub fn copy_from(&mut self, source: &DeviceSlice<T>, stream: &Stream) -> Result<()> {
        if source.len > self.len {
            return Err(CudaError::Misuse(format!("{source:?} does not fit in {self:?}")));
        }
        let (to, from, bytes) = (self.address(), source.address(), source.len * size_of::<T>());
        if bytes == 0 {
            return Ok(());
        }
        let device = stream.device();
        AccessLog::copy_run(&source.extent.log, &self.extent.log, stream, |queue| {
            // SAFETY: both ranges lie in live buffers that do not overlap (one is owned, the other
            // frozen), and the stream waits for the uses that conflict.
            unsafe { driver_call!(device, copy_on_device(to, from, bytes, queue)) }
        })?;
        stream.counters().device_bytes(bytes as u64);
        Ok(())
    }

    /// Ends writing: from here on the memory is shared and read-only.
    pub fn freeze(self) -> DeviceSlice<T> {
        DeviceSlice { extent: self.extent, offset: self.offset, len: self.len, values: PhantomData }
    }

    /// Cuts values off the end; the memory stays.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl DeviceBuffer<u32> {
    /// Fills it with one value.
    ///
    /// # Errors
    /// What the driver says.
    pub fn fill(&mut self, value: u32, stream: &Stream) -> Result<()> {
        let (address, len) = (self.address(), self.len);
        if len == 0 {
            return Ok(());
        }
        let device = stream.device();
        self.extent.log.run(stream, Kind::Write, |queue| {
            // SAFETY: as in `fill_bytes`; `len` counts words of four bytes, and buffers of `u32` are
            // aligned for them.
            unsafe { driver_call!(device, fill_u32(address, value, len, queue)) }
        })?;
        stream.counters().device_bytes(self.bytes());
        Ok(())
    }
}

impl<T: Pod> DeviceSlice<T> {
    /// A part of it, which shares its memory.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] if the range is not inside.
    pub fn slice(&self, range: Range<usize>) -> Result<Self> {
        if range.start > range.end || range.end > self.len {
            return Err(CudaError::Misuse(format!("{range:?} is not in {self:?}")));
        }
        let mut part = self.clone();
        part.offset += (range.start * size_of::<T>()) as u64;
        part.len = range.end - range.start;
        Ok(part)
    }

    /// Back to a buffer that may be written, if nobody else shares the memory; else itself.
    ///
    /// # Errors
    /// The slice, unchanged.
    pub fn thaw(mut self) -> std::result::Result<DeviceBuffer<T>, Self> {
        if Arc::get_mut(&mut self.extent).is_none() {
            return Err(self);
        }
        let Self { extent, offset, len, values } = self;
        Ok(DeviceBuffer { extent, offset, len, values })
    }
}

/// A block from which buffers are cut one after the other: one allocation for the columns of a
/// morsel. The block goes when the last of them has gone.
pub struct Slab {
    extent: Arc<Extent>,
    next: u64,
    end: u64,
}

impl Slab {
    pub(crate) fn new(extent: Arc<Extent>, bytes: u64) -> Self {
        Self { extent, next: 0, end: bytes }
    }

    /// What a buffer of `len` values takes of a slab: alignment and padding included. Sum it up to
    /// size the slab. `None` if it is more than any memory.
    pub fn bytes_for<T: Pod>(len: usize) -> Option<u64> {
        crate::pool::padded((size_of::<T>() as u64).checked_mul(len as u64)?)
    }

    /// Bytes that are left.
    pub fn left_bytes(&self) -> u64 {
        self.end - self.next
    }

    /// Cuts off a buffer. It is ordered by its own uses, not by its neighbours'.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] if too little is left.
    pub fn take<T: Pod>(&mut self, len: usize) -> Result<DeviceBuffer<T>> {
        let bytes = Self::bytes_for::<T>(len)
            .filter(|&bytes| bytes <= self.left_bytes())
            .ok_or_else(|| {
                CudaError::Misuse(format!("{len} values wanted, {} bytes left", self.left_bytes()))
            })?;
        let offset = self.next;
        self.next += bytes;
        Ok(DeviceBuffer { extent: self.extent.sibling(), offset, len, values: PhantomData })
    }
}
