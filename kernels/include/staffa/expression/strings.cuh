// Instructions on strings that make no bytes, and the heap for those that do.
#pragma once

#include "staffa/expression/dispatch.cuh"
#include "staffa/expression/like.cuh"

namespace staffa::expression {

STAFFA_DEVICE bool has_option(const instruction& i) { return (i.flags & flag_option) != 0; }

// like: immediate: the tokens' blob offset (low half) and count (high half). With flag_ignore_case,
// rows that are not ASCII are the host's: their case folding is Unicode's.
STAFFA_DEVICE unsigned like_rows(const tile& t, const instruction& i, unsigned live, unsigned& host) {
    const u16* tokens = reinterpret_cast<const u16*>(t.launch->blob + (i.immediate & 0xffffffffu));
    const u32 count = static_cast<u32>(i.immediate >> 32);
    const bool ignore_case = (i.flags & flag_ignore_case) != 0;
    const auto a = t.a<span>(i);
    if (ignore_case) {
        host = failing_rows_rolled(t, live, [&](unsigned row) { return is_ascii(a[row]); });
        live &= ~host;
    }
    return true_rows_rolled(t, live,
                            [&](unsigned row) { return like(a[row], tokens, count, ignore_case); });
}

// find: bits; immediate 0: starts with, 1: ends with, 2: contains.
STAFFA_DEVICE bool matches_at(const u8* bytes, const span& needle) {
    const u8* wanted = bytes_of(needle);
    for (u32 k = 0; k < needle.length; ++k) {
        if (bytes[k] != wanted[k]) return false;
    }
    return true;
}
STAFFA_DEVICE unsigned find_rows(const tile& t, const instruction& i, unsigned live) {
    const auto a = t.a<span>(i);
    const auto b = t.b<span>(i);
    return true_rows_rolled(t, live, [&](unsigned row) {
        const span s = a[row];
        const span needle = b[row];
        if (needle.length > s.length) return false;
        const u32 last = s.length - needle.length;
        const u32 first = i.immediate == 1 ? last : 0;
        const u32 end = i.immediate == 0 ? 0 : last;
        for (u32 at = first; at <= end; ++at) {
            if (matches_at(bytes_of(s) + at, needle)) return true;
        }
        return false;
    });
}

// character_length, octet_length: kind_to is i32 or i64.
STAFFA_DEVICE void length_rows(const tile& t, const instruction& i, unsigned live) {
    const auto a = t.a<span>(i);
    const bool octets = static_cast<opcode>(i.op) == opcode::octet_length;
    failing_rows_rolled(t, live, [&](unsigned row) {
        const span s = a[row];
        const u32 length = octets ? s.length : characters(s);
        if (i.kind_to == static_cast<u8>(type::i64)) t.destination<i64>(i.dst)[row] = length;
        else t.destination<i32>(i.dst)[row] = static_cast<i32>(length);
        return true;
    });
}

// substring: b: start (i64, 1-based), c: count (i64; with flag_option it is absent). DataFusion's
// `get_true_start_end`: a negative count and a start of i64's minimum are errors.
STAFFA_DEVICE unsigned substring_rows(const tile& t, const instruction& i, unsigned live) {
    const auto a = t.a<span>(i);
    const auto b = t.b<i64>(i);
    const auto c = t.c<i64>(i);
    span* dst = t.destination<span>(i.dst);
    const bool to_end = has_option(i);
    return failing_rows_rolled(t, live, [&](unsigned row) {
        const span s = a[row];
        const i64 start = b[row];
        const i64 count = to_end ? 0 : c[row];
        if (count < 0 || start == static_cast<i64>(1ull << 63)) return false;
        const i64 length = s.length;
        const i64 from = start - 1;
        i64 to = length;
        // from + count, saturated and clamped: count >= length suffices once from is clamped, too.
        if (!to_end) {
            const u64 sum = static_cast<u64>(from) + static_cast<u64>(count);
            const bool overflow = from > 0 && static_cast<i64>(sum) < 0;
            to = overflow ? length : static_cast<i64>(sum);
            to = to < 0 ? 0 : smaller(to, length);
        }
        const u32 first = static_cast<u32>(from < 0 ? 0 : smaller(from, length));
        const u32 last = static_cast<u32>(to);
        // Byte offsets of character numbers: those beyond the end are the length.
        const u8* bytes = bytes_of(s);
        u32 byte_first = s.length;
        u32 byte_last = s.length;
        u32 number = 0;
        for (u32 at = 0; at < s.length; at += character_bytes(bytes[at])) {
            if (number == first) byte_first = at;
            if (number == last && !to_end) {
                byte_last = at;
                break;
            }
            if (number == first && to_end) break;
            ++number;
        }
        dst[row] = part(s, byte_first, larger(byte_first, byte_last));
        return true;
    });
}

// trim: b: the characters to remove, all ASCII; immediate bit 0: at the start, bit 1: at the end.
STAFFA_DEVICE void trim_rows(const tile& t, const instruction& i, unsigned live) {
    const auto a = t.a<span>(i);
    const auto b = t.b<span>(i);
    span* dst = t.destination<span>(i.dst);
    failing_rows_rolled(t, live, [&](unsigned row) {
        const span s = a[row];
        const span set = b[row];
        const u8* bytes = bytes_of(s);
        const auto removed = [&](u8 byte) {
            for (u32 k = 0; k < set.length; ++k) {
                if (bytes_of(set)[k] == byte) return true;
            }
            return false;
        };
        u32 first = 0;
        u32 end = s.length;
        if ((i.immediate & 1) != 0) {
            while (first < end && removed(bytes[first])) ++first;
        }
        if ((i.immediate & 2) != 0) {
            while (end > first && removed(bytes[end - 1])) --end;
        }
        dst[row] = part(s, first, end);
        return true;
    });
}

}  // namespace staffa::expression
