//! A cheap look at a block: its header, and what its first tokens are.

/// What a block is made of, as far as its decoder cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Short literals, each with a short copy: plain numbers.
    Pairs,
    /// Tokens without such a pattern: text, codes.
    Tokens,
}

/// Tokens looked at. A page of 20,000 values has 40,000; each look may cost a
/// mispredicted branch, which on pages of 7 KB was seen to cost 7 % with 96 of them.
const LOOK: usize = 48;
/// Tokens passed over first: a page begins with values that have nothing to copy from.
const SKIP: usize = 8;
/// Tokens by which a page of pairs has shown two of them.
const FIRST_PAIRS: usize = 20;

/// The uncompressed length and where the tokens begin; `None` where the header is malformed.
///
/// As `snap`: at most five bytes, at most `u32::MAX`, not necessarily in the shortest form.
pub(super) fn header(input: &[u8]) -> Option<(u64, usize)> {
    let mut len = 0u64;
    for (i, &byte) in input.iter().take(5).enumerate() {
        len |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return (len <= u64::from(u32::MAX)).then_some((len, i + 1));
        }
    }
    None
}

/// The kind of a block of `size` bytes, by its ratio and its first tokens.
///
/// It decides only how the block is decoded, so it need not be right.
pub(super) fn kind(tokens: &[u8], size: usize) -> Kind {
    // Saves less than a sixteenth.
    if tokens.len() >= size - size / 16 {
        return Kind::Tokens;
    }
    let (mut at, mut paired, mut after_literal) = (0usize, 0usize, false);
    for i in 0..LOOK {
        let Some(&tag) = tokens.get(at) else { return Kind::Tokens };
        if i == FIRST_PAIRS && paired < 2 {
            return Kind::Tokens;
        }
        let value = usize::from(tag >> 2);
        if tag & 3 == 0 {
            at += match value {
                0..60 => value + 2,
                60 => 3 + length_byte(tokens, at + 1),
                61 => 4 + length_byte(tokens, at + 1) + (length_byte(tokens, at + 2) << 8),
                _ => return Kind::Tokens,
            };
            after_literal = value < 4;
        } else {
            let len = if tag & 3 == 1 { (value & 7) + 4 } else { value + 1 };
            if after_literal && len < 8 && i >= SKIP {
                paired += 1;
            }
            after_literal = false;
            at += [0, 2, 3, 5][usize::from(tag & 3)];
        }
    }
    // At least half of the tokens are in pairs.
    if paired * 4 >= LOOK - SKIP { Kind::Pairs } else { Kind::Tokens }
}

/// A byte of a literal's length; 0 behind the end, where the look ends next.
fn length_byte(tokens: &[u8], at: usize) -> usize {
    tokens.get(at).map_or(0, |&b| usize::from(b))
}
