// Bits and wide arithmetic.
//
//   popc(x)  clz(x)  ctz(x)  ffs(x)  brev(x)      u32 and u64; ctz(0) and clz(0) are the width, ffs(0) is 0
//   funnel_shift_right(low, high, n)   bits n.. of high:low, low 32; n modulo 32
//   funnel_shift_left(low, high, n)    high 32 bits of high:low << n; n modulo 32
//   byte_perm(a, b, selector)          four bytes chosen from b:a by the selector's nibbles
//   mul_high(a, b)                     high half of the product, u32 and u64
#pragma once
#include "staffa/launch.cuh"

namespace staffa {

#if STAFFA_EMULATED

STAFFA_DEVICE u32 popc(u32 x) { return static_cast<u32>(__builtin_popcount(x)); }
STAFFA_DEVICE u32 popc(u64 x) { return static_cast<u32>(__builtin_popcountll(x)); }
STAFFA_DEVICE u32 clz(u32 x) { return x ? static_cast<u32>(__builtin_clz(x)) : 32; }
STAFFA_DEVICE u32 clz(u64 x) { return x ? static_cast<u32>(__builtin_clzll(x)) : 64; }
STAFFA_DEVICE u32 ffs(u32 x) { return static_cast<u32>(__builtin_ffs(static_cast<int>(x))); }
STAFFA_DEVICE u32 ffs(u64 x) { return static_cast<u32>(__builtin_ffsll(static_cast<long long>(x))); }
STAFFA_DEVICE u32 brev(u32 x) {
    x = ((x >> 1) & 0x55555555u) | ((x & 0x55555555u) << 1);
    x = ((x >> 2) & 0x33333333u) | ((x & 0x33333333u) << 2);
    x = ((x >> 4) & 0x0f0f0f0fu) | ((x & 0x0f0f0f0fu) << 4);
    return __builtin_bswap32(x);
}
STAFFA_DEVICE u64 brev(u64 x) { return (u64(brev(u32(x))) << 32) | brev(u32(x >> 32)); }
STAFFA_DEVICE u32 funnel_shift_right(u32 low, u32 high, u32 n) {
    return static_cast<u32>(((u64(high) << 32) | low) >> (n & 31));
}
STAFFA_DEVICE u32 funnel_shift_left(u32 low, u32 high, u32 n) {
    return static_cast<u32>((((u64(high) << 32) | low) << (n & 31)) >> 32);
}
STAFFA_DEVICE u32 byte_perm(u32 a, u32 b, u32 selector) {
    const u64 bytes = (u64(b) << 32) | a;
    u32 out = 0;
    for (u32 i = 0; i < 4; ++i) {
        const u32 nibble = (selector >> (4 * i)) & 0xf;
        u32 byte = static_cast<u32>(bytes >> (8 * (nibble & 7))) & 0xff;
        if (nibble & 8) byte = (byte & 0x80) ? 0xff : 0;  // the sign bit, replicated
        out |= byte << (8 * i);
    }
    return out;
}
STAFFA_DEVICE u32 mul_high(u32 a, u32 b) { return static_cast<u32>((u64(a) * b) >> 32); }
STAFFA_DEVICE u64 mul_high(u64 a, u64 b) { return static_cast<u64>((u128(a) * b) >> 64); }

#else

STAFFA_DEVICE u32 popc(u32 x) { return static_cast<u32>(__popc(x)); }
STAFFA_DEVICE u32 popc(u64 x) { return static_cast<u32>(__popcll(x)); }
STAFFA_DEVICE u32 clz(u32 x) { return static_cast<u32>(__clz(static_cast<int>(x))); }
STAFFA_DEVICE u32 clz(u64 x) { return static_cast<u32>(__clzll(static_cast<long long>(x))); }
STAFFA_DEVICE u32 ffs(u32 x) { return static_cast<u32>(__ffs(static_cast<int>(x))); }
STAFFA_DEVICE u32 ffs(u64 x) { return static_cast<u32>(__ffsll(static_cast<long long>(x))); }
STAFFA_DEVICE u32 brev(u32 x) { return __brev(x); }
STAFFA_DEVICE u64 brev(u64 x) { return __brevll(x); }
STAFFA_DEVICE u32 funnel_shift_right(u32 low, u32 high, u32 n) { return __funnelshift_r(low, high, n); }
STAFFA_DEVICE u32 funnel_shift_left(u32 low, u32 high, u32 n) { return __funnelshift_l(low, high, n); }
STAFFA_DEVICE u32 byte_perm(u32 a, u32 b, u32 selector) { return __byte_perm(a, b, selector); }
STAFFA_DEVICE u32 mul_high(u32 a, u32 b) { return __umulhi(a, b); }
STAFFA_DEVICE u64 mul_high(u64 a, u64 b) { return __umul64hi(a, b); }

#endif

STAFFA_DEVICE u32 ctz(u32 x) { return x ? ffs(x) - 1 : 32; }
STAFFA_DEVICE u32 ctz(u64 x) { return x ? ffs(x) - 1 : 64; }

// How many lanes of mask are below this one: a lane's place in a compacted output.
STAFFA_DEVICE u32 rank_in(u32 mask) { return popc(mask & ((1u << lane()) - 1)); }
// The lowest lane of a mask that is not empty.
STAFFA_DEVICE u32 leader_of(u32 mask) { return ffs(mask) - 1; }

}  // namespace staffa
