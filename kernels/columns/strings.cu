// Strings on their way out: from spans to offsets and bytes, as Arrow holds them.
//
//   strings_offsets  a block takes 2,048 spans: lengths, a scan in the block, the tiles before it by
//                    look-back; writes where each string starts, and behind the last one where all end
//   strings_gather   a warp a string: its lanes copy neighbouring bytes
//
// The host reads the total between the two launches, with the morsel's count: nothing else bounds it, since
// spans may repeat. NULLs are empty spans.
//
// Input: spans were validated by the kernel that formed them. Offsets and rows are this file's own; gather
// checks that a string ends inside the target, so that a target made for other spans is not overrun.
// Registers and shared memory are small; a thread copies bytes, not words, because strings start anywhere at
// both ends: with 16-byte words a warp would need a funnel shift per lane (left until it was timed).
#include "staffa/look_back.cuh"
#include "staffa/parquet/page.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

constexpr u32 kPerThread = TILE_ROWS / BLOCK;

// Rows that there are: a count on the device is at most the capacity.
STAFFA_DEVICE u32 rows_of(const strings_args& args) {
    if (args.count == 0) return args.rows;
    const u32 count = *pointer<const u32>(args.count);
    return count < args.rows ? count : args.rows;
}

}  // namespace

// Grid: (rows + 1) / 2,048. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) strings_offsets(strings_args args) {
    STAFFA_SHARED_ONE(u32, ticket);
    STAFFA_SHARED_ONE(u64, before);
    u64* look_back = pointer<u64>(args.look_back);
    const u32 tile = look_back_ticket(reinterpret_cast<u32*>(look_back), &ticket);
    const u32 rows = rows_of(args);
    const u32 first = tile * TILE_ROWS + threadIdx.x * kPerThread;

    u32 lengths[kPerThread];
    u64 sum = 0;
#pragma unroll
    for (u32 k = 0; k < kPerThread; ++k) {
        lengths[k] = first + k < rows ? pointer<const span>(args.spans)[first + k].length : 0;
        sum += lengths[k];
    }
    u64 total;
    const u64 own = block_exclusive_scan<BLOCK>(sum, u64(0), Sum{}, &total);
    if (warp_in_block() == 0) {
        const u64 sums = look_back_sum(look_back + 1, tile, total);
        if (lane() == 0) before = sums;
    }
    block_sync();
    u64 offset = before + own;
#pragma unroll
    for (u32 k = 0; k < kPerThread; ++k) {
        if (first + k <= rows) pointer<u64>(args.offsets)[first + k] = offset;
        if (first + k == rows) *pointer<u64>(args.total) = offset;
        offset += lengths[k];
    }
}

// Grid: rows / 8. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) strings_gather(strings_args args) {
    const u64 row = grid_thread() / kWarp;
    if (row >= rows_of(args)) return;
    const span string = pointer<const span>(args.spans)[row];
    const u64 start = pointer<const u64>(args.offsets)[row];
    if (start > args.target_bytes || string.length > args.target_bytes - start) return;
    u8* to = pointer<u8>(args.target) + start;
    for (u32 at = lane(); at < string.length; at += kWarp) to[at] = load_byte(string.address + at);
}
