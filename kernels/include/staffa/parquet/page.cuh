// What every page kernel needs: the page of a tile, bytes at any address, the error slot.
//
// Trust: descriptors (staffa::page) come from the host, which checked that the body lies inside its
// buffer; bytes of the body are hostile. Buffers have 64 addressable bytes of padding behind them and
// start at multiples of 256, so word loads may go up to 31 bytes past the body and down to the
// aligned address below it.
#pragma once
#include "staffa/abi.h"
#include "staffa/device.cuh"

namespace staffa::parquet {

// An address from a descriptor. The compiler cannot see that it is global memory, and would use
// generic loads and stores, which cost an address check each; so it is told.
template <class T>
STAFFA_DEVICE T* pointer(u64 address) {
    T* p = reinterpret_cast<T*>(address);
#if !STAFFA_EMULATED
    __builtin_assume(__isGlobal(p));
#endif
    return p;
}

// Keeps the first error of a launch, and of the launches before it on the same slot.
STAFFA_DEVICE void report(u64 slot, u32 code, u32 where, u32 row, u32 detail, u64 bound) {
    error_slot* error = pointer<error_slot>(slot);
    if (atomic_cas(&error->code, 0u, code) == 0) {
        error->where = where;
        error->row = row;
        error->detail = detail;
        error->bound = bound;
    }
}

// 4 bytes at any address: two aligned words and a funnel shift, one byte loads would be four.
STAFFA_DEVICE u32 load_le32(u64 address) {
    const u32* word = pointer<const u32>(address & ~u64(3));
    return funnel_shift_right(load_readonly(word), load_readonly(word + 1), u32(address & 3) * 8);
}

STAFFA_DEVICE u64 load_le64(u64 address) {
    const u32* word = pointer<const u32>(address & ~u64(3));
    const u32 shift = u32(address & 3) * 8;
    const u32 a = load_readonly(word);
    const u32 b = load_readonly(word + 1);
    const u32 c = load_readonly(word + 2);
    return u64(funnel_shift_right(b, c, shift)) << 32 | funnel_shift_right(a, b, shift);
}

STAFFA_DEVICE u8 load_byte(u64 address) { return load_readonly(pointer<const u8>(address)); }

// `width` (0 to 32) bits at a bit offset from a byte address, least significant bit first.
STAFFA_DEVICE u32 load_bits(u64 address, u64 bit, u32 width) {
    const u64 at = address + (bit >> 3);
    const u32* word = pointer<const u32>(at & ~u64(3));
    // At most 24 + 7 bits into the first word, so two words hold 32 more.
    const u32 shift = u32(at & 3) * 8 + u32(bit & 7);
    const u32 bits = funnel_shift_right(load_readonly(word), load_readonly(word + 1), shift);
    return width >= 32 ? bits : bits & ((1u << width) - 1);
}

// .. up to 64 bits, from three words.
STAFFA_DEVICE u64 load_bits64(u64 address, u64 bit, u32 width) {
    const u64 at = address + (bit >> 3);
    const u32* word = pointer<const u32>(at & ~u64(3));
    const u32 shift = u32(at & 3) * 8 + u32(bit & 7);
    const u32 a = load_readonly(word);
    const u32 b = load_readonly(word + 1);
    const u32 c = load_readonly(word + 2);
    const u64 bits = u64(funnel_shift_right(b, c, shift)) << 32 | funnel_shift_right(a, b, shift);
    return width >= 64 ? bits : bits & ((u64(1) << width) - 1);
}

// Little-endian base 128, at most 10 bytes; false when the bytes end first or more than 64 bits come.
STAFFA_DEVICE bool read_varint(u64 address, u32 bytes, u32& at, u64& value) {
    value = 0;
    for (u32 shift = 0; shift < 70; shift += 7) {
        if (at >= bytes) return false;
        const u8 byte = load_byte(address + at);
        ++at;
        if (shift == 63 && byte > 1) return false;
        value |= u64(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

// The part of a page that one block handles.
struct Tile {
    u32 number;        // in the set
    u32 page;          // index in the set
    u32 first;         // row in the page
    u32 rows;          // in the tile, 1 to TILE_ROWS
    u64 values;        // address of the page's values section
    u32 values_bytes;
    u32 valid;         // rows of the page that are not NULL
    u32 ordinal;
    i64 output;        // row of the tile's first row in the column; may lie outside it
};

// The page of a tile: the last whose first tile is not above it. Pages without rows share their
// successor's first tile, and so are never the last.
STAFFA_DEVICE u32 page_of_tile(const page* pages, u32 count, u32 tile) {
    u32 low = 0;
    u32 high = count;
    while (high - low > 1) {
        const u32 middle = low + (high - low) / 2;
        if (load_readonly(&pages[middle].first_tile) <= tile) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

STAFFA_DEVICE Tile tile_of_block(const page_set& set) {
    Tile tile;
    tile.number = blockIdx.x;
    const page* pages = pointer<const page>(set.pages);
    tile.page = page_of_tile(pages, set.count, tile.number);
    const page& p = pages[tile.page];
    const page_state& s = pointer<const page_state>(set.states)[tile.page];
    tile.first = (tile.number - p.first_tile) * TILE_ROWS;
    tile.rows = smaller(p.rows - tile.first, TILE_ROWS);
    tile.values = p.body + s.values_offset;
    tile.values_bytes = s.values_bytes;
    tile.valid = s.valid;
    tile.ordinal = p.ordinal;
    tile.output = i64(p.first_row) + tile.first;
    return tile;
}

// ORs the bits of 32 consecutive rows, the first of them `row`, into a bitmap of `rows` bits; those
// outside are dropped. Returns the mask of bits that lie inside. Pages start anywhere in a word, so
// two warps may share one: hence atomics.
STAFFA_DEVICE u32 or_word(u64 bitmap, u32 rows, i64 row, u32 word) {
    if (row <= -32 || row >= i64(rows)) return 0;
    u32 inside = kFullMask;
    if (row < 0) inside &= kFullMask << u32(-row);
    if (row + 32 > i64(rows)) inside &= kFullMask >> u32(row + 32 - i64(rows));
    word &= inside;
    if (bitmap == 0) return inside;
    u32* words = pointer<u32>(bitmap);
    const u32 shift = u32(row & 31);
    const i64 at = row >> 5;
    const u32 low = word << shift;
    const u32 high = shift == 0 ? 0 : word >> (32 - shift);
    if (low != 0) atomic_or(&words[at], low);
    if (high != 0) atomic_or(&words[at + 1], high);
    return inside;
}

}  // namespace staffa::parquet
