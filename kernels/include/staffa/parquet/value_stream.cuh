// The hybrid stream in a values section: dictionary indexes behind a byte with their width, or RLE
// booleans behind their length.
#pragma once
#include "staffa/parquet/hybrid.cuh"

namespace staffa::parquet {

// Finds the stream; an empty one when the section's head is broken. Returns an error_code.
STAFFA_DEVICE u32 value_stream(u64 values, u32 bytes, u32 form, Stream& stream) {
    stream = {values, 0, 0, 0};
    if (form == 0) {
        if (bytes == 0) return ERROR_VALUES_TRUNCATED;
        const u32 width = load_byte(values);
        if (width > 32) return ERROR_INDEX_WIDTH;
        stream = {values + 1, bytes - 1, width, 0};
    } else {
        if (bytes < 4) return ERROR_VALUES_TRUNCATED;
        const u32 length = load_le32(values);
        stream = {values + 4, smaller(length, bytes - 4), 1, 0};
        if (length > bytes - 4) return ERROR_VALUES_TRUNCATED;
    }
    return ERROR_NONE;
}

// The stream of a tile's page, whose errors hybrid_index reported.
STAFFA_DEVICE Stream tile_stream(const hybrid_args& args, const Tile& tile) {
    Stream stream;
    value_stream(tile.values, tile.values_bytes, args.form, stream);
    return stream;
}

STAFFA_DEVICE const checkpoint* page_checkpoints(const hybrid_args& args, const Tile& tile) {
    return pointer<const checkpoint>(args.checkpoints) + (tile.number - tile.first / TILE_ROWS);
}

}  // namespace staffa::parquet
