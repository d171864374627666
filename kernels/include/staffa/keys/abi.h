// What the kernels on keys, of group-by and of joins share with the host (`staffa_kernels::abi`).
//
// A key is one or more columns of a row set, compared as DataFusion groups and joins: by value, with
// -0.0 equal to 0.0 and NaNs equal when their bits are. docs/design/group-by.md has the rules.
#pragma once

#include "staffa/abi.h"

namespace staffa {

// A row number, group number or slot that is none.
constexpr uint32_t NONE = 0xffffffffu;

// How the values of a key column compare; stands in `column::type` of the descriptors of a key_set.
enum key_rule : uint32_t {
    RULE_BITS = 0,      // by their bits: everything but floats
    RULE_FLOAT16 = 1,   // by their bits, with -0.0 as 0.0
    RULE_FLOAT32 = 2,
    RULE_FLOAT64 = 3,
    RULE_SIGNED = 4,    // by their bits; ordered as signed integers where order matters (ranges)
};

// The key columns of a set of rows.
struct key_set {
    uint64_t columns;          // column[count], `type` is a key_rule
    uint32_t count;
    uint32_t rows;
};

// Which rows of a set: all, or those that a selection names. Positions count selected rows.
struct row_list {
    uint64_t selection;        // u32[]: row numbers; 0: position i is row i
    uint64_t count;            // a u32: how many positions there are; 0: `rows`
    uint64_t stop;             // a u32: if it is not 0, nothing is done; 0: there is none
    uint32_t rows;             // positions at most
    uint32_t reserved;         // zero
};

// keys_hash.
struct hash_args {
    row_list list;
    key_set keys;
    uint64_t hashes;           // u64 per position
    uint64_t matchable;        // bitmap per position: no key of the row is NULL; 0: not wanted
};

// keys_range.
struct range_args {
    row_list list;
    column values;             // `type` is a key_rule
    uint64_t range;            // key_range
};

// Least and greatest value of a column, mapped so that unsigned order is the values' order.
struct key_range {
    uint64_t low;              // all ones before the launch
    uint64_t high;             // zero before the launch
    uint32_t wide;             // 1: a value does not fit 64 bits
    uint32_t nulls;            // 1: there are NULLs
};

// A column's part in a packed key: (mapped value - low + nullable) * stride.
struct pack_field {
    column values;             // `type` is a key_rule
    uint64_t low;              // mapped, as in key_range
    uint64_t high;
    uint64_t stride_low;       // of the packed key, as 128 bits
    uint64_t stride_high;
    uint32_t nullable;         // 1: NULL is part 0 and values start at 1
    uint32_t reserved;         // zero
    uint64_t reserved1;        // zero
};

// What `pack_args::outside` becomes, and so a group table's overflow.
constexpr uint32_t KEY_OUTSIDE = 2;

// keys_pack_64, keys_pack_128.
struct pack_args {
    row_list list;
    uint64_t fields;           // pack_field[count]
    uint64_t keys;             // u64 or u128 per position; 0 where the row does not fit
    uint64_t matchable;        // bitmap per position: the row fits (and, if nulls_differ, has no NULL); 0: not wanted
    uint64_t outside;          // a u32, set to KEY_OUTSIDE when a row does not fit; 0: not wanted
    uint32_t count;
    uint32_t nulls_differ;     // 1: a NULL makes the row unmatchable
};

static_assert(sizeof(key_set) == 16 && sizeof(pack_field) == 112, "no hidden padding");

} // namespace staffa
