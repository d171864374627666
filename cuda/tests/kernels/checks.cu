// Kernels of staffa-cuda's own tests; checks.ptx beside it is this file for a GPU of capability 7.5 or
// later (its head says how it is made). Input is trusted.
#include "staffa/device.cuh"

using namespace staffa;

// out[i] = in[i] + addend. One thread a value.
extern "C" __global__ void STAFFA_BOUNDS(256) check_add(const u32* in, u32* out, u32 n, u32 addend) {
    for (u64 i = grid_thread(); i < n; i += grid_threads()) out[i] = in[i] + addend;
}

// A structure by value, with addresses in it.
struct CheckJob {
    u64 in;
    u64 out;
    u32 n;
    u32 factor;
};
extern "C" __global__ void STAFFA_BOUNDS(256) check_job(CheckJob job) {
    const u32* in = reinterpret_cast<const u32*>(job.in);
    u32* out = reinterpret_cast<u32*>(job.out);
    for (u64 i = grid_thread(); i < job.n; i += grid_threads()) out[i] = in[i] * job.factor;
}

// Adds 1 to *count per thread: several launches may do so at a time.
extern "C" __global__ void STAFFA_BOUNDS(256) check_count(u32* count) {
    atomic_add(count, 1u);
}

// Reverses the n values of a block in dynamic shared memory (n words).
extern "C" __global__ void STAFFA_BOUNDS(1024) check_reverse(u32* values, u32 n) {
    STAFFA_SHARED_DYNAMIC(u32, tile);
    u32* block = values + u64(blockIdx.x) * n;
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) tile[i] = block[i];
    block_sync();
    for (u32 i = threadIdx.x; i < n; i += blockDim.x) block[i] = tile[n - 1 - i];
}

// Writes to an address of nothing: what a wild kernel does to the context.
extern "C" __global__ void STAFFA_BOUNDS(32) check_wild(u64 address) {
    if (grid_thread() == 0) *reinterpret_cast<u32*>(address) = 1;
}
