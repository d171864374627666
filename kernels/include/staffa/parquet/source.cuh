// Where a fixed-width value's bytes are: side by side (PLAIN, compact scratch), split into one
// stream per byte (BYTE_STREAM_SPLIT), or behind a span (variable-length values).
//
// A source answers for value numbers that `holds` accepts; all others are truncated input.
#pragma once
#include "staffa/parquet/page.cuh"

namespace staffa::parquet {

STAFFA_DEVICE u64 swap_bytes(u64 x) {
    return u64(byte_perm(u32(x), 0, 0x0123)) << 32 | byte_perm(u32(x >> 32), 0, 0x0123);
}

// The top `bytes` (1 to 8) bytes of x, as a sign-extended number.
STAFFA_DEVICE u64 top_bytes(u64 x, u32 bytes) { return u64(i64(x) >> (64 - 8 * bytes)); }

struct Plain {
    u64 base;
    u64 bytes;
    u32 stored;

    STAFFA_DEVICE Plain(const fixed_args& args, const Tile& tile) : stored(args.stored) {
        if (args.compact != 0) {  // slots: a page's values start at a slot of its own
            base = args.compact + u64(tile.number - tile.first / TILE_ROWS) * TILE_ROWS * stored;
            bytes = u64(tile.valid) * stored;
        } else {
            base = tile.values;
            bytes = tile.values_bytes;
        }
    }
    STAFFA_DEVICE bool holds(u32 value) const { return (u64(value) + 1) * stored <= bytes; }
    STAFFA_DEVICE u64 at(u32 value) const { return base + u64(value) * stored; }
    STAFFA_DEVICE u32 length(u32) const { return stored; }
    STAFFA_DEVICE u32 word(u32 value) const { return load_le32(at(value)); }
    STAFFA_DEVICE u64 word64(u32 value) const { return load_le64(at(value)); }
    STAFFA_DEVICE u8 byte(u32 value, u32 i) const { return load_byte(at(value) + i); }
    // `bytes` (1 to 8) big-endian bytes from byte `from`, sign-extended.
    STAFFA_DEVICE u64 big_endian(u32 value, u32 from, u32 count) const {
        return top_bytes(swap_bytes(load_le64(at(value) + from)), count);
    }
};

struct Split {
    u64 base;
    u32 values;  // length of a stream
    u32 stored;

    STAFFA_DEVICE Split(const fixed_args& args, const Tile& tile)
        : base(tile.values), values(tile.values_bytes / args.stored), stored(args.stored) {}
    STAFFA_DEVICE bool holds(u32 value) const { return value < values; }
    STAFFA_DEVICE u32 length(u32) const { return stored; }
    STAFFA_DEVICE u8 byte(u32 value, u32 i) const { return load_byte(base + u64(i) * values + value); }
    STAFFA_DEVICE u32 word(u32 value) const {
        u32 x = 0;
#pragma unroll
        for (u32 i = 0; i < 4; ++i) x |= u32(byte(value, i)) << (8 * i);
        return x;
    }
    STAFFA_DEVICE u64 word64(u32 value) const {
        u64 x = 0;
#pragma unroll
        for (u32 i = 0; i < 8; ++i) x |= u64(byte(value, i)) << (8 * i);
        return x;
    }
    STAFFA_DEVICE u64 big_endian(u32 value, u32 from, u32 count) const {
        u64 x = 0;
        for (u32 i = 0; i < count; ++i) x = x << 8 | byte(value, from + i);
        return top_bytes(x << (64 - 8 * count), count);
    }
};

// Compact spans, validated by the kernel that formed them.
struct Behind {
    const span* spans;
    u32 values;

    STAFFA_DEVICE Behind(const fixed_args& args, const Tile& tile)
        : spans(pointer<const span>(args.compact) + u64(tile.number - tile.first / TILE_ROWS) * TILE_ROWS),
          values(tile.valid) {}
    STAFFA_DEVICE bool holds(u32 value) const { return value < values; }
    STAFFA_DEVICE u32 length(u32 value) const { return spans[value].length; }
    STAFFA_DEVICE u8 byte(u32 value, u32 i) const { return load_byte(spans[value].address + i); }
    STAFFA_DEVICE u64 big_endian(u32 value, u32 from, u32 count) const {
        return top_bytes(swap_bytes(load_le64(spans[value].address + from)), count);
    }
};

}  // namespace staffa::parquet
