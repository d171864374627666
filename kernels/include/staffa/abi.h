// What crosses the line between the host (Rust, `staffa_kernels::abi`) and the kernels.
//
// Layouts and rules: docs/design/columns.md (columns, errors), docs/design/kernels.md (pages).
// Every struct is plain data, little endian, without hidden padding; a test compares size, alignment
// and each field's offset with the Rust side. Addresses are device addresses in a u64.
#pragma once

#include <stdint.h>

namespace staffa {

// Rows of a page that one block of 256 threads handles, whatever the encoding. A multiple of 32, so
// that a page's validity words never straddle two tiles.
constexpr uint32_t TILE_ROWS = 2048;
constexpr uint32_t TILE_WORDS = TILE_ROWS / 32;
// Threads of a block; the kernels are compiled for exactly this number unless they say otherwise.
constexpr uint32_t BLOCK = 256;

// `column::kind` and `column::dictionary_kind`.
enum column_kind : uint8_t {
    KIND_FIXED = 1,
    KIND_BITS = 2,
    KIND_BYTES = 3,
    KIND_SPANS = 4,
    KIND_CODES = 5,
};

struct column {
    uint64_t values;           // 0 when rows is 0
    uint64_t validity;         // bitmap; 0: no row is NULL
    uint64_t dictionary;       // the dictionary's values; 0 unless Codes
    uint32_t rows;
    uint32_t dictionary_rows;
    uint8_t kind;
    uint8_t dictionary_kind;   // 0 unless Codes
    uint16_t reserved0;        // zero
    uint32_t width;            // bytes a value (of the dictionary's for Codes); Bits: 0
    uint32_t type;             // logical type tag
    int32_t scale;
    uint32_t precision;
    uint32_t reserved1;        // zero
    uint64_t reserved2;        // zero
};

// One row of a column of kind Spans.
struct alignas(16) span {
    uint64_t address;          // of the first byte; any value when length is 0
    uint32_t length;           // at most 2^31 - 1
    uint32_t prefix;           // the first four bytes, zero-filled, first byte lowest
};

// The first error that a kernel met; zero before the launch. Taken by compare-and-swap on `code`.
struct error_slot {
    uint32_t code;             // error_code; 0: none
    uint32_t where;            // page ordinal, or operator number
    uint32_t row;              // within the page, or within the morsel
    uint32_t detail;           // depends on the code: an index, a length, a width
    uint64_t bound;            // what `detail` had to stay below or equal, where there is one
    uint64_t reserved;         // zero
};

// What is wrong with a page. Numbers are stable: they stand in messages.
enum error_code : uint32_t {
    ERROR_NONE = 0,
    ERROR_LEVELS_TRUNCATED = 1,      // definition levels end before the page's rows
    ERROR_LEVEL_RANGE = 2,           // a level above the column's maximum
    ERROR_LEVELS_SECTION = 3,        // the level section is longer than the page
    ERROR_VALUES_TRUNCATED = 4,      // values end before the page's non-null rows
    ERROR_RUN_HEADER = 5,            // a run header is not a varint of at most 32 bits
    ERROR_INDEX_WIDTH = 6,           // dictionary indexes of more than 32 bits
    ERROR_INDEX_RANGE = 7,           // a dictionary index at or above the dictionary's size
    ERROR_STRING_LENGTH = 8,         // a string that is longer than the rest of its page, or negative
    ERROR_DELTA_HEADER = 9,          // block or miniblock sizes that the format forbids
    ERROR_DELTA_WIDTH = 10,          // a miniblock wider than its type
    ERROR_DELTA_COUNT = 11,          // fewer values than the page's non-null rows
    ERROR_DELTA_TRUNCATED = 12,      // blocks end before the values do
    ERROR_PREFIX_LENGTH = 13,        // a prefix longer than the string before it, or negative
    ERROR_HEAP_SIZE = 14,            // strings need more bytes than were given for the page
    ERROR_COMPRESSED_HEADER = 15,    // the compressed stream declares another size than the page header
    ERROR_COMPRESSED_TRUNCATED = 16, // the compressed stream ends inside a token
    ERROR_COMPRESSED_OFFSET = 17,    // a copy from before the first byte
    ERROR_COMPRESSED_OVERFLOW = 18,  // more output than the page header says
    ERROR_COMPRESSED_SHORT = 19,     // less output than the page header says
    ERROR_DECIMAL_WIDTH = 20,        // a decimal of more bytes than its type, or of none
    ERROR_FIXED_WIDTH = 21,          // a value of another length than the column's fixed width
    ERROR_UTF8 = 22,                 // a string that is not UTF-8
};

// `page::levels_bytes` of a version-1 page: the section starts with its length, in 4 bytes.
constexpr uint32_t LEVELS_PREFIXED = 0xffffffffu;

// A data page whose bytes are decompressed, in device memory. The host made it from the page header
// and checked: body_bytes <= the buffer, levels_offset + levels_bytes <= body_bytes (unless
// prefixed), the sum of rows <= 2^31 - 1, first_tile = the tiles of the pages before it.
struct page {
    uint64_t body;             // any alignment
    uint32_t body_bytes;
    uint32_t rows;             // levels in the page
    int32_t first_row;         // output row of the first; rows outside the column are decoded, not stored
    uint32_t first_tile;       // sum over earlier pages of ceil(rows / TILE_ROWS)
    uint32_t ordinal;          // `where` of an error
    uint32_t levels_offset;    // bytes in front of the definition levels (repetition levels of v2)
    uint32_t levels_bytes;     // v2: length of the section; v1: LEVELS_PREFIXED; without levels: 0
    uint8_t max_level;         // 0: required column, no levels are stored
    uint8_t level_width;       // bits a level
    uint16_t reserved0;        // zero
    uint64_t heap;             // DELTA_BYTE_ARRAY: where this page's strings go
    uint64_t heap_bytes;       // and how many bytes are there
};

// What the kernels find out about a page. Written by levels_index, read by all that follow.
struct page_state {
    uint32_t values_offset;    // from body
    uint32_t values_bytes;     // body_bytes - values_offset
    uint32_t valid;            // rows that are not NULL
    uint32_t consumed;         // bytes of the values section that the delta headers cover
    uint64_t heap_needed;      // DELTA_BYTE_ARRAY: bytes of the page's strings
    uint32_t levels_offset;    // from body: the hybrid stream of definition levels
    uint32_t levels_bytes;
};

// Where in a hybrid stream a tile's first value stands: inside a run, `taken` values past its start.
struct checkpoint {
    uint32_t data;             // of a bit-packed run: its offset in the stream; else the repeated value
    uint32_t length;           // values in the run, clipped to the stream and the page; bit 31: packed
    uint32_t taken;
    uint32_t next;             // offset of the next run's header; 0xffffffff: the stream is broken here
};

// A compressed page. The host checked that both ranges lie inside their buffers.
struct compressed_page {
    uint64_t source;
    uint64_t target;
    uint32_t source_bytes;
    uint32_t target_bytes;     // exactly this many must come out
    uint32_t ordinal;
    uint32_t reserved;         // zero
};

// What all page kernels take: the pages of one column in one morsel.
struct page_set {
    uint64_t pages;            // page[count]
    uint64_t states;           // page_state[count]
    uint64_t words;            // u32[tiles * TILE_WORDS]: validity, page by page, tile-aligned; 0 when
                               // no page has levels
    uint64_t tile_valid;       // u32[tiles]: non-null rows before the tile, within its page
    uint64_t error;            // error_slot
    uint32_t count;
    uint32_t tiles;            // sum over pages of ceil(rows / TILE_ROWS)
};

// levels_index, levels_expand, levels_rank.
struct levels_args {
    page_set set;
    uint64_t checkpoints;      // checkpoint[tiles], scratch
    uint64_t validity;         // the column's bitmap, zeroed; 0: not wanted
    uint64_t nulls;            // u64, zeroed: NULLs of all pages within the column's rows
    uint32_t rows;             // of the column
    uint32_t reserved;         // zero
};

// Fixed-width values from PLAIN, BYTE_STREAM_SPLIT or compact scratch.
struct fixed_args {
    page_set set;
    uint64_t values;           // output
    uint64_t compact;          // instead of the pages' values section: tiles * TILE_ROWS slots; 0: page
    uint32_t rows;             // of the column
    uint32_t stored;           // bytes a stored value: 4, 8, 12 or the type's length
    uint32_t width;            // bytes a row of output
    uint32_t offset;           // where in a stored value the output starts (intervals), else 0
    int64_t factor;            // i32_scale: the multiplier (milliseconds a day)
};

// Dictionary pages' values, and RLE booleans: hybrid streams of the set's pages.
struct hybrid_args {
    page_set set;
    uint64_t checkpoints;      // checkpoint[tiles], from hybrid_index
    uint64_t values;           // output: codes, values or a zeroed bitmap
    uint64_t dictionary;       // values of the output's width; unused by codes and booleans
    uint32_t dictionary_rows;
    uint32_t rows;             // of the column
    uint32_t width;            // bytes a row of output (dictionary_bytes)
    uint32_t form;             // 0: first byte is the width; 1: RLE booleans, 4-byte length in front
};

// Variable-length values and delta encodings, into compact scratch or straight to rows.
struct compact_args {
    page_set set;
    uint64_t output;           // tiles * TILE_ROWS slots, a page's first value at first_tile * TILE_ROWS
    uint64_t lengths;          // i32 per slot: lengths of DELTA_LENGTH_BYTE_ARRAY, suffixes of DELTA_BYTE_ARRAY
    uint64_t prefixes;         // i32 per slot: prefix lengths of DELTA_BYTE_ARRAY
    uint32_t rows;             // of the column, when direct
    uint32_t direct;           // 1: output is indexed by row (no page has NULLs); 0: by slot
};

// spans_utf8.
struct utf8_args {
    uint64_t spans;            // span[rows]
    uint64_t error;            // error_slot
    uint32_t rows;
    uint32_t ordinal;          // `where` of an error
};

// strings_offsets and strings_gather.
struct strings_args {
    uint64_t spans;            // `rows` spans
    uint64_t count;            // a u32: how many of them there are; 0: all
    uint64_t offsets;          // rows + 1 u64s
    uint64_t total;            // a u64: bytes of all strings
    uint64_t look_back;        // a u64 for tickets and one per tile, zeroed
    uint64_t target;           // of the strings' bytes
    uint64_t target_bytes;
    uint32_t rows;
    uint32_t reserved;         // zero
};

// decompress_snappy, decompress_lz4.
struct decompress_args {
    uint64_t pages;            // compressed_page[count]
    uint64_t error;            // error_slot
    uint32_t count;
    uint32_t reserved;         // zero
};

static_assert(sizeof(column) == 64 && sizeof(span) == 16 && sizeof(error_slot) == 32, "columns.md");

} // namespace staffa
