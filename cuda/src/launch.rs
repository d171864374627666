//! Launches, checked before the driver sees them.

mod shape;

use std::ffi::c_void;
use std::sync::Arc;

use bytemuck::Pod;

use crate::access::{AccessLog, Kind};
use crate::buffer::{DeviceBuffer, DeviceSlice};
use crate::device::Device;
use crate::error::{CudaError, Result};
use crate::module::Function;
use crate::pool::Extent;
use crate::stream::Stream;
pub use shape::Grid;

/// Arguments start at multiples of this, the largest alignment of a kernel parameter.
const ARGUMENT_ALIGNMENT: usize = 16;

/// A launch being put together: parameters in the kernel's order, and the memory that it uses.
///
/// `read`, `write` and `share` pass a buffer's address and note the use; `using_*` note the use of
/// memory that the kernel reaches through an address inside a structure. The stream waits on the
/// device for the uses that each conflicts with, and the memory is kept until the kernel ran.
#[must_use = "a launch does nothing until it is run"]
pub struct Launch<'a> {
    function: &'a Function,
    arguments: Vec<u8>,
    /// Start and size of each argument.
    places: Vec<(usize, usize)>,
    uses: Vec<(Arc<Extent>, Kind)>,
}

impl<'a> Launch<'a> {
    /// A launch of a kernel without arguments yet.
    pub fn new(function: &'a Function) -> Self {
        Self { function, arguments: Vec::new(), places: Vec::new(), uses: Vec::new() }
    }

    /// The next parameter: a number, or a structure of plain data laid out as in C.
    pub fn value<T: Pod>(mut self, value: &T) -> Self {
        let bytes = bytemuck::bytes_of(value);
        let start = self.arguments.len().next_multiple_of(ARGUMENT_ALIGNMENT);
        self.arguments.resize(start, 0);
        self.arguments.extend_from_slice(bytes);
        self.places.push((start, bytes.len()));
        self
    }

    /// The next parameter: an address of nothing, for what is optional.
    pub fn null(self) -> Self {
        self.value(&0u64)
    }

    /// The next parameter: the address of memory that the kernel only reads.
    pub fn read<T: Pod>(self, memory: &DeviceSlice<T>) -> Self {
        self.value(&memory.address()).using(memory.extent(), Kind::Read)
    }

    /// The next parameter: the address of memory that the kernel writes, and nobody else meanwhile.
    pub fn write<T: Pod>(self, memory: &mut DeviceBuffer<T>) -> Self {
        self.value(&memory.address()).using(memory.extent(), Kind::Write)
    }

    /// The next parameter: the address of memory that several launches may read and write at a time,
    /// on several streams, with atomics: a hash table, a counter.
    pub fn share<T: Pod>(self, memory: &DeviceBuffer<T>) -> Self {
        self.value(&memory.address()).using(memory.extent(), Kind::Shared)
    }

    /// Notes memory that the kernel reads through an address it finds elsewhere.
    pub fn using_read<T: Pod>(self, memory: &DeviceSlice<T>) -> Self {
        self.using(memory.extent(), Kind::Read)
    }

    /// Notes memory that the kernel writes through an address it finds elsewhere.
    pub fn using_write<T: Pod>(self, memory: &mut DeviceBuffer<T>) -> Self {
        self.using(memory.extent(), Kind::Write)
    }

    /// Notes memory that the kernel shares through an address it finds elsewhere.
    pub fn using_shared<T: Pod>(self, memory: &DeviceBuffer<T>) -> Self {
        self.using(memory.extent(), Kind::Shared)
    }

    fn using(mut self, extent: &Arc<Extent>, kind: Kind) -> Self {
        match self.uses.iter_mut().find(|(used, _)| Arc::ptr_eq(used, extent)) {
            Some((_, known)) if *known != kind => *known = Kind::Write,
            Some(_) => {}
            None => self.uses.push((Arc::clone(extent), kind)),
        }
        self
    }

    /// Queues the kernel. A grid with no blocks is nothing to do, but is checked all the same.
    ///
    /// # Errors
    /// [`CudaError::Misuse`] if the arguments are not those that the kernel takes, or the grid is
    /// beyond the device's or the kernel's limits; what the driver says, an earlier kernel's fault
    /// included.
    ///
    /// # Safety
    /// The kernel must have parameters of the types given, must reach no memory but that of the
    /// buffers named here, within their lengths (and 64 bytes of reads behind them), and must use
    /// each as named: read, written alone, or shared with atomics.
    pub unsafe fn run(mut self, grid: Grid, stream: &Stream) -> Result<()> {
        let device = self.function.device();
        if !stream.device().same_as(device) {
            return Err(self.misuse("the stream is another device's"));
        }
        self.check_arguments()?;
        grid.check(self.function)?;
        if grid.is_empty() {
            return device.alive();
        }
        let core = stream.core();
        let mut seen = Vec::with_capacity(self.uses.len());
        for (extent, kind) in &self.uses {
            if !extent.device().same_as(device) {
                return Err(self.misuse("the memory is another device's"));
            }
            seen.push(extent.log.before(core, *kind)?);
        }
        let start = self.arguments.as_mut_ptr();
        let mut pointers: Vec<*mut c_void> = Vec::with_capacity(self.places.len());
        for &(offset, _) in &self.places {
            // SAFETY: each place lies inside the vector, which does not grow any more.
            pointers.push(unsafe { start.add(offset) }.cast());
        }
        let position = core
            .submit(|queue| queue_kernel(device, self.function, grid, queue, &mut pointers))
            .map_err(|error| error.about(format_args!("kernel {} {grid}", self.function.name())))?;
        for ((extent, kind), seen) in self.uses.iter().zip(&seen) {
            AccessLog::after(&extent.log, seen, core, position, *kind);
        }
        stream.counters().launches(1);
        Ok(())
    }

    fn check_arguments(&self) -> Result<()> {
        let Some(expected) = self.function.parameters() else { return Ok(()) };
        let given: Vec<usize> = self.places.iter().map(|place| place.1).collect();
        if given == expected {
            return Ok(());
        }
        Err(self.misuse(&format!("arguments of {given:?} bytes where it takes {expected:?}")))
    }

    fn misuse(&self, what: &str) -> CudaError {
        CudaError::Misuse(format!("kernel {}: {what}", self.function.name()))
    }
}

fn queue_kernel(
    device: &Device,
    function: &Function,
    grid: Grid,
    queue: cudarc::driver::sys::CUstream,
    pointers: &mut [*mut c_void],
) -> Result<()> {
    let ([gx, gy, gz], [bx, by, bz]) = (grid.blocks, grid.threads);
    // SAFETY: function and stream are alive and of one context; there is a pointer to as many bytes
    // as it takes for each parameter (checked where the driver tells, else promised by the caller
    // of `run`), and the driver copies them before it returns.
    unsafe {
        driver_call!(
            device,
            launch_kernel(
                function.raw(),
                gx,
                gy,
                gz,
                bx,
                by,
                bz,
                grid.shared_bytes,
                queue,
                pointers.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        )
    }
}
