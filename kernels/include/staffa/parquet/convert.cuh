// From a stored value to a value of the column: as arrow-rs's readers convert (`coerce_i32`,
// `coerce_i64`, `Int96`, `sign_extend_be`), so that both engines give the same bits.
//
// A conversion has an output type and a function of (source, value number, arguments); `check`
// refuses a stored value that has no conversion.
#pragma once
#include "staffa/parquet/source.cuh"

namespace staffa::parquet {

// 16 bytes that need no 16-byte alignment of the source, only of the target.
struct alignas(16) Wide128 {
    u64 limb[2];
};
struct alignas(16) Wide256 {
    u64 limb[4];
};

template <class Out>
struct AnyLength {
    using Output = Out;
    template <class Source>
    STAFFA_DEVICE static u32 check(const Source&, u32, const fixed_args&) {
        return ERROR_NONE;
    }
};

// The low bytes of an i32: reinterpreted (u32, f32, date32, time32, decimal32) or narrowed with
// wrap-around (u8, i8, u16, i16).
template <class Out>
struct From32 : AnyLength<Out> {
    template <class Source>
    STAFFA_DEVICE static Out get(const Source& source, u32 value, const fixed_args&) {
        return Out(source.word(value));
    }
};

// An i32 times a factor: 1 for timestamps and decimal64, milliseconds a day for date64.
struct From32Scaled : AnyLength<u64> {
    template <class Source>
    STAFFA_DEVICE static u64 get(const Source& source, u32 value, const fixed_args& args) {
        return u64(i64(i32(source.word(value)))) * u64(args.factor);
    }
};

struct From64 : AnyLength<u64> {
    template <class Source>
    STAFFA_DEVICE static u64 get(const Source& source, u32 value, const fixed_args&) {
        return source.word64(value);
    }
};

template <class Out>
STAFFA_DEVICE Out widened(i64 x) {
    Out out;
    out.limb[0] = u64(x);
#pragma unroll
    for (u32 i = 1; i < sizeof(Out) / 8; ++i) out.limb[i] = u64(x >> 63);
    return out;
}

template <class Out>
struct Widen32 : AnyLength<Out> {
    template <class Source>
    STAFFA_DEVICE static Out get(const Source& source, u32 value, const fixed_args&) {
        return widened<Out>(i32(source.word(value)));
    }
};

template <class Out>
struct Widen64 : AnyLength<Out> {
    template <class Source>
    STAFFA_DEVICE static Out get(const Source& source, u32 value, const fixed_args&) {
        return widened<Out>(i64(source.word64(value)));
    }
};

// INT96: nanoseconds of the day (64 bits), then the Julian day (32 bits); wraps as arrow-rs does.
template <u64 UnitsPerDay, i64 NanosPerUnit>
struct From96 : AnyLength<u64> {
    template <class Source>
    STAFFA_DEVICE static u64 get(const Source& source, u32 value, const fixed_args&) {
        constexpr i64 EPOCH = 2440588;  // Julian day of 1970-01-01
        const i64 nanos = i64(load_le64(source.at(value)));
        const i64 day = i32(load_le32(source.at(value) + 8));
        return u64(day - EPOCH) * UnitsPerDay + u64(nanos / NanosPerUnit);
    }
};

// Big-endian two's complement of 1 to sizeof(Out) bytes: decimals.
template <class Out>
struct BigEndian {
    using Output = Out;
    template <class Source>
    STAFFA_DEVICE static u32 check(const Source& source, u32 value, const fixed_args&) {
        const u32 length = source.length(value);
        return length == 0 || length > sizeof(Out) ? ERROR_DECIMAL_WIDTH : ERROR_NONE;
    }
    template <class Source>
    STAFFA_DEVICE static Out get(const Source& source, u32 value, const fixed_args&) {
        const u32 length = source.length(value);
        if constexpr (sizeof(Out) <= 8) {
            return Out(source.big_endian(value, 0, length));
        } else {
            Out out;
            u64 sign = 0;
            u32 left = length;
#pragma unroll
            for (u32 i = 0; i < sizeof(Out) / 8; ++i) {  // from the least significant end
                const u32 count = smaller(left, 8u);
                left -= count;
                out.limb[i] = count == 0 ? sign : source.big_endian(value, left, count);
                sign = u64(i64(out.limb[i]) >> 63);
            }
            return out;
        }
    }
};

}  // namespace staffa::parquet
