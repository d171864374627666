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

} // namespace staffa
