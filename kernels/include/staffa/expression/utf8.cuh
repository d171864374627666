// UTF-8 as valid strings have it (columns' strings were validated by whoever made them).
#pragma once

#include "staffa/expression/spans.cuh"

namespace staffa::expression {

// Bytes of the character that starts with this byte.
STAFFA_DEVICE unsigned character_bytes(u8 lead) {
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}
STAFFA_DEVICE bool starts_character(u8 byte) { return (byte & 0xc0) != 0x80; }

STAFFA_DEVICE bool is_ascii(const span& s) {
    const u8* bytes = bytes_of(s);
    u8 high = 0;
    for (u32 k = 0; k < s.length; ++k) high |= bytes[k];
    return high < 0x80;
}

STAFFA_DEVICE u32 characters(const span& s) {
    const u8* bytes = bytes_of(s);
    u32 count = 0;
    for (u32 k = 0; k < s.length; ++k) count += starts_character(bytes[k]);
    return count;
}

STAFFA_DEVICE u8 to_lower_ascii(u8 byte) { return byte >= 'A' && byte <= 'Z' ? byte + 32 : byte; }
STAFFA_DEVICE u8 to_upper_ascii(u8 byte) { return byte >= 'a' && byte <= 'z' ? byte - 32 : byte; }

STAFFA_DEVICE span part(const span& s, u32 from, u32 to) {
    span r;
    r.length = to - from;
    r.address = s.address + from;
    r.prefix = prefix_of(bytes_of(r), r.length);
    return r;
}

}  // namespace staffa::expression
