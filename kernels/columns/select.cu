// Between bitmaps and row numbers.
//
//   select_rows   the numbers of the set (or clear) bits, ascending, and how many there are
//   select_mark   sets the bits of rows that a list names, unless a filter drops them
//
// select_rows is a block per 2,048 rows in look-back order, so that the numbers ascend: a thread counts
// the bits of one byte, and writes them one after the other. select_mark looks before it writes: rows that
// match often are marked once.
#include "staffa/columns/abi.h"
#include "staffa/keys/rows.cuh"
#include "staffa/look_back.cuh"

using namespace staffa;
using namespace staffa::keys;

// Grid: rows / 2,048. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) select_rows(select_args args) {
    STAFFA_SHARED_ONE(u32, ticket);
    STAFFA_SHARED_ONE(u64, before);
    u64* look_back = pointer<u64>(args.look_back);
    const u32 tile = look_back_ticket(reinterpret_cast<u32*>(look_back), &ticket);
    const u32 row = tile * TILE_ROWS + threadIdx.x * 8;
    u32 bits = 0;
    if (row < args.rows) {
        bits = load_readonly(pointer<const u32>(args.bits) + row / 32) >> row % 32 & 0xff;
        if (args.inverted != 0) bits ^= 0xff;
        if (args.rows - row < 8) bits &= (1u << (args.rows - row)) - 1;
    }
    u32 total;
    const u32 own = block_exclusive_scan<BLOCK>(popc(bits), 0u, Sum{}, &total);
    if (warp_in_block() == 0) {
        const u64 sums = look_back_sum(look_back + 1, tile, total);
        if (lane() == 0) before = sums;
    }
    block_sync();
    u32 at = u32(before) + own;
    if (row < args.rows && args.rows - row <= 8) *pointer<u32>(args.count) = at + popc(bits);
    for (; bits != 0; bits &= bits - 1) pointer<u32>(args.numbers)[at++] = row + ctz(bits);
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) select_mark(mark_args args) {
    if (stopped(args.list)) return;
    const u32 at = u32(grid_thread());
    if (at >= positions(args.list)) return;
    if (args.filter != 0 && !bit_at(args.filter, at)) return;
    if (args.filter_validity != 0 && !bit_at(args.filter_validity, at)) return;
    const u32 row = row_at(args.list, at);
    if (row >= args.rows) return;  // NONE
    u32* word = pointer<u32>(args.bits) + row / 32;
    if ((load_relaxed(word) >> row % 32 & 1) == 0) atomic_or(word, 1u << row % 32);
}
