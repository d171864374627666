// Gather: a column's values by row numbers, in any order, with repetition, NONE for NULL.
//
//   gather_narrow   1 to 8 bytes a value; codes that stay codes
//   gather_wide     16 and 32 bytes a value, and spans, which still point where they pointed
//   gather_bytes    any width
//   gather_bits     bitmaps
//   gather_own      spans that now point to copies of their strings (strings_offsets, strings_gather)
//
// A column of codes is read through its dictionary unless the launcher passes the codes as numbers. NULL slots
// come out zero, as columns.md asks. Validity and bits are made a word a warp and ORed into zeroed bitmaps,
// because the output may start at any bit: a group table appends to its keys where the device's own counter
// says. Nothing is written at or behind `capacity`.
//
// Input: row numbers are this library's: NONE or below the source's rows. A thread a row; neighbours read
// wherever the rows are, and write side by side.
#include "staffa/columns/abi.h"
#include "staffa/keys/rows.cuh"

using namespace staffa;
using namespace staffa::keys;

namespace {

// Where a thread's output row goes, and what from. Row NONE also for what is NULL in the source.
struct Step {
    u32 row;
    u32 output;
    bool live;
};
STAFFA_DEVICE Step step_of(const gather_args& args) {
    const u32 at = u32(grid_thread());
    const u32 first = args.first == 0 ? 0 : *pointer<const u32>(args.first);
    Step step = {NONE, first + at, false};
    step.live = at < positions(args.list) && first < args.capacity && at < args.capacity - first;
    if (!step.live) return step;
    step.row = row_at(args.list, at);
    if (step.row != NONE && !valid_at(args.source, step.row)) step.row = NONE;
    return step;
}

// All lanes of a full warp, whose outputs are consecutive.
STAFFA_DEVICE void or_bits(u64 bitmap, const gather_args& args, const Step& step, bool bit, Site site = STAFFA_HERE) {
    const u32 word = ballot(kFullMask, step.live && bit, site);
    if (bitmap != 0 && lane() == 0 && word != 0) parquet::or_word(bitmap, args.capacity, i64(step.output), word);
}

}  // namespace

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) gather_narrow(gather_args args) {
    if (stopped(args.list)) return;
    const Step step = step_of(args);
    or_bits(args.validity, args, step, step.row != NONE);
    if (!step.live) return;
    const u32 width = args.source.width;
    const u64 value = step.row == NONE ? 0 : word_of(place_of(args.source, step.row), width, args.rule);
    switch (width) {
    case 1: pointer<u8>(args.values)[step.output] = u8(value); break;
    case 2: pointer<u16>(args.values)[step.output] = u16(value); break;
    case 4: pointer<u32>(args.values)[step.output] = u32(value); break;
    default: pointer<u64>(args.values)[step.output] = value; break;
    }
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) gather_wide(gather_args args) {
    if (stopped(args.list)) return;
    const Step step = step_of(args);
    or_bits(args.validity, args, step, step.row != NONE);
    if (!step.live) return;
    const u32 width = args.source.width;
    for (u32 k = 0; k < width; k += 16) {
        uint4 part = {0, 0, 0, 0};
        if (step.row != NONE) {
            const Place p = place_of(args.source, step.row);
            part = load16(pointer<const u8>(p.values) + u64(p.index) * width + k);
        }
        store16(pointer<u8>(args.values) + u64(step.output) * width + k, part);
    }
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) gather_bytes(gather_args args) {
    if (stopped(args.list)) return;
    const Step step = step_of(args);
    or_bits(args.validity, args, step, step.row != NONE);
    if (!step.live) return;
    const u32 width = args.source.width;
    u8* to = pointer<u8>(args.values) + u64(step.output) * width;
    if (step.row == NONE) {
        for (u32 k = 0; k < width; ++k) to[k] = 0;
        return;
    }
    const Place p = place_of(args.source, step.row);
    for (u32 k = 0; k < width; ++k) to[k] = load_byte(p.values + u64(p.index) * width + k);
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) gather_bits(gather_args args) {
    if (stopped(args.list)) return;
    const Step step = step_of(args);
    or_bits(args.validity, args, step, step.row != NONE);
    bool bit = false;
    if (step.row != NONE) {
        const Place p = place_of(args.source, step.row);
        bit = bit_at(p.values, p.index);
    }
    or_bits(args.values, args, step, bit);
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) gather_own(own_args args) {
    const u64 row = grid_thread();
    if (row >= args.rows) return;
    // The length and the first four bytes stay.
    span* s = pointer<span>(args.spans) + row;
    s->address = s->length == 0 ? 0 : args.heap + pointer<const u64>(args.offsets)[row];
}
