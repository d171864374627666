// Snappy, many pages in one launch.
// https://github.com/google/snappy/blob/main/format_description.txt
//
//   stream := varint(uncompressed size) element*
//   element, by the low 2 bits of its tag:
//     00 literal: tag >> 2 is length - 1, or 60..63: length - 1 in the next 1..4 bytes
//     01 copy:    length 4 + (tag >> 2 & 7),  offset (tag >> 5) << 8 | next byte
//     10 copy:    length 1 + (tag >> 2),      offset in 2 bytes
//     11 copy:    length 1 + (tag >> 2),      offset in 4 bytes
//
// Grid: pages, the largest first (the last to start decides when the launch ends). Block: 32; no
// shared memory. Bounds: inflate.cuh; element headers are read as 8 bytes (padding) and then
// checked against the bytes left.
#include "staffa/parquet/inflate.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

STAFFA_DEVICE u32 element(Inflate& inflate) {
    const u64 head = load_le64(inflate.source + inflate.at);
    const u32 tag = u32(head) & 0xff;
    const u32 left = inflate.source_left();
    if ((tag & 3) == 0) {
        u64 length = tag >> 2;
        u32 extra = 0;
        if (length >= 60) {
            extra = u32(length) - 59;
            length = head >> 8 & (0xffffffffu >> (32 - 8 * extra));
        }
        if (left < 1 + extra) return ERROR_COMPRESSED_TRUNCATED;
        inflate.at += 1 + extra;
        return inflate.literal(length + 1);
    }
    u32 length, offset, bytes;
    if ((tag & 3) == 1) {
        length = 4 + (tag >> 2 & 7);
        offset = (tag >> 5) << 8 | (u32(head >> 8) & 0xff);
        bytes = 2;
    } else if ((tag & 3) == 2) {
        length = 1 + (tag >> 2);
        offset = u32(head >> 8) & 0xffff;
        bytes = 3;
    } else {
        length = 1 + (tag >> 2);
        offset = u32(head >> 8);
        bytes = 5;
    }
    if (left < bytes) return ERROR_COMPRESSED_TRUNCATED;
    inflate.at += bytes;
    return inflate.match(length, offset);
}

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(32) decompress_snappy(decompress_args args) {
    inflate_page(args, [](Inflate& inflate) -> u32 {
        u64 size;
        if (!read_varint(inflate.source, inflate.source_bytes, inflate.at, size)) return ERROR_COMPRESSED_TRUNCATED;
        if (size != inflate.target_bytes) return ERROR_COMPRESSED_HEADER;
        while (inflate.source_left() != 0) {
            if (const u32 code = element(inflate); code != ERROR_NONE) return code;
        }
        return ERROR_NONE;
    });
}
