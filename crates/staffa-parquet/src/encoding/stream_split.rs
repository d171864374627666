//! BYTE_STREAM_SPLIT: byte `k` of all values, then byte `k + 1` of all values.

use crate::error::{Flaw, Flawed};

/// Puts the bytes of `need` values of `width` bytes back together.
///
/// # Errors
/// When there are fewer bytes.
pub(crate) fn join(data: &[u8], width: usize, need: usize) -> Flawed<Vec<u8>> {
    if width == 0 || !data.len().is_multiple_of(width) {
        return Err(Flaw::bad("byte streams of unequal length"));
    }
    let stride = data.len() / width;
    if stride < need {
        return Err(Flaw::bad("byte streams hold too few values"));
    }
    let mut out = vec![0; need * width];
    match width {
        2 => transpose::<2>(data, stride, &mut out),
        4 => transpose::<4>(data, stride, &mut out),
        8 => transpose::<8>(data, stride, &mut out),
        16 => transpose::<16>(data, stride, &mut out),
        _ if need > 0 => {
            for (k, stream) in data.chunks_exact(stride).enumerate() {
                for (o, b) in out[k..].iter_mut().step_by(width).zip(stream) {
                    *o = *b;
                }
            }
        }
        _ => {}
    }
    Ok(out)
}

fn transpose<const W: usize>(data: &[u8], stride: usize, out: &mut [u8]) {
    let (out, _) = out.as_chunks_mut::<W>();
    let n = out.len();
    let streams: [&[u8]; W] = std::array::from_fn(|k| &data[k * stride..][..n]);
    for (i, o) in out.iter_mut().enumerate() {
        for k in 0..W {
            o[k] = streams[k][i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths() {
        for width in 1..=20 {
            let values: Vec<u8> = (0..width as u8 * 5).collect();
            let split: Vec<u8> =
                (0..width).flat_map(|k| (0..5).map(move |i| (i * width + k) as u8)).collect();
            assert_eq!(join(&split, width, 5), Ok(values.clone()));
            assert_eq!(join(&split, width, 3), Ok(values[..3 * width].to_vec()));
            assert!(join(&split, width, 6).is_err());
        }
        assert!(join(&[1, 2, 3], 2, 1).is_err());
        assert_eq!(join(&[], 4, 0), Ok(vec![]));
    }
}
