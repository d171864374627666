//! One block being decompressed: its cursors, and tokens one at a time with every check.
#![expect(unsafe_code, reason = "measured need, see the package's `snappy` module")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use super::Error;

/// Cursors into a block's input and output.
///
/// Invariant, on which every `unsafe` of this module rests: `next` lies in `input..=input_end` of
/// one borrowed slice, and `written <= capacity`, where `output` points at `capacity` bytes
/// borrowed mutably, of which the first `written` are initialised. Fields are only changed together, after the checks.
pub(super) struct Stream<'a> {
    next: *const u8,
    input_end: *const u8,
    output: *mut u8,
    written: usize,
    capacity: usize,
    borrow: PhantomData<(&'a [u8], &'a mut [MaybeUninit<u8>])>,
}

impl<'a> Stream<'a> {
    /// A stream over the tokens `input[at..]`.
    ///
    /// # Panics
    ///
    /// If `at` lies behind the input.
    pub(super) fn new(input: &'a [u8], at: usize, output: &'a mut [MaybeUninit<u8>]) -> Self {
        let tokens = input[at..].as_ptr_range();
        Self {
            next: tokens.start,
            input_end: tokens.end,
            output: output.as_mut_ptr().cast(),
            written: 0,
            capacity: output.len(),
            borrow: PhantomData,
        }
    }

    /// Bytes of input left.
    #[inline(always)]
    pub(super) fn input_left(&self) -> usize {
        self.input_end as usize - self.next as usize
    }

    /// Bytes of output to be written yet.
    #[inline(always)]
    pub(super) fn output_left(&self) -> usize {
        self.capacity - self.written
    }

    /// Bytes written.
    #[inline(always)]
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// The next token, and the output's first byte.
    #[inline(always)]
    pub(super) fn cursors(&self) -> (*const u8, *mut u8) {
        (self.next, self.output)
    }

    /// Moves the cursors.
    ///
    /// # Safety
    ///
    /// `next` lies in the input, `written` is at most the capacity and so much of the output is initialised.
    #[inline(always)]
    pub(super) unsafe fn move_to(&mut self, next: *const u8, written: usize) {
        debug_assert!(next <= self.input_end && written <= self.capacity);
        (self.next, self.written) = (next, written);
    }

    /// Decodes what is left, token by token.
    ///
    /// # Errors
    ///
    /// A bad token; fewer bytes than promised.
    #[inline(never)]
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        while self.input_left() > 0 {
            self.token()?;
        }
        if self.output_left() == 0 { Ok(()) } else { Err(Error::Length) }
    }

    /// Decodes one token with every check. On an error the cursors stand where they stood.
    ///
    /// # Errors
    ///
    /// The token reaches outside the input or output, or there is none.
    #[inline(never)]
    pub(super) fn token(&mut self) -> Result<(), Error> {
        // SAFETY: by the invariant, these are the input's remaining bytes.
        let rest = unsafe { std::slice::from_raw_parts(self.next, self.input_left()) };
        let (&tag, after) = rest.split_first().ok_or(Error::Token)?;
        let value = usize::from(tag >> 2);
        if tag & 3 == 0 {
            let wide = value.saturating_sub(59);
            let len = match wide {
                0 => value + 1,
                _ => little_endian(after, wide)?.checked_add(1).ok_or(Error::Token)?,
            };
            let bytes = after.get(wide..).and_then(|b| b.get(..len)).ok_or(Error::Token)?;
            if len > self.output_left() {
                return Err(Error::Token);
            }
            // SAFETY: `bytes` holds `len` bytes and `written + len <= capacity`; one slice is
            // shared, the other exclusive, so they don't overlap. The cursors move past both.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), self.output.add(self.written), len);
                self.move_to(bytes.as_ptr().add(len), self.written + len);
            }
            return Ok(());
        }
        let (wide, len, high) = match tag & 3 {
            1 => (1, (value & 7) + 4, (value >> 3) << 8),
            2 => (2, value + 1, 0),
            _ => (4, value + 1, 0),
        };
        let offset = little_endian(after, wide)? | high;
        if offset == 0 || offset > self.written || len > self.output_left() {
            return Err(Error::Token);
        }
        // SAFETY: `offset` is in `1..=written` and `written + len <= capacity`, so for each `i`
        // below `len` both bytes lie in the output. `after` has `wide` bytes, read above.
        unsafe {
            let to = self.output.add(self.written);
            let from = to.sub(offset);
            if offset >= len {
                ptr::copy_nonoverlapping(from, to, len);
            } else {
                // The copy reads what it writes: the last `offset` bytes, over and over.
                for i in 0..len {
                    *to.add(i) = *from.add(i);
                }
            }
            self.move_to(after.as_ptr().add(wide), self.written + len);
        }
        Ok(())
    }
}

/// The first `wide` (at most four) bytes as a number.
fn little_endian(bytes: &[u8], wide: usize) -> Result<usize, Error> {
    let bytes = bytes.get(..wide).ok_or(Error::Token)?;
    Ok(bytes.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
}
