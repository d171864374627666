// What kernels include: the device primitives, the same for nvcc and for the emulated driver.
//
//   launch.cuh     qualifiers, launch bounds, integer types, thread numbers; the rules for kernels
//   shared.cuh     STAFFA_SHARED, STAFFA_SHARED_ONE, STAFFA_SHARED_2D, STAFFA_SHARED_DYNAMIC
//   sync.cuh       block_sync, block_sync_or/and/count, warp_sync, spin_pause
//   warp.cuh       shfl*, ballot, any, all, match_any
//   bits.cuh       popc, clz, ctz, ffs, brev, funnel shifts, byte_perm, mul_high
//   atomic.cuh     atomic_*, load/store with relaxed, acquire, release order
//   memory.cuh     load_readonly, 16-byte accesses, packs, copy_async
//   scan.cuh       scans and reductions of warps and blocks
//   look_back.cuh  a running sum over all blocks of one launch
//
// All in namespace staffa; a .cu may say `using namespace staffa;`.
#pragma once
#include "staffa/atomic.cuh"
#include "staffa/bits.cuh"
#include "staffa/launch.cuh"
#include "staffa/look_back.cuh"
#include "staffa/memory.cuh"
#include "staffa/scan.cuh"
#include "staffa/shared.cuh"
#include "staffa/sync.cuh"
#include "staffa/warp.cuh"
