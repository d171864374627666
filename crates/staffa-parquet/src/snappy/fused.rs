//! The loop over one or two streams in turn: for pages of plain numbers with a step that takes a
//! short literal and a short copy at once, for others token by token.
//!
//! # The fused step
//!
//! A 64-bit value that differs from an earlier one in its low `n` bytes is stored as
//!
//! ```text
//! input   | tag: literal of n | n bytes | tag: copy of m | offset, 1 or 2 bytes |
//! output  | n bytes | m bytes from `offset` back |        n in 1..=4, n + m <= 8
//! ```
//!
//! The step loads the 8 bytes at `offset` back from the *start* of the value, so that the copied
//! bytes stand already where they belong, puts the literal's bytes over the low ones, and stores 8.
//! Each value is thus one load and one store of the same width, and where `offset` is 8 the load
//! is forwarded from the last store as a whole. The copy's source is complete before the value if
//! `offset >= 8 >= n + m`: what else is loaded is overwritten by the next step or is not counted.
//!
//! # Bounds
//!
//! The hot loop checks neither end. It runs a number of rounds for which [`INPUT_A_STEP`] and
//! [`OUTPUT_A_STEP`] bytes are left for each, the most that one may consume, with the `_SPARE`
//! bytes that it may touch beyond; then the number is reckoned anew. Near an end it returns, and
//! `Stream::finish` does the rest.
#![expect(unsafe_code, reason = "measured need, see the package's `snappy` module")]

use std::ptr;

use super::Error;
use super::stream::Stream;
use super::tables::{TABLES, Tables};

/// The loop's output index runs this much behind, so that one borrow tells both `offset < LAG` and
/// `offset > written`. It is the width of a step's load and store.
pub(super) const LAG: usize = 8;

/// How far behind the loop's output index is: only the fused step wants it so.
const fn lag(fuse: bool) -> usize {
    if fuse { LAG } else { 0 }
}

/// A step consumes at most a literal of 60 and its tag (61), or a fused pair (8).
const INPUT_A_STEP: usize = 64;
/// A step reads at most 4 bytes more than that: chunks of a literal, 65 with the tag.
const INPUT_SPARE: usize = 32;
/// A step yields at most a copy of 64.
const OUTPUT_A_STEP: usize = 64;
/// It writes whole chunks: at most 71 bytes, for a copy of 64 that repeats fewer than 8.
const OUTPUT_SPARE: usize = 32;

/// Decodes until one of the streams is near an end of its input or its output.
///
/// `FUSE` tries the fused step first; without it, a token at a time by branches, which is what text
/// wants (two streams: 1.1 times `snap`; with the fused step tried first, 0.7).
///
/// # Errors
///
/// A token is bad. Its stream stands in front of it; the other stands between two tokens.
pub(super) fn run<const N: usize, const FUSE: bool>(
    streams: &mut [Stream<'_>; N],
) -> Result<(), Error> {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("bmi2") {
        // SAFETY: the processor has BMI2.
        return unsafe { run_bmi2::<N, FUSE>(streams) };
    }
    run_any::<N, FUSE, false>(streams)
}

/// `run` with BMI2's shifts by any register (12 % faster than without; the loop is bound by its
/// number of instructions).
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi2")]
fn run_bmi2<const N: usize, const FUSE: bool>(streams: &mut [Stream<'_>; N]) -> Result<(), Error> {
    run_any::<N, FUSE, true>(streams)
}

#[inline(always)]
pub(super) fn run_any<const N: usize, const FUSE: bool, const BMI2: bool>(
    streams: &mut [Stream<'_>; N],
) -> Result<(), Error> {
    for stream in streams.iter_mut() {
        while stream.written() < LAG {
            if stream.input_left() == 0 {
                return Ok(());
            }
            stream.token()?;
        }
    }
    let output: [*mut u8; N] = std::array::from_fn(|i| streams[i].cursors().1);
    loop {
        let mut rounds = usize::MAX;
        for stream in streams.iter() {
            let input = stream.input_left().saturating_sub(INPUT_SPARE) / INPUT_A_STEP;
            let output = stream.output_left().saturating_sub(OUTPUT_SPARE) / OUTPUT_A_STEP;
            rounds = rounds.min(input).min(output);
        }
        if rounds == 0 {
            return Ok(());
        }
        let mut next: [*const u8; N] = std::array::from_fn(|i| streams[i].cursors().0);
        let mut behind: [usize; N] = std::array::from_fn(|i| streams[i].written() - lag(FUSE));
        // SAFETY: each stream has written `LAG` bytes and has room for `rounds` steps.
        let stopped = unsafe { hot::<N, FUSE, BMI2>(rounds, &mut next, &mut behind, &output) };
        for i in 0..N {
            // SAFETY: `hot` moves its cursors only past tokens that lie in the bounds.
            unsafe { streams[i].move_to(next[i], behind[i] + lag(FUSE)) };
        }
        if let Some(i) = stopped {
            streams[i].token()?;
        }
    }
}

/// Runs `rounds` rounds, or until a stream meets a token that is none of its business (a long
/// literal, a copy with four bytes of offset, a bad one): returns which stream.
///
/// # Safety
///
/// Each `next` has `rounds * INPUT_A_STEP + INPUT_SPARE` bytes of input; each `output` has
/// `behind + lag(FUSE)` bytes written, 8 at least, and room for `rounds * OUTPUT_A_STEP + OUTPUT_SPARE` more.
#[inline(always)]
unsafe fn hot<const N: usize, const FUSE: bool, const BMI2: bool>(
    rounds: usize,
    next: &mut [*const u8; N],
    behind: &mut [usize; N],
    output: &[*mut u8; N],
) -> Option<usize> {
    // Hides that this is a static: its address then stays in a register, where else each use
    // computes it anew. Worth 13 % on text and 4 % on prices.
    let tables: &Tables = std::hint::black_box(&TABLES);
    let lag = const { lag(FUSE) };
    for _ in 0..rounds {
        for i in 0..N {
            // SAFETY: the caller's promise; a step takes at most `*_A_STEP` of it, so that it
            // holds for the rounds left.
            unsafe {
                if FUSE && pair::<N, BMI2>(tables, &mut next[i], &mut behind[i], output[i]) {
                    continue;
                }
                let written = behind[i] + lag;
                let (after, written) = if FUSE {
                    single_apart(tables, next[i], written, output[i])
                } else {
                    single(tables, next[i], written, output[i])
                };
                if after.is_null() {
                    return Some(i);
                }
                (next[i], behind[i]) = (after, written - lag);
            }
        }
    }
    None
}

/// The low `bits` (below 64) bits of `x`.
///
/// # Safety
///
/// With `BMI2`, the processor has it.
#[inline(always)]
unsafe fn low_bits<const BMI2: bool>(x: u64, bits: u32) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if BMI2 {
        // SAFETY: the caller's promise.
        return unsafe { std::arch::x86_64::_bzhi_u64(x, bits) };
    }
    x & ((1 << (bits & 63)) - 1)
}

/// The step of the file's header. `false`, and nothing moved, if the tokens are not such a pair.
///
/// # Safety
///
/// `next` has 12 bytes; `output` has `behind + LAG` bytes written and room for 8 more.
#[inline(always)]
unsafe fn pair<const N: usize, const BMI2: bool>(
    tables: &Tables,
    next: &mut *const u8,
    behind: &mut usize,
    output: *mut u8,
) -> bool {
    // SAFETY: 1 + 8 bytes of input are read. Tables are indexed by a byte. The load begins at
    // `behind - (offset - 8)`, which is `written - offset`: not below 0 and, as `offset >= 8`, at
    // least 8 below `written` (else the subtraction borrows, and `offset - 8` may wrap to do so).
    // The store ends at `written + 8`.
    unsafe {
        let tag = usize::from(**next);
        if tag & 0xf3 != 0 {
            return false; // not a literal of 1 to 4 bytes
        }
        let word = u64::from_le(next.add(1).cast::<u64>().read_unaligned());
        let literal_bits = (tag * 2 + 8) as u32;
        let rest = word >> literal_bits;
        let copy = (rest & 0xff) as usize;
        let bits = u32::from(*tables.offset_bits.get_unchecked(copy));
        let less_lag = low_bits::<BMI2>(rest >> 8, bits)
            .wrapping_add(*tables.offset_less_lag.get_unchecked(copy))
            as usize;
        let (from, borrow) = behind.overflowing_sub(less_lag);
        // A copy's length is 255 where `copy` is no short copy's tag.
        let extra = tag >> 2; // the literal's length less one
        let len_less_one = extra + usize::from(*tables.copy_len.get_unchecked(copy));
        if borrow || len_less_one >= LAG {
            return false;
        }
        let copied = u64::from_le(output.add(from).cast::<u64>().read_unaligned());
        let value = copied ^ low_bits::<BMI2>(copied ^ word, literal_bits);
        output.add(*behind + LAG).cast::<u64>().write_unaligned(value.to_le());
        *behind += len_less_one + 1;
        // Alone, a stream waits on this sum: arithmetic is the shorter chain. Of two, each hides
        // the other's, and the table saves instructions.
        let width = if N == 1 { copy % 4 + 1 } else { *tables.width.get_unchecked(copy) as usize };
        *next = next.add(extra + 2).add(width);
        true
    }
}

/// One token with nothing special about it: a literal up to 60, or a copy with at most two bytes
/// of offset. Returns the cursors past it; a null pointer if it is another or a bad one.
///
/// # Safety
///
/// `next` has 66 bytes; `output` has `written` bytes written (8 at least) and room for 72 more.
#[inline(always)]
unsafe fn single(
    tables: &Tables,
    next: *const u8,
    written: usize,
    output: *mut u8,
) -> (*const u8, usize) {
    // SAFETY: a literal reads `next[..65]` and writes 64 bytes. A copy's offset is checked to lie
    // in `1..=written`; it reads up to `len` rounded up to 8 (16 at least), and writes as much, at
    // `written`: at most 64 + 7. It reads below where it writes, hence initialised output only.
    unsafe {
        let tag = usize::from(*next);
        let to = output.add(written);
        if tag & 3 == 0 {
            let len = (tag >> 2) + 1;
            if len > 60 {
                return (ptr::null(), written);
            }
            let from = next.add(1);
            ptr::copy_nonoverlapping(from, to, 16);
            if len > 16 {
                ptr::copy_nonoverlapping(from.add(16), to.add(16), 16);
                if len > 32 {
                    ptr::copy_nonoverlapping(from.add(32), to.add(32), 32);
                }
            }
            return (from.add(len), written + len);
        }
        if tag & 3 == 3 {
            return (ptr::null(), written);
        }
        let len = usize::from(tables.copy_len[tag]);
        let follows = u64::from(u16::from_le(next.add(1).cast::<u16>().read_unaligned()));
        let low = follows & ((1 << tables.offset_bits[tag]) - 1);
        let offset = (low + tables.offset_high[tag]) as usize;
        // Also an offset of 0.
        if offset.wrapping_sub(1) >= written {
            return (ptr::null(), written);
        }
        let from = to.sub(offset);
        let after = (next.add(tables.width[tag] as usize), written + len);
        if offset < 8 {
            repeat(to, offset, len);
            return after;
        }
        // Eight at a time, each chunk complete before a later one reads it.
        ptr::copy_nonoverlapping(from, to, 8);
        ptr::copy_nonoverlapping(from.add(8), to.add(8), 8);
        if len > 16 {
            let mut i = 16;
            while i < len {
                ptr::copy_nonoverlapping(from.add(i), to.add(i), 8);
                i += 8;
            }
        }
        after
    }
}

/// [`single`], out of the fused loop's way: its registers are worth more than a call.
///
/// # Safety
///
/// As [`single`].
#[inline(never)]
unsafe fn single_apart(
    tables: &Tables,
    next: *const u8,
    written: usize,
    output: *mut u8,
) -> (*const u8, usize) {
    // SAFETY: the caller's promise.
    unsafe { single(tables, next, written, output) }
}

/// Repeats the `offset` bytes before `to` over `len` bytes from `to` on.
///
/// # Safety
///
/// `offset` is in `1..8` and as many bytes lie before `to`; from `to` on there is room for
/// `len + 7` bytes and for 8 at least; `len` is at most 64.
#[inline(always)]
unsafe fn repeat(to: *mut u8, offset: usize, len: usize) {
    /// The greatest multiple of the offset that is at most 8.
    const PERIOD: [usize; 8] = [8, 8, 8, 6, 8, 5, 6, 7];
    // SAFETY: bytes `-offset..8` from `to` are in bounds; then each store begins below `len`.
    unsafe {
        for i in 0..8 {
            *to.add(i) = *to.add(i).sub(offset);
        }
        let pattern = to.cast::<u64>().read_unaligned();
        let mut i = PERIOD[offset];
        while i < len {
            to.add(i).cast::<u64>().write_unaligned(pattern);
            i += PERIOD[offset];
        }
    }
}
