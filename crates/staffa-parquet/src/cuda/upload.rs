//! Arrow arrays to columns in device memory.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{BinaryType, DataType, LargeBinaryType, LargeUtf8Type, Utf8Type};
use staffa_cuda::{CudaError, DeviceSlice, Result};
use staffa_kernels::abi::{ColumnKind, Span};

use super::DecodeContext;
use super::column::DeviceColumn;

impl DeviceColumn {
    /// Copies an array to the device. Returns when the copies are queued.
    ///
    /// # Errors
    /// [`CudaError::Unsupported`] for a type that has no device form; out of memory; what the driver
    /// says.
    pub fn from_array(context: &DecodeContext<'_>, array: &ArrayRef) -> Result<Self> {
        let rows = u32::try_from(array.len()).ok().filter(|rows| *rows <= i32::MAX as u32);
        let rows = rows
            .ok_or_else(|| CudaError::Unsupported(format!("{} rows in a morsel", array.len())))?;
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        let validity = match nulls {
            Some(nulls) => Some(upload(context, &words(nulls.inner()))?),
            None => None,
        };
        let mut pointed = Vec::new();
        let (kind, width, values) = match array.data_type() {
            DataType::Boolean => {
                let values = array.as_boolean().values();
                let values = match nulls {
                    Some(nulls) => words(&(values & nulls.inner())),
                    None => words(values),
                };
                (ColumnKind::Bits, 0, upload(context, &values)?)
            }
            of if crate::is_byte_string(of) => {
                let (host, lengths) = strings(array);
                let bytes = upload(context, &host)?;
                let spans = spans(bytes.address(), &host, &lengths)?;
                pointed.push(bytes);
                (ColumnKind::Spans, 16, upload(context, bytemuck::cast_slice(&spans))?)
            }
            of => {
                let (kind, width) = match of {
                    DataType::FixedSizeBinary(width) => {
                        (ColumnKind::Bytes, usize::try_from(*width).unwrap_or(0))
                    }
                    of => (ColumnKind::Fixed, of.primitive_width().unwrap_or(0)),
                };
                if width == 0 {
                    return Err(CudaError::Unsupported(format!("{of} has no device form")));
                }
                let width_bytes = u32::try_from(width)
                    .map_err(|_| CudaError::Unsupported(format!("values of {width} bytes")))?;
                (kind, width_bytes, upload(context, &fixed(array, width, nulls))?)
            }
        };
        let data_type = array.data_type().clone();
        Ok(Self { data_type, kind, width, rows, values, validity, dictionary: None, pointed })
    }
}

fn upload(context: &DecodeContext<'_>, bytes: &[u8]) -> Result<DeviceSlice<u8>> {
    let kernels = &context.kernels;
    let mut buffer = kernels.memory.buffer::<u8>(bytes.len(), kernels.stream)?;
    buffer.write(0, bytes, context.staging, kernels.stream)?;
    Ok(buffer.freeze())
}

/// Bits from the first on, in whole words, zero behind the last.
fn words(bits: &BooleanBuffer) -> Vec<u8> {
    let mut bytes = bits.sliced().as_slice()[..bits.len().div_ceil(8)].to_vec();
    if let (Some(last), rest @ 1..) = (bytes.last_mut(), bits.len() % 8) {
        *last &= (1 << rest) - 1;
    }
    bytes.resize(bits.len().div_ceil(32) * 4, 0);
    bytes
}

/// Values of `width` bytes a row; NULL slots are zero.
fn fixed(array: &ArrayRef, width: usize, nulls: Option<&NullBuffer>) -> Vec<u8> {
    let data = array.to_data();
    let bytes = data.buffers().first().map_or(&[][..], |buffer| buffer.as_slice());
    let from = data.offset() * width;
    let mut values = bytes[from..from + array.len() * width].to_vec();
    if let Some(nulls) = nulls {
        for (value, valid) in values.chunks_exact_mut(width).zip(nulls.iter()) {
            if !valid {
                value.fill(0);
            }
        }
    }
    values
}

/// Bytes of all strings, one behind the other, and their lengths; NULLs are empty.
fn strings(array: &ArrayRef) -> (Vec<u8>, Vec<usize>) {
    macro_rules! gather {
        ($values:expr) => {{
            let mut bytes: Vec<u8> = Vec::new();
            let lengths = $values
                .map(|value| match value {
                    Some(value) => {
                        let value: &[u8] = value.as_ref();
                        bytes.extend_from_slice(value);
                        value.len()
                    }
                    None => 0,
                })
                .collect();
            (bytes, lengths)
        }};
    }
    match array.data_type() {
        DataType::Utf8 => gather!(array.as_bytes::<Utf8Type>().iter()),
        DataType::LargeUtf8 => gather!(array.as_bytes::<LargeUtf8Type>().iter()),
        DataType::Binary => gather!(array.as_bytes::<BinaryType>().iter()),
        DataType::LargeBinary => gather!(array.as_bytes::<LargeBinaryType>().iter()),
        DataType::Utf8View => gather!(array.as_string_view().iter()),
        _ => gather!(array.as_binary_view().iter()),
    }
}

/// Spans over strings that stand one behind the other from `address` on.
fn spans(address: u64, bytes: &[u8], lengths: &[usize]) -> Result<Vec<Span>> {
    let mut at = 0;
    lengths
        .iter()
        .map(|&length| {
            if length == 0 {
                return Ok(Span::default());
            }
            let mut prefix = [0; 4];
            let count = length.min(4);
            prefix[..count].copy_from_slice(&bytes[at..at + count]);
            let span = Span {
                address: address + at as u64,
                length: u32::try_from(length)
                    .ok()
                    .filter(|length| *length <= i32::MAX as u32)
                    .ok_or_else(|| CudaError::Unsupported(format!("a string of {length} bytes")))?,
                prefix: u32::from_le_bytes(prefix),
            };
            at += length;
            Ok(span)
        })
        .collect()
}
