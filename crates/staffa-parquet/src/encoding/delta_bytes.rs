//! DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY, both brought to one form: values that lie one
//! behind the other in a buffer, and their lengths.

use bytes::Bytes;

use crate::encoding::delta;
use crate::error::{Flaw, Flawed};

/// Byte strings that lie one behind the other from the front of `data`.
#[derive(Debug)]
pub(crate) struct Lengths {
    pub(crate) data: Bytes,
    pub(crate) lengths: Vec<u32>,
}

/// Decodes `need` lengths and checks that the bytes they stand for are there.
pub(crate) fn delta_length(data: &Bytes, need: usize) -> Flawed<Lengths> {
    // All lengths that the page claims are read: the bytes start behind them. There cannot be
    // more of them than rows, which the caller counted; fewer is an error below.
    let claimed = delta::claimed_count(data)?;
    if claimed != need {
        return Err(Flaw::bad(format!("page holds {claimed} lengths for {need} values")));
    }
    let (lengths, start) = delta::decode::<i32>(data, need)?;
    let lengths = unsigned(lengths)?;
    let total: u64 = lengths.iter().map(|l| u64::from(*l)).sum();
    if total > (data.len() - start) as u64 {
        return Err(Flaw::bad("lengths of byte arrays go beyond the page"));
    }
    Ok(Lengths { data: data.slice(start..), lengths })
}

/// Undoes front coding. `limit_bytes` bounds the output, which may be far larger than the page.
pub(crate) fn delta_byte_array(data: &Bytes, need: usize, limit_bytes: usize) -> Flawed<Lengths> {
    let claimed = delta::claimed_count(data)?;
    if claimed != need {
        return Err(Flaw::bad(format!("page holds {claimed} prefixes for {need} values")));
    }
    let (prefixes, start) = delta::decode::<i32>(data, need)?;
    let prefixes = unsigned(prefixes)?;
    let suffixes = delta_length(&data.slice(start..), need)?;
    let mut total = 0u64;
    let mut last = 0u32;
    for (p, s) in prefixes.iter().zip(&suffixes.lengths) {
        if *p > last {
            return Err(Flaw::bad("a prefix is longer than the value before it"));
        }
        last = p.checked_add(*s).ok_or_else(|| Flaw::bad("length of a byte array"))?;
        total += u64::from(last);
    }
    let total = usize::try_from(total).ok().filter(|t| *t <= limit_bytes);
    let total = total.ok_or_else(|| Flaw::too_large("front-coded strings above the page limit"))?;
    let mut out: Vec<u8> = Vec::with_capacity(total);
    let mut lengths = Vec::with_capacity(need);
    let (mut from, mut previous) = (0usize, 0usize);
    for (p, s) in prefixes.iter().zip(&suffixes.lengths) {
        let (p, s) = (*p as usize, *s as usize);
        let start = out.len();
        out.extend_from_within(previous..previous + p);
        out.extend_from_slice(&suffixes.data[from..from + s]);
        from += s;
        previous = start;
        lengths.push((p + s) as u32);
    }
    Ok(Lengths { data: Bytes::from(out), lengths })
}

fn unsigned(lengths: Vec<i32>) -> Flawed<Vec<u32>> {
    lengths
        .into_iter()
        .map(|l| u32::try_from(l).map_err(|_| Flaw::bad("negative length of a byte array")))
        .collect()
}
