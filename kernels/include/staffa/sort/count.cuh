// Counting digits in shared memory.
#pragma once
#include "staffa/atomic.cuh"
#include "staffa/bits.cuh"
#include "staffa/sync.cuh"
#include "staffa/warp.cuh"

namespace staffa::sort {

// Adds the digits of the lanes for which `counts` holds to the block's bins. All lanes of a full warp call it. Where
// they agree (the upper bytes of most keys), 32 additions to one word would follow each other.
STAFFA_DEVICE void count_digit(u32* bins, u32 digit, bool counts, Site site = STAFFA_HERE) {
    const u32 lanes = ballot(kFullMask, counts, site);
    if (lanes == 0) return;
    const u32 first = shfl(kFullMask, digit, leader_of(lanes), kWarp, site.step(1));
    if (all(kFullMask, !counts || digit == first, site.step(2))) {
        if (lane() == leader_of(lanes)) atomic_add(bins + digit, popc(lanes));
    } else if (counts) {
        atomic_add(bins + digit, 1u);
    }
}

}  // namespace staffa::sort
