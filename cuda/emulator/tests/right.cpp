// Right programs: the answers must not depend on the seed, the architecture, or a sanitizer.
#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "harness.h"

TEST_CASE(right_scale) {
    const Session s;
    const std::vector<u32> in = numbers(10007, 1000);
    const Buffer<u32> a(in), b(in.size(), 0);
    launch(s.function("right_scale"), {7, 256}, a.address, b.address, 3u, u64(in.size()));
    const auto out = b.read();
    for (size_t i = 0; i < in.size(); ++i) CHECK_EQ(out[i], in[i] * 3);
    CHECK_EQ(counter("findings"), 0);
    CHECK_EQ(counter("launches"), 1);
    CHECK_EQ(counter("threads"), 7 * 256);
}

TEST_CASE(right_scan) {
    const Session s;
    for (const u64 rows : {1, 255, 256, 257, 5000, 20011}) {
        const std::vector<u32> in = numbers(rows, 100000, rows);
        const u64 tiles = (rows + 255) / 256;
        const Buffer<u32> a(in), tickets(1, 0);
        const Buffer<u64> out(rows, 0xff), words(tiles, 0);
        launch(s.function("right_scan"), {u32(tiles), 256}, a.address, out.address, tickets.address, words.address, rows);
        const auto result = out.read();
        u64 sum = 0;
        for (u64 i = 0; i < rows; ++i) {
            CHECK_EQ(result[i], sum);
            sum += in[i];
        }
    }
    CHECK_EQ(counter("findings"), 0);
}

TEST_CASE(right_histogram) {
    const Session s;
    const std::vector<u32> in = numbers(20000, 1u << 30);
    const Buffer<u32> a(in), bins(64, 0);
    launch(s.function("right_histogram"), {9, 128}, a.address, bins.address, u64(in.size()));
    std::vector<u32> expected(64);
    for (const u32 v : in) ++expected[v % 64];
    CHECK(bins.read() == expected);
}

TEST_CASE(right_reduce) {
    const Session s;
    std::vector<i64> in;
    for (const u32 v : numbers(3001, 2000000)) in.push_back(i64(v) - 1000000);
    const Buffer<i64> a(in);
    const Buffer<i64> result(std::vector<i64>{0, INT64_MAX, INT64_MIN});
    launch(s.function("right_reduce"), {12, 256}, a.address, result.address, result.address + 8, result.address + 16, u64(in.size()));
    const auto out = result.read();
    CHECK_EQ(out[0], std::accumulate(in.begin(), in.end(), i64(0)));
    CHECK_EQ(out[1], *std::min_element(in.begin(), in.end()));
    CHECK_EQ(out[2], *std::max_element(in.begin(), in.end()));
}

TEST_CASE(right_distinct) {
    const Session s;
    std::vector<u64> keys;
    for (const u32 v : numbers(4000, 700)) keys.push_back(v + 1);
    const Buffer<u64> a(keys), slots(1024, 0);
    const Buffer<u32> distinct(1, 0);
    launch(s.function("right_distinct"), {32, 128}, a.address, slots.address, 1024u, distinct.address, u64(keys.size()));
    CHECK_EQ(distinct.read()[0], std::set<u64>(keys.begin(), keys.end()).size());
}

TEST_CASE(right_flag) {
    const Session s;
    const Buffer<u32> tickets(1, 0), flag(1, 0);
    const Buffer<u64> data(64, 0), out(8 * 64, 0);
    launch(s.function("right_flag"), {8, 64}, tickets.address, flag.address, data.address, out.address);
    const auto result = out.read();
    for (u64 b = 1; b < 8; ++b) {
        for (u64 t = 0; t < 64; ++t) CHECK_EQ(result[b * 64 + t], (1000 + t) * b);
    }
}

TEST_CASE(right_copy_async) {
    const Session s;
    std::vector<u32> in(5 * 32 * 4);
    std::iota(in.begin(), in.end(), 0);
    const Buffer<u32> a(in), b(in.size(), 0);
    launch(s.function("right_copy_async"), {1, 32}, a.address, b.address, 5u);
    const auto out = b.read();
    for (u32 stage = 0; stage < 5; ++stage) {
        for (u32 l = 0; l < 32; ++l) CHECK_EQ(out[(stage * 32 + l) * 4], (stage * 32 + 31 - l) * 4);
    }
}

TEST_CASE(right_dynamic_shared) {
    const Session s;
    const Handle f = s.function("right_dynamic_shared");
    for (const u32 bytes : {64u, 4096u, 48u << 10, 60u << 10}) {
        if (bytes > 48u << 10) OK((call<int, Handle, int, int>("cuFuncSetAttribute", f, 8, int(bytes))));
        const Buffer<u32> out(3, 0);
        // The helper's static 32 bytes come on top: at the limit that is too much.
        const u32 dynamic = bytes == 48u << 10 ? bytes - 1024 : bytes;
        launch(f, {3, 256, dynamic}, out.address);
        u32 expected = 0;
        for (u32 i = 0; i < dynamic / 4; ++i) expected += i * 3;
        for (const u32 v : out.read()) CHECK_EQ(v, expected);
    }
}

TEST_CASE(right_local) {
    const Session s;
    const Buffer<u32> out(4 * 256, 0);
    launch(s.function("right_local"), {4, 256}, out.address, 8u);
    const auto result = out.read();
    for (u32 t = 0; t < 256; ++t) {
        u32 local[16], sum = 0;
        for (u32 i = 0; i < 16; ++i) local[i] = t + i;
        for (u32 r = 0; r < 8; ++r) local[r % 16] = local[(r + 1) % 16] + 1;
        for (const u32 v : local) sum += v;
        for (u32 b = 0; b < 4; ++b) CHECK_EQ(result[b * 256 + t], sum);
    }
}

TEST_CASE(right_macro_kernels) {
    const Session s;
    const Buffer<double> a(std::vector<double>{1.5, -2.0, 0.0}), b(3, 0);
    launch(s.function("right_negate_f64"), {1, 128}, a.address, b.address, u64(3));
    CHECK_EQ(b.read()[0], -1.5);
    CHECK_EQ(b.read()[1], 2.0);
    const Buffer<i64> c(std::vector<i64>{5, 0}), d(2, 0);
    launch(s.function("right_negate_i128"), {1, 128}, c.address, d.address, u64(1));
    CHECK_EQ(d.read()[0], -5);
    CHECK_EQ(d.read()[1], -1);
    int threads = 0;
    OK((call<int, int*, int, Handle>("cuFuncGetAttribute", &threads, 0, s.function("right_negate_i64"))));
    CHECK_EQ(threads, 128);
}

// Two streams that only an event orders, with memory from the pool.
TEST_CASE(right_streams) {
    const Session s;
    Handle one, two, event;
    OK((call<int, Handle*, unsigned>("cuStreamCreate", &one, 1u)));
    OK((call<int, Handle*, unsigned>("cuStreamCreate", &two, 1u)));
    OK((call<int, Handle*, unsigned>("cuEventCreate", &event, 2u)));
    const u64 rows = 3000;
    u32* pinned = nullptr;
    OK((call<int, void**, size_t, unsigned>("cuMemHostAlloc", reinterpret_cast<void**>(&pinned), rows * 8, 0u)));
    for (u32 round = 0; round < 5; ++round) {
        for (u32 i = 0; i < rows; ++i) pinned[i] = i + round;
        Ptr a, b;
        OK((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &a, rows * 4, one)));
        OK((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &b, rows * 4, one)));
        OK((call<int, Ptr, const void*, size_t, Handle>("cuMemcpyHtoDAsync_v2", a, pinned, rows * 4, one)));
        OK((try_launch(s.function("right_scale"), {3, 256}, one, a, b, 2u, rows)));
        OK((call<int, Handle, Handle>("cuEventRecord", event, one)));
        OK((call<int, Handle, Handle, unsigned>("cuStreamWaitEvent", two, event, 0u)));
        OK((try_launch(s.function("right_scale"), {3, 256}, two, b, b, 5u, rows)));
        OK((call<int, void*, Ptr, size_t, Handle>("cuMemcpyDtoHAsync_v2", pinned + rows, b, rows * 4, two)));
        OK((call<int, Ptr, Handle>("cuMemFreeAsync", b, two)));
        OK((call<int, Ptr, Handle>("cuMemFreeAsync", a, two)));
        OK((call<int, Handle>("cuStreamSynchronize", two)));
        for (u32 i = 0; i < rows; ++i) CHECK_EQ(pinned[rows + i], (i + round) * 10);
    }
    OK((call<int, void*>("cuMemFreeHost", pinned)));
    OK((call<int, Handle>("cuEventDestroy_v2", event)));
    OK((call<int, Handle>("cuStreamDestroy_v2", one)));
    OK((call<int, Handle>("cuStreamDestroy_v2", two)));
    CHECK_EQ(counter("findings"), 0);
    CHECK_EQ(counter("live_bytes"), 0);
}

// Host threads with a stream each: what one thread computed, the next reads after an event.
TEST_CASE(right_many_threads) {
    const Session s;
    constexpr u32 kThreads = 4, kRounds = 12;
    const u64 rows = 500;
    std::vector<std::string> failures(kThreads);
    std::vector<std::thread> threads;
    for (u32 t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            try {
                OK((call<int, Handle>("cuCtxSetCurrent", s.context)));
                Handle copies, kernels, event;
                OK((call<int, Handle*, unsigned>("cuStreamCreate", &copies, 1u)));
                OK((call<int, Handle*, unsigned>("cuStreamCreate", &kernels, t % 2)));
                OK((call<int, Handle*, unsigned>("cuEventCreate", &event, 2u)));
                for (u32 round = 0; round < kRounds; ++round) {
                    Ptr d;
                    const std::vector<u32> in = numbers(rows, 1000, t * 100 + round);
                    OK((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &d, rows * 4, copies)));
                    OK((call<int, Ptr, const void*, size_t, Handle>("cuMemcpyHtoDAsync_v2", d, in.data(), rows * 4, copies)));
                    OK((call<int, Handle, Handle>("cuEventRecord", event, copies)));
                    OK((call<int, Handle, Handle, unsigned>("cuStreamWaitEvent", kernels, event, 0u)));
                    OK((try_launch(s.function("right_scale"), {1, 128}, kernels, d, d, t + 2, rows)));
                    OK((call<int, Handle, Handle>("cuEventRecord", event, kernels)));
                    OK((call<int, Handle, Handle, unsigned>("cuStreamWaitEvent", copies, event, 0u)));
                    std::vector<u32> out(rows);
                    OK((call<int, void*, Ptr, size_t, Handle>("cuMemcpyDtoHAsync_v2", out.data(), d, rows * 4, copies)));
                    for (u64 i = 0; i < rows; ++i) CHECK_EQ(out[i], in[i] * (t + 2));
                    OK((call<int, Ptr, Handle>("cuMemFreeAsync", d, copies)));
                }
                OK((call<int, Handle>("cuStreamSynchronize", copies)));
                OK((call<int, Handle>("cuStreamDestroy_v2", copies)));
                OK((call<int, Handle>("cuStreamDestroy_v2", kernels)));
                OK((call<int, Handle>("cuEventDestroy_v2", event)));
            } catch (const std::exception& e) {
                failures[t] = e.what();
            }
        });
    }
    for (std::thread& t : threads) t.join();
    for (const std::string& f : failures) {
        if (!f.empty()) throw Failure(f);
    }
    CHECK_EQ(counter("findings"), 0);
    CHECK_EQ(counter("live_bytes"), 0);
}
