// Definition levels of flat columns: validity, the count of NULLs, and where each tile's values start.
//
//   levels_index    one warp a page finds the sections of its page and walks the level runs
//   levels_expand   one block a tile of 2,048 rows: a row is valid when its level is the maximum;
//                   a ballot of a warp over 32 rows is a word of validity
//   levels_rank     one warp a page: scan over its tiles, so that any row's value number is
//                   tile_valid[tile] + set bits before the row in the tile
//
// The words go to two places: `set.words`, where every page starts at a word of its own (value kernels
// need page-local ranks), and the column's bitmap, where a page starts at any bit (atomic OR).
//
// Input: bytes are hostile (hybrid.cuh says why no access leaves the page). Shared memory: 2 KB for
// the run table. Kept apart from the value kernels, because a fused one would decode the levels once
// per column type and hold both decoders' registers.
#include "staffa/parquet/hybrid.cuh"

using namespace staffa;
using namespace staffa::parquet;

// Grid: pages. Block: 32. All lanes read the section's head; one writes what it says.
extern "C" __global__ void STAFFA_BOUNDS(32) levels_index(levels_args args) {
    if (blockIdx.x >= args.set.count) return;
    const page p = pointer<const page>(args.set.pages)[blockIdx.x];

    u32 at = p.levels_offset;
    u32 bytes = p.levels_bytes;
    if (bytes == LEVELS_PREFIXED) {
        const u32 rest = p.body_bytes - at;
        if (rest < 4) {
            if (lane() == 0) report(args.set.error, ERROR_LEVELS_SECTION, p.ordinal, 0, rest, 4);
            at = p.body_bytes;
            bytes = 0;
        } else {
            bytes = load_le32(p.body + at);
            at += 4;
            if (bytes > rest - 4) {
                if (lane() == 0) report(args.set.error, ERROR_LEVELS_SECTION, p.ordinal, 0, bytes, rest - 4);
                bytes = rest - 4;
            }
        }
    }
    if (lane() == 0) {
        page_state& state = pointer<page_state>(args.set.states)[blockIdx.x];
        state.values_offset = at + bytes;
        state.values_bytes = p.body_bytes - (at + bytes);
        // Without checkpoints the caller knows that no row is NULL; else levels_rank counts.
        state.valid = p.max_level == 0 || args.checkpoints == 0 ? p.rows : 0;
        state.consumed = 0;
        state.heap_needed = 0;
        state.levels_offset = at;
        state.levels_bytes = bytes;
    }
    if (p.max_level != 0 && args.checkpoints != 0) {
        const Stream stream{p.body + at, bytes, p.level_width, 0};
        index_runs(stream, p.rows, ERROR_LEVELS_TRUNCATED, pointer<checkpoint>(args.checkpoints) + p.first_tile,
                   args.set.error, p.ordinal);
    }
}

// Grid: tiles. Block: 256; a warp makes 8 words of the tile's 64.
extern "C" __global__ void STAFFA_BOUNDS(256) levels_expand(levels_args args) {
    const Tile tile = tile_of_block(args.set);
    const page& p = pointer<const page>(args.set.pages)[tile.page];
    const page_state& state = pointer<const page_state>(args.set.states)[tile.page];
    const u32 maximum = p.max_level;
    const Stream stream{p.body + state.levels_offset, state.levels_bytes, p.level_width, 0};
    const checkpoint* tiles = pointer<const checkpoint>(args.checkpoints) + p.first_tile;

    // Bit j: row j * 256 + thread of the tile, so that a warp's 32 lanes are 32 consecutive rows.
    u32 valid = 0;
    if (maximum == 0) {
        for (u32 j = 0; j < TILE_ROWS / BLOCK; ++j) {
            if (j * BLOCK + threadIdx.x < tile.rows) valid |= 1u << j;
        }
    } else {
        for_values(stream, tiles, tile.first, tile.first + tile.rows, p.rows, [&](u32 begin, u32 end, auto decode) {
            for (u32 j = 0; j < TILE_ROWS / BLOCK; ++j) {
                const u32 row = tile.first + j * BLOCK + threadIdx.x;
                if (row < begin || row >= end) continue;
                const u32 level = decode(row);
                if (level == maximum) valid |= 1u << j;
                if (level > maximum) report(args.set.error, ERROR_LEVEL_RANGE, tile.ordinal, row, level, maximum);
            }
        });
    }

    u32* words = pointer<u32>(args.set.words) + u64(tile.number) * TILE_WORDS;
    u32 count = 0;
    u32 nulls = 0;
    for (u32 j = 0; j < TILE_ROWS / BLOCK; ++j) {
        const u32 word = ballot(kFullMask, (valid >> j) & 1);
        const u32 first = j * BLOCK + warp_in_block() * kWarp;
        if (lane() != 0) continue;
        words[first / kWarp] = word;
        count += popc(word);
        if (first >= tile.rows) continue;
        const u32 in_page = tile.rows - first >= kWarp ? kFullMask : (1u << (tile.rows - first)) - 1;
        const u32 inside = or_word(args.validity, args.rows, tile.output + first, word) & in_page;
        nulls += popc(inside & ~word);
    }
    count = block_reduce<BLOCK>(count, Sum{});
    nulls = block_reduce<BLOCK>(nulls, Sum{});
    if (threadIdx.x == 0) {
        pointer<u32>(args.set.tile_valid)[tile.number] = count;
        if (nulls != 0) atomic_add(pointer<u64>(args.nulls), u64(nulls));
    }
}

// Grid: pages. Block: 32. Turns tile_valid from counts into running sums, in place.
extern "C" __global__ void STAFFA_BOUNDS(32) levels_rank(levels_args args) {
    if (blockIdx.x >= args.set.count) return;
    const page& p = pointer<const page>(args.set.pages)[blockIdx.x];
    const u32 tiles = ceil_div(p.rows, TILE_ROWS);
    u32* counts = pointer<u32>(args.set.tile_valid) + p.first_tile;
    u32 before = 0;
    for (u32 first = 0; first < tiles; first += kWarp) {
        const u32 tile = first + lane();
        const u32 count = tile < tiles ? counts[tile] : 0;
        const u32 through = warp_inclusive_scan(count, Sum{});
        if (tile < tiles) counts[tile] = before + through - count;
        before += shfl(kFullMask, through, kWarp - 1);
    }
    if (lane() == 0) pointer<page_state>(args.set.states)[blockIdx.x].valid = before;
}
