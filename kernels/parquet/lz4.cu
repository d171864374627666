// LZ4 blocks (LZ4_RAW), many pages in one launch.
// https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
//
//   block    := sequence*
//   sequence := token  [length byte*]  literals  offset (2 bytes)  [length byte*]
//   The token's high 4 bits are the number of literals, its low 4 bits the match length less 4; 15
//   means that bytes follow to be added, up to the first that is not 255. The last sequence ends
//   after its literals.
//
// Grid: pages, the largest first. Block: 32; 512 bytes of shared memory. Batches and bounds: inflate.cuh;
// lengths are 64-bit, so that no chain of 255s wraps.
#include "staffa/parquet/inflate.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

// Adds length bytes to a nibble of 15; false when the block ends inside them.
STAFFA_DEVICE bool extend(Inflate& inflate, u64& length) {
    if (length != 15) return true;
    for (;;) {
        if (inflate.source_left() == 0) return false;
        const u8 byte = load_byte(inflate.source + inflate.at);
        ++inflate.at;
        length += byte;
        if (byte != 255) return true;
    }
}

// The sequence at an address, for a batch: fewer than 15 literals, a match length in at most one
// further byte, and not the last, which has no match.
STAFFA_DEVICE Element parse(u64 address, u32 left) {
    const u32 token = load_byte(address);
    const u32 literals = token >> 4;
    u32 size = 1 + literals + 2;
    if (literals == 15 || size + 1 > left) return {};
    const u32 tail = load_le32(address + 1 + literals);
    u32 match = 4 + (token & 15);
    if (match == 19) {
        const u32 more = tail >> 16 & 0xff;
        if (more == 255) return {};
        match += more;
        ++size;
    }
    return {size, literals, 1, match, tail & 0xffff};
}

// One sequence, any. Returns an error_code.
STAFFA_DEVICE u32 sequence(Inflate& inflate) {
    const u32 token = load_byte(inflate.source + inflate.at);
    ++inflate.at;
    u64 literals = token >> 4;
    if (!extend(inflate, literals)) return ERROR_COMPRESSED_TRUNCATED;
    if (const u32 code = inflate.literal(literals); code != ERROR_NONE) return code;
    if (inflate.source_left() == 0) return ERROR_NONE;
    if (inflate.source_left() < 2) return ERROR_COMPRESSED_TRUNCATED;
    const u32 offset = load_le32(inflate.source + inflate.at) & 0xffff;
    inflate.at += 2;
    u64 length = token & 15;
    if (!extend(inflate, length)) return ERROR_COMPRESSED_TRUNCATED;
    return inflate.match(length + 4, offset);
}

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(32) decompress_lz4(decompress_args args) {
    inflate_page(args, [](Inflate& inflate, const Batch& batch) -> u32 {
        while (inflate.source_left() != 0) {
            if (inflate.batch(batch, parse)) continue;
            if (const u32 code = sequence(inflate); code != ERROR_NONE) return code;
        }
        return ERROR_NONE;
    });
}
