// Operations within a warp. The mask comes first, as in CUDA; kFullMask is all 32 lanes.
//
//   shfl(mask, value, lane, width)       the value of a lane (modulo width)
//   shfl_up / shfl_down / shfl_xor(mask, value, delta, width)
//   ballot(mask, p)  any(mask, p)  all(mask, p)
//   match_any(mask, value)               mask of the lanes that hold the same value (4 or 8 bytes)
//   lanes_below() / lanes_up_to()        masks relative to this lane
//   rank_in(mask)                        how many lanes of mask are below this one
//   leader_of(mask)                      the lowest lane of mask
//
// Values are trivially copyable, 1 to 16 bytes (so __int128 too).
//
// Stricter than hardware, in the emulator: the caller is in its own mask; every lane of the mask exists,
// has not returned, and comes to the same call with the same mask; a lane that is read from is in the
// mask. None of these orders memory accesses: use warp_sync for that.
#pragma once
#include "staffa/launch.cuh"

namespace staffa {

namespace detail {

template <class T> constexpr bool is_wide = false;
template <> constexpr bool is_wide<i128> = true;
template <> constexpr bool is_wide<u128> = true;

// Moves a value of up to 16 bytes word by word.
template <class T, class Move>
STAFFA_DEVICE T move_words(const T& value, Move move) {
    static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes");
    constexpr u32 kWords = (sizeof(T) + 3) / 4;
    if constexpr (is_wide<T>) {  // by shifts: memcpy of an __int128 gets a stack frame
        const u128 v = static_cast<u128>(value);
        const u64 low = u64(move(u32(v))) | u64(move(u32(v >> 32))) << 32;
        const u64 high = u64(move(u32(v >> 64))) | u64(move(u32(v >> 96))) << 32;
        return static_cast<T>(u128(high) << 64 | low);
    } else {
        u32 words[kWords] = {};
        memcpy(words, &value, sizeof(T));
#pragma unroll
        for (u32 i = 0; i < kWords; ++i) words[i] = move(words[i]);
        T out;
        memcpy(&out, words, sizeof(T));
        return out;
    }
}

}  // namespace detail

template <class T>
STAFFA_DEVICE T shfl(u32 mask, T value, u32 source, u32 width = kWarp, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::shuffle(::staffa_emulated::WarpOp::shfl, mask, value, source, width, site);
#else
    return detail::move_words(value, [&](u32 w) { return __shfl_sync(mask, w, source, width); });
#endif
}

template <class T>
STAFFA_DEVICE T shfl_up(u32 mask, T value, u32 delta, u32 width = kWarp, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::shuffle(::staffa_emulated::WarpOp::shfl_up, mask, value, delta, width, site);
#else
    return detail::move_words(value, [&](u32 w) { return __shfl_up_sync(mask, w, delta, width); });
#endif
}

template <class T>
STAFFA_DEVICE T shfl_down(u32 mask, T value, u32 delta, u32 width = kWarp, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::shuffle(::staffa_emulated::WarpOp::shfl_down, mask, value, delta, width, site);
#else
    return detail::move_words(value, [&](u32 w) { return __shfl_down_sync(mask, w, delta, width); });
#endif
}

template <class T>
STAFFA_DEVICE T shfl_xor(u32 mask, T value, u32 bits, u32 width = kWarp, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::shuffle(::staffa_emulated::WarpOp::shfl_xor, mask, value, bits, width, site);
#else
    return detail::move_words(value, [&](u32 w) { return __shfl_xor_sync(mask, w, bits, width); });
#endif
}

STAFFA_DEVICE u32 ballot(u32 mask, bool predicate, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::vote(::staffa_emulated::WarpOp::ballot, mask, predicate, site);
#else
    return __ballot_sync(mask, predicate);
#endif
}

STAFFA_DEVICE bool any(u32 mask, bool predicate, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::vote(::staffa_emulated::WarpOp::any, mask, predicate, site) != 0;
#else
    return __any_sync(mask, predicate) != 0;
#endif
}

STAFFA_DEVICE bool all(u32 mask, bool predicate, [[maybe_unused]] Site site = STAFFA_HERE) {
#if STAFFA_EMULATED
    return ::staffa_emulated::vote(::staffa_emulated::WarpOp::all, mask, predicate, site) != 0;
#else
    return __all_sync(mask, predicate) != 0;
#endif
}

template <class T>
STAFFA_DEVICE u32 match_any(u32 mask, T value, [[maybe_unused]] Site site = STAFFA_HERE) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "match_any compares 4 or 8 bytes");
#if STAFFA_EMULATED
    return ::staffa_emulated::match_any(mask, value, site);
#else
    if constexpr (sizeof(T) == 4) {
        return __match_any_sync(mask, bit_cast<unsigned>(value));
    } else {
        return __match_any_sync(mask, bit_cast<unsigned long long>(value));
    }
#endif
}

STAFFA_DEVICE u32 lanes_below() { return (1u << lane()) - 1; }
STAFFA_DEVICE u32 lanes_up_to() { return kFullMask >> (kWarp - 1 - lane()); }

}  // namespace staffa
