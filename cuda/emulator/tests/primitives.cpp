// The primitives against what CUDA documents.
#include "harness.h"

namespace {
using Expect = std::function<u64(u64)>;

void compare(const std::vector<u64>& out, u64 lanes, const std::vector<Expect>& expected) {
    for (size_t op = 0; op < expected.size(); ++op) {
        for (u64 l = 0; l < lanes; ++l) {
            if (out[op * lanes + l] == expected[op](l)) continue;
            throw Failure("operation " + std::to_string(op) + ", lane " + std::to_string(l) + ": " +
                          std::to_string(out[op * lanes + l]) + ", not " + std::to_string(expected[op](l)));
        }
    }
}
u64 below(u64 l) { return (1ull << l) - 1; }
}  // namespace

TEST_CASE(primitive_warp) {
    const Session s;
    const Buffer<u64> out(32 * 21, 0);
    launch(s.function("primitive_warp"), {1, 32}, out.address);
    compare(out.read(), 32,
            {
                [](u64) { return 30; },
                [](u64 l) { return (l + 5) % 32 * 10; },
                [](u64 l) { return l / 8 * 8 + 1; },
                [](u64 l) { return l < 2 ? l : l - 2; },
                [](u64 l) { return l % 16 < 3 ? l : l - 3; },
                [](u64 l) { return l > 29 ? l : l + 2; },
                [](u64 l) { return l % 8 > 4 ? l : l + 3; },
                [](u64 l) { return l ^ 5; },
                [](u64 l) { return (l ^ 1) << 40; },
                [](u64) { return 0x49249249u; },
                [](u64) { return 1; },
                [](u64) { return 0; },
                [](u64 l) { return 0xfull << (l / 4 * 4); },
                [](u64 l) { return l % 2 ? 0xaaaaaaaau : 0x55555555u; },
                [](u64 l) { return (l ^ 2) - 1; },
                [](u64 l) { return (l + 1) * (l + 2) / 2; },
                [](u64 l) { return l * (l + 1) / 2; },
                [](u64) { return 31; },
                [](u64 l) { return u64(__builtin_popcountll(0xf0f0f0f0u & below(l))); },
                [](u64 l) { return below(l); },
                [](u64 l) { return below(l + 1); },
            });
}

TEST_CASE(primitive_bits) {
    const Session s;
    const u64 a = 0x0123456789abcde0ull, b = 0xfedcba9876543210ull;
    const Buffer<u64> in(std::vector<u64>{a, b}), out(21, 0);
    launch(s.function("primitive_bits"), {1, 1}, in.address, out.address);
    const u32 x = u32(a), y = u32(b);
    u64 reversed = 0;
    for (u32 i = 0; i < 64; ++i) reversed |= (a >> i & 1) << (63 - i);
    u32 reversed32 = 0;
    for (u32 i = 0; i < 32; ++i) reversed32 |= (x >> i & 1) << (31 - i);
    const u64 yx = u64(y) << 32 | x;
    const u8* const bytes = reinterpret_cast<const u8*>(&a);
    u32 unaligned;
    std::memcpy(&unaligned, bytes + 3, 4);
    const std::vector<u64> expected{
        u64(__builtin_popcount(x)), u64(__builtin_popcountll(a)), u64(__builtin_clz(x)), u64(__builtin_clzll(a)),
        u64(__builtin_ctz(x)), u64(__builtin_ctzll(a)), u64(__builtin_ffs(int(x))), u64(__builtin_ffsll(i64(a))),
        reversed32, reversed, 32, 64, 32, 0, u32(yx >> 7), u32((yx << 7) >> 32),
        // Selector 0x7250: byte 0 of a, byte 1 of b, byte 2 of a, byte 3 of b.
        (x & 0xff) | (y >> 8 & 0xff) << 8 | (x >> 16 & 0xff) << 16 | u64(y >> 24) << 24,
        u64(x) * y >> 32, u64((unsigned __int128)a * b >> 64), 0x3ff8000000000000ull, unaligned};
    const auto result = out.read();
    for (size_t i = 0; i < expected.size(); ++i) {
        if (result[i] != expected[i]) throw Failure("operation " + std::to_string(i) + " gives " + std::to_string(result[i]) + ", not " + std::to_string(expected[i]));
    }
}

TEST_CASE(primitive_block) {
    const Session s;
    const Buffer<u64> out(96 * 8, 0);
    launch(s.function("primitive_block"), {1, 96}, out.address);
    u64 greatest = 0;
    for (u64 t = 0; t < 96; ++t) greatest = std::max(greatest, t * 3 % 97);
    compare(out.read(), 96,
            {
                [](u64) { return 1; },
                [](u64) { return 0; },
                [](u64) { return 1; },
                [](u64) { return 20; },
                [](u64 t) { return t * (t + 1) / 2; },
                [](u64 t) { return t == 0 ? 7 : t * (t - 1) / 2; },
                [&](u64) { return greatest; },
                [](u64) { return 95 * 96 / 2; },
            });
}

TEST_CASE(primitive_atomic) {
    const Session s;
    std::vector<u64> w(80, 0);
    w[1] = 1000, w[4] = ~0ull, w[6] = 1, w[7] = 7;
    std::vector<u32> v(9, 0);
    v[1] = 1000, v[4] = ~0u, v[6] = 1, v[7] = 7;
    const Buffer<u64> bw(w);
    const Buffer<u32> bv(v);
    const Buffer<i64> bs(std::vector<i64>{0, 5, -1000});
    const Buffer<i32> br(std::vector<i32>{0, 5, -1000});
    launch(s.function("primitive_atomic"), {1, 64}, bw.address, bv.address, bs.address, br.address);
    w = bw.read();
    v = bv.read();
    const std::vector<u64> expect_w{2016, 37, 63, ~0ull, 0, ~0ull, 9, 8, 64};
    for (size_t i = 0; i < expect_w.size(); ++i) CHECK_EQ(w[i], expect_w[i]);
    CHECK(w[9] >= 1 && w[9] <= 64);
    for (u64 t = 0; t < 64; ++t) CHECK_EQ(w[10 + t], t);
    const std::vector<u32> expect_v{2016, 37, 63, ~0u, 0, 0, 9, 8, 4};
    for (size_t i = 0; i < expect_v.size(); ++i) CHECK_EQ(v[i], expect_v[i]);
    CHECK(bs.read() == (std::vector<i64>{-2016, -63, -37}));
    CHECK(br.read() == (std::vector<i32>{-2016, -63, -37}));
}
