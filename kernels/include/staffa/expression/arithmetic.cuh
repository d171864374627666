// Arithmetic on integers, floats and the 128-bit integers behind decimals.
//
// Rules: arrow-arith 59 `numeric.rs`. Wrapping operations are computed in the unsigned type. Checked
// ones return false where arrow returns an error. Decimals need nothing of their own: arrow's decimal
// operations are checked integer operations on operands scaled by powers of ten.
#pragma once

#include <cmath>
#include <type_traits>

#include "staffa/expression/tile.cuh"

namespace staffa::expression {

template <class T>
struct unsigned_of {
    using type = std::make_unsigned_t<T>;
};
template <>
struct unsigned_of<i128> {
    using type = u128;
};
template <class T>
constexpr bool is_float = std::is_same_v<T, float> || std::is_same_v<T, double>;
template <class T>
constexpr bool is_signed = std::is_same_v<T, i128> || std::is_signed_v<T>;
template <class T>
constexpr unsigned width_bits = sizeof(T) * 8;

template <class T>
STAFFA_DEVICE T smallest() {
    using U = typename unsigned_of<T>::type;
    return is_signed<T> ? static_cast<T>(static_cast<U>(1) << (width_bits<T> - 1)) : T(0);
}

// x86 and Arm keep the payload of a NaN operand and differ in the sign of a NaN made from numbers;
// the GPU returns one fixed NaN. totalOrder sees the difference, so NaN results get the host's bits.
STAFFA_DEVICE double settle_nan(double result, double a, double b, const launch_parameters& l) {
    if (result == result) return result;
    if (a != a) return double_of(bits_of(a) | 0x8000000000000ull);
    if (b != b) return double_of(bits_of(b) | 0x8000000000000ull);
    return double_of(l.default_nan_f64);
}
STAFFA_DEVICE float settle_nan(float result, float a, float b, const launch_parameters& l) {
    if (result == result) return result;
    if (a != a) return float_of(bits_of(a) | 0x400000u);
    if (b != b) return float_of(bits_of(b) | 0x400000u);
    return float_of(l.default_nan_f32);
}

template <class T>
STAFFA_DEVICE T add_wrapping(T a, T b) {
    using U = typename unsigned_of<T>::type;
    return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
}
template <class T>
STAFFA_DEVICE T subtract_wrapping(T a, T b) {
    using U = typename unsigned_of<T>::type;
    return static_cast<T>(static_cast<U>(static_cast<U>(a) - static_cast<U>(b)));
}
template <class T>
STAFFA_DEVICE T multiply_wrapping(T a, T b) {
    using U = typename unsigned_of<T>::type;
    // Through u64 at least: the product of two u16 would be a signed int in C++.
    using W = std::conditional_t<(sizeof(U) < 8), u64, U>;
    return static_cast<T>(static_cast<U>(static_cast<W>(a) * static_cast<W>(b)));
}

STAFFA_DEVICE double float_remainder(double a, double b) { return ::fmod(a, b); }
STAFFA_DEVICE float float_remainder(float a, float b) { return ::fmodf(a, b); }
STAFFA_DEVICE double round_half_away(double v) { return ::round(v); }
STAFFA_DEVICE float round_half_away(float v) { return ::roundf(v); }

STAFFA_DEVICE double without_sign(double v) { return double_of(bits_of(v) & ~(1ull << 63)); }
STAFFA_DEVICE float without_sign(float v) { return float_of(bits_of(v) & ~(1u << 31)); }
STAFFA_DEVICE double opposite(double v) { return double_of(bits_of(v) ^ (1ull << 63)); }
STAFFA_DEVICE float opposite(float v) { return float_of(bits_of(v) ^ (1u << 31)); }

}  // namespace staffa::expression
