// The filter: which rows stay, and where each goes so that the output keeps the input's order.
//
// Rows that stay are counted per warp and slot by ballot, scanned within the block (slot-major, which
// is row order) and over all blocks by look-back.
#pragma once

#include "staffa/expression/columns.cuh"

namespace staffa::expression {

// Shared memory of the filter, behind the bit registers, as Program::shared_bytes counts it: an output
// row per row of the tile, counts[rows_per_thread * warps], the tile's first output row, the ticket.
struct filter_scratch {
    u32* outputs;
    u32* counts;
    u32* first;
    u32* ticket;
    STAFFA_DEVICE filter_scratch(u32* words, u32 tile_rows)
        : outputs(words),
          counts(words + tile_rows),
          first(counts + rows_per_thread * warps_in_block()),
          ticket(first + 1) {}
};

// All threads of the block call it. Fills the output rows and writes the selection.
STAFFA_DEVICE void filter(const tile& t, unsigned kept, position& p, u32 tile_number, u32 tiles,
                          const filter_scratch& s) {
    const u32 warps = warps_in_block();
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        const u32 present = ballot(kFullMask, (kept >> k & 1) != 0);
        if (lane() == 0) s.counts[k * warps + warp_in_block()] = popc(present);
        // The rank within the warp; what lies before the warp is added below.
        s.outputs[t.row(k)] = rank_in(present);
    }
    block_sync();
    if (warp_in_block() == 0) {
        // At most 4 x 32 counts: each lane scans four neighbours.
        const u32 total_counts = rows_per_thread * warps;
        u32 sum = 0;
#pragma unroll 1
        for (u32 at = lane() * rows_per_thread; at < (lane() + 1) * rows_per_thread; ++at) {
            if (at < total_counts) sum += s.counts[at];
        }
        u32 before = warp_exclusive_scan(sum, 0u, Sum{});
        const u32 total = shfl(kFullMask, before + sum, kWarp - 1);
        u64* words = reinterpret_cast<u64*>(t.launch->look_back);
        const u64 first = look_back_sum(words + 1, tile_number, total);
#pragma unroll 1
        for (u32 at = lane() * rows_per_thread; at < (lane() + 1) * rows_per_thread; ++at) {
            if (at >= total_counts) continue;
            const u32 count = s.counts[at];
            s.counts[at] = before;
            before += count;
        }
        if (lane() == 0) {
            *s.first = static_cast<u32>(first);
            if (tile_number + 1 == tiles && t.launch->count_out != 0) {
                *reinterpret_cast<u32*>(t.launch->count_out) = static_cast<u32>(first) + total;
            }
        }
    }
    block_sync();
    u32* selection = reinterpret_cast<u32*>(t.launch->selection_out);
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        const u32 row = t.row(k);
        const u32 output = s.outputs[row] + *s.first + s.counts[k * warps + warp_in_block()];
        s.outputs[row] = output;
        if (selection != nullptr && (kept >> k & 1) != 0) selection[output] = p.input(row);
    }
    p.outputs = s.outputs;
}

}  // namespace staffa::expression
