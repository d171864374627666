//! The delta encodings.

use super::hybrid::pack;

/// Sizes that a writer chooses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeltaShape {
    pub(crate) block: usize,
    pub(crate) miniblocks: usize,
    /// Whether the last miniblock's padding is left out.
    pub(crate) truncate: bool,
}

impl DeltaShape {
    pub(crate) const ALL: [DeltaShape; 4] = [
        DeltaShape { block: 128, miniblocks: 4, truncate: false },
        DeltaShape { block: 256, miniblocks: 4, truncate: false },
        DeltaShape { block: 1024, miniblocks: 2, truncate: false },
        DeltaShape { block: 128, miniblocks: 1, truncate: true },
    ];
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

/// DELTA_BINARY_PACKED; deltas wrap at `bits` (32 or 64).
pub(crate) fn delta(values: &[i64], bits: u32, shape: DeltaShape) -> Vec<u8> {
    let narrow = |x: i64| if bits == 32 { i64::from(x as i32) } else { x };
    let mut out = Vec::new();
    put_varint(&mut out, shape.block as u64);
    put_varint(&mut out, shape.miniblocks as u64);
    put_varint(&mut out, values.len() as u64);
    put_zigzag(&mut out, values.first().copied().unwrap_or(0));
    let deltas: Vec<i64> =
        values.windows(2).map(|pair| narrow(pair[1].wrapping_sub(pair[0]))).collect();
    let per = shape.block / shape.miniblocks;
    let mut chunks = deltas.chunks(shape.block).peekable();
    while let Some(block) = chunks.next() {
        let least = block.iter().copied().min().unwrap_or(0);
        put_zigzag(&mut out, least);
        let rest: Vec<u64> = block
            .iter()
            .map(|delta| {
                let x = delta.wrapping_sub(least) as u64;
                if bits == 32 { u64::from(x as u32) } else { x }
            })
            .collect();
        let widths: Vec<u32> = (0..shape.miniblocks)
            .map(|m| {
                let part = &rest[(m * per).min(rest.len())..((m + 1) * per).min(rest.len())];
                // The format lets widths of miniblocks without values be anything.
                if part.is_empty() {
                    77
                } else {
                    part.iter().map(|x| 64 - x.leading_zeros()).max().unwrap()
                }
            })
            .collect();
        out.extend(widths.iter().map(|width| *width as u8));
        for (m, width) in widths.iter().enumerate() {
            let part = &rest[(m * per).min(rest.len())..((m + 1) * per).min(rest.len())];
            if part.is_empty() {
                break;
            }
            let last = chunks.peek().is_none() && (m + 1) * per >= rest.len();
            let mut bytes = vec![0u8; per * *width as usize / 8];
            pack(&mut bytes, part.iter().copied(), *width);
            if last && shape.truncate {
                bytes.truncate((part.len() * *width as usize).div_ceil(8));
            }
            out.extend(bytes);
        }
    }
    out
}

fn lengths(values: impl Iterator<Item = usize>, shape: DeltaShape) -> Vec<u8> {
    // What follows starts where the padding ends.
    delta(
        &values.map(|n| n as i64).collect::<Vec<_>>(),
        32,
        DeltaShape { truncate: false, ..shape },
    )
}

/// DELTA_LENGTH_BYTE_ARRAY.
pub(crate) fn delta_length_byte_array(values: &[Vec<u8>], shape: DeltaShape) -> Vec<u8> {
    let mut out = lengths(values.iter().map(Vec::len), shape);
    values.iter().for_each(|value| out.extend(value));
    out
}

/// DELTA_BYTE_ARRAY.
pub(crate) fn delta_byte_array(values: &[Vec<u8>], shape: DeltaShape) -> Vec<u8> {
    let mut previous: &[u8] = &[];
    let mut prefixes = Vec::new();
    let mut suffixes = Vec::new();
    for value in values {
        let common = previous.iter().zip(value).take_while(|(a, b)| a == b).count();
        prefixes.push(common);
        suffixes.push(value[common..].to_vec());
        previous = value;
    }
    let mut out = lengths(prefixes.into_iter(), shape);
    out.extend(delta_length_byte_array(&suffixes, shape));
    out
}
