// An open-addressing table of 64-bit slots: 32 bits of hash, 32 bits that say whose key it is.
//
// A slot's lower half is never 0 once it is taken, so no key or hash value is reserved. One compare-and-swap
// takes a slot; what it refers to (rows, groups) was written before the launch, so nothing needs ordering.
// Probing is linear and bounded. Slots = mask + 1, a power of two.
#pragma once
#include "staffa/keys/rows.cuh"

namespace staffa::keys {

STAFFA_DEVICE u64 hash_packed(u64 key) { return mix(key); }
STAFFA_DEVICE u64 hash_packed(u128 key) { return combine(mix(u64(key)), u64(key >> 64)); }

// Finds the slot that holds an equal key, or takes an empty one for `reference`. `same(reference)` says
// whether the key behind a slot's lower half is equal. NONE: `probes` slots were all others'.
template <class Same>
STAFFA_DEVICE u32 find_or_take(u64* slots, u32 mask, u32 probes, u64 hash, u32 reference, bool& taken, Same same) {
    const u32 tag = u32(hash >> 32);
    u32 at = u32(hash) & mask;
    taken = false;
    for (u32 step = 0; step < probes; ++step, at = (at + 1) & mask) {
        u64 slot = load_relaxed(&slots[at]);
        if (u32(slot) == 0) {
            slot = atomic_cas(&slots[at], u64(0), u64(tag) << 32 | reference);
            if (slot == 0) {
                taken = true;
                return at;
            }
        }
        if (u32(slot >> 32) == tag && same(u32(slot))) return at;
    }
    return NONE;
}

// The slot that holds an equal key, or NONE. The table is not written meanwhile.
template <class Same>
STAFFA_DEVICE u32 find(const u64* slots, u32 mask, u32 probes, u64 hash, Same same) {
    const u32 tag = u32(hash >> 32);
    u32 at = u32(hash) & mask;
    for (u32 step = 0; step < probes; ++step, at = (at + 1) & mask) {
        const u64 slot = load_readonly(&slots[at]);
        if (u32(slot) == 0) return NONE;
        if (u32(slot >> 32) == tag && same(u32(slot))) return at;
    }
    return NONE;
}

// A key is its slot: no hash, no comparison.
STAFFA_DEVICE u32 take_direct(u64* slots, u64 key, u32 reference, bool& taken) {
    taken = load_relaxed(&slots[key]) == 0 && atomic_cas(&slots[key], u64(0), u64(reference)) == 0;
    return u32(key);
}

// Room for this lane's item in a list with a shared counter: one atomic a warp. All lanes call it.
STAFFA_DEVICE u32 append(u32* counter, bool wanted, Site site = STAFFA_HERE) {
    const u32 lanes = ballot(kFullMask, wanted, site);
    u32 first = 0;
    if (lanes != 0 && lane() == leader_of(lanes)) first = atomic_add(counter, popc(lanes));
    first = shfl(kFullMask, first, lanes != 0 ? leader_of(lanes) : 0, kWarp, site.step(1));
    return first + rank_in(lanes);
}

}  // namespace staffa::keys
