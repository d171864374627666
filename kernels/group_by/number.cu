// Group-by, after the search: numbers for new groups, group ids for rows, and the table made anew.
//
//   group_by_number    a thread a new group: its number, its packed key or hash, the row that brought it
//   group_by_ids       a thread a row: the number behind its slot; commits the morsel
//   group_by_rebuild   a thread a group: takes slots in a new, empty table
//
// Between number and ids the caller gathers `fresh_rows` of its key columns behind the stored ones: `groups`
// still is the number of the first new group then, and `fresh` how many there are.
//
// New groups are numbered in the order in which they took slots, which differs from run to run.
// Nothing is written behind `capacity`: with more groups the find has set `overflow`.
#include "staffa/group_by/abi.h"
#include "staffa/keys/table.cuh"

using namespace staffa;
using namespace staffa::keys;

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) group_by_number(group_args args) {
    if (stopped(args.list)) return;
    const group_state& state = *pointer<const group_state>(args.state);
    const u32 at = u32(grid_thread());
    if (at >= state.fresh) return;
    const u32 group = state.groups + at;
    u64* slot = pointer<u64>(args.slots) + pointer<const u32>(args.fresh_slots)[at];
    const u32 position = u32(*slot) ^ SLOT_FRESH;
    *slot = (*slot >> 32 << 32) | (group + 1);
    pointer<u32>(args.fresh_rows)[at] = row_at(args.list, position);
    if (args.packed_bytes == 8) {
        pointer<u64>(args.stored_packed)[group] = pointer<const u64>(args.packed)[position];
    } else if (args.packed_bytes == 16) {
        pointer<u128>(args.stored_packed)[group] = pointer<const u128>(args.packed)[position];
    } else {
        pointer<u64>(args.stored_hashes)[group] = pointer<const u64>(args.hashes)[position];
    }
}

// Grid: rows / 256, at least 1. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) group_by_ids(group_args args) {
    if (stopped(args.list)) return;
    const u32 at = u32(grid_thread());
    if (at < positions(args.list)) {
        const u32 slot = pointer<const u32>(args.position_slots)[at];
        pointer<u32>(args.ids)[at] = u32(pointer<const u64>(args.slots)[slot]) - 1;
    }
    if (at == 0) {
        group_state* state = pointer<group_state>(args.state);
        state->groups += state->fresh;
        state->fresh = 0;
        state->commits += 1;
    }
}

// Grid: groups / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) group_by_rebuild(group_args args) {
    group_state* state = pointer<group_state>(args.state);
    const u32 group = u32(grid_thread());
    if (group >= state->groups) return;
    u64* slots = pointer<u64>(args.slots);
    bool taken;
    if (args.direct != 0) {
        take_direct(slots, pointer<const u64>(args.stored_packed)[group], group + 1, taken);
        return;
    }
    u64 hash;
    if (args.packed_bytes == 8) {
        hash = hash_packed(pointer<const u64>(args.stored_packed)[group]);
    } else if (args.packed_bytes == 16) {
        hash = hash_packed(pointer<const u128>(args.stored_packed)[group]);
    } else {
        hash = pointer<const u64>(args.stored_hashes)[group];
    }
    // Groups differ, so no slot that is taken is this one's.
    const u32 slot = find_or_take(slots, args.mask, args.probes, hash, group + 1, taken, [](u32) { return false; });
    if (slot == NONE) store_relaxed(&state->overflow, 1u);
}
