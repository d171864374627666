// Hash join, build side: slots of keys, and the rows of each key side by side.
//
//   join_insert_direct, _64, _128, _columns   a thread a row: its key's slot, its rank among the key's rows
//   join_scan                                  exclusive sum over the slots' counts (look-back over tiles)
//   join_fill                                  a thread a row: to its place, with no atomics
//   join_matched_rows                          from matched slots to matched rows
//
// The rank comes from one atomic addition per key and warp: lanes that found the same slot are matched and
// share the leader's. So a key that all rows have costs rows / 32 atomics on one counter, and afterwards its
// rows stand in one run (CSR), which a probe reads in order; no chain is ever walked.
//
// Rows that match nothing (a NULL among the keys, where NULLs differ) are in no slot. A row whose packed key
// lies outside of the ranges has set the overflow before, in keys_pack, like a table that is too small here:
// the host then builds another.
#include "staffa/join/abi.h"
#include "staffa/keys/table.cuh"
#include "staffa/look_back.cuh"

using namespace staffa;
using namespace staffa::keys;

namespace {

constexpr u32 kPerThread = TILE_ROWS / BLOCK;

template <class Find>
STAFFA_DEVICE void insert(const join_build_args& args, Find find_slot) {
    // Another block may set it meanwhile; all threads of this one must agree.
    if (block_sync_or(stopped(args.list))) return;
    join_state* state = pointer<join_state>(args.table.state);
    const u32 at = u32(grid_thread());
    const bool live = at < positions(args.list);
    u32 slot = NONE;
    if (live && bit_at(args.matchable, at)) {
        bool taken;
        slot = find_slot(at, at + 1, taken);
        if (slot == NONE) store_relaxed(&state->overflow, 1u);
    }
    const u32 peers = match_any(kFullMask, slot);
    const u32 leader = leader_of(peers);
    u32 first = 0;
    if (slot != NONE && lane() == leader) {
        first = atomic_add(pointer<u32>(args.table.counts) + slot, popc(peers));
        if (first + popc(peers) > 1) store_relaxed(&state->duplicates, 1u);
    }
    first = shfl(kFullMask, first, leader);
    if (!live) return;
    pointer<u32>(args.position_slots)[at] = slot;
    pointer<u32>(args.ranks)[at] = first + rank_in(peers);
}

template <class Key>
STAFFA_DEVICE void insert_packed(const join_build_args& args) {
    const join_table& table = args.table;
    const Key* keys = pointer<const Key>(table.packed);
    insert(args, [&](u32 at, u32 reference, bool& taken) {
        const Key key = keys[at];
        return find_or_take(pointer<u64>(table.slots), table.mask, table.probes, hash_packed(key), reference, taken,
                            [&](u32 other) { return keys[other - 1] == key; });
    });
}

}  // namespace

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) join_insert_direct(join_build_args args) {
    insert(args, [&](u32 at, u32 reference, bool& taken) {
        const u64 key = pointer<const u64>(args.table.packed)[at];
        return take_direct(pointer<u64>(args.table.slots), key, reference, taken);
    });
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) join_insert_64(join_build_args args) { insert_packed<u64>(args); }

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) join_insert_128(join_build_args args) { insert_packed<u128>(args); }

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256, 4) join_insert_columns(join_build_args args) {
    const join_table& table = args.table;
    insert(args, [&](u32 at, u32 reference, bool& taken) {
        const u32 row = row_at(args.list, at);
        return find_or_take(pointer<u64>(table.slots), table.mask, table.probes, pointer<const u64>(args.hashes)[at],
                            reference, taken, [&](u32 other) {
                                return same_row(table.keys, row, table.keys, row_at(args.list, other - 1));
                            });
    });
}

// Grid: slots / 2,048. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) join_scan(join_scan_args args) {
    STAFFA_SHARED_ONE(u32, ticket);
    STAFFA_SHARED_ONE(u64, before);
    u64* look_back = pointer<u64>(args.look_back);
    const u32 tile = look_back_ticket(reinterpret_cast<u32*>(look_back), &ticket);
    const u64 first = u64(tile) * TILE_ROWS + threadIdx.x * kPerThread;
    u32 counts[kPerThread];
    u64 sum = 0;
#pragma unroll
    for (u32 k = 0; k < kPerThread; ++k) {
        counts[k] = first + k < args.slots ? pointer<const u32>(args.counts)[first + k] : 0;
        sum += counts[k];
    }
    u64 total;
    const u64 own = block_exclusive_scan<BLOCK>(sum, u64(0), Sum{}, &total);
    if (warp_in_block() == 0) {
        const u64 sums = look_back_sum(look_back + 1, tile, total);
        if (lane() == 0) before = sums;
    }
    block_sync();
    u64 start = before + own;
#pragma unroll
    for (u32 k = 0; k < kPerThread; ++k) {
        if (first + k < args.slots) pointer<u32>(args.starts)[first + k] = u32(start);
        start += counts[k];
    }
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) join_fill(join_build_args args) {
    if (stopped(args.list)) return;
    const u32 at = u32(grid_thread());
    if (at >= positions(args.list)) return;
    const u32 slot = pointer<const u32>(args.position_slots)[at];
    if (slot == NONE) return;
    const u32 start = pointer<const u32>(args.table.starts)[slot];
    pointer<u32>(args.table.rows)[start + pointer<const u32>(args.ranks)[at]] = row_at(args.list, at);
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) join_matched_rows(join_matched_args args) {
    const u32 at = u32(grid_thread());
    bool matched = false;
    if (at < args.rows) {
        const u32 slot = pointer<const u32>(args.position_slots)[at];
        matched = slot != NONE && bit_at(args.matched, slot);
    }
    const u32 word = ballot(kFullMask, matched);
    if (lane() == 0 && at < args.rows) pointer<u32>(args.bits)[at / 32] = word;
}
