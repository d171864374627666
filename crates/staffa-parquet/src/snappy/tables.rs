//! What a tag byte says, by its value.
//!
//! ```text
//! tag & 3   0 literal      1 copy, 2 bytes    2 copy, 3 bytes   3 copy, 5 bytes
//! length    (tag>>2)+1 *)  ((tag>>2)&7)+4     (tag>>2)+1        (tag>>2)+1
//! offset                   (tag>>5)<<8|next   next 2            next 4
//! ```
//! *) above 60, `length - 60` bytes follow that hold the true length less one.

/// The columns of the table, one entry a tag byte. Those of 64 bits serve as memory operands.
#[repr(C, align(64))]
pub(super) struct Tables {
    /// Short copies: the offset's high bits, less [`LAG`](super::fused::LAG).
    pub offset_less_lag: [u64; 256],
    /// Short copies: the offset's high bits.
    pub offset_high: [u64; 256],
    /// Short copies: the length; 255 for other tags, which no fused step accepts.
    pub copy_len: [u8; 256],
    /// Short copies: how many low bits of what follows the tag belong to the offset.
    pub offset_bits: [u8; 256],
    /// Short copies: bytes of the whole token.
    pub width: [u64; 256],
}

/// The one instance.
pub(super) static TABLES: Tables = build();

const fn build() -> Tables {
    let mut t = Tables {
        offset_less_lag: [0; 256],
        offset_high: [0; 256],
        copy_len: [255; 256],
        offset_bits: [0; 256],
        width: [0; 256],
    };
    let mut tag = 0;
    while tag < 256 {
        let high = match tag & 3 {
            1 => {
                t.copy_len[tag] = ((tag >> 2) & 7) as u8 + 4;
                t.offset_bits[tag] = 8;
                t.width[tag] = 2;
                ((tag >> 5) << 8) as u64
            }
            2 => {
                t.copy_len[tag] = (tag >> 2) as u8 + 1;
                t.offset_bits[tag] = 16;
                t.width[tag] = 3;
                0
            }
            _ => 0,
        };
        t.offset_high[tag] = high;
        t.offset_less_lag[tag] = high.wrapping_sub(super::fused::LAG as u64);
        tag += 1;
    }
    t
}
