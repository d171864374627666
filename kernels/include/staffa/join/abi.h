// What the join kernels share with the host. docs/design/join.md explains the table.
#pragma once

#include "staffa/keys/abi.h"

namespace staffa {

// What a build found out, in device memory.
struct join_state {
    uint32_t overflow;         // 1: the table was too small, KEY_OUTSIDE: a key did not fit its packed form
    uint32_t duplicates;       // 1: a key stands more than once
};

// The table of a build side: slots (hash | position + 1 of the row that took it) and, by slot, the rows.
struct join_table {
    key_set keys;              // of the build side
    uint64_t selection;        // of the build side's list, or 0
    uint64_t packed;           // per build position, or 0
    uint64_t slots;            // u64[mask + 1], zeroed
    uint64_t counts;           // u32[mask + 1], zeroed: rows of a slot's key
    uint64_t starts;           // u32[mask + 1]: where they stand in `rows`
    uint64_t rows;             // u32 per build position: row numbers, key by key
    uint64_t state;            // join_state
    uint64_t matched;          // bitmap of slots that a probe met; 0: not wanted
    uint32_t mask;
    uint32_t probes;           // slots that are looked at before the table counts as full
    uint32_t direct;           // 1: a key is its slot
    uint32_t unique;           // 1: no key stands more than once, and `rows` is not needed
};

// join_insert_*, join_fill.
struct join_build_args {
    row_list list;             // `stop` is the state's overflow
    join_table table;
    uint64_t hashes;           // u64 per position, or 0
    uint64_t matchable;        // bitmap per position
    uint64_t position_slots;   // u32 per position: NONE for rows that match nothing
    uint64_t ranks;            // u32 per position: its number among the rows of its key
};

// join_scan.
struct join_scan_args {
    uint64_t counts;
    uint64_t starts;
    uint64_t look_back;        // a u64 for tickets and one per tile, zeroed
    uint64_t slots;            // how many
};

// join_probe_*.
struct join_probe_args {
    row_list list;
    join_table table;
    key_set keys;              // of the probe side
    uint64_t packed;           // per position, or 0
    uint64_t hashes;           // u64 per position, or 0
    uint64_t matchable;        // bitmap per position
    uint64_t found;            // u32 per position: the slot, or NONE
    uint64_t matches;          // bitmap per position: a slot was found; 0: not wanted
    uint64_t offsets;          // u64 per position, and the total behind them; 0: not wanted
    uint64_t look_back;        // a u64 for tickets and one per tile, zeroed
    uint32_t outer;            // 1: a row without a match has one output, with no build row
    uint32_t reserved;         // zero
};

// join_retrieve.
struct join_retrieve_args {
    row_list list;             // of the probe side
    join_table table;
    uint64_t found;
    uint64_t offsets;
    uint64_t first;            // the chunk: outputs first .. first + limit
    uint64_t build;            // u32[limit]: build rows, NONE for outer rows
    uint64_t probe;            // u32[limit]: probe rows
    uint64_t count;            // a u32: outputs that there are in the chunk
    uint32_t limit;
    uint32_t reserved;         // zero
};

// join_matched_rows.
struct join_matched_args {
    uint64_t matched;          // bitmap of slots
    uint64_t position_slots;   // u32 per position
    uint64_t bits;             // bitmap of positions, written
    uint32_t rows;
    uint32_t reserved;         // zero
};

static_assert(sizeof(join_table) == 96 && sizeof(join_probe_args) == 208, "no hidden padding");

} // namespace staffa
