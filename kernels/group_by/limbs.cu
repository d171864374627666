// Sums of 128 and 256 bits: DECIMAL128 and DECIMAL256, wrapping as DataFusion's accumulators do.
//
//   aggregate_limbs_128, aggregate_limbs_256
//
// No GPU has such atomics, and none are needed: a sum is kept as limbs of 64 bits, each added atomically from
// the lowest up. The old value that an addition returns tells whether it carried, and the carry goes into
// the next limb's addend. All carries arrive before the launch ends, in whatever order rows come, so the
// result is the exact sum modulo 2^128 or 2^256; nobody reads a sum in between. The limbs, low first, are
// the column's values as they stand.
//
// Same path to the accumulator as words (accumulate.cuh); 512 slots a block: 10 and 18 KiB.
#include "staffa/group_by/accumulate.cuh"

using namespace staffa;
using namespace staffa::group_by;

namespace {

constexpr u32 kSlots = 512;

template <u32 N>
struct Limbs {
    u64 limb[N];
};

template <u32 N>
STAFFA_DEVICE Limbs<N> sum_of(const Limbs<N>& a, const Limbs<N>& b) {
    Limbs<N> out;
    u64 carry = 0;
#pragma unroll
    for (u32 k = 0; k < N; ++k) {
        const u64 partial = a.limb[k] + carry;
        out.limb[k] = partial + b.limb[k];
        carry = u64(partial < carry) | u64(out.limb[k] < partial);
    }
    return out;
}

// Limb k of the accumulator stands `stride` words behind limb k - 1.
template <u32 N>
STAFFA_DEVICE void add_atomically(u64* accumulator, u32 stride, const Limbs<N>& value) {
    u64 carry = 0;
#pragma unroll
    for (u32 k = 0; k < N; ++k) {
        const u64 addend = value.limb[k] + carry;
        carry = u64(addend < carry);
        if (addend == 0) continue;
        const u64 old = atomic_add(&accumulator[k * stride], addend);
        carry |= u64(old + addend < old);
    }
}

template <u32 N>
STAFFA_DEVICE Limbs<N> load_limbs(const column& c, u32 row) {
    const Place p = place_of(c, row);
    Limbs<N> out;
#pragma unroll
    for (u32 k = 0; k < N; k += 2) {
        const uint4 v = load16(pointer<const u8>(p.values) + u64(p.index) * (8 * N) + 8 * k);
        out.limb[k] = u64(v.y) << 32 | v.x;
        out.limb[k + 1] = u64(v.w) << 32 | v.z;
    }
    return out;
}

// As combine_peers, limb by limb: a shuffle moves at most 16 bytes.
template <u32 N>
STAFFA_DEVICE Limbs<N> combine_limbs(u32 peers, Limbs<N> value) {
    u32 above = peers & ~lanes_up_to();
    u32 rank = rank_in(peers);
    while (any(kFullMask, above != 0)) {
        const u32 next = ffs(above);
        Limbs<N> other;
#pragma unroll
        for (u32 k = 0; k < N; ++k) other.limb[k] = shfl(kFullMask, value.limb[k], next == 0 ? lane() : next - 1);
        if (next != 0) value = sum_of(value, other);
        above &= ~ballot(kFullMask, (rank & 1) != 0);
        rank >>= 1;
    }
    return value;
}

template <u32 N>
STAFFA_DEVICE void add_limbs(const aggregate_args& args) {
    STAFFA_SHARED(u64, cached, N * kSlots);  // limb by limb: neighbours in different banks
    STAFFA_SHARED(u32, owners, kSlots);
    if (stopped(args.list)) return;
    for (u32 k = threadIdx.x; k < kSlots; k += BLOCK) owners[k] = NONE;
    for (u32 k = threadIdx.x; k < N * kSlots; k += BLOCK) cached[k] = 0;
    block_sync();
    u64* words = pointer<u64>(args.words);
    for_rows(args, [&](u32 group, u32 row, u32) {
        Limbs<N> value = {};
        if (group != NONE) value = load_limbs<N>(args.value, row);
        const u32 peers = match_any(kFullMask, group);
        value = combine_limbs(peers, value);
        if (group == NONE || lane() != leader_of(peers)) return;
        const u32 slot = group % kSlots;
        if (owns(&owners[slot], group)) {
            add_atomically(&cached[slot], kSlots, value);
        } else {
            add_atomically(&words[u64(group) * N], 1, value);
            mark_seen(args.seen, group);
        }
    });
    block_sync();
    for (u32 k = threadIdx.x; k < kSlots; k += BLOCK) {
        if (owners[k] == NONE) continue;
        Limbs<N> value;
#pragma unroll
        for (u32 l = 0; l < N; ++l) value.limb[l] = cached[l * kSlots + k];
        add_atomically(&words[u64(owners[k]) * N], 1, value);
        mark_seen(args.seen, owners[k]);
    }
}

}  // namespace

// Grid: any number of blocks. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_limbs_128(aggregate_args args) { add_limbs<2>(args); }

// Grid: any number of blocks. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_limbs_256(aggregate_args args) { add_limbs<4>(args); }
