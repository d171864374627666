// Row to value: which of a page's stored values a row of the tile has, if any.
#pragma once
#include "staffa/parquet/page.cuh"

namespace staffa::parquet {

constexpr u32 NULL_ROW = 0xffffffffu;

// Without NULLs, a row's value has its own number.
template <bool Nullable>
struct RowMap;

template <>
struct RowMap<false> {
    u32 begin;  // number of the tile's first value
    u32 count;  // values in the tile
    STAFFA_DEVICE RowMap(const page_set&, const Tile& tile) : begin(tile.first), count(tile.rows) {}
    STAFFA_DEVICE u32 value(u32 row) const { return begin + row; }
};

// With NULLs: values before the tile, plus set bits before the row. The block loads the tile's 64
// words; a warp takes two words a lane and scans their counts. 512 bytes of shared memory.
template <>
struct RowMap<true> {
    u32 begin;
    u32 count;
    const u32* words;
    const u32* ranks;

    STAFFA_DEVICE RowMap(const page_set& set, const Tile& tile) {
        STAFFA_SHARED(u32, shared_words, TILE_WORDS);
        STAFFA_SHARED(u32, shared_ranks, TILE_WORDS);
        STAFFA_SHARED_ONE(u32, total);
        if (threadIdx.x < kWarp) {
            const u32* from = pointer<const u32>(set.words) + u64(tile.number) * TILE_WORDS;
            const auto pair = load_pack<u32, 2>(from + 2 * lane());
            const u32 low = popc(pair[0]);
            const u32 both = low + popc(pair[1]);
            const u32 through = warp_inclusive_scan(both, Sum{});
            shared_words[2 * lane()] = pair[0];
            shared_words[2 * lane() + 1] = pair[1];
            shared_ranks[2 * lane()] = through - both;
            shared_ranks[2 * lane() + 1] = through - both + low;
            if (lane() == kWarp - 1) total = through;
        }
        block_sync();
        begin = load_readonly(pointer<const u32>(set.tile_valid) + tile.number);
        count = total;
        words = shared_words;
        ranks = shared_ranks;
    }

    // The value's number in the page, or NULL_ROW.
    STAFFA_DEVICE u32 value(u32 row) const {
        const u32 word = words[row / 32];
        const u32 bit = 1u << (row % 32);
        if (!(word & bit)) return NULL_ROW;
        return begin + ranks[row / 32] + popc(word & (bit - 1));
    }
};

}  // namespace staffa::parquet
