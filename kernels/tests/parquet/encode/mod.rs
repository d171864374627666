//! Encoders, small and slow: the inverse of what the kernels do, written from the format's text.

mod delta;
mod hybrid;

pub(crate) use delta::{
    DeltaShape, delta, delta_byte_array, delta_length_byte_array, put_varint, put_zigzag,
};
pub(crate) use hybrid::{Runs, hybrid};

/// BYTE_STREAM_SPLIT of values of one width.
pub(crate) fn split(values: &[Vec<u8>]) -> Vec<u8> {
    let width = values.first().map_or(0, Vec::len);
    (0..width).flat_map(|byte| values.iter().map(move |value| value[byte])).collect()
}

/// PLAIN BYTE_ARRAY.
pub(crate) fn byte_array(values: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        out.extend((value.len() as u32).to_le_bytes());
        out.extend(value);
    }
    out
}

/// PLAIN booleans.
pub(crate) fn bits(values: &[bool]) -> Vec<u8> {
    let mut out = vec![0u8; values.len().div_ceil(8)];
    for (i, value) in values.iter().enumerate() {
        out[i / 8] |= u8::from(*value) << (i % 8);
    }
    out
}
