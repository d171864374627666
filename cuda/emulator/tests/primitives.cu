// Every primitive once, into words that the host compares with what CUDA documents.
#include "staffa/device.cuh"
using namespace staffa;

// One warp; 32 words per operation.
extern "C" __global__ void STAFFA_BOUNDS(32)
primitive_warp(u64* out) {
    const u32 l = lane();
    u32 at = 0;
    const auto put = [&](u64 value) { out[32 * at++ + l] = value; };
    put(shfl(kFullMask, l * 10, 3));
    put(shfl(kFullMask, l * 10, l + 5));
    put(shfl(kFullMask, l, 1, 8));
    put(shfl_up(kFullMask, l, 2));
    put(shfl_up(kFullMask, l, 3, 16));
    put(shfl_down(kFullMask, l, 2));
    put(shfl_down(kFullMask, l, 3, 8));
    put(shfl_xor(kFullMask, l, 5));
    put(shfl_xor(kFullMask, u64(l) << 40, 1));
    put(ballot(kFullMask, l % 3 == 0));
    put(any(kFullMask, l == 31));
    put(all(kFullMask, l < 31));
    put(match_any(kFullMask, l / 4));
    put(match_any(kFullMask, u64(l % 2) << 33));
    const i128 wide = (i128(l) << 70) - 5;
    put(static_cast<u64>(shfl_xor(kFullMask, wide, 2) >> 70));
    put(warp_inclusive_scan(l + 1, Sum{}));
    put(warp_exclusive_scan(l + 1, 0u, Sum{}));
    put(warp_reduce(l ^ 21, Max{}));
    put(rank_in(0xf0f0f0f0u));
    put(lanes_below());
    put(lanes_up_to());
}

extern "C" __global__ void STAFFA_BOUNDS(1)
primitive_bits(const u64* in, u64* out) {
    const u64 a = in[0], b = in[1];
    const u32 x = static_cast<u32>(a), y = static_cast<u32>(b);
    u32 at = 0;
    const auto put = [&](u64 value) { out[at++] = value; };
    put(popc(x)), put(popc(a)), put(clz(x)), put(clz(a)), put(ctz(x)), put(ctz(a)), put(ffs(x)), put(ffs(a));
    put(brev(x)), put(brev(a)), put(clz(0u)), put(clz(u64(0))), put(ctz(0u)), put(ffs(0u));
    put(funnel_shift_right(x, y, 7)), put(funnel_shift_left(x, y, 39)), put(byte_perm(x, y, 0x7250));
    put(mul_high(x, y)), put(mul_high(a, b));
    put(bit_cast<u64>(1.5)), put(load_unaligned<u32>(reinterpret_cast<const u8*>(in) + 3));
}

extern "C" __global__ void STAFFA_BOUNDS(96)
primitive_block(u64* out) {
    const u32 t = threadIdx.x;
    u32 at = 0;
    const auto put = [&](u64 value) { out[96 * at++ + t] = value; };
    put(block_sync_or(t == 50));
    put(block_sync_or(false));
    put(block_sync_and(t < 96));
    put(block_sync_count(t % 5 == 0));
    put(block_inclusive_scan<96>(t, Sum{}));
    put(block_exclusive_scan<96>(t, 7u, Sum{}));
    put(block_reduce<96>(t * 3 % 97, Max{}));
    put(block_reduce<96>(i128(t) << 66, Sum{}) >> 66);
}

extern "C" __global__ void STAFFA_BOUNDS(64)
primitive_atomic(u64* w, u32* v, i64* s, i32* r) {
    const u32 t = threadIdx.x;
    atomic_add(&w[0], u64(t)), atomic_min(&w[1], u64(100 - t)), atomic_max(&w[2], u64(t)), atomic_or(&w[3], u64(1) << t);
    atomic_and(&w[4], ~(u64(1) << t)), atomic_xor(&w[5], u64(1) << t), atomic_exch(&w[6], u64(9)), atomic_cas(&w[7], u64(7), u64(8));
    atomic_add(&v[0], t), atomic_min(&v[1], 100 - t), atomic_max(&v[2], t), atomic_or(&v[3], 1u << (t % 32));
    atomic_and(&v[4], ~(1u << (t % 32))), atomic_xor(&v[5], 1u << (t % 32)), atomic_exch(&v[6], 9u), atomic_cas(&v[7], 7u, 8u);
    atomic_add(&s[0], -i64(t)), atomic_min(&s[1], -i64(t)), atomic_max(&s[2], i64(t) - 100);
    atomic_add(&r[0], -i32(t)), atomic_min(&r[1], -i32(t)), atomic_max(&r[2], i32(t) - 100);
    atomic_add_acq_rel(&w[8], u64(1)), atomic_exch_acq_rel(&v[8], 4u), atomic_cas_acq_rel(&w[9], u64(0), u64(t + 1));
    store_relaxed(&w[10 + t], load_relaxed(&w[0]) * 0 + t);
}
