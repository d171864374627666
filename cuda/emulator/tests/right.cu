// Kernels without a mistake: they must give the same answers under every seed, architecture and sanitizer.
#include "staffa/device.cuh"
using namespace staffa;

extern "C" __global__ void STAFFA_BOUNDS(256)
right_scale(const u32* in, u32* out, u32 factor, u64 rows) {
    for (u64 i = grid_thread(); i < rows; i += grid_threads()) out[i] = load_readonly(in + i) * factor;
}

// An exclusive prefix sum over all rows in one launch.
extern "C" __global__ void STAFFA_BOUNDS(256)
right_scan(const u32* in, u64* out, u32* tickets, u64* tiles, u64 rows) {
    STAFFA_SHARED_ONE(u32, ticket);
    STAFFA_SHARED_ONE(u64, before);
    const u32 tile = look_back_ticket(tickets, &ticket);
    const u64 i = u64(tile) * 256 + threadIdx.x;
    const u64 value = i < rows ? load_readonly(in + i) : 0;
    u64 total;
    const u64 in_tile = block_exclusive_scan<256>(value, u64(0), Sum{}, &total);
    if (warp_in_block() == 0) {
        const u64 sum = look_back_sum(tiles, tile, total);
        if (lane() == 0) before = sum;
    }
    block_sync();
    if (i < rows) out[i] = before + in_tile;
}

// 64 bins, counted in shared memory, then added to the global ones.
extern "C" __global__ void STAFFA_BOUNDS(128)
right_histogram(const u32* in, u32* bins, u64 rows) {
    STAFFA_SHARED(u32, mine, 64);
    for (u32 i = threadIdx.x; i < 64; i += blockDim.x) mine[i] = 0;
    block_sync();
    for (u64 i = grid_thread(); i < rows; i += grid_threads()) atomic_add(&mine[in[i] % 64], 1u);
    block_sync();
    for (u32 i = threadIdx.x; i < 64; i += blockDim.x) atomic_add(&bins[i], mine[i]);
}

// Sum, least and greatest by shuffles; a partial warp takes part with its own mask.
extern "C" __global__ void STAFFA_BOUNDS(256)
right_reduce(const i64* in, i64* sum, i64* least, i64* greatest, u64 rows) {
    const u64 i = grid_thread();
    const i64 value = i < rows ? in[i] : 0;
    const i64 total = block_reduce<256>(value, Sum{});
    if (threadIdx.x == 0) atomic_add(sum, total);
    const u32 mask = ballot(kFullMask, i < rows);
    if (i < rows) {
        i64 low = value, high = value;
        for (u32 rest = mask & (mask - 1); rest != 0; rest &= rest - 1) {
            low = smaller(low, shfl(mask, value, ffs(rest) - 1));
            high = larger(high, shfl(mask, value, ffs(rest) - 1));
        }
        const u32 first = leader_of(mask);
        low = smaller(low, shfl(mask, value, first));
        high = larger(high, shfl(mask, value, first));
        if (lane() == first) {
            atomic_min(least, low);
            atomic_max(greatest, high);
        }
    }
}

// Open addressing with compare-and-swap: counts the distinct keys. Slot 0 means empty, keys are above 0.
extern "C" __global__ void STAFFA_BOUNDS(128)
right_distinct(const u64* keys, u64* slots, u32 slot_count, u32* distinct, u64 rows) {
    const u64 i = grid_thread();
    if (i >= rows) return;
    const u64 key = keys[i];
    for (u32 probe = 0; probe < slot_count; ++probe) {
        const u32 slot = (static_cast<u32>(mul_high(key * 0x9e3779b97f4a7c15ull, u64(slot_count))) + probe) % slot_count;
        const u64 old = atomic_cas(&slots[slot], u64(0), key);
        if (old == 0) atomic_add(distinct, 1u);
        if (old == 0 || old == key) return;
    }
}

// One producer block hands rows to the others through a flag.
extern "C" __global__ void STAFFA_BOUNDS(64)
right_flag(u32* tickets, u32* flag, u64* data, u64* out) {
    STAFFA_SHARED_ONE(u32, ticket);
    const u32 block = look_back_ticket(tickets, &ticket);
    if (block == 0) {
        data[threadIdx.x] = 1000 + threadIdx.x;
        block_sync();
        if (threadIdx.x == 0) store_release(flag, 1u);
        return;
    }
    if (threadIdx.x == 0) {
        while (load_acquire(flag) == 0) spin_pause();
    }
    block_sync();
    out[block * 64 + threadIdx.x] = data[threadIdx.x] * block;
}

// Transposes through shared memory that was filled by asynchronous copies, two stages in flight.
extern "C" __global__ void STAFFA_BOUNDS(32)
right_copy_async(const uint4* in, uint4* out, u32 stages) {
    STAFFA_SHARED_2D(uint4, tile, 2, 32);
    copy_async<16>(&tile[0][lane()], &in[lane()]);
    copy_async_commit();
    for (u32 stage = 0; stage < stages; ++stage) {
        if (stage + 1 < stages) copy_async<16>(&tile[(stage + 1) % 2][lane()], &in[(stage + 1) * 32 + lane()]);
        copy_async_commit();
        copy_async_wait<1>();
        warp_sync();
        out[stage * 32 + lane()] = tile[stage % 2][31 - lane()];
        warp_sync();
    }
}

// As much dynamic shared memory as the launch has.
extern "C" __global__ void STAFFA_BOUNDS(256)
right_dynamic_shared(u32* out) {
    STAFFA_SHARED_DYNAMIC(u32, words);
    const u32 count = shared_dynamic_bytes() / 4;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) words[i] = i * 3;
    block_sync();
    u32 sum = 0;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) sum += words[count - 1 - i];
    const u32 total = block_reduce<256>(sum, Sum{});
    if (threadIdx.x == 0) out[blockIdx.x] = total;
}

// Each thread owns a local array and leaves it to the next on the same stack: no race.
extern "C" __global__ void STAFFA_BOUNDS(256)
right_local(u32* out, u32 rounds) {
    volatile u32 local[16];
    for (u32 i = 0; i < 16; ++i) local[i] = threadIdx.x + i;
    for (u32 r = 0; r < rounds; ++r) {
        local[r % 16] = local[(r + 1) % 16] + 1;
        if (r % 4 == 3) block_sync();
    }
    u32 sum = 0;
    for (u32 i = 0; i < 16; ++i) sum += local[i];
    out[grid_thread()] = sum;
}

// The kernel macro of a family of types: found through the preprocessor.
#define RIGHT_NEGATE(name, type)                                                              \
    extern "C" __global__ void STAFFA_BOUNDS(128, (sizeof(type) > 4 ? 2 : 4))                 \
    right_negate_##name(const type* in, type* out, u64 rows) {                               \
        const u64 i = grid_thread();                                                         \
        if (i < rows) out[i] = static_cast<type>(-in[i]);                                    \
    }
RIGHT_NEGATE(i32, i32)
RIGHT_NEGATE(i64, i64)
RIGHT_NEGATE(i128, i128)
RIGHT_NEGATE(f64, double)

// The same sum, by neighbours and by strides of 32 rows.
extern "C" __global__ void STAFFA_BOUNDS(32)
right_coalesced(const u32* in, u32* out) { atomic_add(out, in[lane()] + load_readonly(in + 32 + lane())); }
extern "C" __global__ void STAFFA_BOUNDS(32)
right_strided(const u32* in, u32* out) { atomic_add(out, in[lane() * 32]); }
