// Booleans to a bitmap: PLAIN (a bit a value) and RLE (a hybrid stream of width 1).
//
// Grid: tiles of the page set. Block: 256. The bitmap is zeroed before; a ballot makes a word of 32
// rows and one lane ORs it in, because pages start at any bit. NULL rows are 0. Shared memory: 516
// bytes with NULLs, 2 KB for RLE's run table.
// Input: page bytes are hostile; bits past the end of the section are reported and become 0.
#include "staffa/parquet/rows.cuh"
#include "staffa/parquet/value_stream.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

// Bit j: row j * 256 + thread of the tile.
STAFFA_DEVICE void write_bits(u64 bitmap, u32 rows, const Tile& tile, u32 bits) {
#pragma unroll
    for (u32 j = 0; j < TILE_ROWS / BLOCK; ++j) {
        const u32 word = ballot(kFullMask, (bits >> j) & 1);
        const u32 first = j * BLOCK + warp_in_block() * kWarp;
        if (lane() == 0 && word != 0) or_word(bitmap, rows, tile.output + first, word);
    }
}

template <bool Nullable>
STAFFA_DEVICE void plain_tile(const fixed_args& args) {
    const Tile tile = tile_of_block(args.set);
    const RowMap<Nullable> map(args.set, tile);
    u32 bits = 0;
    for (u32 j = 0; j < TILE_ROWS / BLOCK; ++j) {
        const u32 row = j * BLOCK + threadIdx.x;
        if (row >= tile.rows) continue;
        const u32 value = map.value(row);
        if (Nullable && value == NULL_ROW) continue;
        if (value / 8 >= tile.values_bytes) {
            report(args.set.error, ERROR_VALUES_TRUNCATED, tile.ordinal, tile.first + row, value, tile.values_bytes);
        } else if (load_byte(tile.values + value / 8) >> (value % 8) & 1) {
            bits |= 1u << j;
        }
    }
    write_bits(args.values, args.rows, tile, bits);
}

template <bool Nullable>
STAFFA_DEVICE void rle_tile(const hybrid_args& args) {
    const Tile tile = tile_of_block(args.set);
    const RowMap<Nullable> map(args.set, tile);
    u32 bits = 0;
    for_values(tile_stream(args, tile), page_checkpoints(args, tile), map.begin, map.begin + map.count, tile.valid,
               [&](u32 begin, u32 end, auto decode) {
                   for (u32 j = 0; j < TILE_ROWS / BLOCK; ++j) {
                       const u32 row = j * BLOCK + threadIdx.x;
                       if (row >= tile.rows) continue;
                       const u32 value = map.value(row);
                       if (value >= begin && value < end && (decode(value) & 1)) bits |= 1u << j;
                   }
               });
    write_bits(args.values, args.rows, tile, bits);
}

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(256) booleans_plain(fixed_args args) { plain_tile<false>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) booleans_plain_nullable(fixed_args args) { plain_tile<true>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) booleans_rle(hybrid_args args) { rle_tile<false>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) booleans_rle_nullable(hybrid_args args) { rle_tile<true>(args); }
