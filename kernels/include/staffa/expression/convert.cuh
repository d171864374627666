// Casts between numbers. Rules: arrow-cast 59, which uses num_traits' NumCast: integers must fit, floats
// truncate towards zero and must fit, NaN to an integer fails, anything to a float succeeds.
#pragma once

#include "staffa/expression/integers.cuh"

namespace staffa::expression {

// NaN keeps its sign and payload, made quiet, as cvtsd2ss and cvtss2sd do.
STAFFA_DEVICE double widen_float(float v) {
    if (v == v) return static_cast<double>(v);
    const u32 b = bits_of(v);
    return double_of((static_cast<u64>(b >> 31) << 63) | 0x7ff8000000000000ull |
                     (static_cast<u64>(b & 0x7fffff) << 29));
}
STAFFA_DEVICE float narrow_float(double v) {
    if (v == v) return static_cast<float>(v);
    const u64 b = bits_of(v);
    return float_of(static_cast<u32>(b >> 63) << 31 | 0x7fc00000u | static_cast<u32>(b >> 29 & 0x7fffff));
}

// Integer to float, rounded once to nearest even: 64-bit values by the hardware's conversion.
template <unsigned features>
STAFFA_DEVICE void write_float(const tile& t, const instruction& i, unsigned row, i128 v) {
    const bool is_signed_64 = static_cast<i128>(static_cast<i64>(v)) == v;
    if (i.kind_to == static_cast<u8>(type::f32)) {
        float* dst = t.destination<float>(i.dst);
        dst[row] = is_signed_64 ? static_cast<float>(static_cast<i64>(v))
                                : static_cast<float>(static_cast<u64>(v));
        return;
    }
    double* dst = t.destination<double>(i.dst);
    if (is_signed_64) {
        dst[row] = static_cast<double>(static_cast<i64>(v));
    } else if constexpr ((features & feature_wide) != 0) {
        dst[row] = to_double(v);
    } else {
        dst[row] = static_cast<double>(static_cast<u64>(v));
    }
}

// convert: checked. convert_wrapping: the low bits, as `as` between integers.
template <unsigned features>
STAFFA_DEVICE unsigned convert(const tile& t, const instruction& i, unsigned live) {
    const bool wrapping = static_cast<opcode>(i.op) == opcode::convert_wrapping;
    const bool constant = (i.flags & flag_constant_a) != 0;
    const bool to_float = is_kind_float(i.kind_to);
    const unsigned bits = i.kind == static_cast<u8>(type::bits) ? t.get_bits(i.a) : 0;
    unsigned failed = 0;
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) == 0) continue;
        const unsigned row = t.row(k);
        i128 value = bits >> k & 1;
        bool ok = true;
        if (is_kind_float(i.kind)) {
            const double v = i.kind == static_cast<u8>(type::f32) ? widen_float(t.a<float>(i)[row])
                                                                  : t.a<double>(i)[row];
            if (to_float) {
                if (i.kind_to == static_cast<u8>(type::f32)) t.destination<float>(i.dst)[row] = narrow_float(v);
                else t.destination<double>(i.dst)[row] = v;
                continue;
            }
            ok = to_wide(v, value);
        } else if (i.kind != static_cast<u8>(type::bits)) {
            value = read_integer<features>(t, i.kind, i.a, constant, row);
        }
        if (to_float) write_float<features>(t, i, row, value);
        else ok &= write_integer<features>(t, i.kind_to, i.dst, row, value);
        if (!ok && !wrapping) failed |= 1u << k;
    }
    return failed;
}

// Number to boolean is "not equal to zero": NaN is true, -0.0 is false.
template <unsigned features>
STAFFA_DEVICE unsigned convert_to_bits(const tile& t, const instruction& i, unsigned live) {
    const bool constant = (i.flags & flag_constant_a) != 0;
    return true_rows_rolled(t, live, [&](unsigned row) {
        if (i.kind == static_cast<u8>(type::f32)) return t.a<float>(i)[row] != 0.0f;
        if (i.kind == static_cast<u8>(type::f64)) return t.a<double>(i)[row] != 0.0;
        return read_integer<features>(t, i.kind, i.a, constant, row) != 0;
    });
}

}  // namespace staffa::expression
