// Kernels with one mistake each. The emulator must find it; which one is in the kernel's name.
#include "staffa/device.cuh"
using namespace staffa;

extern "C" __global__ void wrong_write_behind(u32* out, u64 words) {
    if (threadIdx.x == 5) out[words] = 1;
}

extern "C" __global__ void wrong_write_far_behind(u32* out, u64 words) {
    if (threadIdx.x == 5) out[words + 64] = 1;
}

extern "C" __global__ void wrong_read_before(const u32* in, u32* out) {
    out[threadIdx.x] = in[static_cast<i64>(threadIdx.x) - 5000];
}

// Threads read what their neighbours wrote, and nobody waits.
extern "C" __global__ void wrong_no_barrier(u32* out) {
    STAFFA_SHARED(u32, tile, 256);
    tile[threadIdx.x] = threadIdx.x;
    out[grid_thread()] = tile[255 - threadIdx.x];
}

// The barrier between two rounds is missing: correct in the natural order, wrong in others.
extern "C" __global__ void wrong_one_barrier(u32* out, u32 rounds) {
    STAFFA_SHARED(u32, tile, 256);
    u32 value = threadIdx.x;
    for (u32 r = 0; r < rounds; ++r) {
        tile[threadIdx.x] = value;
        block_sync();
        value = tile[(threadIdx.x + 1) % 256];
    }
    out[threadIdx.x] = value;
}

extern "C" __global__ void wrong_divergent_barrier(u32* out) {
    STAFFA_SHARED(u32, tile, 64);
    tile[threadIdx.x] = 1;
    if (threadIdx.x < 32) {
        block_sync();
    } else {
        block_sync();
    }
    out[threadIdx.x] = tile[63 - threadIdx.x];
}

extern "C" __global__ void wrong_return_before_barrier(u32* out, u64 rows) {
    const u64 i = grid_thread();
    if (i >= rows) return;
    out[i] = block_sync_count(true);
}

extern "C" __global__ void wrong_barrier_in_helper(u32* out) {
    u32 value = threadIdx.x;
    if (threadIdx.x < 32) value = block_reduce<64>(value, Sum{});
    else value = block_reduce<64>(value, Sum{});
    out[threadIdx.x] = value;
}

extern "C" __global__ void wrong_mask_without_self(u32* out) {
    out[threadIdx.x] = shfl(0x0000ffffu, threadIdx.x, 0);
}

extern "C" __global__ void wrong_masks_differ(u32* out) {
    const u32 mask = threadIdx.x < 16 ? kFullMask : 0xffff0001u;  // lane 0 is in both
    out[threadIdx.x] = shfl_xor(mask, threadIdx.x, 1);
}

extern "C" __global__ void wrong_source_not_in_mask(u32* out) {
    if (threadIdx.x < 16) out[threadIdx.x] = shfl(0x0000ffffu, threadIdx.x, 20);
}

extern "C" __global__ void wrong_lane_missing(u32* out) {
    out[threadIdx.x] = ballot(kFullMask, true);  // launched with 20 threads
}

extern "C" __global__ void wrong_exited_lane(u32* out, u64 rows) {
    const u64 i = grid_thread();
    if (i >= rows) return;
    out[i] = shfl_down(kFullMask, u32(i), 1);
}

extern "C" __global__ void wrong_operations_differ(u32* out) {
    if (threadIdx.x % 2) out[threadIdx.x] = ballot(kFullMask, true);
    else out[threadIdx.x] = any(kFullMask, true);
}

extern "C" __global__ void wrong_barrier_against_shuffle(u32* out) {
    if (threadIdx.x == 0) block_sync();
    out[threadIdx.x] = shfl(kFullMask, threadIdx.x, 0);
    if (threadIdx.x != 0) block_sync();
}

extern "C" __global__ void wrong_shared_overflow(u32* out, u32 index) {
    STAFFA_SHARED(u32, first, 32);
    STAFFA_SHARED(u32, second, 32);
    second[threadIdx.x] = 0;
    first[threadIdx.x + index] = threadIdx.x;
    block_sync();
    out[threadIdx.x] = first[threadIdx.x] + second[threadIdx.x];
}

extern "C" __global__ void wrong_dynamic_overflow(u32* out) {
    STAFFA_SHARED_DYNAMIC(u32, words);
    words[shared_dynamic_bytes() / 4 + threadIdx.x] = 1;
    out[threadIdx.x] = words[0];
}

extern "C" __global__ void wrong_shared_not_cleared(u32* out) {
    STAFFA_SHARED(u32, sums, 32);
    atomic_add(&sums[threadIdx.x % 32], 1u);
    block_sync();
    out[threadIdx.x] = sums[threadIdx.x % 32];
}

extern "C" __global__ void wrong_too_much_shared(u32* out) {
    STAFFA_SHARED(u32, big, 13000);
    big[threadIdx.x] = 1;
    out[threadIdx.x] = big[threadIdx.x];
}

// Waits for a block with a higher number: it may not have started, and without tickets it never will.
extern "C" __global__ void wrong_block_order(u32* flags, u32* out) {
    if (threadIdx.x == 0) {
        if (blockIdx.x + 1 < gridDim.x) {
            while (load_acquire(&flags[blockIdx.x + 1]) == 0) spin_pause();
        }
        store_release(&flags[blockIdx.x], 1u);
    }
    block_sync();
    out[grid_thread()] = 1;
}

extern "C" __global__ void wrong_spin_without_pause(u32* flag, u32* out) {
    while (load_relaxed(flag) == 0) {
    }
    out[0] = 1;
}

extern "C" __global__ void wrong_copy_not_waited(const u32* in, u32* out) {
    STAFFA_SHARED(u32, tile, 32);
    copy_async<4>(&tile[threadIdx.x], &in[threadIdx.x]);
    copy_async_commit();
    out[threadIdx.x] = tile[threadIdx.x];
}

extern "C" __global__ void wrong_copy_read_early(const u32* in, u32* out) {
    STAFFA_SHARED(u32, tile, 32);
    copy_async<4>(&tile[threadIdx.x], &in[threadIdx.x]);
    copy_async_commit();
    out[threadIdx.x] = tile[threadIdx.x];
    copy_async_wait<0>();
}

extern "C" __global__ void wrong_misaligned(const u8* in, u32* out) {
    out[threadIdx.x] = load16(in + 4).x;
}

extern "C" __global__ void wrong_divide(u32* out, u32 zero) {
    out[threadIdx.x] = 5 / zero;
}

extern "C" __global__ void wrong_host_pointer(const u32* in, u32* out) { out[threadIdx.x] = in[threadIdx.x]; }

// A flag without release and acquire: the data behind it is a race.
extern "C" __global__ void wrong_relaxed_flag(u32* flag, u64* data, u64* out) {
    if (threadIdx.x == 0) {
        data[0] = 77;
        store_relaxed(flag, 1u);
    } else if (threadIdx.x == 33) {
        while (load_relaxed(flag) == 0) spin_pause();
        out[0] = data[0];
    }
}

// Two blocks write the same word.
extern "C" __global__ void wrong_blocks_race(u32* out) { out[threadIdx.x] = blockIdx.x; }
