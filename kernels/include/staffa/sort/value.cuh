// Values as numbers whose unsigned order is theirs, 64 bits (of strings 68) at a time.
#pragma once
#include "staffa/keys/rows.cuh"
#include "staffa/sort/abi.h"

namespace staffa::sort {

using keys::Place;
using parquet::load_byte;
using parquet::pointer;

// The first byte highest, so that numbers compare as bytes do.
STAFFA_DEVICE u64 reversed(u64 x) {
    return u64(byte_perm(u32(x), 0, 0x0123)) << 32 | byte_perm(u32(x >> 32), 0, 0x0123);
}

// Up to 8 bytes at any address, the first one highest, zeros behind the last.
STAFFA_DEVICE u64 bytes_at(u64 address, u32 length) {
    if (length >= 8) return reversed(parquet::load_le64(address));
    u64 word = 0;
    for (u32 k = 0; k < length; ++k) word |= u64(load_byte(address + k)) << (56 - 8 * k);
    return word;
}

// Eight bytes of a string, and how many it has there; 9: more follow. Zeros behind its end are told from bytes
// that are zero by the number.
struct StringUnit {
    u64 word;
    u32 length;
};
STAFFA_DEVICE StringUnit string_unit(const span& s, u64 unit) {
    const u64 start = unit * 8;
    if (start >= s.length) return {0, 0};
    const u64 left = s.length - start;
    return {bytes_at(s.address + start, u32(smaller(left, u64(8)))), u32(smaller(left, u64(9)))};
}
STAFFA_DEVICE span span_at(const column& c, u32 row) {
    const Place p = keys::place_of(c, row);
    return bit_cast<span>(load16(pointer<const span>(p.values) + p.index));
}

STAFFA_DEVICE u64 ordered(u64 bits, u32 width, u32 order) {
    const u64 sign = width == 0 ? 0 : 1ull << (8 * width - 1);
    if (order == ORDER_SIGNED) return bits ^ sign;
    if (order == ORDER_FLOAT) return (bits & sign) != 0 ? bits ^ (sign | (sign - 1)) : bits | sign;
    return bits;
}

// The unit of a value that is not NULL.
STAFFA_DEVICE u128 unit_of(const column& c, u32 row, u32 unit) {
    const Place p = keys::place_of(c, row);
    if (p.kind == KIND_SPANS) {
        const StringUnit s = string_unit(bit_cast<span>(load16(pointer<const span>(p.values) + p.index)), unit);
        return u128(s.word) << 4 | s.length;
    }
    const u64 at = p.values + u64(p.index) * c.width;
    if (p.kind == KIND_BYTES) {
        const u32 length = smaller(c.width - unit * 8, 8u);
        return bytes_at(at + u64(unit) * 8, length) >> (64 - 8 * length);
    }
    if (p.kind == KIND_FIXED && c.width > 8) {
        // Little endian: the highest 64 bits stand last, and they alone have a sign.
        const u64 word = load_readonly(pointer<const u64>(at + c.width - 8 * (u64(unit) + 1)));
        return unit == 0 ? ordered(word, 8, c.type) : word;
    }
    return ordered(keys::word_of(p, c.width, RULE_BITS), p.kind == KIND_BITS ? 0 : c.width, c.type);
}

// The field's bits of a key, the one for NULL included.
STAFFA_DEVICE u128 field_of(const sort_field& f, u32 row, u32 unit) {
    const bool valid = keys::valid_at(f.values, row);
    u128 bits = 0;
    if (valid) {
        bits = unit_of(f.values, row, unit);
        if ((f.flags & SORT_DESCENDING) != 0) bits = ~bits & ((u128(1) << f.bits) - 1);
    }
    const bool last = (f.flags & SORT_NULLS_LAST) != 0;
    if ((f.flags & SORT_NULLABLE) != 0 && valid != last) bits |= u128(1) << f.bits;
    return bits;
}

}  // namespace staffa::sort
