// Accumulators by group: what the aggregate kernels share.
//
// Three steps lead from a row to the group's accumulator in global memory, each cheaper than the next:
//   warp    lanes of one group combine their values by shuffles (Adinets, "Optimized filtering with
//           warp-aggregated atomics", in the form for arbitrary peers), so that a hot key costs a warp one
//           atomic, not 32
//   block   a cache of accumulators in shared memory, the slot being group modulo its size; the first group
//           to come owns the slot. Group numbers are dense: up to that many groups all have a slot (tier T1),
//           and beyond it a hot key most likely owns its own
//   global  atomics, for groups without a slot; the cache is written out when the block is done
#pragma once
#include "staffa/group_by/abi.h"
#include "staffa/keys/rows.cuh"

namespace staffa::group_by {

using namespace staffa::keys;

// Combines the values of all lanes with the same `group`; the lowest of them has the result. Full warps.
template <class T, class Combine>
STAFFA_DEVICE T combine_peers(u32 peers, T value, Combine combine, Site site = STAFFA_HERE) {
    u32 above = peers & ~lanes_up_to();
    u32 rank = rank_in(peers);
    while (any(kFullMask, above != 0, site)) {
        const u32 next = ffs(above);  // 0: no peer above is left
        const T other = shfl(kFullMask, value, next == 0 ? lane() : next - 1, kWarp, site.step(1));
        if (next != 0) value = combine(value, other);
        // Peers of odd rank have been taken by the one below them.
        above &= ~ballot(kFullMask, (rank & 1) != 0, site.step(2));
        rank >>= 1;
    }
    return value;
}

STAFFA_DEVICE void mark_seen(u64 seen, u32 group) {
    if (seen == 0) return;
    u32* word = pointer<u32>(seen) + group / 32;
    const u32 bit = 1u << group % 32;
    if ((load_relaxed(word) & bit) == 0) atomic_or(word, bit);
}

// The group that the row at this position adds to; NONE: it is left out. `row` is set for others.
STAFFA_DEVICE u32 group_of(const aggregate_args& args, u32 at, u32 rows, u32& row) {
    if (at >= rows) return NONE;
    const u32 group = pointer<const u32>(args.ids)[at];
    if (group >= args.groups) return NONE;
    row = row_at(args.list, at);
    if (args.filter != 0 && !bit_at(args.filter, row)) return NONE;
    if (args.filter_validity != 0 && !bit_at(args.filter_validity, row)) return NONE;
    return valid_at(args.value, row) ? group : NONE;
}

// Runs over the rows of a block, 256 at a time, all threads together: `add(group or NONE, row)`.
template <class Add>
STAFFA_DEVICE void for_rows(const aggregate_args& args, Add add) {
    const u32 rows = positions(args.list);
    for (u64 first = u64(blockIdx.x) * BLOCK; first < rows; first += grid_threads()) {
        const u32 at = u32(first) + threadIdx.x;
        u32 row = 0;
        const u32 group = group_of(args, at, rows, row);  // before `row` is read
        add(group, row, at);
    }
}

// The owner of a slot of the block's cache, which may become `group` here.
STAFFA_DEVICE bool owns(u32* owner, u32 group) {
    u32 current = load_relaxed(owner);
    if (current == NONE) {
        current = atomic_cas(owner, NONE, group);
        if (current == NONE) return true;
    }
    return current == group;
}

}  // namespace staffa::group_by
