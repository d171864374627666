// Integers of every type as one: read into 128 bits, computed there, written back if they fit.
//
// One body serves eight types (and decimals), which keeps the code and the compile time small; the
// operations that dominate queries (add, multiply, compare) have typed loops in numbers.cuh instead.
#pragma once

#include "staffa/expression/arithmetic.cuh"
#include "staffa/expression/dispatch.cuh"

namespace staffa::expression {

// Value of an integer operand; a type that is no integer reads as zero.
template <unsigned features>
STAFFA_DEVICE i128 read_integer(const tile& t, u8 kind, u16 offset, bool constant, unsigned row) {
    switch (static_cast<type>(kind)) {
        case type::i8: return t.read<i8>(offset, constant)[row];
        case type::i16: return t.read<i16>(offset, constant)[row];
        case type::i32: return t.read<i32>(offset, constant)[row];
        case type::i64: return t.read<i64>(offset, constant)[row];
        case type::u8: return t.read<u8>(offset, constant)[row];
        case type::u16: return t.read<u16>(offset, constant)[row];
        case type::u32: return t.read<u32>(offset, constant)[row];
        case type::u64: return t.read<u64>(offset, constant)[row];
        case type::i128:
            if constexpr ((features & feature_wide) != 0) return t.read<i128>(offset, constant)[row];
            return 0;
        default: return 0;
    }
}

template <class T>
STAFFA_DEVICE bool write_as(const tile& t, u16 offset, unsigned row, i128 value) {
    const T narrow = static_cast<T>(value);
    t.destination<T>(offset)[row] = narrow;
    return static_cast<i128>(narrow) == value;
}

// Writes the low bits; false unless the value fits.
template <unsigned features>
STAFFA_DEVICE bool write_integer(const tile& t, u8 kind, u16 offset, unsigned row, i128 value) {
    switch (static_cast<type>(kind)) {
        case type::i8: return write_as<i8>(t, offset, row, value);
        case type::i16: return write_as<i16>(t, offset, row, value);
        case type::i32: return write_as<i32>(t, offset, row, value);
        case type::i64: return write_as<i64>(t, offset, row, value);
        case type::u8: return write_as<u8>(t, offset, row, value);
        case type::u16: return write_as<u16>(t, offset, row, value);
        case type::u32: return write_as<u32>(t, offset, row, value);
        case type::u64: return write_as<u64>(t, offset, row, value);
        case type::i128:
            if constexpr ((features & feature_wide) != 0) t.destination<i128>(offset)[row] = value;
            return true;
        default: return true;
    }
}

STAFFA_DEVICE bool is_kind_float(u8 kind) {
    return kind == static_cast<u8>(type::f32) || kind == static_cast<u8>(type::f64);
}

// Without the wide feature operands have at most 64 bits: sums and differences fit 128.
template <unsigned features>
STAFFA_DEVICE bool integer_operation(opcode op, bool option, i128 a, i128 b, i128& r) {
    constexpr bool wide = (features & feature_wide) != 0;
    switch (op) {
        case opcode::add:
        case opcode::add_checked:
            r = add_wrapping(a, b);
            return !wide || ((a ^ r) & (b ^ r)) >= 0;
        case opcode::subtract:
        case opcode::subtract_checked:
            r = subtract_wrapping(a, b);
            return !wide || ((a ^ b) & (a ^ r)) >= 0;
        case opcode::multiply: r = multiply_wrapping(a, b); return true;
        case opcode::multiply_checked:
            if constexpr (wide) return multiply_checked(a, b, r);
            // Of two u64 it may pass 2^127: then it wraps to a negative number, which no u64 holds.
            r = multiply_wrapping(a, b);
            return true;
        case opcode::absolute:
            r = a < 0 ? subtract_wrapping(i128(0), a) : a;
            return r >= 0;
        case opcode::check_magnitude: r = a; return a <= b && a >= -b;
        case opcode::bit_and: r = a & b; return true;
        case opcode::bit_or: r = a | b; return true;
        case opcode::bit_xor: r = a ^ b; return true;
        // The builder gives shifts a count below the type's width.
        case opcode::shift_left: r = static_cast<i128>(static_cast<u128>(a) << static_cast<u32>(b)); return true;
        case opcode::shift_right: r = a >> static_cast<u32>(b); return true;
        default: break;
    }
    // divide, remainder, divide_rounded, floor_multiple
    if (b == 0) return false;
    i128 quotient;
    i128 rest;
    divide_signed(a, b, quotient, rest);  // MIN / -1 gives MIN and 0
    switch (op) {
        case opcode::divide: r = quotient; break;
        case opcode::remainder: r = rest; return !(option && b == -1 && a == smallest<i128>());
        case opcode::divide_rounded: {
            // Half away from zero; b is a power of ten. arrow-cast `make_downscaler`.
            const i128 half = b / 2;
            r = quotient;
            if (a >= 0 && rest >= half) r += 1;
            if (a < 0 && rest <= -half) r -= 1;
            return true;
        }
        default:  // floor_multiple: a - a.rem_euclid(b), b > 0
            r = subtract_wrapping(a, rest < 0 ? rest + b : rest);
            return true;
    }
    return !wide || b != -1 || a != smallest<i128>();
}

// Every integer operation that has no typed loop. `wrapping` ones ignore what does not fit.
template <unsigned features>
STAFFA_DEVICE unsigned integers(const tile& t, const instruction& i, unsigned live, bool wrapping) {
    const opcode op = static_cast<opcode>(i.op);
    const bool constant_a = (i.flags & flag_constant_a) != 0;
    const bool constant_b = (i.flags & flag_constant_b) != 0;
    return failing_rows_rolled(t, live, [&](unsigned row) {
        const i128 a = read_integer<features>(t, i.kind, i.a, constant_a, row);
        const i128 b = read_integer<features>(t, i.kind, i.b, constant_b, row);
        i128 r = 0;
        bool ok = integer_operation<features>(op, (i.flags & flag_option) != 0, a, b, r);
        ok &= write_integer<features>(t, i.kind, i.dst, row, r);
        return ok || wrapping;
    });
}

}  // namespace staffa::expression
