// Loops over a thread's rows, and the switch from a type tag to a C++ type.
#pragma once

#include "staffa/expression/tile.cuh"

namespace staffa::expression {

// What a kernel variant can run; narrower variants need fewer machine registers.
constexpr unsigned feature_wide = 1;     // 128-bit integers
constexpr unsigned feature_strings = 2;  // spans
// Selects the instructions of docs/design/expression.md's "Variants".

// Loops are unrolled by two: by four, ptxas spilled on sm_90. Loads from global memory, where flight
// matters, batch by four on their own (columns.cuh).

// Calls f(row) for each live row; f returns false when arrow would return an error.
template <class F>
STAFFA_DEVICE unsigned failing_rows(const tile& t, unsigned live, F f) {
    unsigned failed = 0;
#pragma unroll 2
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) != 0 && !f(t.row(k))) failed |= 1u << k;
    }
    return failed;
}

// The same for f(row, slot), not unrolled.
template <class F>
STAFFA_DEVICE unsigned failing_slots(const tile& t, unsigned live, F f) {
    unsigned failed = 0;
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) != 0 && !f(t.row(k), k)) failed |= 1u << k;
    }
    return failed;
}

// The rows for which f(row) is true.
template <class F>
STAFFA_DEVICE unsigned true_rows(const tile& t, unsigned live, F f) {
    unsigned result = 0;
#pragma unroll 2
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) != 0 && f(t.row(k))) result |= 1u << k;
    }
    return result;
}

// The same for long bodies: not unrolled, so that the code stays small.
template <class F>
STAFFA_DEVICE unsigned failing_rows_rolled(const tile& t, unsigned live, F f) {
    unsigned failed = 0;
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) != 0 && !f(t.row(k))) failed |= 1u << k;
    }
    return failed;
}
template <class F>
STAFFA_DEVICE unsigned true_rows_rolled(const tile& t, unsigned live, F f) {
    unsigned result = 0;
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) != 0 && f(t.row(k))) result |= 1u << k;
    }
    return result;
}

// Opaque copies by width: 16 bytes move as a pair of words.
struct alignas(16) pair {
    u64 words[2];
};
template <class F>
STAFFA_DEVICE unsigned with_width(u8 kind, F f) {
    switch (static_cast<type>(kind)) {
        case type::i8:
        case type::u8: return f(u8{});
        case type::i16:
        case type::u16: return f(u16{});
        case type::i32:
        case type::u32:
        case type::f32: return f(u32{});
        case type::i64:
        case type::u64:
        case type::f64: return f(u64{});
        case type::i128:
        case type::span: return f(pair{});
        default: return 0;
    }
}

}  // namespace staffa::expression
