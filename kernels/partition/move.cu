// Columns to partitions: rows of a partition side by side, in the order of the input.
//
//   partition_scatter  a block a tile of 2,048 rows: fixed-width values, staged through shared memory
//   partition_gather   a thread a row of the output: any values by row number
//   partition_bits     a thread a row of the output: bitmaps, validity among them
//   partition_heap     how many bytes the strings of a column have
//
// All columns of a kind go in one launch. Scatter reads neighbours, orders the tile by partition in shared memory and
// writes runs of neighbours, 2,048 / partitions rows long on average; it serves up to 256 partitions, whose ids
// are one digit of the radix sort, which left each tile's starts behind. Above that runs are shorter than a sector
// and gather reads as badly as scatter would write, without the staging. FixedSizeBinary is gathered always (a byte
// loop over a register array took scatter to 128 registers and a spill), and so are bits: a morsel's
// bitmap fits the second-level cache, and no two threads share a word of the output.
//
// A column of codes moves as codes, spans as spans. NULLs' slots are zero in the source and so in the output.
//
// Input: columns checked by the launcher; ids, starts and order are this library's, of the same list. Scatter's
// shared memory: 32 KB of values, 4 KB of ranks, 2 KB of starts.
#include "staffa/keys/rows.cuh"
#include "staffa/partition/abi.h"
#include "staffa/sort/tile.cuh"

using namespace staffa;
using namespace staffa::keys;
using namespace staffa::sort;

namespace {

// Bytes a row as they are stored: codes are numbers here.
STAFFA_DEVICE u32 stored_width(const column& c) {
    return c.kind == KIND_CODES ? 4 : c.kind == KIND_SPANS ? 16 : c.width;
}

// Where this thread's items of a tile come from and go.
struct Tile {
    u32 rows[kItems];       // source rows; NONE: there is none
    u32 places[kItems];     // in the tile, ordered by partition
    u32 outputs[kItems];    // of the tile's k * 256 + thread-th value in that order
};

// One piece of each value: `T` at byte `offset` of `stride`.
template <class T>
STAFFA_DEVICE void scatter(const Tile& tile, const move_column& c, u32 stride, u32 offset, void* arena) {
    T* staged = static_cast<T*>(arena);
    const u64 from = c.source.values + offset;
    const u64 to = c.values + offset;
    block_sync();
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        if (tile.rows[k] != NONE) staged[tile.places[k]] = load_readonly(pointer<const T>(from + u64(tile.rows[k]) * stride));
    }
    block_sync();
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        if (tile.outputs[k] != NONE) *pointer<T>(to + u64(tile.outputs[k]) * stride) = staged[k * BLOCK + threadIdx.x];
    }
}

STAFFA_DEVICE void copy_value(const move_column& c, u32 width, u64 from_row, u64 to_row) {
    const u64 from = c.source.values + from_row * width;
    const u64 to = c.values + to_row * width;
    if (c.source.kind == KIND_BYTES) {  // of any width, at any address
        for (u32 k = 0; k < width; ++k) pointer<u8>(to)[k] = load_byte(from + k);
        return;
    }
    switch (width) {
    case 1: *pointer<u8>(to) = load_byte(from); break;
    case 2: *pointer<u16>(to) = load_readonly(pointer<const u16>(from)); break;
    case 4: *pointer<u32>(to) = load_readonly(pointer<const u32>(from)); break;
    case 8: *pointer<u64>(to) = load_readonly(pointer<const u64>(from)); break;
    default:
        for (u32 k = 0; k < width; k += 16) store16(pointer<u8>(to) + k, load16(pointer<const u8>(from) + k));
        break;
    }
}

}  // namespace

// Grid: rows / 2,048. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256, 2) partition_scatter(partition_move_args args) {
    STAFFA_SHARED(u16, ranks, kTileWarps * RADIX);
    STAFFA_SHARED(u32, digit_starts, RADIX);
    STAFFA_SHARED(u32, targets, RADIX);
    STAFFA_SHARED(uint4, arena, TILE_ROWS);
    if (stopped(args.list)) return;
    const u32 rows = positions(args.list);
    const u32 first = blockIdx.x * TILE_ROWS;
    Tile tile;
    u32 ids[kItems];
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        const u32 at = first + tile_item(k);
        ids[k] = at < rows ? pointer<const u32>(args.ids)[at] : NONE;
        tile.rows[k] = at < rows ? row_at(args.list, at) : NONE;
    }
    tile_rank(ids, ranks, digit_starts, tile.places);
    const u32* starts = pointer<const u32>(args.tile_starts) + u64(blockIdx.x) * RADIX;
    targets[threadIdx.x] = starts[threadIdx.x] - digit_starts[threadIdx.x];
    // Who will write a place must know its partition.
    u8* partitions = reinterpret_cast<u8*>(arena);
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        if (ids[k] != NONE) partitions[tile.places[k]] = u8(ids[k]);
    }
    block_sync();
#pragma unroll
    for (u32 k = 0; k < kItems; ++k) {
        const u32 place = k * BLOCK + threadIdx.x;
        const bool here = first < rows && place < rows - first;
        tile.outputs[k] = here ? targets[partitions[place]] + place : NONE;
    }
    const move_column* columns = pointer<const move_column>(args.columns);
    for (u32 n = 0; n < args.count; ++n) {
        const move_column& c = columns[n];
        const u32 width = stored_width(c.source);
        switch (width) {
        case 1: scatter<u8>(tile, c, 1, 0, arena); break;
        case 2: scatter<u16>(tile, c, 2, 0, arena); break;
        case 4: scatter<u32>(tile, c, 4, 0, arena); break;
        case 8: scatter<u64>(tile, c, 8, 0, arena); break;
        default:
            for (u32 offset = 0; offset < width; offset += 16) scatter<uint4>(tile, c, width, offset, arena);
            break;
        }
    }
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) partition_gather(partition_move_args args) {
    if (stopped(args.list)) return;
    const u32 at = u32(grid_thread());
    if (at >= positions(args.list)) return;
    const u32 row = pointer<const u32>(args.order)[at];
    const move_column* columns = pointer<const move_column>(args.columns);
    for (u32 n = 0; n < args.count; ++n) {
        copy_value(columns[n], stored_width(columns[n].source), row, at);
    }
}

// Grid: rows / 256. Block: 256. `values` and `validity` are bitmaps here, 0 where there is none.
extern "C" __global__ void STAFFA_BOUNDS(256) partition_bits(partition_move_args args) {
    if (stopped(args.list)) return;
    const u32 at = u32(grid_thread());
    const bool here = at < positions(args.list);
    const u32 row = here ? pointer<const u32>(args.order)[at] : 0;
    const bool writes = lane() == 0 && at < args.list.rows;
    const move_column* columns = pointer<const move_column>(args.columns);
    for (u32 n = 0; n < args.count; ++n) {
        const move_column& c = columns[n];
        if (c.source.kind == KIND_BITS) {
            const u32 word = ballot(kFullMask, here && bit_at(c.source.values, row));
            if (writes) pointer<u32>(c.values)[at / 32] = word;
        }
        if (c.validity != 0) {
            const u32 word = ballot(kFullMask, here && bit_at(c.source.validity, row));
            if (writes) pointer<u32>(c.validity)[at / 32] = word;
        }
    }
}

// Grid: any number of blocks. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) partition_heap(partition_heap_args args) {
    if (stopped(args.list)) return;
    const u32 rows = positions(args.list);
    u64 sum = 0;
    for (u64 at = grid_thread(); at < rows; at += grid_threads()) {
        sum += pointer<const span>(args.source.values)[row_at(args.list, u32(at))].length;
    }
    sum = block_reduce<BLOCK>(sum, Sum{});
    if (threadIdx.x == 0 && sum != 0) atomic_add(pointer<u64>(args.total), sum);
}
