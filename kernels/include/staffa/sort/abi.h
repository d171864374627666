// What the sort kernels share with the host (`staffa_kernels::abi`).
#pragma once

#include "staffa/keys/abi.h"

namespace staffa {

// Bits of a key that one pass sorts by, and how many values they have.
constexpr uint32_t RADIX_BITS = 8;
constexpr uint32_t RADIX = 256;

// Rows a radix sort takes: a counter of the look-back has 30 bits.
constexpr uint32_t SORT_ROWS = (1u << 30) - 1;

// radix_count_32, _64, _128: how often each digit has each value.
struct radix_count_args {
    row_list list;             // positions that there are; no selection is read
    uint64_t keys;             // a key a position
    uint64_t counts;           // u32[passes][256], zeroed
    uint32_t first_shift;      // lowest bit of the first digit
    uint32_t passes;
};

// radix_starts: from counts to where each value's keys start.
struct radix_starts_args {
    uint64_t counts;           // u32[passes][256]
    uint64_t starts;           // u32[passes][256]
    uint64_t trivial;          // u32[passes]: 1 if all keys have one value
};

// radix_pass_32, _64, _128: one digit.
struct radix_pass_args {
    row_list list;             // positions that there are; the selection gives rows where `rows_in` is 0
    uint64_t keys_in;
    uint64_t keys_out;         // 0: not wanted
    uint64_t rows_in;          // a u32 a position; 0: the list's own rows
    uint64_t rows_out;         // a u32 a position
    uint64_t starts;           // u32[256] of this pass
    uint64_t trivial;          // a u32 of this pass
    uint64_t look_back;        // u32 for tickets, 3 unused, then u32[256] a tile; zeroed
    uint64_t tile_starts;      // u32[256] a tile: where the tile's keys of each value go; 0: not wanted
    uint32_t shift;            // lowest bit of the digit
    uint32_t reserved;         // zero
};

// How the values of a sort column compare; stands in `column::type` of a sort_field's descriptor.
enum value_order : uint32_t {
    ORDER_UNSIGNED = 0,        // numbers without a sign, booleans
    ORDER_SIGNED = 1,
    ORDER_FLOAT = 2,           // total order: -NaN, -inf .. -0.0, 0.0 .. inf, NaN
    ORDER_BYTES = 3,           // strings and binary, the shorter one first where one begins with the other
};

enum sort_flags : uint32_t {
    SORT_NULLABLE = 1,         // a bit above the value says whether it is NULL
    SORT_NULLS_LAST = 2,
    SORT_DESCENDING = 4,       // of values; where NULLs go is said apart
};

// Bits of a string's unit: eight bytes, and above how many it has there (0 to 8; 9: more follow).
constexpr uint32_t STRING_BITS = 68;

// A part of a column that goes into a sort key.
struct sort_field {
    column values;             // `type` is a value_order
    uint32_t unit;             // which 64 bits of a value, the highest first; strings: which 8 bytes; NONE: see `units`
    uint32_t bits;             // of the unit, 1 to 68; not counting the bit for NULL
    uint32_t flags;            // sort_flags
    uint32_t shift;            // lowest bit in the key
};

// sort_keys_32, _64, _128: numbers whose order is the rows'.
struct sort_keys_args {
    row_list list;             // which rows; with `order`, which places in it
    uint64_t order;            // u32[]: rows as sorted so far; 0: the list names rows
    uint64_t segments;         // u32 a place: where its ties begin; 0: there are none
    uint64_t units;            // u32 a place where ties begin: the unit that its strings differ in; 0: none
    uint64_t fields;           // sort_field[count]
    uint64_t keys;             // a key a position
    uint64_t rows;             // u32 a position: its row; 0: not wanted
    uint32_t count;
    uint32_t segment_shift;    // lowest bit of the segment in the key, above all fields
};

// sort_settle_32, _64, _128: from sorted keys to places and ties.
struct sort_settle_args {
    row_list list;             // the places that were sorted; no selection: all
    uint64_t keys;             // sorted
    uint64_t rows;             // u32 a position: rows as sorted
    uint64_t order;            // u32 a place: output
    uint64_t segments;         // u32 a place: where its ties begin: read (with `units`), then output
    uint64_t depths;           // u32 a place: units that its ties are known to share: output; 0: not wanted
    uint64_t units;            // as in sort_keys_args; 0: the unit was 0
};

// sort_common: in which unit strings of ties differ first; sort_tied: who has ties.
struct sort_ties_args {
    row_list list;             // places that there are
    column values;             // the strings: sort_common
    uint64_t order;
    uint64_t segments;
    uint64_t depths;           // sort_common reads, sort_tied with `units` writes NONE: strings are equal
    uint64_t units;            // all ones before sort_common; sort_tied leaves out whose are still so; 0: nobody
    uint64_t bits;             // bitmap of places: sort_tied
};

// What a selection of the first rows has found.
struct top_state {
    uint64_t low;              // the digits of the last key wanted, from the top: lower half
    uint64_t high;
    uint32_t left;             // how many keys are wanted among those that begin so
    uint32_t all;              // 1: there are not that many
    uint64_t reserved;         // zero
};

// top_count_*, top_choose, top_take_*.
struct top_args {
    row_list list;
    uint64_t keys;             // a key a position
    uint64_t counts;           // u32[256], zero before and after
    uint64_t state;            // top_state, zero but for `left`
    uint64_t look_back;        // a u64 for tickets and one a tile, zeroed: top_take
    uint64_t keys_out;         // keys taken, in the order of positions; 0: not wanted
    uint64_t rows_out;         // their rows
    uint64_t count_out;        // a u32: how many
    uint32_t shift;            // lowest bit of the digit; top_take: the lowest of all
    uint32_t capacity;         // of the outputs
    uint32_t ties;             // 1: all rows that tie with the last one too
    uint32_t reserved;         // zero
};

static_assert(sizeof(sort_field) == 80 && sizeof(top_state) == 32, "no hidden padding");

} // namespace staffa
