// What differs before a kernel's first statement: function qualifiers, launch bounds, call sites.
//
// The same .cu is compiled by nvcc for a GPU and, with -DSTAFFA_EMULATED=1, by g++ for the emulated
// driver (docs/design/emulator.md). A kernel looks like this in both:
//
//     #include "staffa/device.cuh"
//     extern "C" __global__ void STAFFA_BOUNDS(256, 4)
//     filter_compact_u32(const u32* values, u32* out, u64 rows) { .. }
//
// Rules that make one source serve both:
//   * `extern "C" __global__ void`, also when a macro writes it; kernels are found by that name.
//   * no raw __shared__, __syncthreads, __shfl_sync, __ballot_sync, atomicAdd, __threadfence, asm:
//     their wrappers are in the headers that device.cuh lists. The emulator checks what goes through
//     them and cannot check what does not (most raw ones do not compile there).
//   * built-ins threadIdx, blockIdx, blockDim, gridDim are used as they are.
//   * parameters are trivially copyable, pointers are device or pinned host addresses.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifndef STAFFA_EMULATED
#define STAFFA_EMULATED 0
#endif

#if STAFFA_EMULATED
#include "staffa_emulated.h"
#else

// A device function: always inlined, so that shared memory and call sites stay where they are.
#define STAFFA_DEVICE __device__ __forceinline__
// The same for a function that host code (a test) calls too.
#define STAFFA_HOST_DEVICE __host__ __device__ __forceinline__
// A device function that is worth a call: cold paths, to save registers in the hot one.
#define STAFFA_DEVICE_COLD __device__ __noinline__
// STAFFA_BOUNDS(most threads a block [, least blocks a multiprocessor]): stands after `void`.
#define STAFFA_BOUNDS(...) __launch_bounds__(__VA_ARGS__)

namespace staffa {
// Where a barrier or a warp operation was written. Nothing on the GPU; checked by the emulator.
struct Site {
    STAFFA_DEVICE constexpr Site step(unsigned) const { return {}; }
};
}  // namespace staffa
// The caller's place, as a default argument: `Site site = STAFFA_HERE`.
#define STAFFA_HERE (::staffa::Site{})

#endif

namespace staffa {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;
using i128 = __int128;
using u128 = unsigned __int128;

constexpr u32 kWarp = 32;
constexpr u32 kFullMask = 0xffffffffu;

// The lane of this thread in its warp, and the warp in its block. Blocks are one-dimensional.
STAFFA_DEVICE u32 lane() { return threadIdx.x & (kWarp - 1); }
STAFFA_DEVICE u32 warp_in_block() { return threadIdx.x / kWarp; }
STAFFA_DEVICE u32 warps_in_block() { return (blockDim.x + kWarp - 1) / kWarp; }

// The thread's number in the grid and the grid's size, for grid-stride loops:
// for (u64 i = grid_thread(); i < rows; i += grid_threads()).
STAFFA_DEVICE u64 grid_thread() { return u64(blockIdx.x) * blockDim.x + threadIdx.x; }
STAFFA_DEVICE u64 grid_threads() { return u64(gridDim.x) * blockDim.x; }

template <class T>
STAFFA_HOST_DEVICE constexpr T smaller(T a, T b) {
    return b < a ? b : a;
}
template <class T>
STAFFA_HOST_DEVICE constexpr T larger(T a, T b) {
    return a < b ? b : a;
}
template <class T>
STAFFA_HOST_DEVICE constexpr T ceil_div(T a, T b) {
    return (a + b - 1) / b;
}

// The same bits as another type (floats to integers and back).
template <class To, class From>
STAFFA_HOST_DEVICE To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof(To));
    return to;
}

}  // namespace staffa
