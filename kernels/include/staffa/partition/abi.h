// What the partition kernels share with the host (`staffa_kernels::abi`).
#pragma once

#include "staffa/keys/abi.h"

namespace staffa {

// How DataFusion hashes a column, by its declared type; stands in `column::type` of the descriptors of a
// key_set.
enum hash_rule : uint32_t {
    HASH_NUMBER = 0,           // integers, decimals, dates, times, intervals
    HASH_FLOAT = 1,
    HASH_BOOLEAN = 2,
    HASH_STRING = 3,           // Utf8, LargeUtf8
    HASH_BINARY = 4,           // Binary, LargeBinary, FixedSizeBinary
    HASH_VIEW = 5,             // Utf8View, BinaryView
    HASH_RULES = 7,            // mask of the above
    HASH_DICTIONARY = 8,       // flag: the declared type is a dictionary, or runs, of such values
};

// partition_ids.
struct partition_ids_args {
    row_list list;
    key_set keys;              // `type` is a hash_rule
    uint64_t ids;              // u32 a position
    uint64_t hashes;           // u64 a position; 0: not wanted
    uint64_t reciprocal;       // (2^64 - 1) / partitions
    uint32_t partitions;       // 1 to 65,536
    uint32_t reserved;         // zero
};

// partition_offsets: where each partition starts in ascending ids.
struct partition_offsets_args {
    row_list list;             // positions that there are
    uint64_t ids;              // u32 a position, ascending; 0: `starts` say it
    uint64_t starts;           // u32[256], at most 256 partitions
    uint64_t offsets;          // u32[partitions + 1]
    uint32_t partitions;
    uint32_t reserved;         // zero
};

// A column on its way to partitions.
struct move_column {
    column source;
    uint64_t values;           // as wide as the source's, codes as they are; words of a bitmap for bits
    uint64_t validity;         // words of a bitmap; 0: the source has none
};

// partition_scatter, partition_gather, partition_bits.
struct partition_move_args {
    row_list list;             // the rows, as they were partitioned
    uint64_t columns;          // move_column[count]
    uint64_t ids;              // u32 a position: scatter
    uint64_t tile_starts;      // u32[256] a tile: scatter
    uint64_t order;            // u32 a position of the output: its row: gather, bits
    uint32_t count;
    uint32_t reserved;         // zero
};

// partition_heap: bytes of all strings of a column.
struct partition_heap_args {
    row_list list;
    column source;
    uint64_t total;            // a u64, zeroed
};

static_assert(sizeof(move_column) == 80, "no hidden padding");

} // namespace staffa
