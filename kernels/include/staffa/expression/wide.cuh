// 128-bit integers: checked multiplication, division and conversions to and from double.
//
// nvcc's own __int128 division is a call; these are written out so that they inline into a loop with
// no stack frame, take the short way when both operands fit 64 bits (nearly every decimal does), and
// are the same code on the emulated driver.
//
// Division: Knuth, TAOCP 2, 4.3.1, algorithm D in the form of Warren, Hacker's Delight, 9-4.
#pragma once

#include "staffa/device.cuh"

namespace staffa::expression {

STAFFA_DEVICE u64 high(u128 v) { return static_cast<u64>(v >> 64); }
STAFFA_DEVICE u64 low(u128 v) { return static_cast<u64>(v); }
STAFFA_DEVICE u128 wide_product(u64 a, u64 b) { return static_cast<u128>(a) * b; }
STAFFA_DEVICE u128 magnitude(i128 v) {
    return v < 0 ? u128(0) - static_cast<u128>(v) : static_cast<u128>(v);
}


// |a| * |b| with its sign; false when it does not fit.
STAFFA_DEVICE bool multiply_checked(i128 a, i128 b, i128& result) {
    const u128 x = magnitude(a);
    const u128 y = magnitude(b);
    const bool negative = (a < 0) != (b < 0);
    const u64 x1 = high(x);
    const u64 y1 = high(y);
    u128 product = wide_product(low(x), low(y));
    if ((x1 | y1) != 0) {
        if (x1 != 0 && y1 != 0) return false;
        const u128 cross = x1 != 0 ? wide_product(x1, low(y)) : wide_product(y1, low(x));
        if (high(cross) != 0) return false;
        const u64 top = high(product) + low(cross);
        if (top < low(cross)) return false;
        product = (static_cast<u128>(top) << 64) | low(product);
    }
    const u128 limit = (static_cast<u128>(1) << 127) - (negative ? 0 : 1);
    if (product > limit) return false;
    result = static_cast<i128>(negative ? u128(0) - product : product);
    return true;
}

// (high:low) / divisor where high < divisor: a 64-bit quotient.
STAFFA_DEVICE u64 divide_narrow(u64 top, u64 bottom, u64 divisor,
                                         u64& remainder) {
    const unsigned shift = clz(divisor);
    divisor <<= shift;
    const u64 d1 = divisor >> 32;
    const u64 d0 = divisor & 0xffffffffu;
    u64 rest = shift == 0 ? top : (top << shift) | (bottom >> (64 - shift));
    const u64 digits = bottom << shift;
    u64 quotient = 0;
    for (int half = 1; half >= 0; --half) {
        const u64 digit = half == 1 ? digits >> 32 : digits & 0xffffffffu;
        u64 q = rest / d1;
        u64 r = rest - q * d1;
        // At most two corrections: the divisor's top bit is set.
        while ((q >> 32) != 0 || q * d0 > ((r << 32) | digit)) {
            q -= 1;
            r += d1;
            if ((r >> 32) != 0) break;
        }
        rest = ((rest << 32) | digit) - q * divisor;
        quotient = (quotient << 32) | q;
    }
    remainder = rest >> shift;
    return quotient;
}

STAFFA_DEVICE void divide_unsigned(u128 x, u128 y, u128& quotient, u128& remainder) {
    if (high(x) == 0 && high(y) == 0) {
        quotient = low(x) / low(y);
        remainder = low(x) % low(y);
        return;
    }
    if (high(y) == 0) {
        const u64 q1 = high(x) / low(y);
        u64 r = high(x) % low(y);
        const u64 q0 = divide_narrow(r, low(x), low(y), r);
        quotient = (static_cast<u128>(q1) << 64) | q0;
        remainder = r;
        return;
    }
    if (x < y) {
        quotient = 0;
        remainder = x;
        return;
    }
    // The divisor has more than 64 bits, so the quotient has fewer: estimated from the divisor's top
    // 64 bits it is at most one too large, and one less than that at most one too small.
    const unsigned shift = clz(high(y));
    const u128 half = x >> 1;
    u64 unused;
    u64 q = divide_narrow(high(half), low(half), high(y << shift), unused) >> (63 - shift);
    if (q != 0) q -= 1;
    u128 rest = x - static_cast<u128>(q) * y;
    if (rest >= y) {
        rest -= y;
        q += 1;
    }
    quotient = q;
    remainder = rest;
}

// Truncating division, as i128 `/` and `%`; the caller excludes y == 0 and MIN / -1.
STAFFA_DEVICE void divide_signed(i128 x, i128 y, i128& quotient, i128& remainder) {
    u128 q;
    u128 r;
    divide_unsigned(magnitude(x), magnitude(y), q, r);
    quotient = static_cast<i128>((x < 0) != (y < 0) ? u128(0) - q : q);
    remainder = static_cast<i128>(x < 0 ? u128(0) - r : r);
}

// Round to nearest, ties to even, as Rust's `i128 as f64`.
STAFFA_DEVICE double to_double(i128 v) {
    if (v == 0) return 0.0;
    u128 m = magnitude(v);
    double scale = 1.0;
    if (high(m) != 0) {
        const unsigned drop = 64 - clz(high(m));
        // The dropped bits only matter as "some bit was set": 64 bits round to 53 with room to spare.
        const bool sticky = (m & ((static_cast<u128>(1) << drop) - 1)) != 0;
        m = (m >> drop) | (sticky ? 1 : 0);
        scale = static_cast<double>(static_cast<u64>(1) << (drop - 1)) * 2.0;
    }
    const double d = static_cast<double>(low(m)) * scale;
    return v < 0 ? -d : d;
}

STAFFA_DEVICE u64 bits_of(double v) { return bit_cast<u64>(v); }
STAFFA_DEVICE u32 bits_of(float v) { return bit_cast<u32>(v); }
STAFFA_DEVICE double double_of(u64 b) { return bit_cast<double>(b); }
STAFFA_DEVICE float float_of(u32 b) { return bit_cast<float>(b); }

// Truncation towards zero; false for NaN and what does not fit, as num_traits' ToPrimitive.
STAFFA_DEVICE bool to_wide(double v, i128& result) {
    const u64 b = bits_of(v);
    const int exponent = static_cast<int>((b >> 52) & 0x7ff) - 1075;
    if (exponent == 2047 - 1075) return false;
    const u64 m = (b & 0xfffffffffffffull) | (static_cast<u64>(1) << 52);
    if (exponent < -52) {
        result = 0;
        return true;
    }
    if (exponent > 74) {  // 2^127 and beyond; exactly -2^127 is the one that fits
        result = static_cast<i128>(static_cast<u128>(1) << 127);
        return exponent == 75 && m == (static_cast<u64>(1) << 52) && (b >> 63) != 0;
    }
    const u128 magnitude_bits = exponent < 0 ? static_cast<u128>(m >> -exponent)
                                             : static_cast<u128>(m) << exponent;
    result = static_cast<i128>((b >> 63) != 0 ? u128(0) - magnitude_bits : magnitude_bits);
    return true;
}

}  // namespace staffa::expression
