// Hash join, probe side: which key, how many outputs, and the outputs.
//
//   join_probe_direct, _64, _128, _columns   a block a tile of 2,048 rows: each row's slot, the number of
//                                            outputs before it (look-back over tiles), which slots were met
//   join_retrieve                            a thread an output of a chunk: its probe row and build row
//
// Retrieval is balanced by output: thread k of a chunk makes output first + k, whatever row it belongs to,
// so one row that matches 50,000 others is spread over as many threads, and a chunk never exceeds its buffer.
// The row is found by binary search in the offsets, over the whole list for the block's first and last output
// and between those two for the others, which is a few steps in the first-level cache. A chunk can start
// anywhere: a join goes on where the last one ended.
//
// Input: ours. Offsets end with the total; outputs at or behind it are not there, and `count` says how many
// are. The table is not written meanwhile, except for the matched bits.
#include "staffa/join/abi.h"
#include "staffa/keys/table.cuh"
#include "staffa/look_back.cuh"

using namespace staffa;
using namespace staffa::keys;

namespace {

constexpr u32 kPerThread = TILE_ROWS / BLOCK;

STAFFA_DEVICE void mark(u64 matched, u32 slot) {
    u32* word = pointer<u32>(matched) + slot / 32;
    const u32 bit = 1u << slot % 32;
    if ((load_relaxed(word) & bit) == 0) atomic_or(word, bit);
}

template <class Find>
STAFFA_DEVICE void probe(const join_probe_args& args, Find find_slot) {
    STAFFA_SHARED_ONE(u32, ticket);
    STAFFA_SHARED_ONE(u64, before);
    STAFFA_SHARED(u64, outputs, TILE_ROWS);
    if (stopped(args.list)) return;
    u64* look_back = pointer<u64>(args.look_back);
    const u32 tile = look_back_ticket(reinterpret_cast<u32*>(look_back), &ticket);
    const u32 rows = positions(args.list);
    const u32 first = tile * TILE_ROWS;
    // Neighbouring threads take neighbouring rows.
#pragma unroll 1
    for (u32 k = threadIdx.x; k < TILE_ROWS; k += BLOCK) {
        const u32 at = first + k;
        u32 slot = NONE;
        if (at < rows && bit_at(args.matchable, at)) slot = find_slot(at);
        const u32 word = ballot(kFullMask, slot != NONE);
        if (args.matches != 0 && lane() == 0 && at < args.list.rows) pointer<u32>(args.matches)[at / 32] = word;
        if (slot != NONE && args.table.matched != 0) mark(args.table.matched, slot);
        u32 count = 0;
        if (slot != NONE) {
            count = args.table.unique != 0 ? 1 : load_readonly(pointer<const u32>(args.table.counts) + slot);
        } else if (args.outer != 0 && at < rows) {
            count = 1;
        }
        if (at < rows) pointer<u32>(args.found)[at] = slot;
        outputs[k] = count;
    }
    if (args.offsets == 0) return;
    block_sync();
    u64 sum = 0;
    u64* mine = outputs + threadIdx.x * kPerThread;
#pragma unroll
    for (u32 k = 0; k < kPerThread; ++k) sum += mine[k];
    u64 total;
    u64 own = block_exclusive_scan<BLOCK>(sum, u64(0), Sum{}, &total);
#pragma unroll
    for (u32 k = 0; k < kPerThread; ++k) {
        const u64 count = mine[k];
        mine[k] = own;
        own += count;
    }
    if (warp_in_block() == 0) {
        const u64 sums = look_back_sum(look_back + 1, tile, total);
        if (lane() == 0) before = sums;
    }
    block_sync();
    for (u32 k = threadIdx.x; k < TILE_ROWS; k += BLOCK) {
        // Behind the last row, outputs holds the total.
        if (first + k <= rows) pointer<u64>(args.offsets)[first + k] = before + outputs[k];
    }
}

template <class Key>
STAFFA_DEVICE void probe_packed(const join_probe_args& args) {
    const join_table& table = args.table;
    probe(args, [&](u32 at) {
        const Key key = pointer<const Key>(args.packed)[at];
        return find(pointer<const u64>(table.slots), table.mask, table.probes, hash_packed(key),
                    [&](u32 other) { return pointer<const Key>(table.packed)[other - 1] == key; });
    });
}

STAFFA_DEVICE u32 build_row(const join_table& table, u32 position) {
    return table.selection == 0 ? position : pointer<const u32>(table.selection)[position];
}

// The last position below `high` whose offset is not above `output`; position `low`'s is not.
STAFFA_DEVICE u32 position_of(const u64* offsets, u32 low, u32 high, u64 output) {
    while (high - low > 1) {
        const u32 middle = low + (high - low) / 2;
        if (load_readonly(&offsets[middle]) <= output) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

}  // namespace

// Grid: (rows + 1) / 2,048. Block: 256. The same for all of them.
extern "C" __global__ void STAFFA_BOUNDS(256) join_probe_direct(join_probe_args args) {
    probe(args, [&](u32 at) {
        const u64 key = pointer<const u64>(args.packed)[at];
        return load_readonly(pointer<const u64>(args.table.slots) + key) == 0 ? NONE : u32(key);
    });
}
extern "C" __global__ void STAFFA_BOUNDS(256) join_probe_64(join_probe_args args) { probe_packed<u64>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) join_probe_128(join_probe_args args) { probe_packed<u128>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256, 4) join_probe_columns(join_probe_args args) {
    const join_table& table = args.table;
    probe(args, [&](u32 at) {
        const u32 row = row_at(args.list, at);
        return find(pointer<const u64>(table.slots), table.mask, table.probes, pointer<const u64>(args.hashes)[at],
                    [&](u32 other) { return same_row(args.keys, row, table.keys, build_row(table, other - 1)); });
    });
}

// Grid: limit / 256, at least 1. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) join_retrieve(join_retrieve_args args) {
    STAFFA_SHARED_ONE(u32, low);
    STAFFA_SHARED_ONE(u32, high);
    if (stopped(args.list)) return;
    const u64* offsets = pointer<const u64>(args.offsets);
    const u32 rows = positions(args.list);
    const u64 total = offsets[rows];
    const u64 left = total > args.first ? total - args.first : 0;
    const u32 count = u32(smaller(left, u64(args.limit)));
    const u32 block_first = blockIdx.x * BLOCK;
    if (block_first == 0 && threadIdx.x == 0) *pointer<u32>(args.count) = count;
    if (block_first >= count) return;
    if (threadIdx.x == 0) low = position_of(offsets, 0, rows, args.first + block_first);
    if (threadIdx.x == kWarp) {
        const u32 last = smaller(block_first + BLOCK, count) - 1;
        high = position_of(offsets, 0, rows, args.first + last) + 1;
    }
    block_sync();
    const u32 at = block_first + threadIdx.x;
    if (at >= count) return;
    const u64 output = args.first + at;
    const u32 position = position_of(offsets, low, high, output);
    const u32 slot = pointer<const u32>(args.found)[position];
    u32 build = NONE;
    if (slot != NONE && args.table.unique != 0) {
        build = build_row(args.table, u32(pointer<const u64>(args.table.slots)[slot]) - 1);
    } else if (slot != NONE) {
        const u64 rank = output - offsets[position];
        build = pointer<const u32>(args.table.rows)[pointer<const u32>(args.table.starts)[slot] + rank];
    }
    pointer<u32>(args.build)[at] = build;
    pointer<u32>(args.probe)[at] = row_at(args.list, position);
}
