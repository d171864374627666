// Checks that strings are UTF-8, as arrow-rs does when it reads a string column.
//
// Grid: rows / 256. Block: 256, a thread a string: four bytes at a time while they are ASCII, else one
// code point at a time by the table of well-formed sequences (Unicode 15, table 3-7).
// Input: spans were validated by the kernel that formed them; their bytes are hostile and are only
// compared.
#include "staffa/parquet/page.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

// Length of the well-formed sequence whose first four bytes are `x` (the first lowest), 0 if none.
STAFFA_DEVICE u32 sequence(u32 x) {
    const u32 a = x & 0xff;
    const u32 b = x >> 8 & 0xff;
    if (a < 0x80) return 1;
    if (a < 0xc2 || a > 0xf4) return 0;
    if ((b & 0xc0) != 0x80) return 0;
    if (a < 0xe0) return 2;
    if ((x >> 16 & 0xc0) != 0x80) return 0;
    if (a < 0xf0) {
        if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f)) return 0;  // overlong; surrogates
        return 3;
    }
    if ((x >> 24 & 0xc0) != 0x80) return 0;
    if ((a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f)) return 0;  // overlong; beyond U+10FFFF
    return 4;
}

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(256) spans_utf8(utf8_args args) {
    const u64 row = grid_thread();
    if (row >= args.rows) return;
    const span string = pointer<const span>(args.spans)[row];
    for (u32 at = 0; at < string.length;) {
        u32 x = load_le32(string.address + at);
        const u32 left = string.length - at;
        if (left < 4) x &= (1u << (8 * left)) - 1;
        if (left >= 4 && (x & 0x80808080u) == 0) {
            at += 4;
            continue;
        }
        const u32 bytes = sequence(x);
        if (bytes == 0 || bytes > left) {
            report(args.error, ERROR_UTF8, args.ordinal, u32(row), at, string.length);
            return;
        }
        at += bytes;
    }
}
