// Output of kernels that go through a page's values in order: by slot (a page's first value at
// first_tile * TILE_ROWS; rows with NULLs are spread afterwards by plain_* or spans_rows), or straight
// to the column's rows when no page has NULLs.
#pragma once
#include "staffa/parquet/page.cuh"

namespace staffa::parquet {

struct PageValues {
    u64 values;      // address of the section
    u32 bytes;
    u32 count;       // values that the page must have
    u32 ordinal;
    u64 first_slot;
    i64 first_row;
};

STAFFA_DEVICE PageValues page_values(const page_set& set, u32 index) {
    const page& p = pointer<const page>(set.pages)[index];
    const page_state& s = pointer<const page_state>(set.states)[index];
    return {p.body + s.values_offset, s.values_bytes, s.valid, p.ordinal, u64(p.first_tile) * TILE_ROWS, p.first_row};
}

template <class T>
struct Output {
    T* out;
    i64 first;
    i64 rows;  // slots are never outside

    STAFFA_DEVICE Output(const compact_args& args, const PageValues& page)
        : out(pointer<T>(args.output)),
          first(args.direct ? page.first_row : i64(page.first_slot)),
          rows(args.direct ? i64(args.rows) : i64(args.set.tiles) * TILE_ROWS) {}

    STAFFA_DEVICE void put(u32 value, const T& x) const {
        const i64 to = first + value;
        if (to < 0 || to >= rows) return;
        if constexpr (sizeof(T) == 16) {  // one store, not one a field
            *reinterpret_cast<uint4*>(&out[to]) = bit_cast<uint4>(x);
        } else {
            out[to] = x;
        }
    }
};

// A span over bytes that no thread writes during the launch.
STAFFA_DEVICE span make_span(u64 address, u32 length) {
    u32 prefix = 0;
    if (length != 0) {
        prefix = load_le32(address);
        if (length < 4) prefix &= (1u << (8 * length)) - 1;
    }
    return {address, length, prefix};
}

constexpr u32 LONGEST_STRING = 0x7fffffffu;

}  // namespace staffa::parquet
