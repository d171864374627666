// Instructions on numbers: typed loops for the common ones, comparison, lists.
#pragma once

#include "staffa/expression/integers.cuh"
#include "staffa/expression/spans.cuh"

namespace staffa::expression {

template <class T, class F>
STAFFA_DEVICE void typed(const tile& t, const instruction& i, unsigned live, F f) {
    const auto a = t.a<T>(i);
    const auto b = t.b<T>(i);
    T* dst = t.destination<T>(i.dst);
    failing_rows(t, live, [&](unsigned row) { return dst[row] = f(a[row], b[row]), true; });
}

// Wrapping add, subtract, multiply of integers; IEEE for floats.
template <class T>
STAFFA_DEVICE void add_or_so(const tile& t, const instruction& i, unsigned live) {
    const launch_parameters& l = *t.launch;
    const auto run = [&](auto integer, auto floating) {
        typed<T>(t, i, live, [&](T a, T b) {
            if constexpr (is_float<T>) return settle_nan(floating(a, b), a, b, l);
            else return integer(a, b);
        });
    };
    switch (static_cast<opcode>(i.op)) {
        case opcode::add:
            run([](auto a, auto b) { return add_wrapping(a, b); }, [](T a, T b) { return a + b; });
            break;
        case opcode::subtract:
            run([](auto a, auto b) { return subtract_wrapping(a, b); }, [](T a, T b) { return a - b; });
            break;
        default:
            run([](auto a, auto b) { return multiply_wrapping(a, b); }, [](T a, T b) { return a * b; });
            break;
    }
}

template <unsigned features>
STAFFA_DEVICE unsigned arithmetic(const tile& t, const instruction& i, unsigned live) {
    switch (static_cast<type>(i.kind)) {
        case type::i32:
        case type::u32: add_or_so<i32>(t, i, live); return 0;
        case type::i64:
        case type::u64: add_or_so<i64>(t, i, live); return 0;
        case type::f32: add_or_so<float>(t, i, live); return 0;
        case type::f64: add_or_so<double>(t, i, live); return 0;
        default: return integers<features>(t, i, live, true);
    }
}

// Division and remainder follow IEEE; round is half away from zero.
template <class T>
STAFFA_DEVICE unsigned float_operation(const tile& t, const instruction& i, unsigned live) {
    const opcode op = static_cast<opcode>(i.op);
    const auto a = t.a<T>(i);
    const auto b = t.b<T>(i);
    T* dst = t.destination<T>(i.dst);
    return failing_rows_rolled(t, live, [&](unsigned row) {
        const T x = a[row];
        T y = x;
        T r;
        switch (op) {
            case opcode::divide: y = b[row]; r = x / y; break;
            case opcode::remainder: y = b[row]; r = float_remainder(x, y); break;
            case opcode::round: r = round_half_away(x); break;
            case opcode::absolute: dst[row] = without_sign(x); return true;
            default: dst[row] = opposite(x); return true;
        }
        dst[row] = settle_nan(r, x, y, *t.launch);
        return true;
    });
}

template <unsigned features>
STAFFA_DEVICE unsigned slow_arithmetic(const tile& t, const instruction& i, unsigned live) {
    if (i.kind == static_cast<u8>(type::f32)) return float_operation<float>(t, i, live);
    if (i.kind == static_cast<u8>(type::f64)) return float_operation<double>(t, i, live);
    const opcode op = static_cast<opcode>(i.op);
    const bool wrapping = op == opcode::shift_left;
    return integers<features>(t, i, live, wrapping);
}

// IEEE 754 totalOrder as a signed integer, as Rust's total_cmp.
STAFFA_DEVICE i32 total_order(float v) {
    const i32 b = static_cast<i32>(bits_of(v));
    return b ^ static_cast<i32>(static_cast<u32>(b >> 31) >> 1);
}
STAFFA_DEVICE i64 total_order(double v) {
    const i64 b = static_cast<i64>(bits_of(v));
    return b ^ static_cast<i64>(static_cast<u64>(b >> 63) >> 1);
}
template <class T>
STAFFA_DEVICE T total_order(T v) {
    return v;
}

STAFFA_DEVICE bool same(const pair& a, const pair& b) {
    return ((a.words[0] ^ b.words[0]) | (a.words[1] ^ b.words[1])) == 0;
}
template <class T>
STAFFA_DEVICE bool same(T a, T b) {
    return a == b;
}

// Equality is of bits for every fixed width: totalOrder calls floats equal when their bits are.
template <unsigned features>
STAFFA_DEVICE unsigned equal(const tile& t, const instruction& i, unsigned live) {
    if constexpr ((features & feature_strings) != 0) {
        if (i.kind == static_cast<u8>(type::span)) {
            const auto a = t.a<span>(i);
            const auto b = t.b<span>(i);
            return true_rows_rolled(t, live, [&](unsigned row) { return same_bytes(a[row], b[row]); });
        }
    }
    return with_width(i.kind, [&](auto zero) -> unsigned {
        using T = decltype(zero);
        const auto a = t.a<T>(i);
        const auto b = t.b<T>(i);
        const auto test = [&](unsigned row) { return same(a[row], b[row]); };
        if constexpr (sizeof(T) == 16) return true_rows_rolled(t, live, test);
        else return true_rows(t, live, test);
    });
}

template <class T>
STAFFA_DEVICE unsigned less_as(const tile& t, const instruction& i, unsigned live) {
    const auto a = t.a<T>(i);
    const auto b = t.b<T>(i);
    return true_rows(t, live, [&](unsigned row) { return total_order(a[row]) < total_order(b[row]); });
}

template <unsigned features>
STAFFA_DEVICE unsigned less(const tile& t, const instruction& i, unsigned live) {
    switch (static_cast<type>(i.kind)) {
        case type::i32: return less_as<i32>(t, i, live);
        case type::i64: return less_as<i64>(t, i, live);
        case type::f32: return less_as<float>(t, i, live);
        case type::f64: return less_as<double>(t, i, live);
        case type::span:
            if constexpr ((features & feature_strings) != 0) {
                const auto a = t.a<span>(i);
                const auto b = t.b<span>(i);
                return true_rows_rolled(t, live,
                                        [&](unsigned row) { return order(a[row], b[row]) < 0; });
            }
            return 0;
        default: break;
    }
    const bool constant_a = (i.flags & flag_constant_a) != 0;
    const bool constant_b = (i.flags & flag_constant_b) != 0;
    return true_rows_rolled(t, live, [&](unsigned row) {
        return read_integer<features>(t, i.kind, i.a, constant_a, row) <
               read_integer<features>(t, i.kind, i.b, constant_b, row);
    });
}

// Binary search in a sorted list without NULLs.
template <class T, class F>
STAFFA_DEVICE bool found(const T* entries, unsigned count, F compare) {
    unsigned first = 0;
    while (first < count) {
        const unsigned middle = (first + count) / 2;
        const int order = compare(entries[middle]);
        if (order == 0) return true;
        if (order < 0) first = middle + 1;
        else count = middle;
    }
    return false;
}

// Membership; immediate: the list's blob offset (low half) and its count (high half). Lists hold i64
// keys (integers of up to 64 bits, u64 with its top bit flipped, floats in totalOrder), i128 or spans.
template <unsigned features>
STAFFA_DEVICE unsigned in_list(const tile& t, const instruction& i, unsigned live) {
    const u64 list = t.launch->blob + (i.immediate & 0xffffffffu);
    const unsigned count = static_cast<unsigned>(i.immediate >> 32);
    const bool constant = (i.flags & flag_constant_a) != 0;
    const auto compare = [](auto entry, auto value) { return entry == value ? 0 : entry < value ? -1 : 1; };
    if constexpr ((features & feature_strings) != 0) {
        if (i.kind == static_cast<u8>(type::span)) {
            const auto a = t.a<span>(i);
            const span* entries = reinterpret_cast<const span*>(list);
            return true_rows_rolled(t, live, [&](unsigned row) {
                const span value = a[row];
                return found(entries, count, [&](const span& e) { return order(e, value); });
            });
        }
    }
    if constexpr ((features & feature_wide) != 0) {
        if (i.kind == static_cast<u8>(type::i128)) {
            const i128* entries = reinterpret_cast<const i128*>(list);
            return true_rows_rolled(t, live, [&](unsigned row) {
                const i128 value = read_integer<features>(t, i.kind, i.a, constant, row);
                return found(entries, count, [&](i128 e) { return compare(e, value); });
            });
        }
    }
    const i64* entries = reinterpret_cast<const i64*>(list);
    return true_rows_rolled(t, live, [&](unsigned row) {
        i64 key;
        if (i.kind == static_cast<u8>(type::f32)) {
            key = total_order(t.a<float>(i)[row]);
        } else if (i.kind == static_cast<u8>(type::f64)) {
            key = total_order(t.a<double>(i)[row]);
        } else {
            key = static_cast<i64>(read_integer<0>(t, i.kind, i.a, constant, row));
            if (i.kind == static_cast<u8>(type::u64)) key ^= smallest<i64>();
        }
        return found(entries, count, [&](i64 e) { return compare(e, key); });
    });
}

}  // namespace staffa::expression
