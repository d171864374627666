// Radix sort of (key, row) pairs from the lowest digit up, stable: Adinets and Merrill, "Onesweep: A Faster
// Least Significant Digit Radix Sort for GPUs" (arXiv 2206.01784).
//
//   radix_count_32, _64, _128   how often each value of each digit occurs, all digits in one reading
//   radix_starts                where the keys of each value start; whether a digit has one value only
//   radix_pass_32, _64, _128    a block a tile of 2,048 rows: sorts it by one digit in shared memory, finds by
//                               look-back how many keys of each value earlier tiles have, and writes runs
//
// A pass reads keys and rows once and writes them once: 24 bytes a row for 64-bit keys. A digit that all keys
// share (the upper bytes of small numbers) is copied in order instead of ranked.
//
// Look-back is one word of 32 bits a (tile, digit): two bits of state, thirty of count, so up to 2^30 - 1 rows
// (SORT_ROWS, checked by the host). Tiles are taken by ticket, thread d waits for digit d only. The word carries
// all that is handed on, so relaxed accesses do.
//
// Input: ours. Every place is below the number of positions, because starts, counts and ranks are of the same
// keys, which nothing writes meanwhile. Shared memory: 4 KB of ranks, 2 KB of starts, and the tile's keys
// (8, 16 or 32 KB), whose room the rows use after them: 38 KB for 128 bits, below the 48 KB of every device.
//
// Not taken: three kernels a pass (count, scan, scatter), which read keys twice; ranks by atomics, which are
// not stable; 128-bit keys as two sorts of 64 bits, which gather keys at random in between.
#include "staffa/keys/rows.cuh"
#include "staffa/sort/count.cuh"
#include "staffa/sort/tile.cuh"

using namespace staffa;
using namespace staffa::keys;
using namespace staffa::sort;

namespace {

constexpr u32 kOwn = 1u << 30;      // the word has the tile's own count
constexpr u32 kPrefix = 2u << 30;   // the count of this tile and all before it
constexpr u32 kCount = kOwn - 1;
constexpr u32 kMostPasses = 16;

template <class Key>
STAFFA_DEVICE u32 digit_of(Key key, u32 shift) {
    return u32(key >> shift) & (RADIX - 1);
}

template <class Key>
STAFFA_DEVICE void count_digits(const radix_count_args& args) {
    STAFFA_SHARED(u32, counts, kMostPasses * RADIX);
    if (stopped(args.list)) return;
    const u32 bins = args.passes * RADIX;
    for (u32 k = threadIdx.x; k < bins; k += BLOCK) counts[k] = 0;
    block_sync();
    const u32 rows = positions(args.list);
    const Key* keys = pointer<const Key>(args.keys);
    // Full warps, so that lanes can look at each other.
    for (u64 base = u64(blockIdx.x) * BLOCK; base < rows; base += u64(gridDim.x) * BLOCK) {
        const u64 at = base + threadIdx.x;
        const Key key = at < rows ? keys[at] : Key(0);
        for (u32 pass = 0; pass < args.passes; ++pass) {
            const u32 digit = digit_of(key, args.first_shift + pass * RADIX_BITS);
            count_digit(counts + pass * RADIX, digit, at < rows);
        }
    }
    block_sync();
    u32* totals = pointer<u32>(args.counts);
    for (u32 k = threadIdx.x; k < bins; k += BLOCK) {
        if (counts[k] != 0) atomic_add(&totals[k], counts[k]);
    }
}

// How many keys of this thread's digit the tiles before have.
STAFFA_DEVICE u32 count_before(u32* words, u32 tile, u32 own) {
    u32* word = words + u64(tile) * RADIX + threadIdx.x;
    if (tile == 0) {
        store_relaxed(word, kPrefix | own);
        return 0;
    }
    store_relaxed(word, kOwn | own);
    u32 sum = 0;
    for (const u32* other = word - RADIX;; other -= RADIX) {
        u32 found = load_relaxed(other);
        while (found == 0) {
            spin_pause();
            found = load_relaxed(other);
        }
        sum += found & kCount;
        if ((found & kPrefix) != 0) break;  // tile 0 has one
    }
    store_relaxed(word, kPrefix | (sum + own));
    return sum;
}

STAFFA_DEVICE u32 row_of(const radix_pass_args& args, u32 at) {
    return args.rows_in != 0 ? pointer<const u32>(args.rows_in)[at] : row_at(args.list, at);
}

template <class Key>
STAFFA_DEVICE void pass(const radix_pass_args& args) {
    STAFFA_SHARED(u16, ranks, kTileWarps * RADIX);
    STAFFA_SHARED(u32, digit_starts, RADIX);
    STAFFA_SHARED(u32, targets, RADIX);
    STAFFA_SHARED(Key, staged, TILE_ROWS);
    STAFFA_SHARED_ONE(u32, ticket);
    if (stopped(args.list)) return;
    if (threadIdx.x == 0) ticket = atomic_add(pointer<u32>(args.look_back), 1u);
    block_sync();
    const u32 tile = ticket;
    const u32 rows = positions(args.list);
    const u32 first = tile * TILE_ROWS;
    const u32 here = first < rows ? smaller(rows - first, TILE_ROWS) : 0;
    const Key* in = pointer<const Key>(args.keys_in);
    Key* out = pointer<Key>(args.keys_out);
    u32* rows_out = pointer<u32>(args.rows_out);
    // A copy keeps the order; but the tile's starts must be known to whoever asked for them.
    if (*pointer<const u32>(args.trivial) != 0 && args.tile_starts == 0) {
        for (u32 k = threadIdx.x; k < here; k += BLOCK) {
            if (args.keys_out != 0) out[first + k] = in[first + k];
            rows_out[first + k] = row_of(args, first + k);
        }
        return;
    }
    Key keys[kItems];
    u32 digits[kItems];
    u32 places[kItems];
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        const u32 item = tile_item(k);
        keys[k] = item < here ? in[first + item] : Key(0);
        digits[k] = item < here ? digit_of(keys[k], args.shift) : NONE;
    }
    const u32 own = tile_rank(digits, ranks, digit_starts, places);
    const u32 before = count_before(pointer<u32>(args.look_back) + 4, tile, own);
    const u32 start = pointer<const u32>(args.starts)[threadIdx.x] + before;
    if (args.tile_starts != 0) pointer<u32>(args.tile_starts)[u64(tile) * RADIX + threadIdx.x] = start;
    targets[threadIdx.x] = start - digit_starts[threadIdx.x];
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        if (digits[k] != NONE) staged[places[k]] = keys[k];
    }
    block_sync();
    // In the order of the tile now: neighbours go to neighbours.
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        const u32 place = k * BLOCK + threadIdx.x;
        digits[k] = NONE;
        if (place >= here) continue;
        const Key key = staged[place];
        digits[k] = targets[digit_of(key, args.shift)] + place;
        if (args.keys_out != 0) out[digits[k]] = key;
    }
    block_sync();
    u32* staged_rows = reinterpret_cast<u32*>(staged);
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        const u32 item = tile_item(k);
        if (item < here) staged_rows[places[k]] = row_of(args, first + item);
    }
    block_sync();
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        if (digits[k] != NONE) rows_out[digits[k]] = staged_rows[k * BLOCK + threadIdx.x];
    }
}

}  // namespace

// Grid: any number of blocks. Block: 256. The same for all of them.
extern "C" __global__ void STAFFA_BOUNDS(256) radix_count_32(radix_count_args args) { count_digits<u32>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) radix_count_64(radix_count_args args) { count_digits<u64>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) radix_count_128(radix_count_args args) { count_digits<u128>(args); }

// Grid: passes. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) radix_starts(radix_starts_args args) {
    const u64 at = u64(blockIdx.x) * RADIX + threadIdx.x;
    const u32 count = pointer<const u32>(args.counts)[at];
    u32 total;
    pointer<u32>(args.starts)[at] = block_exclusive_scan<BLOCK>(count, 0u, Sum{}, &total);
    const bool all_here = block_sync_or(count == total);
    if (threadIdx.x == 0) pointer<u32>(args.trivial)[blockIdx.x] = all_here ? 1 : 0;
}

// Grid: rows / 2,048. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) radix_pass_32(radix_pass_args args) { pass<u32>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256, 2) radix_pass_64(radix_pass_args args) { pass<u64>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) radix_pass_128(radix_pass_args args) { pass<u128>(args); }
