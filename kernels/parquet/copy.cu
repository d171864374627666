// Fixed-width values that are stored as the column wants them, without NULLs: a copy.
//
// Grid: tiles of the page set. Block: 256. Per tile 2,048 rows, 16 bytes a thread and step: a target
// aligned to 16 is stored whole, its source is two aligned 16-byte loads (the second is the
// neighbour's first, so it comes from L1) shifted by a distance that is the same for the whole tile.
// Head and tail go byte by byte. Against a thread a value (plain_32_32): a quarter of the load and
// store instructions.
//
// Input: a section that ends early is reported; the rows that are missing become zero.
#include "staffa/parquet/source.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

// 16 bytes from byte `m` (0 to 15) of a:b.
STAFFA_DEVICE uint4 shift_bytes(uint4 a, uint4 b, u32 m) {
    const u32 shift = (m & 3) * 8;
    switch (m >> 2) {
        case 0: break;
        case 1: a = {a.y, a.z, a.w, b.x}, b.x = b.y; break;
        case 2: a = {a.z, a.w, b.x, b.y}, b.x = b.z; break;
        default: a = {a.w, b.x, b.y, b.z}, b.x = b.w; break;
    }
    return {funnel_shift_right(a.x, a.y, shift), funnel_shift_right(a.y, a.z, shift),
            funnel_shift_right(a.z, a.w, shift), funnel_shift_right(a.w, b.x, shift)};
}

STAFFA_DEVICE void copy_block(u64 to, u64 from, u32 bytes) {
    const u32 head = smaller(u32(-to & 15), bytes);
    const u32 vectors = (bytes - head) / 16;
    const u32 tail = head + vectors * 16;
    const u32 odd = u32((from + head) & 15);
    const u64 aligned = from + head - odd;
    uint4* out = pointer<uint4>(to + head);
    if (odd == 0) {
#pragma unroll 4
        for (u32 i = threadIdx.x; i < vectors; i += BLOCK) {
            out[i] = load_once16(pointer<const uint4>(aligned + 16 * i));
        }
    } else {
#pragma unroll 2
        for (u32 i = threadIdx.x; i < vectors; i += BLOCK) {
            const uint4 a = load_readonly(pointer<const uint4>(aligned + 16 * i));
            const uint4 b = load_readonly(pointer<const uint4>(aligned + 16 * i + 16));
            out[i] = shift_bytes(a, b, odd);
        }
    }
    if (threadIdx.x < head) *pointer<u8>(to + threadIdx.x) = load_byte(from + threadIdx.x);
    if (threadIdx.x < bytes - tail) *pointer<u8>(to + tail + threadIdx.x) = load_byte(from + tail + threadIdx.x);
}

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(256) copy_rows(fixed_args args) {
    const Tile tile = tile_of_block(args.set);
    const Plain source(args, tile);
    const u32 width = args.width;
    const i64 begin = larger<i64>(0, -tile.output);
    const i64 end = smaller<i64>(tile.rows, i64(args.rows) - tile.output);
    if (begin >= end) return;

    // Values of the page that are there, from the tile's first on.
    const u64 there = source.bytes / width;
    const i64 have = larger(begin, smaller<i64>(end, i64(there) - i64(tile.first)));
    const u64 to = args.values + u64(tile.output + begin) * width;
    copy_block(to, source.at(tile.first + u32(begin)), u32(have - begin) * width);
    if (have == end) return;
    if (threadIdx.x == 0) {
        report(args.set.error, ERROR_VALUES_TRUNCATED, tile.ordinal, tile.first + u32(have), tile.first + u32(have),
               tile.values_bytes);
    }
    const u32 missing = u32(end - have) * width;
    const u64 rest = to + u64(have - begin) * width;
    for (u32 i = threadIdx.x; i < missing; i += BLOCK) *pointer<u8>(rest + i) = 0;
}
