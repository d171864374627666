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
// Grid: pages, the largest first (the last to start decides when the launch ends). Block: 32; 512 bytes
// of shared memory. Batches and bounds: inflate.cuh; element headers are read as 8 bytes (padding) and
// then checked against the bytes left.
#include "staffa/parquet/inflate.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

// A copy's header.
struct Copy {
    u32 bytes;
    u32 length;
    u32 offset;
};

STAFFA_DEVICE Copy copy_header(u64 head) {
    const u32 tag = u32(head) & 0xff;
    if ((tag & 3) == 1) return {2, 4 + (tag >> 2 & 7), (tag >> 5) << 8 | (u32(head >> 8) & 0xff)};
    if ((tag & 3) == 2) return {3, 1 + (tag >> 2), u32(head >> 8) & 0xffff};
    return {5, 1 + (tag >> 2), u32(head >> 8)};
}

// The element at an address, for a batch: not one whose literal's length is in further bytes.
STAFFA_DEVICE Element parse(u64 address, u32 left) {
    const u64 head = load_le64(address);
    const u32 tag = u32(head) & 0xff;
    if ((tag & 3) == 0) {
        const u32 length = (tag >> 2) + 1;
        if (length > 60 || 1 + length > left) return {};
        return {1 + length, length, 1, 0, 0};
    }
    const Copy copy = copy_header(head);
    if (copy.bytes > left) return {};
    return {copy.bytes, 0, 0, copy.length, copy.offset};
}

// One element, any.
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
    const Copy copy = copy_header(head);
    if (left < copy.bytes) return ERROR_COMPRESSED_TRUNCATED;
    inflate.at += copy.bytes;
    return inflate.match(copy.length, copy.offset);
}

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(32) decompress_snappy(decompress_args args) {
    inflate_page(args, [](Inflate& inflate, const Batch& batch) -> u32 {
        u64 size;
        if (!read_varint(inflate.source, inflate.source_bytes, inflate.at, size)) return ERROR_COMPRESSED_TRUNCATED;
        if (size != inflate.target_bytes) return ERROR_COMPRESSED_HEADER;
        while (inflate.source_left() != 0) {
            if (inflate.batch(batch, parse)) continue;
            if (const u32 code = element(inflate); code != ERROR_NONE) return code;
        }
        return ERROR_NONE;
    });
}
