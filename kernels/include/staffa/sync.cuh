// Barriers and waiting.
//
//   block_sync()             all threads of the block; orders their memory accesses
//   block_sync_or(p), _and, _count   the same, with a vote
//   warp_sync(mask)          the lanes of mask; orders their memory accesses
//   spin_pause()             inside every loop that waits for another thread's store
//
// Stricter than hardware, in the emulator: all threads of a block must reach the same call of
// block_sync (same file and line, same caller of a helper), and none may have returned before;
// a loop that waits and has no spin_pause() never ends, because threads are not preempted.
#pragma once
#include "staffa/launch.cuh"

namespace staffa {

STAFFA_DEVICE void block_sync([[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    ::staffa_emulated::block_barrier(::staffa_emulated::Vote::none, 0, site);
#else
    __syncthreads();
#endif
}

// A barrier that also tells every thread whether any thread's predicate held.
STAFFA_DEVICE bool block_sync_or(bool predicate, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::block_barrier(::staffa_emulated::Vote::any, predicate, site) != 0;
#else
    return __syncthreads_or(predicate) != 0;
#endif
}

// .. whether every thread's predicate held.
STAFFA_DEVICE bool block_sync_and(bool predicate, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::block_barrier(::staffa_emulated::Vote::all, predicate, site) != 0;
#else
    return __syncthreads_and(predicate) != 0;
#endif
}

// .. for how many threads the predicate held.
STAFFA_DEVICE u32 block_sync_count(bool predicate, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::block_barrier(::staffa_emulated::Vote::count, predicate, site);
#else
    return static_cast<u32>(__syncthreads_count(predicate));
#endif
}

STAFFA_DEVICE void warp_sync(u32 mask = kFullMask, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    ::staffa_emulated::warp_barrier(mask, site);
#else
    __syncwarp(mask);
#endif
}

// Lets others run. On the GPU a short sleep, which keeps waiting lanes off the memory system.
STAFFA_DEVICE void spin_pause() {
#if STAFFA_EMULATED
    ::staffa_emulated::spin_pause();
#else
    __nanosleep(32);
#endif
}

}  // namespace staffa
