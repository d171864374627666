//! Numbers dealt out to outputs.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, NullBufferBuilder, PrimitiveArray,
    downcast_primitive,
};
use arrow::datatypes::DataType;

/// An array for each output with its rows of `arrays` (of one type), in order. `outputs` says where each row of each
/// array goes, `counts` how many rows an output gets. `None` for types that are not numbers.
pub(super) fn scatter(
    arrays: &[&dyn Array],
    outputs: &[Vec<u32>],
    counts: &[usize],
) -> Option<Vec<ArrayRef>> {
    let data_type = arrays.first()?.data_type();
    macro_rules! numbers {
        ($t:ty) => {
            Some(values::<$t>(arrays, outputs, counts, data_type))
        };
    }
    downcast_primitive! {
        data_type => (numbers),
        _ => None,
    }
}

/// Reads in order and writes to as many places as there are outputs, each in order as well.
fn values<T: ArrowPrimitiveType>(
    arrays: &[&dyn Array],
    outputs: &[Vec<u32>],
    counts: &[usize],
    data_type: &DataType,
) -> Vec<ArrayRef> {
    let mut values: Vec<Vec<T::Native>> =
        counts.iter().map(|&rows| Vec::with_capacity(rows)).collect();
    for (array, outputs) in arrays.iter().zip(outputs) {
        for (&value, &output) in array.as_primitive::<T>().values().iter().zip(outputs) {
            values[output as usize].push(value);
        }
    }
    let nulls = nulls(arrays, outputs, counts);
    let arrays = values.into_iter().zip(nulls).map(|(values, mut nulls)| {
        let nulls = nulls.as_mut().and_then(NullBufferBuilder::finish);
        let array = PrimitiveArray::<T>::new(values.into(), nulls);
        Arc::new(array.with_data_type(data_type.clone())) as ArrayRef
    });
    arrays.collect()
}

/// The validity of each output's rows; none where no array has NULLs.
fn nulls(
    arrays: &[&dyn Array],
    outputs: &[Vec<u32>],
    counts: &[usize],
) -> Vec<Option<NullBufferBuilder>> {
    if arrays.iter().all(|array| array.null_count() == 0) {
        return counts.iter().map(|_| None).collect();
    }
    let mut builders: Vec<NullBufferBuilder> =
        counts.iter().map(|&rows| NullBufferBuilder::new(rows)).collect();
    for (array, outputs) in arrays.iter().zip(outputs) {
        match array.nulls() {
            Some(nulls) => {
                for (&output, valid) in outputs.iter().zip(nulls) {
                    builders[output as usize].append(valid);
                }
            }
            None => outputs.iter().for_each(|&output| builders[output as usize].append(true)),
        }
    }
    builders.into_iter().map(Some).collect()
}
