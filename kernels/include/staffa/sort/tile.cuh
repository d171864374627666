// A tile of 2,048 items, put in the order of a digit of 8 bits, stably, by one block of 256.
//
//     STAFFA_SHARED(u16, ranks, kTileWarps * RADIX);
//     STAFFA_SHARED(u32, digit_starts, RADIX);
//     tile_rank(digit_of, live, ranks, digit_starts, places)
//
// A warp takes 256 items in eight steps of 32 neighbours. In a step, lanes of one digit find each other
// (match_any) and take ranks behind those that the warp has counted for the digit; then thread d adds up the
// warps' counts of digit d, and a scan over digits tells where each starts in the tile. So an item's place is
// its digit's start, the counts of the warps before, and its rank in its warp: input order within a digit.
#pragma once
#include "staffa/bits.cuh"
#include "staffa/keys/abi.h"
#include "staffa/scan.cuh"
#include "staffa/sort/abi.h"

namespace staffa::sort {

constexpr u32 kItems = TILE_ROWS / BLOCK;
constexpr u32 kTileWarps = BLOCK / kWarp;
static_assert(RADIX == BLOCK, "thread d looks after digit d");

// The tile's item that this thread's item k is: neighbours in a step.
STAFFA_DEVICE u32 tile_item(u32 k) { return warp_in_block() * (kItems * kWarp) + k * kWarp + lane(); }

// The place of each of this thread's items in the tile; `digits[k]` is NONE for items that are not there, and
// those come last. Returns how many items have this thread's digit. All threads of the block; the first barrier
// comes before any shared memory is touched, the last behind its last use but for reading `digit_starts`.
STAFFA_DEVICE u32 tile_rank(const u32 (&digits)[kItems], u16* ranks, u32* digit_starts, u32 (&places)[kItems],
                            Site site = STAFFA_HERE) {
    block_sync(site);
    for (u32 k = threadIdx.x; k < kTileWarps * RADIX; k += BLOCK) ranks[k] = 0;
    block_sync(site.step(1));
    u16* mine = ranks + warp_in_block() * RADIX;
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        const u32 digit = digits[k];
        const u32 peers = match_any(kFullMask, digit, site.step(2));
        u32 before = 0;
        if (digit != NONE) before = mine[digit];
        warp_sync(kFullMask, site.step(3));
        if (digit != NONE && lane() == leader_of(peers)) mine[digit] = u16(before + popc(peers));
        warp_sync(kFullMask, site.step(4));
        places[k] = before + rank_in(peers);
    }
    block_sync(site.step(5));
    u32 count = 0;
#pragma unroll
    for (u32 w = 0; w < kTileWarps; ++w) {
        const u32 own = ranks[w * RADIX + threadIdx.x];
        ranks[w * RADIX + threadIdx.x] = u16(count);
        count += own;
    }
    const u32 start = block_exclusive_scan<BLOCK>(count, 0u, Sum{}, static_cast<u32*>(nullptr), site.step(6));
    digit_starts[threadIdx.x] = start;
    block_sync(site.step(20));
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        if (digits[k] != NONE) places[k] += digit_starts[digits[k]] + mine[digits[k]];
    }
    return count;
}

}  // namespace staffa::sort
