//! Columns on their way back: copies to pinned memory, then Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    ArrayData, ArrayRef, BinaryViewArray, BooleanArray, GenericByteArray, StringViewArray,
    UInt32Array, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowNativeType, BinaryType, ByteArrayType, DataType, LargeBinaryType, LargeUtf8Type, Utf8Type,
};
use arrow::error::ArrowError;
use bytemuck::Pod;
use staffa_cuda::{CudaError, DeviceBuffer, DeviceSlice, Download, PinnedBuffer, PinnedKind};
use staffa_kernels::abi::{ColumnKind, Span};
use staffa_kernels::columns::{gather_strings, string_offsets};

use super::column::DeviceColumn;
use super::{DecodeContext, at};
use crate::error::{Flaw, Flawed, Place, Result};

/// A column that is back.
#[derive(Debug, Clone)]
pub enum HostColumn {
    /// Values.
    Array(ArrayRef),
    /// Codes and the dictionary that they point into.
    Codes {
        /// One per row; NULL where the row is.
        codes: UInt32Array,
        /// The entries, none NULL.
        values: ArrayRef,
    },
}

/// A column whose copies are queued. The pinned memory that they end in is not write-combined.
pub struct Returning {
    column: DeviceColumn,
    rows: u32,
    values: Download<u8>,
    validity: Option<Download<u8>>,
    /// Of strings, whose `values` are then their bytes.
    offsets: Option<Download<u64>>,
}

/// Where the strings of a column will stand, one behind the other.
pub struct StringOffsets {
    offsets: DeviceSlice<u64>,
}

impl DeviceColumn {
    /// For a column of strings: queues the scan over their lengths, whose sum becomes `totals[number]`.
    /// Read it before [`DeviceColumn::to_host`]. `count`: how many rows there are, if only the device knows.
    /// `None` for other columns.
    ///
    /// # Errors
    /// Out of memory; what the driver says.
    pub fn string_offsets(
        &self,
        context: &DecodeContext<'_>,
        count: Option<&DeviceSlice<u32>>,
        totals: &DeviceBuffer<u64>,
        number: usize,
    ) -> Result<Option<StringOffsets>> {
        if self.kind != ColumnKind::Spans {
            return Ok(None);
        }
        let queue = || {
            let spans = self.spans()?;
            string_offsets(&context.kernels, &spans, self.rows, count, totals, number)
        };
        let offsets = queue().map_err(at(Place::default()))?;
        Ok(Some(StringOffsets { offsets }))
    }

    /// Queues the copies of the first `rows` rows to the host. Of strings, with their offsets and the bytes
    /// that they sum up to.
    ///
    /// # Errors
    /// Out of pinned memory; what the driver says; `Bug` for more rows than there are, or strings without
    /// their offsets.
    pub fn to_host(
        &self,
        context: &DecodeContext<'_>,
        rows: u32,
        strings: Option<(&StringOffsets, u64)>,
    ) -> Result<Returning> {
        if rows > self.rows {
            return Err(Flaw::bug(format!("{rows} of {} rows", self.rows)).at(Place::default()));
        }
        let queue = || -> staffa_cuda::Result<Returning> {
            let validity = match &self.validity {
                Some(bits) => Some(download(context, bits, rows.div_ceil(32) as usize * 4)?),
                None => None,
            };
            let (values, offsets) = match (self.kind, strings) {
                (ColumnKind::Spans, Some((StringOffsets { offsets }, bytes))) => {
                    let bytes = usize::try_from(bytes)
                        .map_err(|_| CudaError::OverBudget(format!("{bytes} bytes of strings")))?;
                    let kernels = &context.kernels;
                    let mut gathered = kernels.memory.buffer::<u8>(bytes, kernels.stream)?;
                    let spans = self.spans()?;
                    let pointed = &self.pointed;
                    gather_strings(kernels, &spans, offsets, rows, pointed, &mut gathered)?;
                    let offsets = download(context, offsets, rows as usize + 1)?;
                    (download(context, &gathered.freeze(), bytes)?, Some(offsets))
                }
                (ColumnKind::Spans, None) => {
                    return Err(CudaError::Misuse("strings without their offsets".into()));
                }
                _ => (download(context, &self.values, self.value_bytes(rows))?, None),
            };
            Ok(Returning { column: self.clone(), rows, values, validity, offsets })
        };
        queue().map_err(at(Place::default()))
    }

    fn spans(&self) -> staffa_cuda::Result<DeviceSlice<Span>> {
        self.values.slice(0..self.value_bytes(self.rows))?.cast()
    }
}

/// Queues the copy of the first `len` values.
fn download<T: Pod>(
    context: &DecodeContext<'_>,
    memory: &DeviceSlice<T>,
    len: usize,
) -> staffa_cuda::Result<Download<T>> {
    let stream = context.kernels.stream;
    let bytes = len * size_of::<T>();
    let pinned = context.pinned.buffer(PinnedKind::ToHost, bytes, stream.counters())?;
    memory.slice(0..len)?.download(pinned, stream)
}

/// What came back, as bytes.
struct Arrived {
    values: PinnedBuffer,
    validity: Option<PinnedBuffer>,
    offsets: Option<PinnedBuffer>,
}

impl Returning {
    /// The column, once its copies are done. Does not block the thread.
    ///
    /// # Errors
    /// The device's fault, that of earlier work included.
    pub async fn arrived(self) -> Result<HostColumn> {
        let Self { column, rows, values, validity, offsets } = self;
        let all = async {
            let mut arrived = Arrived { values: values.await?, validity: None, offsets: None };
            if let Some(validity) = validity {
                arrived.validity = Some(validity.await?);
            }
            if let Some(offsets) = offsets {
                arrived.offsets = Some(offsets.await?);
            }
            Ok::<_, CudaError>(arrived)
        };
        let arrived = all.await.map_err(at(Place::default()))?;
        host(&column, rows, &arrived).map_err(|flaw| flaw.at(Place::default()))
    }

    /// As [`Returning::arrived`], blocking.
    ///
    /// # Errors
    /// As there.
    pub fn wait(self) -> Result<HostColumn> {
        let Self { column, rows, values, validity, offsets } = self;
        let all = || {
            Ok::<_, CudaError>(Arrived {
                values: values.finish()?,
                validity: validity.map(Download::finish).transpose()?,
                offsets: offsets.map(Download::finish).transpose()?,
            })
        };
        let arrived = all().map_err(at(Place::default()))?;
        host(&column, rows, &arrived).map_err(|flaw| flaw.at(Place::default()))
    }
}

/// Bytes leave the pinned memory, which is scarce, for memory that the array owns.
fn host(column: &DeviceColumn, rows: u32, arrived: &Arrived) -> Flawed<HostColumn> {
    let len = rows as usize;
    let nulls = arrived
        .validity
        .as_ref()
        .map(|bits| NullBuffer::new(BooleanBuffer::new(Buffer::from(&bits[..]), 0, len)));
    let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    let array = match column.kind {
        ColumnKind::Codes => {
            let codes: Vec<u32> = arrived.values.chunks_exact(4).map(u32_of).collect();
            let codes = UInt32Array::new(codes.into(), nulls);
            let values = column.dictionary.as_ref().and_then(|entries| entries.host.clone());
            let values = values.ok_or_else(|| Flaw::bug("codes without a dictionary"))?;
            return Ok(HostColumn::Codes { codes, values });
        }
        ColumnKind::Bits => {
            let bits = BooleanBuffer::new(Buffer::from(&arrived.values[..]), 0, len);
            Arc::new(BooleanArray::new(bits, nulls)) as ArrayRef
        }
        ColumnKind::Fixed | ColumnKind::Bytes => {
            let data = ArrayData::builder(column.data_type.clone())
                .len(len)
                .add_buffer(Buffer::from(&arrived.values[..]))
                .nulls(nulls);
            make_array(data.build().map_err(broken)?)
        }
        ColumnKind::Spans => strings(&column.data_type, arrived, nulls)?,
    };
    Ok(HostColumn::Array(array))
}

fn u32_of(bytes: &[u8]) -> u32 {
    bytes.try_into().map(u32::from_le_bytes).unwrap_or_default()
}

fn broken(error: ArrowError) -> Flaw {
    Flaw::bug(format!("a column from the device is no Arrow array: {error}"))
}

fn strings(of: &DataType, arrived: &Arrived, nulls: Option<NullBuffer>) -> Flawed<ArrayRef> {
    let offsets = arrived.offsets.as_ref().ok_or_else(|| Flaw::bug("strings without offsets"))?;
    let offsets: Vec<u64> =
        offsets.chunks_exact(8).map(bytemuck::pod_read_unaligned::<u64>).collect();
    let bytes = &arrived.values[..];
    let rises = offsets.is_sorted() && offsets.first() == Some(&0);
    if !rises || offsets.last().is_none_or(|last| *last > bytes.len() as u64) {
        return Err(Flaw::bug("offsets of strings that do not rise, or go beyond their bytes"));
    }
    match of {
        DataType::Utf8 => byte_array::<Utf8Type>(&offsets, bytes, nulls),
        DataType::LargeUtf8 => byte_array::<LargeUtf8Type>(&offsets, bytes, nulls),
        DataType::Binary => byte_array::<BinaryType>(&offsets, bytes, nulls),
        DataType::LargeBinary => byte_array::<LargeBinaryType>(&offsets, bytes, nulls),
        DataType::Utf8View | DataType::BinaryView => {
            let views = offsets.windows(2).map(|pair| view(bytes, pair[0], pair[1]));
            let views = ScalarBuffer::from(views.collect::<Flawed<Vec<u128>>>()?);
            let buffers = vec![Buffer::from(bytes)];
            Ok(match of {
                DataType::Utf8View => {
                    Arc::new(StringViewArray::try_new(views, buffers, nulls).map_err(broken)?)
                }
                _ => Arc::new(BinaryViewArray::try_new(views, buffers, nulls).map_err(broken)?),
            })
        }
        other => Err(Flaw::bug(format!("strings of {other}"))),
    }
}

/// The view of bytes `start..end`, which lie inside.
fn view(bytes: &[u8], start: u64, end: u64) -> Flawed<u128> {
    let far = || Flaw::unsupported("views into 4 GiB of strings or more");
    let (from, to) = (u32::try_from(start).map_err(|_| far())?, u32::try_from(end));
    let length = to.map_err(|_| far())? - from;
    let string = &bytes[from as usize..(from + length) as usize];
    let mut view = [0; 16];
    view[..4].copy_from_slice(&length.to_le_bytes());
    if string.len() <= 12 {
        view[4..4 + string.len()].copy_from_slice(string);
    } else {
        view[4..8].copy_from_slice(&string[..4]);
        view[12..].copy_from_slice(&from.to_le_bytes());
    }
    Ok(u128::from_le_bytes(view))
}

fn byte_array<T: ByteArrayType>(
    offsets: &[u64],
    bytes: &[u8],
    nulls: Option<NullBuffer>,
) -> Flawed<ArrayRef> {
    let offset = |offset: &u64| {
        let offset = usize::try_from(*offset).ok().and_then(T::Offset::from_usize);
        offset.ok_or_else(|| Flaw::unsupported("more bytes of strings than 32-bit offsets count"))
    };
    let offsets = offsets.iter().map(offset).collect::<Flawed<Vec<T::Offset>>>()?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = GenericByteArray::<T>::try_new(offsets, Buffer::from(bytes), nulls);
    Ok(Arc::new(array.map_err(broken)?))
}
