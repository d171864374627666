//! Decimals stored as BYTE_ARRAY: big-endian integers of varying length.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, DataType, i256};
use bytes::Bytes;

use crate::decode::body::{Body, Span, too_few};
use crate::decode::scatter::{gather, scatter};
use crate::decode::sink::{Sink, primitive};
use crate::decode::target::big_endian_256;
use crate::encoding::bitmap::Rows;
use crate::error::{Flaw, Flawed};

/// The native type of a decimal array.
pub(crate) trait DecimalNative: ArrowNativeType {
    const BYTES: usize;
    /// From an integer that has at most `BYTES` bytes.
    fn narrow(v: i256) -> Self;
}

macro_rules! native {
    ($($t:ty),+) => {$(
        impl DecimalNative for $t {
            const BYTES: usize = size_of::<$t>();
            fn narrow(v: i256) -> Self {
                v.as_i128() as $t
            }
        }
    )+};
}
native!(i32, i64, i128);

impl DecimalNative for i256 {
    const BYTES: usize = 32;
    fn narrow(v: i256) -> Self {
        v
    }
}

/// Collects decimals of one native type.
pub(crate) struct DecimalBytesSink<T> {
    data_type: DataType,
    out: Vec<T>,
    spans: Vec<Span>,
    dense: Vec<T>,
    dictionary: Vec<T>,
}

impl<T: DecimalNative> DecimalBytesSink<T> {
    pub(crate) fn boxed(data_type: &DataType) -> Box<dyn Sink> {
        let data_type = data_type.clone();
        Box::new(Self { data_type, out: vec![], spans: vec![], dense: vec![], dictionary: vec![] })
    }

    fn decode(bytes: &[u8], spans: &[Span], out: &mut Vec<T>) -> Flawed<()> {
        for s in spans {
            let b = s.of(bytes);
            if b.len() > T::BYTES {
                return Err(Flaw::bad(format!("a decimal of {} bytes", b.len())));
            }
            out.push(T::narrow(big_endian_256(b)));
        }
        Ok(())
    }
}

impl<T: DecimalNative> Sink for DecimalBytesSink<T> {
    fn reserve(&mut self, rows: usize) {
        self.out.reserve_exact(rows);
    }

    fn take(&mut self, body: &mut Body, rows: &Rows<'_>) -> Flawed<()> {
        self.spans.clear();
        self.dense.clear();
        let bytes = body.take_spans(rows.valid, &mut self.spans)?;
        Self::decode(&bytes, &self.spans, &mut self.dense)?;
        scatter(&self.dense, rows, &mut self.out, |v| v);
        Ok(())
    }

    fn set_dictionary(&mut self, data: Bytes, entries: usize) -> Flawed<()> {
        if entries > data.len() / 4 {
            return Err(too_few());
        }
        self.spans.clear();
        let bytes = Body::Prefixed { bytes: data, at: 0 }.take_spans(entries, &mut self.spans)?;
        self.dictionary.clear();
        Self::decode(&bytes, &self.spans, &mut self.dictionary)
    }

    fn gather(&mut self, codes: &[u32], rows: &Rows<'_>) -> Flawed<()> {
        gather(codes, rows, &self.dictionary, &mut self.out)
    }

    fn dictionary(&self) -> Flawed<ArrayRef> {
        primitive(&self.data_type, self.dictionary.clone(), None)
    }

    fn finish(&mut self, nulls: Option<NullBuffer>) -> Flawed<ArrayRef> {
        primitive(&self.data_type, std::mem::take(&mut self.out), nulls)
    }
}
