// What the group-by kernels share with the host. docs/design/group-by.md explains the table.
#pragma once

#include "staffa/keys/abi.h"

namespace staffa {

// A slot of a table: hash in the upper half, and in the lower 0 (empty), group + 1, or SLOT_FRESH |
// position for a group that the current morsel brought and that has no number yet.
constexpr uint32_t SLOT_FRESH = 0x80000000u;

// Counts of a group table, in device memory.
struct group_state {
    uint32_t groups;           // that have a number
    uint32_t fresh;            // brought by the current morsel
    uint32_t overflow;         // 1: the table was too small, KEY_OUTSIDE: a key did not fit its packed
                               // form; from then on no launch does anything
    uint32_t commits;          // morsels whose rows all have groups
};

// group_by_find_*, group_by_number, group_by_ids, group_by_rebuild.
struct group_args {
    row_list list;             // `stop` is the state's overflow
    key_set keys;              // of the morsel
    key_set stored;            // of the groups, by number
    uint64_t packed;           // packed keys per position, or 0
    uint64_t stored_packed;    // packed keys per group
    uint64_t hashes;           // hashes per position, where keys are not packed
    uint64_t stored_hashes;    // hashes per group
    uint64_t slots;            // u64[mask + 1], zeroed when the table was made
    uint64_t state;            // group_state
    uint64_t position_slots;   // u32 per position, scratch
    uint64_t fresh_slots;      // u32 per position, scratch
    uint64_t fresh_rows;       // u32 per position: rows that brought the new groups, in order of their numbers
    uint64_t ids;              // u32 per position: the group's number
    uint32_t mask;             // slots - 1; direct tables: highest key
    uint32_t capacity;         // groups that there is room for
    uint32_t probes;           // slots that are looked at before the table counts as full
    uint32_t packed_bytes;     // 0: keys are not packed; else 8 or 16
    uint32_t direct;           // 1: a key is its slot
    uint32_t reserved;         // zero
};

// What a word accumulator does with values. `word_form` says how they become words.
enum word_form : uint32_t {
    FORM_UNSIGNED = 0,         // zero-extended
    FORM_SIGNED = 1,           // sign-extended
    FORM_ORDERED_UNSIGNED = 2, // unsigned order is the values' order
    FORM_ORDERED_SIGNED = 3,
    FORM_ORDERED_FLOAT = 4,
    FORM_FLOAT = 5,            // as the bits of a double
    FORM_ONE = 6,              // 1, whatever the value: counts
};

// aggregate_word_*, aggregate_limbs_*, aggregate_elect, aggregate_settle.
struct aggregate_args {
    row_list list;             // as the group ids were made
    uint64_t ids;              // u32 per position; NONE: the row is left out
    uint64_t filter;           // bitmap of rows that count; 0: all
    uint64_t filter_validity;  // its validity; 0: no NULLs
    column value;              // NULLs are left out; values 0: there is no value (COUNT(*))
    uint64_t words;            // u64[groups * limbs]; for elect and settle the values, as in `value`
    uint64_t seen;             // bitmap of groups that met a value, zeroed; 0: not wanted
    uint64_t nan;              // a u32, set to 1 when an ordered float is NaN; 0: not wanted
    uint64_t elected;          // u32 per group, zeroed: position + 1 of the best row of this morsel
    uint64_t counts;           // deviations: u64 per group, the morsel's rows with a value
    uint64_t sums;             // deviations: double per group, their sum
    uint32_t groups;           // that there is room for
    uint32_t form;             // word_form
    uint32_t greatest;         // elect: 1: the greatest value, 0: the least
    uint32_t reserved;         // zero
};

// moments_merge.
struct moments_args {
    uint64_t stop;             // u32 that is not 0 once the table has overflowed
    uint64_t ids;              // u32 per row: the group that it goes to, at most one row each; 0: the row's number
    uint64_t counts;           // u64 per row; rows of count 0 are left out
    uint64_t means;            // double per row; 0: `sums` says
    uint64_t sums;             // double per row
    uint64_t deviations;       // double per row: the sum of squared deviations from the mean
    uint64_t into_counts;      // the groups' own
    uint64_t into_means;
    uint64_t into_deviations;
    uint32_t rows;
    uint32_t groups;           // that there is room for
};

// aggregate_fill, aggregate_finish.
struct finish_args {
    uint64_t words;            // u64[groups * limbs]
    uint64_t values;           // finish: output, `width` bytes a group (0: a bitmap)
    uint64_t seen;             // finish: bitmap of groups that met a value; others get 0; 0: all did
    uint64_t first;            // fill: the word to fill with
    uint32_t groups;
    uint32_t width;
    uint32_t form;             // word_form
    uint32_t reserved;         // zero
};

static_assert(sizeof(group_state) == 16 && sizeof(group_args) == 168, "no hidden padding");

} // namespace staffa
