// RLE_DICTIONARY and PLAIN_DICTIONARY: indexes to codes, or to the dictionary's values.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#DICTIONARY
//
//   hybrid_index            one warp a page walks the run headers: a checkpoint a tile
//   dictionary_codes        indexes to u32 codes
//   dictionary_<bits>       indexes to values of 8 to 256 bits (128: decimals and spans)
//   dictionary_bytes        .. of any width
//
// Grid: tiles of the page set (hybrid_index: pages, blocks of 32). Block: 256. Shared memory: 2 KB run
// table, 516 bytes more with NULLs. Dictionaries stay in L1/L2: a tile makes 2,048 rows, so loading a
// dictionary of more than a few KB into shared memory costs more than it saves.
//
// Input: page bytes are hostile. An index at or above dictionary_rows is reported and becomes code 0
// (a zero value when the dictionary is empty); the dictionary's own values were decoded and checked
// before.
#include "staffa/parquet/convert.cuh"
#include "staffa/parquet/rows.cuh"
#include "staffa/parquet/value_stream.cuh"

using namespace staffa;
using namespace staffa::parquet;

extern "C" __global__ void STAFFA_BOUNDS(32) hybrid_index(hybrid_args args) {
    if (blockIdx.x >= args.set.count) return;
    const page& p = pointer<const page>(args.set.pages)[blockIdx.x];
    const page_state& state = pointer<const page_state>(args.set.states)[blockIdx.x];
    if (state.valid == 0) return;
    Stream stream;
    const u64 values = p.body + state.values_offset;
    const u32 code = value_stream(values, state.values_bytes, args.form, stream);
    if (code != ERROR_NONE && lane() == 0) {
        report(args.set.error, code, p.ordinal, 0, state.values_bytes != 0 ? load_byte(values) : 0, state.values_bytes);
    }
    index_runs(stream, state.valid, ERROR_VALUES_TRUNCATED, pointer<checkpoint>(args.checkpoints) + p.first_tile,
               args.set.error, p.ordinal);
}

namespace {

// Calls null(to) for each NULL row and value(to, code) for each other, `to` being the column's row.
template <bool Nullable, class Null, class Value>
STAFFA_DEVICE void dictionary_tile(const hybrid_args& args, Null null, Value value) {
    const Tile tile = tile_of_block(args.set);
    const RowMap<Nullable> map(args.set, tile);
    if (Nullable) {
        for (u32 row = threadIdx.x; row < tile.rows; row += BLOCK) {
            const i64 to = tile.output + row;
            if (map.value(row) == NULL_ROW && to >= 0 && to < i64(args.rows)) null(to);
        }
    }
    for_values(tile_stream(args, tile), page_checkpoints(args, tile), map.begin, map.begin + map.count, tile.valid,
               [&](u32 begin, u32 end, auto decode) {
                   for (u32 row = threadIdx.x; row < tile.rows; row += BLOCK) {
                       const u32 number = map.value(row);
                       const i64 to = tile.output + row;
                       if (number < begin || number >= end || to < 0 || to >= i64(args.rows)) continue;
                       u32 code = decode(number);
                       if (code >= args.dictionary_rows) {
                           report(args.set.error, ERROR_INDEX_RANGE, tile.ordinal, tile.first + row, code,
                                  args.dictionary_rows);
                           code = 0;
                           if (args.dictionary_rows == 0) {
                               null(to);
                               continue;
                           }
                       }
                       value(to, code);
                   }
               });
}

template <class T, bool Nullable>
STAFFA_DEVICE void gather_tile(const hybrid_args& args) {
    T* out = pointer<T>(args.values);
    const T* dictionary = pointer<const T>(args.dictionary);
    dictionary_tile<Nullable>(args, [&](i64 to) { out[to] = T{}; }, [&](i64 to, u32 code) { out[to] = dictionary[code]; });
}

template <bool Nullable>
STAFFA_DEVICE void codes_tile(const hybrid_args& args) {
    u32* out = pointer<u32>(args.values);
    dictionary_tile<Nullable>(args, [&](i64 to) { out[to] = 0; }, [&](i64 to, u32 code) { out[to] = code; });
}

template <bool Nullable>
STAFFA_DEVICE void gather_bytes_tile(const hybrid_args& args) {
    u8* out = pointer<u8>(args.values);
    const u64 width = args.width;
    dictionary_tile<Nullable>(
        args,
        [&](i64 to) {
            for (u32 k = 0; k < width; ++k) out[u64(to) * width + k] = 0;
        },
        [&](i64 to, u32 code) {
            for (u32 k = 0; k < width; ++k) out[u64(to) * width + k] = load_byte(args.dictionary + code * width + k);
        });
}

}  // namespace

#define STAFFA_DICTIONARY(name, T)                                                                                 \
    extern "C" __global__ void STAFFA_BOUNDS(256) name(hybrid_args args) { gather_tile<T, false>(args); }            \
    extern "C" __global__ void STAFFA_BOUNDS(256) name##_nullable(hybrid_args args) { gather_tile<T, true>(args); }

STAFFA_DICTIONARY(dictionary_8, u8)
STAFFA_DICTIONARY(dictionary_16, u16)
STAFFA_DICTIONARY(dictionary_32, u32)
STAFFA_DICTIONARY(dictionary_64, u64)
STAFFA_DICTIONARY(dictionary_128, Wide128)
STAFFA_DICTIONARY(dictionary_256, Wide256)

extern "C" __global__ void STAFFA_BOUNDS(256) dictionary_codes(hybrid_args args) { codes_tile<false>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) dictionary_codes_nullable(hybrid_args args) { codes_tile<true>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) dictionary_bytes(hybrid_args args) { gather_bytes_tile<false>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) dictionary_bytes_nullable(hybrid_args args) {
    gather_bytes_tile<true>(args);
}
