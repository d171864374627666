// Group-by, first step: the slot of every row's key, new keys taking slots of their own.
//
//   group_by_find_direct    packed keys below the number of slots (tier T0: no hash, no comparison)
//   group_by_find_64, _128  packed keys
//   group_by_find_columns   any columns, by their hash and then by comparing
//
// A row meets in a slot either a group of an earlier morsel, whose key is among the stored ones, or a row of
// its own morsel. Rows that took a slot are listed; group_by_number gives them numbers. When `probes` slots
// do not suffice, or there are more groups than there is room for, `overflow` is set: the morsel then counts
// for nothing, and neither does any launch behind it, until the host has made a larger table.
//
// Input: ours. Packed keys of a direct table are at most `mask` because the launcher made it from their
// radices, and keys_pack puts 0 for rows outside of them. A list has room for every position.
//
// All lanes stay to the end, since rows are listed a warp at a time. Combining equal keys of a warp before
// the probe (match_any) was left out: lanes with one key read one address, which is a broadcast, and only the
// first rows of a group ever write.
#include "staffa/group_by/abi.h"
#include "staffa/keys/table.cuh"

using namespace staffa;
using namespace staffa::keys;

namespace {

template <class Find>
STAFFA_DEVICE void find_rows(const group_args& args, Find find_slot) {
    // Another block may set it meanwhile; all threads of this one must agree.
    if (block_sync_or(stopped(args.list))) return;
    group_state* state = pointer<group_state>(args.state);
    const u32 at = u32(grid_thread());
    const bool live = at < positions(args.list);
    bool taken = false;
    u32 slot = NONE;
    if (live) {
        slot = find_slot(at, SLOT_FRESH | at, taken);
        pointer<u32>(args.position_slots)[at] = slot;
    }
    const u32 number = append(&state->fresh, taken);
    if (taken) pointer<u32>(args.fresh_slots)[number] = slot;
    const bool full = taken && (number >= args.capacity || state->groups >= args.capacity - number);
    if ((live && slot == NONE) || full) store_relaxed(&state->overflow, 1u);
}

template <class Key>
STAFFA_DEVICE void find_packed(const group_args& args) {
    const Key* mine = pointer<const Key>(args.packed);
    const Key* stored = pointer<const Key>(args.stored_packed);
    find_rows(args, [&](u32 at, u32 reference, bool& taken) {
        const Key key = mine[at];
        return find_or_take(pointer<u64>(args.slots), args.mask, args.probes, hash_packed(key), reference, taken,
                            [&](u32 other) {
                                const bool fresh = (other & SLOT_FRESH) != 0;
                                return key == (fresh ? mine[other ^ SLOT_FRESH] : stored[other - 1]);
                            });
    });
}

}  // namespace

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) group_by_find_direct(group_args args) {
    find_rows(args, [&](u32 at, u32 reference, bool& taken) {
        return take_direct(pointer<u64>(args.slots), pointer<const u64>(args.packed)[at], reference, taken);
    });
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) group_by_find_64(group_args args) { find_packed<u64>(args); }

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) group_by_find_128(group_args args) { find_packed<u128>(args); }

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256, 4) group_by_find_columns(group_args args) {
    find_rows(args, [&](u32 at, u32 reference, bool& taken) {
        const u32 row = row_at(args.list, at);
        return find_or_take(pointer<u64>(args.slots), args.mask, args.probes, pointer<const u64>(args.hashes)[at],
                            reference, taken, [&](u32 other) {
                                const bool fresh = (other & SLOT_FRESH) != 0;
                                const u32 theirs = fresh ? row_at(args.list, other ^ SLOT_FRESH) : other - 1;
                                // One call: the loop over columns is the kernel's largest part.
                                return same_row(args.keys, row, fresh ? args.keys : args.stored, theirs);
                            });
    });
}
