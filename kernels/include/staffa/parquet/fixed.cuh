// The body of every kernel that makes fixed-width rows from values that can be reached by number.
#pragma once
#include "staffa/parquet/convert.cuh"
#include "staffa/parquet/rows.cuh"

namespace staffa::parquet {

// One block a tile of 2,048 rows; a thread takes 8 rows, 256 apart, so that a warp's loads and stores
// are contiguous. A NULL row becomes zero. Truncated values are reported once a page would do, but
// every missing row reports: only the first gets into the slot.
template <class Source, class Convert, bool Nullable>
STAFFA_DEVICE void fixed_tile(const fixed_args& args) {
    using Out = typename Convert::Output;
    const Tile tile = tile_of_block(args.set);
    const RowMap<Nullable> map(args.set, tile);
    const Source source(args, tile);
    Out* out = pointer<Out>(args.values);
    // More rows in flight hide latency; wide rows would spill (sm_120: 16 bytes at 4).
    [[maybe_unused]] constexpr u32 UNROLL = sizeof(Out) > 8 ? 2 : 4;
#pragma unroll UNROLL
    for (u32 j = 0; j < TILE_ROWS / BLOCK; ++j) {
        const u32 row = j * BLOCK + threadIdx.x;
        const i64 to = tile.output + row;
        if (row >= tile.rows || to < 0 || to >= i64(args.rows)) continue;
        const u32 value = map.value(row);
        Out x{};
        if (!Nullable || value != NULL_ROW) {
            if (!source.holds(value)) {
                report(args.set.error, ERROR_VALUES_TRUNCATED, tile.ordinal, tile.first + row, value, tile.values_bytes);
            } else if (const u32 code = Convert::check(source, value, args); code != ERROR_NONE) {
                report(args.set.error, code, tile.ordinal, tile.first + row, source.length(value), sizeof(Out));
            } else {
                x = Convert::get(source, value, args);
            }
        }
        out[to] = x;
    }
}

// The same for values of any width, as bytes: FIXED_LEN_BYTE_ARRAY, float16, intervals, UUIDs. A warp
// takes a row's bytes with its lanes side by side: rows are `width` bytes apart in the output.
template <class Source, bool Nullable>
STAFFA_DEVICE void bytes_tile(const fixed_args& args) {
    const Tile tile = tile_of_block(args.set);
    const RowMap<Nullable> map(args.set, tile);
    const Source source(args, tile);
    u8* out = pointer<u8>(args.values);
    // Thread by byte of the tile's output: consecutive lanes write consecutive bytes.
    const u32 bytes = tile.rows * args.width;
    for (u32 i = threadIdx.x; i < bytes; i += BLOCK) {
        const u32 row = i / args.width;
        const u32 k = i - row * args.width;
        const i64 to = tile.output + row;
        if (to < 0 || to >= i64(args.rows)) continue;
        const u32 value = map.value(row);
        u8 x = 0;
        if (!Nullable || value != NULL_ROW) {
            if (!source.holds(value)) {
                report(args.set.error, ERROR_VALUES_TRUNCATED, tile.ordinal, tile.first + row, value, tile.values_bytes);
            } else if (source.length(value) != args.stored) {
                report(args.set.error, ERROR_FIXED_WIDTH, tile.ordinal, tile.first + row, source.length(value), args.stored);
            } else {
                x = source.byte(value, args.offset + k);
            }
        }
        out[u64(to) * args.width + k] = x;
    }
}

}  // namespace staffa::parquet

// Two kernels: <name> for pages without NULLs, <name>_nullable.
#define STAFFA_FIXED(name, Source, ...)                                                     \
    extern "C" __global__ void STAFFA_BOUNDS(256) name(::staffa::fixed_args args) {          \
        ::staffa::parquet::fixed_tile<Source, __VA_ARGS__, false>(args);                     \
    }                                                                                        \
    extern "C" __global__ void STAFFA_BOUNDS(256) name##_nullable(::staffa::fixed_args args) { \
        ::staffa::parquet::fixed_tile<Source, __VA_ARGS__, true>(args);                      \
    }
#define STAFFA_BYTES(name, Source)                                                          \
    extern "C" __global__ void STAFFA_BOUNDS(256) name(::staffa::fixed_args args) {          \
        ::staffa::parquet::bytes_tile<Source, false>(args);                                  \
    }                                                                                        \
    extern "C" __global__ void STAFFA_BOUNDS(256) name##_nullable(::staffa::fixed_args args) { \
        ::staffa::parquet::bytes_tile<Source, true>(args);                                   \
    }
