// What the gather kernels share with the host.
#pragma once

#include "staffa/keys/abi.h"

namespace staffa {

// gather_narrow, gather_wide, gather_bytes, gather_bits: one column by row numbers.
struct gather_args {
    row_list list;             // `selection` holds the row of each output; NONE gives NULL
    column source;
    uint64_t values;           // output; bits are zeroed before
    uint64_t validity;         // output, zeroed bitmap; 0: not wanted
    uint64_t first;            // a u32: where in the output the first row goes; 0: at the front
    uint32_t capacity;         // rows of the output
    uint32_t rule;             // key_rule: floats that are group keys come out with -0.0 as 0.0
};

// gather_own.
struct own_args {
    uint64_t spans;            // span[rows], changed in place
    uint64_t offsets;          // u64[rows]: where each string's copy starts in the heap
    uint64_t heap;             // address of the copies
    uint32_t rows;
    uint32_t reserved;         // zero
};

// select_rows.
struct select_args {
    uint64_t bits;             // bitmap
    uint64_t numbers;          // u32[rows]: output
    uint64_t count;            // a u32: how many
    uint64_t look_back;        // a u64 for tickets and one per tile, zeroed
    uint32_t rows;             // above 0
    uint32_t inverted;         // 1: the clear bits
};

// select_mark.
struct mark_args {
    row_list list;             // `selection` names the rows; NONE is passed over
    uint64_t filter;           // bitmap by position: those that count; 0: all
    uint64_t filter_validity;  // its validity; 0: no NULLs
    uint64_t bits;             // bitmap, changed
    uint32_t rows;             // of the bitmap
    uint32_t reserved;         // zero
};

} // namespace staffa
