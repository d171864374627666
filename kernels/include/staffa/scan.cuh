// Scans and reductions over a warp or a block. `op` is associative; the order of operands is kept.
//
//   warp_inclusive_scan(value, op)            full warps
//   warp_exclusive_scan(value, identity, op)
//   warp_reduce(value, op)                    the result in every lane
//   block_inclusive_scan<THREADS>(value, op [, &total])
//   block_exclusive_scan<THREADS>(value, identity, op [, &total])
//   block_reduce<THREADS>(value, op)          the result in every thread
//   Sum{}, Min{}, Max{}                       operators
//
// The block forms: every thread of a one-dimensional block of THREADS (a multiple of 32, at most 1024)
// calls them at the same place. They use sizeof(T) * 33 bytes of shared memory and begin and end with a
// barrier, so that they can follow each other. Values are 1 to 16 bytes.
#pragma once
#include "staffa/bits.cuh"
#include "staffa/shared.cuh"
#include "staffa/sync.cuh"
#include "staffa/warp.cuh"

namespace staffa {

struct Sum {
    template <class T> STAFFA_DEVICE T operator()(T a, T b) const { return static_cast<T>(a + b); }
};
struct Min {
    template <class T> STAFFA_DEVICE T operator()(T a, T b) const { return b < a ? b : a; }
};
struct Max {
    template <class T> STAFFA_DEVICE T operator()(T a, T b) const { return a < b ? b : a; }
};

template <class T, class Op>
STAFFA_DEVICE T warp_inclusive_scan(T value, Op op, Site site = STAFFA_HERE) {
#pragma unroll
    for (u32 delta = 1; delta < kWarp; delta *= 2) {
        const T before = shfl_up(kFullMask, value, delta, kWarp, site);
        if (lane() >= delta) value = op(before, value);
    }
    return value;
}

template <class T, class Op>
STAFFA_DEVICE T warp_exclusive_scan(T value, T identity, Op op, Site site = STAFFA_HERE) {
    const T inclusive = warp_inclusive_scan(value, op, site);
    const T before = shfl_up(kFullMask, inclusive, 1, kWarp, site.step(1));
    return lane() == 0 ? identity : before;
}

template <class T, class Op>
STAFFA_DEVICE T warp_reduce(T value, Op op, Site site = STAFFA_HERE) {
    // Not a butterfly: that would swap the operands in half of the lanes.
    return shfl(kFullMask, warp_inclusive_scan(value, op, site), kWarp - 1, kWarp, site.step(1));
}

namespace detail {

// Inclusive scan; also gives the scan of all warps before this one (if any) and the block's total.
template <u32 kThreads, class T, class Op>
STAFFA_DEVICE T block_scan(T value, Op op, T& before, T& total, Site site) {
    static_assert(kThreads % kWarp == 0 && kThreads >= kWarp && kThreads <= 1024);
    constexpr u32 kWarps = kThreads / kWarp;
    STAFFA_SHARED(T, warp_totals, kWarps);
    const T inclusive = warp_inclusive_scan(value, op, site);
    block_sync(site.step(2));  // the previous use of warp_totals is over
    if (lane() == kWarp - 1) warp_totals[warp_in_block()] = inclusive;
    block_sync(site.step(3));
    // Every warp scans the totals itself: cheaper than another barrier.
    const T mine = warp_totals[lane() < kWarps ? lane() : kWarps - 1];
    const T scanned = warp_inclusive_scan(mine, op, site.step(4));
    total = shfl(kFullMask, scanned, kWarps - 1, kWarp, site.step(5));
    before = shfl(kFullMask, scanned, warp_in_block() == 0 ? 0 : warp_in_block() - 1, kWarp, site.step(6));
    return warp_in_block() == 0 ? inclusive : op(before, inclusive);
}

}  // namespace detail

template <u32 kThreads, class T, class Op>
STAFFA_DEVICE T block_inclusive_scan(T value, Op op, T* total = nullptr, Site site = STAFFA_HERE) {
    T before, all;
    const T result = detail::block_scan<kThreads>(value, op, before, all, site);
    if (total) *total = all;
    return result;
}

template <u32 kThreads, class T, class Op>
STAFFA_DEVICE T block_exclusive_scan(T value, T identity, Op op, T* total = nullptr, Site site = STAFFA_HERE) {
    T before, all;
    const T inclusive = detail::block_scan<kThreads>(value, op, before, all, site);
    const T left = shfl_up(kFullMask, inclusive, 1, kWarp, site.step(7));
    if (total) *total = all;
    if (lane() != 0) return left;
    return warp_in_block() == 0 ? identity : before;
}

template <u32 kThreads, class T, class Op>
STAFFA_DEVICE T block_reduce(T value, Op op, Site site = STAFFA_HERE) {
    T before, all;
    detail::block_scan<kThreads>(value, op, before, all, site);
    return all;
}

}  // namespace staffa
