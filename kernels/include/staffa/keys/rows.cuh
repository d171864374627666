// Rows of key columns: read, hash and compare.
//
// Trust: descriptors were checked by the launcher against the buffers that they point into; rows are below
// the columns' rows; spans and codes were validated by whoever made them (docs/design/columns.md).
#pragma once
#include "staffa/keys/abi.h"
#include "staffa/parquet/page.cuh"

namespace staffa::keys {

using parquet::load_byte;
using parquet::load_le64;
using parquet::pointer;

STAFFA_DEVICE bool stopped(const row_list& list) {
    return list.stop != 0 && load_relaxed(pointer<const u32>(list.stop)) != 0;
}
STAFFA_DEVICE u32 positions(const row_list& list) {
    if (list.count == 0) return list.rows;
    return smaller(*pointer<const u32>(list.count), list.rows);
}
STAFFA_DEVICE u32 row_at(const row_list& list, u32 position) {
    return list.selection == 0 ? position : pointer<const u32>(list.selection)[position];
}

STAFFA_DEVICE bool bit_at(u64 bitmap, u32 row) {
    return (load_readonly(pointer<const u32>(bitmap) + row / 32) >> (row % 32) & 1) != 0;
}
STAFFA_DEVICE bool valid_at(const column& c, u32 row) { return c.validity == 0 || bit_at(c.validity, row); }

// Where a row's value lies, and how it is stored there: codes are followed into their dictionary.
struct Place {
    u64 values;
    u32 index;
    u8 kind;
};
STAFFA_DEVICE Place place_of(const column& c, u32 row) {
    if (c.kind != KIND_CODES) return {c.values, row, c.kind};
    return {c.dictionary, load_readonly(pointer<const u32>(c.values) + row), c.dictionary_kind};
}

STAFFA_DEVICE u64 fold_zero(u64 bits, u32 rule) {
    const u32 shift = rule == RULE_FLOAT16 ? 49 : rule == RULE_FLOAT32 ? 33 : 1;
    const bool is_float = rule >= RULE_FLOAT16 && rule <= RULE_FLOAT64;
    return is_float && bits << shift == 0 ? 0 : bits;
}

// A value of at most 8 bytes, zero-extended.
STAFFA_DEVICE u64 word_of(const Place& p, u32 width, u32 rule) {
    if (p.kind == KIND_BITS) return bit_at(p.values, p.index);
    u64 bits;
    switch (width) {
    case 1: bits = load_readonly(pointer<const u8>(p.values) + p.index); break;
    case 2: bits = load_readonly(pointer<const u16>(p.values) + p.index); break;
    case 4: bits = load_readonly(pointer<const u32>(p.values) + p.index); break;
    default: bits = load_readonly(pointer<const u64>(p.values) + p.index); break;
    }
    return fold_zero(bits, rule);
}

STAFFA_DEVICE u64 sign_extend(u64 bits, u32 width) {
    const u32 unused = 64 - 8 * width;
    return u64(i64(bits << unused) >> unused);
}

// MurmurHash3's finalizer (Appleby), which is a permutation: packed keys of 64 bits keep all they have.
STAFFA_DEVICE u64 mix(u64 h) {
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdull;
    h ^= h >> 33;
    h *= 0xc4ceb9fe1a85ec53ull;
    return h ^ h >> 33;
}
STAFFA_DEVICE u64 combine(u64 hash, u64 word) { return mix(hash * 0x9e3779b97f4a7c15ull + word); }

// Bytes at any address; 8 at a time, which may read (not use) up to 11 bytes behind: buffers are padded.
STAFFA_DEVICE u64 hash_bytes(u64 hash, u64 address, u32 length) {
    u32 at = 0;
    for (; at + 8 <= length; at += 8) hash = combine(hash, load_le64(address + at));
    u64 tail = 0;
    for (u32 shift = 0; at < length; ++at, shift += 8) tail |= u64(load_byte(address + at)) << shift;
    return combine(combine(hash, tail), length);
}
STAFFA_DEVICE bool same_bytes(u64 a, u64 b, u32 length) {
    if (a == b) return true;
    u32 at = 0;
    for (; at + 8 <= length; at += 8) {
        if (load_le64(a + at) != load_le64(b + at)) return false;
    }
    for (; at < length; ++at) {
        if (load_byte(a + at) != load_byte(b + at)) return false;
    }
    return true;
}

// FixedSizeBinary, and Fixed values above 8 bytes.
STAFFA_DEVICE bool is_wide(const Place& p, u32 width) {
    return p.kind == KIND_BYTES || (p.kind == KIND_FIXED && width > 8);
}

STAFFA_DEVICE u64 hash_value(u64 hash, const column& c, u32 row) {
    const Place p = place_of(c, row);
    if (p.kind == KIND_SPANS) {
        const span s = bit_cast<span>(load16(pointer<const span>(p.values) + p.index));
        return hash_bytes(hash, s.address, s.length);
    }
    if (is_wide(p, c.width)) return hash_bytes(hash, p.values + u64(p.index) * c.width, c.width);
    return combine(hash, word_of(p, c.width, c.type));
}

// Equality of two values that are not NULL, of columns of one type; either may be a dictionary's.
STAFFA_DEVICE bool same_value(const column& a, u32 x, const column& b, u32 y) {
    const Place p = place_of(a, x);
    const Place q = place_of(b, y);
    if (p.kind == KIND_SPANS) {
        const span s = bit_cast<span>(load16(pointer<const span>(p.values) + p.index));
        const span t = bit_cast<span>(load16(pointer<const span>(q.values) + q.index));
        return s.length == t.length && s.prefix == t.prefix && same_bytes(s.address, t.address, s.length);
    }
    if (is_wide(p, a.width)) {
        return same_bytes(p.values + u64(p.index) * a.width, q.values + u64(q.index) * a.width, a.width);
    }
    return word_of(p, a.width, a.type) == word_of(q, b.width, b.type);
}

// NULL hashes as a value of its own. `any_null` becomes true if a key is NULL.
STAFFA_DEVICE u64 hash_row(const key_set& set, u32 row, bool& any_null) {
    const column* columns = pointer<const column>(set.columns);
    u64 hash = 0x243f6a8885a308d3ull;
    for (u32 k = 0; k < set.count; ++k) {
        const column& c = columns[k];
        if (valid_at(c, row)) {
            hash = hash_value(hash, c, row);
        } else {
            hash = combine(hash, 0x13198a2e03707344ull);
            any_null = true;
        }
    }
    return hash;
}

// NULL equals NULL; joins in which it does not leave such rows out before.
STAFFA_DEVICE bool same_row(const key_set& a, u32 x, const key_set& b, u32 y) {
    const column* left = pointer<const column>(a.columns);
    const column* right = pointer<const column>(b.columns);
    for (u32 k = 0; k < a.count; ++k) {
        const bool valid = valid_at(left[k], x);
        if (valid != valid_at(right[k], y)) return false;
        if (valid && !same_value(left[k], x, right[k], y)) return false;
    }
    return true;
}

}  // namespace staffa::keys
