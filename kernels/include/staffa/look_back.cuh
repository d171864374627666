// A running sum over all tiles of a grid in one launch: decoupled look-back (Merrill and Garland,
// "Single-pass Parallel Prefix Scan with Decoupled Look-back", NVIDIA NVR-2016-002).
//
//     STAFFA_SHARED_ONE(u32, ticket);
//     const u32 tile = look_back_ticket(&state->tickets, &ticket);      all threads
//     .. aggregate of the tile, in all lanes of warp 0 ..
//     if (warp_in_block() == 0) prefix = look_back_sum(state->tiles, tile, aggregate);
//
// Blocks take tiles by ticket, in the order in which they start: every tile that a block waits for
// belongs to a block that is already running, whatever order the hardware starts blocks in.
//
// Memory: one u32 ticket counter and one u64 per tile, all zero before the launch. A tile's word holds
// its state in the top two bits (0 nothing, 1 its own sum, 2 the sum up to and including it) and the sum
// in the lower 62; sums must stay below 2^62.
#pragma once
#include "staffa/atomic.cuh"
#include "staffa/scan.cuh"

namespace staffa {

namespace detail {
constexpr u64 kTileOwn = 1ull << 62;
constexpr u64 kTilePrefix = 2ull << 62;
constexpr u64 kTileSum = kTileOwn - 1;
}  // namespace detail

// The next tile, the same for all threads of the block. Two barriers.
STAFFA_DEVICE u32 look_back_ticket(u32* tickets, u32* shared_ticket, Site site = STAFFA_HERE) {
    if (threadIdx.x == 0) *shared_ticket = atomic_add(tickets, 1u);
    block_sync(site);
    const u32 tile = *shared_ticket;
    block_sync(site.step(1));
    return tile;
}

// The sum of all tiles before `tile`, to every lane. Called by one full warp; `aggregate` is the tile's
// own sum, the same in every lane. Publishes the tile's words.
STAFFA_DEVICE u64 look_back_sum(u64* tiles, u32 tile, u64 aggregate, Site site = STAFFA_HERE) {
    if (tile == 0) {
        if (lane() == 0) store_release(&tiles[0], detail::kTilePrefix | aggregate);
        return 0;
    }
    if (lane() == 0) store_release(&tiles[tile], detail::kTileOwn | aggregate);
    u64 sum = 0;
    // Lane l looks at tile (last - l); a window of 32 tiles at a time, nearest first.
    for (u32 last = tile - 1;; last -= kWarp) {
        u64 word = detail::kTilePrefix;  // before tile 0: an empty prefix
        if (lane() <= last) {
            word = load_acquire(&tiles[last - lane()]);
            while (word == 0) {
                spin_pause();
                word = load_acquire(&tiles[last - lane()]);
            }
        }
        const u32 prefixes = ballot(kFullMask, (word & detail::kTilePrefix) != 0, site);
        const u32 nearest = prefixes ? leader_of(prefixes) : kWarp;
        const u64 part = lane() <= nearest ? (word & detail::kTileSum) : 0;
        sum += warp_reduce(part, Sum{}, site.step(1));
        if (prefixes) break;  // always when the window reaches below tile 0
    }
    if (lane() == 0) store_release(&tiles[tile], detail::kTilePrefix | (sum + aggregate));
    return sum;
}

}  // namespace staffa
