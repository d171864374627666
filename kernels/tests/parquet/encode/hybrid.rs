//! The hybrid of run-length and bit-packed runs.

use super::put_varint;
use crate::random::Random;

/// How values are cut into runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// One bit-packed run.
    Packed,
    /// A repeated run for each stretch of equal values.
    Repeated,
    /// Runs of both kinds and random lengths, some of them empty.
    Mixed,
    /// As parquet-mr and arrow-rs write: repeated from 8 equal values on, packed up to 504.
    Writer,
    /// One bit-packed run whose last group is cut short.
    Truncated,
}

impl Runs {
    pub(crate) const ALL: [Runs; 5] =
        [Runs::Packed, Runs::Repeated, Runs::Mixed, Runs::Writer, Runs::Truncated];
}

/// Encodes values of `width` bits.
pub(crate) fn hybrid(values: &[u32], width: u32, runs: Runs, random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    match runs {
        Runs::Packed => packed(&mut out, values, width, false),
        Runs::Truncated => packed(&mut out, values, width, true),
        Runs::Repeated => {
            while at < values.len() {
                let n = stretch(&values[at..]);
                repeated(&mut out, values[at], n, width);
                at += n;
            }
        }
        Runs::Mixed => {
            while at < values.len() {
                if random.one_in(16) {
                    // An empty packed run; an empty repeated one ends the stream for some readers.
                    put_varint(&mut out, 1);
                }
                let n = stretch(&values[at..]);
                if random.one_in(2) {
                    let take = 1 + random.below(n);
                    repeated(&mut out, values[at], take, width);
                    at += take;
                } else {
                    let take = (8 * (1 + random.below(80))).min(values.len() - at);
                    packed(&mut out, &values[at..at + take], width, false);
                    at += take;
                }
            }
        }
        Runs::Writer => {
            while at < values.len() {
                let n = stretch(&values[at..]);
                if n >= 8 {
                    repeated(&mut out, values[at], n, width);
                    at += n;
                } else {
                    let mut take = 0;
                    while take < 504
                        && at + take < values.len()
                        && stretch(&values[at + take..]) < 8
                    {
                        take += 8;
                    }
                    let take = take.max(8).min(values.len() - at);
                    packed(&mut out, &values[at..at + take], width, false);
                    at += take;
                }
            }
        }
    }
    out
}

fn stretch(values: &[u32]) -> usize {
    values.iter().take_while(|value| **value == values[0]).count()
}

fn repeated(out: &mut Vec<u8>, value: u32, n: usize, width: u32) {
    put_varint(out, (n as u64) << 1);
    out.extend(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
}

fn packed(out: &mut Vec<u8>, values: &[u32], width: u32, truncate: bool) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(8);
    put_varint(out, (groups as u64) << 1 | 1);
    let mut bytes = vec![0u8; groups * width as usize];
    pack(&mut bytes, values.iter().map(|value| u64::from(*value)), width);
    if truncate {
        bytes.truncate((values.len() * width as usize).div_ceil(8));
    }
    out.extend(bytes);
}

/// Packs values, least significant bit first.
pub(super) fn pack(bytes: &mut [u8], values: impl Iterator<Item = u64>, width: u32) {
    for (i, value) in values.enumerate() {
        for bit in 0..width as usize {
            let at = i * width as usize + bit;
            bytes[at / 8] |= ((value >> bit & 1) as u8) << (at % 8);
        }
    }
}
