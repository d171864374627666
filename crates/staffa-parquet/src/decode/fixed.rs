//! Fixed-width physical values to fixed-width Arrow values.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{ArrowNativeType, DataType};
use bytes::Bytes;

use crate::decode::body::{Body, too_few};
use crate::decode::scatter::{gather, scatter};
use crate::decode::sink::{Sink, primitive};
use crate::encoding::bitmap::Rows;
use crate::error::Flawed;

/// Takes values of `N` bytes and makes a `T` of each. One instance per pair of physical and Arrow
/// type, so that the conversion is part of the inner loop.
pub(crate) struct FixedSink<const N: usize, T, F> {
    data_type: DataType,
    convert: F,
    out: Vec<T>,
    dictionary: Vec<T>,
}

impl<const N: usize, T, F> FixedSink<N, T, F>
where
    T: ArrowNativeType,
    F: Fn([u8; N]) -> T + Copy + Send + 'static,
{
    pub(crate) fn boxed(data_type: &DataType, convert: F) -> Box<dyn Sink> {
        let data_type = data_type.clone();
        Box::new(Self { data_type, convert, out: vec![], dictionary: vec![] })
    }
}

impl<const N: usize, T, F> Sink for FixedSink<N, T, F>
where
    T: ArrowNativeType,
    F: Fn([u8; N]) -> T + Copy + Send + 'static,
{
    fn reserve(&mut self, rows: usize) {
        self.out.reserve_exact(rows);
    }

    fn take(&mut self, body: &mut Body, rows: &Rows<'_>) -> Flawed<()> {
        let (values, _) = body.take_fixed(rows.valid)?.as_chunks::<N>();
        scatter(values, rows, &mut self.out, self.convert);
        Ok(())
    }

    fn set_dictionary(&mut self, data: Bytes, entries: usize) -> Flawed<()> {
        let (values, _) = data.as_chunks::<N>();
        let values = values.get(..entries).ok_or_else(too_few)?;
        self.dictionary = values.iter().map(|v| (self.convert)(*v)).collect();
        Ok(())
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
