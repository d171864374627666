// DataFusion 55's hashes of values: foldhash 0.2, its fast variant with fixed seeds (Orson Peters,
// github.com/orlp/foldhash), as `create_hashes` of datafusion-common drives it.
//
// A hasher is an accumulator. A number of up to 128 bits is folded in when the hash is finished (or before
// the next one that does not fit beside it); bytes are folded in at once. A column after the first either takes
// the row's hash so far as its accumulator (numbers, floats, views) or hashes alone and is combined with it
// (booleans, strings, binary, dictionaries). NULL leaves the row's hash as it is. golden.txt in the tests
// holds DataFusion's own results.
//
// Trust: as in keys/rows.cuh. Bytes are read 8 at a time from inside a string only; load_le64 may read up to 3
// bytes before and behind.
#pragma once
#include "staffa/keys/rows.cuh"
#include "staffa/partition/abi.h"

namespace staffa::foldhash {

using keys::bit_at;
using keys::Place;
using parquet::load_byte;
using parquet::load_le32;
using parquet::load_le64;
using parquet::pointer;

constexpr u64 kStart = 0x082efa98ec4e6c89ull;  // what a hasher's own seed is combined with
constexpr u64 kSeed0 = 0xc0ac29b7c97c50ddull;  // the six seeds that all hashers share
constexpr u64 kSeed1 = 0x3f84d5b5b5470917ull;
constexpr u64 kSeed2 = 0x9216d5d98979fb1bull;
constexpr u64 kSeed3 = 0xd1310ba698dfb5acull;
constexpr u64 kSeed4 = 0x2ffd72dbd01adfb7ull;
constexpr u64 kSeed5 = 0xb8e1afed6a267e96ull;

STAFFA_DEVICE u64 folded(u64 a, u64 b) { return (a * b) ^ mul_high(a, b); }
STAFFA_DEVICE u64 rotated(u64 x, u32 n) { return n % 64 == 0 ? x : x >> n % 64 | x << (64 - n % 64); }

// A number as the last thing before the end.
STAFFA_DEVICE u64 number(u64 state, u64 low, u64 high) { return folded(low ^ state, high ^ kSeed0); }

// Both halves of a step over two places.
STAFFA_DEVICE u64 step(u64 state, u64 at, u64 other) {
    return folded(load_le64(at) ^ state, load_le64(other) ^ kSeed0);
}

STAFFA_DEVICE u64 bytes_short(u64 state, u64 at, u32 length) {
    u64 other = kSeed1;
    if (length >= 8) {
        state ^= load_le64(at);
        other ^= load_le64(at + length - 8);
    } else if (length >= 4) {
        state ^= load_le32(at);
        other ^= load_le32(at + length - 4);
    } else if (length > 0) {
        state ^= load_byte(at);
        other ^= u64(load_byte(at + length - 1)) << 8 | load_byte(at + length / 2);
    }
    return folded(state, other);
}

// More than 16 bytes.
STAFFA_DEVICE u64 bytes_long(u64 state, u64 at, u64 length) {
    u64 s0 = state;
    u64 s1 = state + kSeed1;
    if (length > 128) {
        u64 s2 = state + kSeed2;
        u64 s3 = state + kSeed3;
        if (length > 256) {
            u64 s4 = state + kSeed4;
            u64 s5 = state + kSeed5;
            for (; length > 256; at += 96, length -= 96) {
                s0 = step(s0, at, at + 48);
                s1 = step(s1, at + 8, at + 56);
                s2 = step(s2, at + 16, at + 64);
                s3 = step(s3, at + 24, at + 72);
                s4 = step(s4, at + 32, at + 80);
                s5 = step(s5, at + 40, at + 88);
            }
            s0 ^= s4;
            s1 ^= s5;
        }
        // At least once: what the loop before left may be shorter, and is longer than 64.
        do {
            s0 = step(s0, at, at + 32);
            s1 = step(s1, at + 8, at + 40);
            s2 = step(s2, at + 16, at + 48);
            s3 = step(s3, at + 24, at + 56);
            at += 64;
            length -= 64;
        } while (length > 128);
        s0 ^= s2;
        s1 ^= s3;
    }
    const u64 end = at + length;
    s0 = step(s0, at, end - 16);
    s1 = step(s1, at + 8, end - 8);
    if (length >= 32) {
        s0 = step(s0, at + 16, end - 32);
        s1 = step(s1, at + 24, end - 24);
    }
    if (length >= 64) {
        s0 = step(s0, at + 32, end - 48);
        s1 = step(s1, at + 40, end - 40);
    }
    if (length >= 96) {
        s0 = step(s0, at + 48, end - 64);
        s1 = step(s1, at + 56, end - 56);
    }
    return s0 ^ s1;
}

STAFFA_DEVICE u64 bytes(u64 state, u64 at, u32 length) {
    state = rotated(state, length);
    return length <= 16 ? bytes_short(state, at, length) : bytes_long(state, at, length);
}

// A slice of bytes is its length, which waits for the end, and the bytes.
STAFFA_DEVICE u64 slice(u64 state, u64 at, u32 length) { return number(bytes(state, at, length), length, 0); }
// A string has no length, and ends with 0xff.
STAFFA_DEVICE u64 string(u64 state, u64 at, u32 length) { return number(bytes(state, at, length), 0xff, 0); }

// A view of at most 12 bytes is hashed as it stands in Arrow, a longer one as a slice, also of Utf8View.
STAFFA_DEVICE u64 view(u64 state, const span& s) {
    if (s.length > 12) return slice(state, s.address, s.length);
    u64 rest = 0;
    for (u32 k = 4; k < s.length; ++k) rest |= u64(load_byte(s.address + k)) << (8 * (k - 4));
    return number(state, u64(s.prefix) << 32 | s.length, rest);
}

STAFFA_DEVICE u64 wide(u64 state, u64 at, u32 width) {
    for (u32 k = 0; k < width; k += 16) {
        const uint4 v = load16(pointer<const u8>(at) + k);
        state = number(state, u64(v.y) << 32 | v.x, u64(v.w) << 32 | v.z);
    }
    return state;
}

// As the first column a float is a number, later it is bytes. -0.0 is 0.0.
STAFFA_DEVICE u64 real(u64 state, u64 bits, u32 width, bool later) {
    if (bits << (65 - 8 * width) == 0) bits = 0;
    if (!later) return number(state, bits, 0);
    state = rotated(state, width);
    // Two bytes are the first, and the last above the middle one, which is the last too.
    if (width == 2) return folded(state ^ (bits & 0xff), kSeed1 ^ (bits >> 8) * 0x101);
    return folded(state ^ bits, kSeed1 ^ bits);
}

STAFFA_DEVICE u64 value(u64 state, const column& c, u32 row, bool later) {
    const Place p = keys::place_of(c, row);
    const u32 rule = c.type & HASH_RULES;
    if (p.kind == KIND_SPANS) {
        const span s = bit_cast<span>(load16(pointer<const span>(p.values) + p.index));
        if (rule == HASH_VIEW) return view(state, s);
        return rule == HASH_STRING ? string(state, s.address, s.length) : slice(state, s.address, s.length);
    }
    const u64 at = p.values + u64(p.index) * c.width;
    if (p.kind == KIND_BYTES) return slice(state, at, c.width);
    if (p.kind == KIND_FIXED && c.width > 8) return wide(state, at, c.width);
    const u64 bits = keys::word_of(p, c.width, RULE_BITS);
    return rule == HASH_FLOAT ? real(state, bits, c.width, later) : number(state, bits, 0);
}

// `combine_hashes` of datafusion-common.
STAFFA_DEVICE u64 combined(u64 value, u64 before) { return (17 * 37 + value) * 37 + before; }

STAFFA_DEVICE u64 row_hash(const key_set& set, u32 row) {
    const column* columns = pointer<const column>(set.columns);
    u64 hash = 0;
    for (u32 k = 0; k < set.count; ++k) {
        const column& c = columns[k];
        if (!keys::valid_at(c, row)) continue;
        const u32 rule = c.type & HASH_RULES;
        const bool apart = (c.type & HASH_DICTIONARY) != 0 || (rule >= HASH_BOOLEAN && rule <= HASH_BINARY);
        const bool later = k > 0 && !apart;
        const u64 found = value(later ? hash ^ kStart : kStart, c, row, later);
        hash = k > 0 && apart ? combined(found, hash) : found;
    }
    return hash;
}

}  // namespace staffa::foldhash
