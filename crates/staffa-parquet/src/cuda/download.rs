//! Columns on their way back: copies to pinned memory, then Arrow arrays.

use std::sync::Arc;

use arrow::array::{
    OffsetSizeTrait,
    ArrayData, ArrayRef, BinaryViewArray, BooleanArray, GenericByteArray, StringViewArray,
    UInt32Array, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    BinaryType, ByteArrayType, DataType, LargeBinaryType, LargeUtf8Type, Utf8Type,
};
use arrow::error::ArrowError;
use staffa_cuda::{CudaError, DeviceSlice, Download, PinnedBuffer, PinnedKind};
use staffa_kernels::abi::ColumnKind;
pub use staffa_kernels::abi::Span;

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
    /// What spans point into: device address and copy, ascending.
    pointed: Vec<(u64, Download<u8>)>,
}

impl DeviceColumn {
    /// Queues the copies of the first `rows` rows to the host.
    ///
    /// Strings bring the whole of the memory that their spans point into: right where most rows come
    /// back, and bounded by the pages' size where few do.
    ///
    /// # Errors
    /// Out of pinned memory; what the driver says; `Bug` for more rows than there are.
    pub fn to_host(&self, context: &DecodeContext<'_>, rows: u32) -> Result<Returning> {
        if rows > self.rows {
            return Err(Flaw::bug(format!("{rows} of {} rows", self.rows)).at(Place::default()));
        }
        let start = |memory: &DeviceSlice<u8>, bytes: usize| {
            let stream = context.kernels.stream;
            let pinned = context.pinned.buffer(PinnedKind::ToHost, bytes, stream.counters())?;
            memory.slice(0..bytes)?.download(pinned, stream)
        };
        let queue = || -> staffa_cuda::Result<Returning> {
            let values = start(&self.values, self.value_bytes(rows))?;
            let validity = match &self.validity {
                Some(bits) => Some(start(bits, rows.div_ceil(32) as usize * 4)?),
                None => None,
            };
            let mut pointed = Vec::new();
            if self.kind == ColumnKind::Spans && rows > 0 {
                for memory in self.pointed.iter().filter(|memory| !memory.is_empty()) {
                    pointed.push((memory.address(), start(memory, memory.len())?));
                }
                pointed.sort_by_key(|(address, _)| *address);
            }
            Ok(Returning { column: self.clone(), rows, values, validity, pointed })
        };
        queue().map_err(at(Place::default()))
    }
}

/// What came back, as bytes.
struct Arrived {
    values: PinnedBuffer,
    validity: Option<PinnedBuffer>,
    pointed: Vec<(u64, PinnedBuffer)>,
}

impl Returning {
    /// The column, once its copies are done. Does not block the thread.
    ///
    /// # Errors
    /// The device's fault, that of earlier work included.
    pub async fn arrived(self) -> Result<HostColumn> {
        let Self { column, rows, values, validity, pointed } = self;
        let all = async {
            let mut arrived =
                Arrived { values: values.await?, validity: None, pointed: Vec::new() };
            if let Some(validity) = validity {
                arrived.validity = Some(validity.await?);
            }
            for (address, copy) in pointed {
                arrived.pointed.push((address, copy.await?));
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
        let Self { column, rows, values, validity, pointed } = self;
        let all = || {
            Ok::<_, CudaError>(Arrived {
                values: values.finish()?,
                validity: validity.map(Download::finish).transpose()?,
                pointed: pointed
                    .into_iter()
                    .map(|(address, copy)| Ok((address, copy.finish()?)))
                    .collect::<staffa_cuda::Result<_>>()?,
            })
        };
        let arrived = all().map_err(at(Place::default()))?;
        host(&column, rows, &arrived).map_err(|flaw| flaw.at(Place::default()))
    }
}

/// Bytes leave the pinned memory, which is scarce, for memory that the array owns.
fn host(column: &DeviceColumn, rows: u32, arrived: &Arrived) -> Flawed<HostColumn> {
    let len = rows as usize;
    let nulls = arrived.validity.as_ref().map(|bits| {
        NullBuffer::new(BooleanBuffer::new(Buffer::from(&bits[..]), 0, len))
    });
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
    let spans = || {
        arrived.values.chunks_exact(size_of::<Span>()).map(bytemuck::pod_read_unaligned::<Span>)
    };
    match of {
        DataType::Utf8 => byte_array::<Utf8Type>(spans(), arrived, nulls),
        DataType::LargeUtf8 => byte_array::<LargeUtf8Type>(spans(), arrived, nulls),
        DataType::Binary => byte_array::<BinaryType>(spans(), arrived, nulls),
        DataType::LargeBinary => byte_array::<LargeBinaryType>(spans(), arrived, nulls),
        DataType::Utf8View | DataType::BinaryView => {
            let buffers: Vec<Buffer> =
                arrived.pointed.iter().map(|(_, bytes)| Buffer::from(&bytes[..])).collect();
            let views = spans().map(|span| view(span, arrived)).collect::<Flawed<Vec<u128>>>()?;
            let views = ScalarBuffer::from(views);
            Ok(match of {
                DataType::Utf8View => {
                    Arc::new(StringViewArray::try_new(views, buffers, nulls).map_err(broken)?)
                }
                _ => Arc::new(BinaryViewArray::try_new(views, buffers, nulls).map_err(broken)?),
            })
        }
        other => Err(Flaw::bug(format!("spans of {other}"))),
    }
}

/// The copied memory that holds a span: its number, and the span's offset there.
fn find(span: Span, arrived: &Arrived) -> Flawed<(usize, usize)> {
    let at = arrived.pointed.partition_point(|(address, _)| *address <= span.address);
    let found = at.checked_sub(1).and_then(|number| {
        let (address, bytes) = arrived.pointed.get(number)?;
        let offset = usize::try_from(span.address - address).ok()?;
        let end = offset.checked_add(span.length as usize)?;
        (end <= bytes.len()).then_some((number, offset))
    });
    found.ok_or_else(|| Flaw::bug("a span points outside of its column's memory"))
}

fn view(span: Span, arrived: &Arrived) -> Flawed<u128> {
    if span.length == 0 {
        return Ok(0);
    }
    let (number, offset) = find(span, arrived)?;
    if span.length <= 12 {
        let mut inline = [0; 16];
        inline[..4].copy_from_slice(&span.length.to_le_bytes());
        let bytes = &arrived.pointed[number].1[offset..offset + span.length as usize];
        inline[4..4 + bytes.len()].copy_from_slice(bytes);
        return Ok(u128::from_le_bytes(inline));
    }
    let offset = u32::try_from(offset)
        .map_err(|_| Flaw::unsupported("views into 4 GiB of strings or more"))?;
    let place = u128::from(offset) << 96 | (number as u128) << 64;
    Ok(place | u128::from(span.prefix) << 32 | u128::from(span.length))
}

fn byte_array<T: ByteArrayType>(
    spans: impl Iterator<Item = Span> + Clone,
    arrived: &Arrived,
    nulls: Option<NullBuffer>,
) -> Flawed<ArrayRef> {
    let total: usize = spans.clone().map(|span| span.length as usize).sum();
    let largest = if T::Offset::IS_LARGE { i64::MAX as usize } else { i32::MAX as usize };
    if total > largest {
        return Err(Flaw::unsupported(format!("{total} bytes of strings in 32-bit offsets")));
    }
    let mut values: Vec<u8> = Vec::with_capacity(total);
    let mut lengths = Vec::with_capacity(spans.size_hint().0);
    for span in spans {
        if span.length > 0 {
            let (number, offset) = find(span, arrived)?;
            let bytes = &arrived.pointed[number].1;
            values.extend_from_slice(&bytes[offset..offset + span.length as usize]);
        }
        lengths.push(span.length as usize);
    }
    let offsets = OffsetBuffer::<T::Offset>::from_lengths(lengths);
    let array = GenericByteArray::<T>::try_new(offsets, Buffer::from_vec(values), nulls);
    Ok(Arc::new(array.map_err(broken)?))
}
