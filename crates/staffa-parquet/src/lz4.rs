//! LZ4 blocks, decoded without trust.
//!
//! Format: <https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>. A block is a row of
//! sequences: a token (literal length in the high four bits, match length less 4 in the low ones),
//! more length bytes where four bits are full, literals, a 16-bit offset back, more length bytes.
//! The last sequence ends after its literals.
//!
//! Our own, because the usual crate checks bounds only with features that every other user of it in
//! a build then gets too, and that a build of DataFusion leaves off.

use crate::error::{Flaw, Flawed};

/// Decodes a block into `out`, which it must fill exactly.
///
/// # Errors
/// When the block reads or writes outside, or ends early.
pub(crate) fn block(mut input: &[u8], out: &mut [u8]) -> Flawed<()> {
    let bad = || Flaw::bad("LZ4: a sequence leaves its block");
    let mut at = 0;
    loop {
        let (&token, rest) = input.split_first().ok_or_else(bad)?;
        input = rest;
        let literals = length(usize::from(token >> 4), &mut input).ok_or_else(bad)?;
        let (from, rest) = input.split_at_checked(literals).ok_or_else(bad)?;
        let to = out.get_mut(at..).and_then(|o| o.get_mut(..literals)).ok_or_else(bad)?;
        to.copy_from_slice(from);
        at += literals;
        input = rest;
        if input.is_empty() {
            return if at == out.len() { Ok(()) } else { Err(bad()) };
        }
        let (offset, rest) = input.split_first_chunk::<2>().ok_or_else(bad)?;
        let offset = usize::from(u16::from_le_bytes(*offset));
        input = rest;
        let matched = length(usize::from(token & 15), &mut input)
            .and_then(|n| n.checked_add(4))
            .ok_or_else(bad)?;
        if offset == 0 || offset > at || matched > out.len() - at {
            return Err(bad());
        }
        repeat(out, at, offset, matched);
        at += matched;
    }
}

/// Four bits of a token, and the bytes that follow when they are full.
fn length(bits: usize, input: &mut &[u8]) -> Option<usize> {
    let mut length = bits;
    if bits == 15 {
        loop {
            let (&more, rest) = input.split_first()?;
            *input = rest;
            length = length.checked_add(usize::from(more))?;
            if more != 255 {
                break;
            }
        }
    }
    Some(length)
}

/// Appends at `at` the `length` bytes that stand `offset` before it, which may overlap: what is
/// written is then repeated. Copies double, so that a run of one byte takes few of them.
fn repeat(out: &mut [u8], at: usize, offset: usize, length: usize) {
    let from = at - offset;
    if length <= offset {
        out.copy_within(from..from + length, at);
        return;
    }
    let mut done = 0;
    while done < length {
        let step = (offset + done).min(length - done);
        out.copy_within(from..from + step, at + done);
        done += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut out = vec![0; size];
        block(input, &mut out).ok().map(|()| out)
    }

    #[test]
    fn decodes_literals_runs_and_overlaps() {
        assert_eq!(decode(&[0x30, b'a', b'b', b'c'], 3).as_deref(), Some(&b"abc"[..]));
        // "ab", then 8 bytes from 2 back, then "!".
        let input = [0x24, b'a', b'b', 2, 0, 0x10, b'!'];
        assert_eq!(decode(&input, 11).as_deref(), Some(&b"ababababab!"[..]));
        // One byte, 4 + 15 + 255 + 3 times again.
        let mut run = vec![0x1f, b'x', 1, 0, 255, 3];
        run.push(0);
        assert_eq!(decode(&run, 278), Some(vec![b'x'; 278]));
    }

    #[test]
    fn refuses_what_leaves_the_block() {
        for input in [
            &[][..],
            &[0x30, b'a', b'b'],
            &[0x10, b'a', 2, 0, 0],
            &[0x10, b'a', 0, 0, 0],
            &[0x1f, b'a', 1, 0, 255, 255],
            &[0xf0, 255, 255, 255],
            &[0x40, b'a', b'b', b'c', b'd'],
        ] {
            assert_eq!(decode(input, 3), None, "{input:?}");
        }
    }
}
