// The rows with the k least keys, without sorting the others: radix selection.
//
//   top_count_32, _64, _128   among keys that begin with the digits found so far, how often the next digit has
//                             each value
//   top_choose                the digit in which the k-th key lies
//   top_take_32, _64, _128    rows below the k-th key, and as many of its ties as are wanted, in the order of
//                             positions
//
// A digit is two launches; the host reads nothing. Each reading is of all keys, 16 bytes a row at most, and after the
// first digit few keys take part. Ties of the k-th key are taken by position, so the choice is that of a stable
// sort; for keys that are the beginning of longer ones, all ties are taken (`ties`), and a sort decides.
//
// Look-back carries two counts in its 62 bits, rows below and ties, which is why rows stay below 2^30
// (SORT_ROWS, checked by the host). Nothing is written at or behind `capacity`.
//
// Input: ours.
#include "staffa/keys/rows.cuh"
#include "staffa/look_back.cuh"
#include "staffa/sort/abi.h"
#include "staffa/sort/count.cuh"

using namespace staffa;
using namespace staffa::keys;

namespace {

constexpr u32 kPerThread = TILE_ROWS / BLOCK;
constexpr u32 kTieBits = 31;

STAFFA_DEVICE u128 prefix_of(const top_state& state) { return u128(state.high) << 64 | state.low; }

template <class Key>
STAFFA_DEVICE void count_next(const top_args& args) {
    STAFFA_SHARED(u32, counts, RADIX);
    if (stopped(args.list)) return;
    counts[threadIdx.x] = 0;
    block_sync();
    const u32 rows = positions(args.list);
    const Key* keys = pointer<const Key>(args.keys);
    const Key prefix = Key(prefix_of(*pointer<const top_state>(args.state)));
    // Full warps, so that lanes can look at each other.
    for (u64 base = u64(blockIdx.x) * BLOCK; base < rows; base += u64(gridDim.x) * BLOCK) {
        const u64 at = base + threadIdx.x;
        const Key digits = at < rows ? keys[at] >> args.shift : Key(0);
        // Two shifts: together they may be as wide as the key.
        const bool begins = at < rows && digits >> RADIX_BITS == prefix;
        sort::count_digit(counts, u32(digits) & (RADIX - 1), begins);
    }
    block_sync();
    const u32 own = counts[threadIdx.x];
    if (own != 0) atomic_add(pointer<u32>(args.counts) + threadIdx.x, own);
}

template <class Key>
STAFFA_DEVICE void take(const top_args& args) {
    STAFFA_SHARED_ONE(u32, ticket);
    STAFFA_SHARED_ONE(u64, before);
    if (stopped(args.list)) return;
    u64* look_back = pointer<u64>(args.look_back);
    const u32 tile = look_back_ticket(reinterpret_cast<u32*>(look_back), &ticket);
    const top_state state = *pointer<const top_state>(args.state);
    const Key last = Key(prefix_of(state));
    const u32 most_ties = args.ties != 0 ? ~0u : state.left;
    const u32 rows = positions(args.list);
    const u32 first = tile * TILE_ROWS + threadIdx.x * kPerThread;
    const Key* keys = pointer<const Key>(args.keys);
    u32 below = 0;
    u32 ties = 0;
    u64 counts = 0;
#pragma unroll
    for (u32 k = 0; k < kPerThread; ++k) {
        if (first + k >= rows) continue;
        const Key digits = keys[first + k] >> args.shift;
        if (state.all != 0 || digits < last) {
            below |= 1u << k;
            counts += 1ull << kTieBits;
        } else if (digits == last) {
            ties |= 1u << k;
            counts += 1;
        }
    }
    u64 total;
    const u64 own = block_exclusive_scan<BLOCK>(counts, u64(0), Sum{}, &total);
    if (warp_in_block() == 0) {
        const u64 sums = look_back_sum(look_back + 1, tile, total);
        if (lane() == 0) before = sums;
    }
    block_sync();
    const u64 start = before + own;
    u32 below_before = u32(start >> kTieBits);
    u32 ties_before = u32(start & ((1ull << kTieBits) - 1));
#pragma unroll
    for (u32 k = 0; k < kPerThread; ++k) {
        const bool tie = (ties >> k & 1) != 0;
        const u32 output = below_before + smaller(ties_before, most_ties);
        const bool taken = (below >> k & 1) != 0 || (tie && ties_before < most_ties);
        if (taken && output < args.capacity) {
            pointer<u32>(args.rows_out)[output] = row_at(args.list, first + k);
            if (args.keys_out != 0) pointer<Key>(args.keys_out)[output] = keys[first + k];
        }
        below_before += below >> k & 1;
        ties_before += tie ? 1 : 0;
    }
    // The thread behind whose items no others are; of no rows at all, the first one.
    if (first < rows ? rows - first <= kPerThread : first == 0) {
        *pointer<u32>(args.count_out) = smaller(below_before + smaller(ties_before, most_ties), args.capacity);
    }
}

}  // namespace

// Grid: any number of blocks. Block: 256. The same for all of them.
extern "C" __global__ void STAFFA_BOUNDS(256) top_count_32(top_args args) { count_next<u32>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) top_count_64(top_args args) { count_next<u64>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) top_count_128(top_args args) { count_next<u128>(args); }

// Grid: 1. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) top_choose(top_args args) {
    if (stopped(args.list)) return;
    u32* count = pointer<u32>(args.counts) + threadIdx.x;
    top_state* state = pointer<top_state>(args.state);
    const u32 own = *count;
    *count = 0;
    const u32 left = state->left;
    u32 total;
    const u32 before = block_exclusive_scan<BLOCK>(own, 0u, Sum{}, &total);
    // Behind the scan's barriers everybody has read the state. One thread at most has the k-th key.
    const bool here = before < left && left <= before + own;
    if (here || (threadIdx.x == 0 && left > total)) {
        const u128 prefix = prefix_of(*state) << RADIX_BITS | (here ? threadIdx.x : 0);
        state->low = u64(prefix);
        state->high = u64(prefix >> 64);
        state->left = here ? left - before : left;
        if (!here) state->all = 1;
    }
}

// Grid: (rows + 1) / 2,048. Block: 256. The same for all of them.
extern "C" __global__ void STAFFA_BOUNDS(256) top_take_32(top_args args) { take<u32>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) top_take_64(top_args args) { take<u64>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) top_take_128(top_args args) { take<u128>(args); }
