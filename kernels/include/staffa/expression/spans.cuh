// Comparing strings by their spans.
#pragma once

#include "staffa/expression/tile.cuh"

namespace staffa::expression {

// The first four bytes as a span's prefix holds them.
STAFFA_DEVICE u32 prefix_of(const u8* bytes, unsigned length) {
    u32 prefix = 0;
    for (unsigned k = 0; k < 4; ++k) {
        if (k < length) prefix |= static_cast<u32>(bytes[k]) << (8 * k);
    }
    return prefix;
}

// Bytewise equality: the lengths and prefixes decide most pairs without a load.
STAFFA_DEVICE bool same_bytes(const span& a, const span& b) {
    if (a.length != b.length || a.prefix != b.prefix) return false;
    if (a.address == b.address) return true;
    const u8* x = bytes_of(a);
    const u8* y = bytes_of(b);
    for (unsigned k = 4; k < a.length; ++k) {
        if (x[k] != y[k]) return false;
    }
    return true;
}

// Order of unsigned bytes, then of lengths: Rust's order of [u8], which for UTF-8 is that of str.
STAFFA_DEVICE int order(const span& a, const span& b) {
    if (a.prefix != b.prefix) {
        for (unsigned shift = 0; shift < 32; shift += 8) {
            const unsigned x = a.prefix >> shift & 0xff;
            const unsigned y = b.prefix >> shift & 0xff;
            // A byte beyond the end reads as zero, which is right unless the other has a real zero
            // there: then the prefixes agree in this byte and the lengths decide below.
            if (x != y) return x < y ? -1 : 1;
        }
    }
    const unsigned common = smaller(a.length, b.length);
    const u8* x = bytes_of(a);
    const u8* y = bytes_of(b);
    for (unsigned k = 4; k < common; ++k) {
        if (x[k] != y[k]) return x[k] < y[k] ? -1 : 1;
    }
    if (a.length == b.length) return 0;
    return a.length < b.length ? -1 : 1;
}

}  // namespace staffa::expression
