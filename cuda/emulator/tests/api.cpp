// What host code may do wrong, what the driver answers, and faults on demand.
#include <atomic>
#include <chrono>
#include <thread>

#include "harness.h"

namespace {

u32* pinned(u64 words) {
    void* p = nullptr;
    OK((call<int, void**, size_t, unsigned>("cuMemHostAlloc", &p, words * 4, 0u)));
    return static_cast<u32*>(p);
}
int free_pinned(void* p) { return call<int, void*>("cuMemFreeHost", p); }
Handle stream(unsigned flags = 1) {
    Handle s = nullptr;
    OK((call<int, Handle*, unsigned>("cuStreamCreate", &s, flags)));
    return s;
}
int to_device_async(Ptr to, const void* from, u64 bytes, Handle s) {
    return call<int, Ptr, const void*, size_t, Handle>("cuMemcpyHtoDAsync_v2", to, from, bytes, s);
}
int to_host_async(void* to, Ptr from, u64 bytes, Handle s) {
    return call<int, void*, Ptr, size_t, Handle>("cuMemcpyDtoHAsync_v2", to, from, bytes, s);
}
int wait(Handle s) { return call<int, Handle>("cuStreamSynchronize", s); }
void faults(const char* plan) { call<void, const char*>("staffaEmulatorPlanFaults", plan); }
int arch() { int major = 0; OK((call<int, int*, int, int>("cuDeviceGetAttribute", &major, 75, 0))); return major; }

}  // namespace

// A pinned source is read when the copy runs: overwriting it too early shows.
TEST_CASE(api_pinned_source_overwritten) {
    const Session s;
    const Handle st = stream();
    const Buffer<u32> d(4, 0);
    OK(synchronize());
    u32* const p = pinned(4);
    p[0] = 1;
    OK(to_device_async(d.address, p, 16, st));
    p[0] = 2;
    OK(wait(st));
    CHECK_EQ(d.read()[0], 2);
    OK(free_pinned(p));
}

// A pageable source is read during the call.
TEST_CASE(api_pageable_source_is_staged) {
    const Session s;
    const Handle st = stream();
    const Buffer<u32> d(4, 0);
    OK(synchronize());
    u32 source[4] = {1, 2, 3, 4};
    OK(to_device_async(d.address, source, 16, st));
    source[0] = 9;
    OK(wait(st));
    CHECK_EQ(d.read()[0], 1);
    CHECK_EQ(counter("staged_bytes"), 16);
}

// Nothing has arrived in a pinned target before somebody waits.
TEST_CASE(api_pinned_target_read_early) {
    const Session s;
    const Handle st = stream();
    const Buffer<u32> d(std::vector<u32>{7, 7, 7, 7});
    OK(synchronize());
    u32* const p = pinned(4);
    p[0] = 1;
    OK(to_host_async(p, d.address, 16, st));
    CHECK_EQ(p[0], 1);
    OK(wait(st));
    CHECK_EQ(p[0], 7);
    OK(free_pinned(p));
}

TEST_CASE(api_pinned_source_freed) {
    const Session s;
    const Handle st = stream();
    const Buffer<u32> d(4, 0);
    u32* const p = pinned(4);
    OK(to_device_async(d.address, p, 16, st));
    OK(free_pinned(p));
    expect_finding("freed while in use: cuMemFreeHost of host memory that a queued cuMemcpyHtoDAsync still uses");
}

// A plain copy is not ordered with a non-blocking stream (here: the copy waits for its turn).
TEST_CASE(seed_copy_against_stream) {
    const Session s;
    const Handle st = stream(1);
    const std::vector<u32> in(64, 5);
    const Buffer<u32> a(64, 0), b(64, 0);
    OK(synchronize());
    OK(to_device(a.address, in.data(), 256));
    OK((try_launch(s.function("right_scale"), {1, 64}, st, a.address, b.address, 2u, u64(64))));
    OK(wait(st));
    CHECK_EQ(b.read()[0], 10);
}

TEST_CASE(seed_event_forgotten) {
    const Session s;
    const Handle one = stream(), two = stream();
    const Buffer<u32> a(std::vector<u32>(64, 1)), b(64, 0);
    OK(synchronize());
    OK((try_launch(s.function("right_scale"), {1, 64}, one, a.address, a.address, 2u, u64(64))));
    OK((try_launch(s.function("right_scale"), {1, 64}, two, a.address, b.address, 5u, u64(64))));
    OK(wait(two));
    CHECK_EQ(b.read()[0], 10);
}

TEST_CASE(api_use_after_free_async) {
    const Session s;
    const Handle st = stream();
    Ptr a = 0;
    OK((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &a, size_t(64), st)));
    OK((call<int, Ptr, Handle>("cuMemFreeAsync", a, st)));
    CHECK_EQ((call<int, Ptr, unsigned char, size_t, Handle>("cuMemsetD8Async", a, 0, size_t(64), st)), 1);
    expect_finding("use after free");
    OK(wait(st));
    CHECK_EQ((call<int, Ptr, Handle>("cuMemFreeAsync", a, st)), 1);
    expect_finding("double free");
}

TEST_CASE(api_double_free) {
    const Session s;
    Ptr a = 0;
    OK(allocate(&a, 100));
    OK(release(a));
    CHECK_EQ(release(a), 1);
    expect_finding("double free: cuMemFree of byte 0 of freed allocation");
    CHECK_EQ(release(a + 8), 1);
    expect_finding("bad free");
    u32* const p = pinned(4);
    OK(free_pinned(p));
    CHECK_EQ(free_pinned(p), 1);
    expect_finding("double free: cuMemFreeHost");
}

TEST_CASE(api_leak) {
    {
        const Session s;
        Ptr a = 0;
        OK(allocate(&a, 1000));
        pinned(10);
        OK((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &a, size_t(64), nullptr)));
        CHECK_EQ(counter("leaked_allocations"), 0);
    }
    CHECK_EQ(counter("leaked_allocations"), 3);
    CHECK_EQ(counter("leaked_bytes"), 1104);
    CHECK_EQ(counter("live_bytes"), 0);
}

TEST_CASE(api_bad_ranges) {
    const Session s;
    const Buffer<u32> d(4, 0);
    u32 host[8] = {};
    CHECK_EQ(to_device(d.address, host, 32), 1);
    expect_finding("bad range: cuMemcpyHtoD of 32 bytes");
    CHECK_EQ(to_host(host, d.address + 16, 4), 1);
    CHECK_EQ(to_device(12345, host, 4), 1);
    OK(to_device(d.address, host, 0));
}

// After a sticky error every call fails, on every thread; only a reset helps.
TEST_CASE(api_sticky) {
    const Session s;
    const Buffer<u32> d(4, 0);
    const Handle st = stream(), f = s.function("right_scale");
    u32* const p = pinned(4);
    OK(synchronize());
    launch(f, {1, 32}, Ptr(65536), d.address, 1u, u64(4));
    CHECK_EQ(wait(st), 0);  // another stream: nothing has failed yet
    CHECK_EQ(synchronize(), 700);
    Ptr a = 0;
    CHECK_EQ(allocate(&a, 4), 700);
    CHECK_EQ(wait(st), 700);
    CHECK_EQ(to_device(d.address, p, 4), 700);
    CHECK_EQ((try_launch(f, {1, 32}, nullptr, d.address, d.address, 1u, u64(4))), 700);
    CHECK_EQ(free_pinned(p), 700);
    CHECK_EQ((call<int, Handle>("cuStreamDestroy_v2", st)), 700);
    std::thread([&] {
        OK((call<int, Handle>("cuCtxSetCurrent", s.context)));
        CHECK_EQ(synchronize(), 700);
    }).join();
    OK((call<int, int>("cuDevicePrimaryCtxReset_v2", 0)));
    OK(synchronize());
    CHECK_EQ(counter("live_bytes"), 0);
    CHECK_EQ(counter("leaked_allocations"), 0);  // nothing could be freed
}

// Work behind a failed kernel does not run, nor do its host functions.
TEST_CASE(api_sticky_drops_the_queue) {
    const Session s;
    static std::atomic<int> called;
    called = 0;
    launch(s.function("right_scale"), {1, 32}, Ptr(65536), Ptr(65536), 1u, u64(4));
    OK((call<int, Handle, void (*)(void*), void*>("cuLaunchHostFunc", nullptr, [](void*) { ++called; }, nullptr)));
    CHECK_EQ(synchronize(), 700);
    CHECK_EQ(called.load(), 0);
    OK((call<int, int>("cuDevicePrimaryCtxReset_v2", 0)));
}

TEST_CASE(api_host_function) {
    const Session s;
    static std::atomic<int> called, inner;
    called = 0;
    // It runs without anybody waiting for the stream.
    OK((call<int, Handle, void (*)(void*), void*>("cuLaunchHostFunc", stream(), [](void* data) {
            inner = call<int, Ptr, size_t>("cuMemFree_v2", 0, 0);
            called = *static_cast<int*>(data);
        }, new int(42))));
    for (int i = 0; i < 2000 && called == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    CHECK_EQ(called.load(), 42);
    CHECK_EQ(inner.load(), 800);  // no CUDA calls in there
    expect_finding("host function");
}

TEST_CASE(api_queries_make_progress) {
    const Session s;
    const Handle st = stream();
    Handle event;
    OK((call<int, Handle*, unsigned>("cuEventCreate", &event, 0u)));
    const Buffer<u32> d(100, 0);
    OK((call<int, Handle, Handle>("cuEventRecord", event, st)));
    for (int i = 0; i < 6; ++i) {
        OK((call<int, Ptr, unsigned char, size_t, Handle>("cuMemsetD8Async", d.address, 0, size_t(400), st)));
    }
    Handle last;
    OK((call<int, Handle*, unsigned>("cuEventCreate", &last, 0u)));
    OK((call<int, Handle, Handle>("cuEventRecord", last, st)));
    int not_ready = 0;
    for (;;) {
        const int result = call<int, Handle>("cuEventQuery", last);
        if (result == 0) break;
        CHECK_EQ(result, 600);
        ++not_ready;
        CHECK(not_ready < 1000);
    }
    float ms = -1;
    OK((call<int, float*, Handle, Handle>("cuEventElapsedTime", &ms, event, last)));
    CHECK(ms >= 0);
}

TEST_CASE(api_stale_handles) {
    const Session s;
    const Handle st = stream();
    OK((call<int, Handle>("cuStreamDestroy_v2", st)));
    CHECK_EQ(wait(st), 400);
    expect_finding("bad handle");
    const Handle f = s.function("right_scale");
    OK((call<int, Handle>("cuModuleUnload", s.module)));
    CHECK_EQ((try_launch(f, {1, 1}, nullptr, Ptr(0), Ptr(0), 1u, u64(0))), 400);
    Handle none = nullptr;
    CHECK_EQ((call<int, Handle*, Handle, const char*>("cuModuleGetFunction", &none, s.module, "x")), 400);
}

TEST_CASE(api_names) {
    const Session s;
    Handle f = nullptr;
    CHECK_EQ((call<int, Handle*, Handle, const char*>("cuModuleGetFunction", &f, s.module, "no_such_kernel")), 500);
    const char* name = nullptr;
    OK((call<int, int, const char**>("cuGetErrorName", 719, &name)));
    CHECK_EQ(std::strcmp(name, "CUDA_ERROR_LAUNCH_FAILED"), 0);
    void* function = nullptr;
    int status = -1;
    OK((call<int, const char*, void**, int, uint64_t, int*>("cuGetProcAddress_v2", "cuMemAlloc", &function, 13000, 0, &status)));
    CHECK(function != nullptr);
    CHECK_EQ(status, 0);
    CHECK_EQ((call<int, const char*, void**, int, uint64_t, int*>("cuGetProcAddress_v2", "cuNothing", &function, 13000, 0, &status)), 500);
    CHECK_EQ(status, 1);
}

TEST_CASE(api_not_initialized) {
    Ptr a = 0;
    // This case runs in a process of its own.
    CHECK_EQ(allocate(&a, 16), 3);
    OK(call("cuInit", 0u));
    CHECK_EQ(allocate(&a, 16), 201);
}

TEST_CASE(api_launch_shapes) {
    const Session s;
    const Handle f = s.function("right_scale"), g = s.function("wrong_write_behind");
    const auto shape = [&](Handle k, Shape sh) { return try_launch(k, sh, nullptr, Ptr(0), Ptr(0), 1u, u64(0)); };
    OK(shape(f, {1, 256}));
    CHECK_EQ(shape(f, {1, 257}), 701);   // above the kernel's bounds
    CHECK_EQ(shape(f, {0, 32}), 1);
    CHECK_EQ(shape(f, {1, 0}), 1);
    CHECK_EQ(shape(g, {1, 1025}), 1);
    CHECK_EQ(shape(f, {1, 32, 48u << 10}), 0);
    CHECK_EQ(shape(f, {1, 32, (48u << 10) + 1}), 1);  // needs the opt-in
    OK(synchronize());
}

TEST_CASE(api_architecture_limits) {
    const Session s;
    const Handle f = s.function("right_dynamic_shared");
    const int limit = arch() >= 9 ? 227 << 10 : (arch() == 8 ? 163 << 10 : 64 << 10);
    int value = 0;
    OK((call<int, int*, int, int>("cuDeviceGetAttribute", &value, 97, 0)));
    CHECK_EQ(value, limit);
    CHECK_EQ((call<int, Handle, int, int>("cuFuncSetAttribute", f, 8, limit + 1)), 1);
    OK((call<int, Handle, int, int>("cuFuncSetAttribute", f, 8, limit)));
    OK((call<int, int*, int, Handle>("cuFuncGetAttribute", &value, 8, f)));
    CHECK_EQ(value, limit);
    const Buffer<u32> out(1, 0);
    OK((try_launch(f, {1, 256, u32(limit) - 1024}, nullptr, out.address)));
    OK(synchronize());
    // Static memory on top of all of it: too much, and only the launch can say so.
    OK((try_launch(f, {1, 256, u32(limit)}, nullptr, out.address)));
    CHECK_EQ(synchronize(), 701);
    OK((call<int, int>("cuDevicePrimaryCtxReset_v2", 0)));
    Handle m = nullptr, g = nullptr;
    OK((call<int, Handle*, const void*>("cuModuleLoadData", &m, "image")));
    OK((call<int, Handle*, Handle, const char*>("cuModuleGetFunction", &g, m, "right_dynamic_shared")));
    OK((call<int, int*, Handle, int, size_t>("cuOccupancyMaxActiveBlocksPerMultiprocessor", &value, g, 256, size_t(0))));
    CHECK_EQ(value, arch() == 7 ? 4 : 8);
}

TEST_CASE(api_faults) {
    const Session s;
    const Buffer<u32> d(4, 0);
    const Handle f = s.function("right_scale");
    Ptr a = 0, b = 0;
    faults("alloc:2=2,cuStreamCreate:1+=999,cuLaunchKernel:2=1");
    OK(allocate(&a, 16));
    CHECK_EQ((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &b, size_t(16), nullptr)), 2);
    OK((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &b, size_t(16), nullptr)));
    Handle st;
    CHECK_EQ((call<int, Handle*, unsigned>("cuStreamCreate", &st, 0u)), 999);
    CHECK_EQ((call<int, Handle*, unsigned>("cuStreamCreate", &st, 0u)), 999);
    OK((try_launch(f, {1, 32}, nullptr, d.address, d.address, 1u, u64(4))));
    CHECK_EQ((try_launch(f, {1, 32}, nullptr, d.address, d.address, 1u, u64(4))), 1);
    OK((try_launch(f, {1, 32}, nullptr, d.address, d.address, 1u, u64(4))));
    OK(synchronize());
    CHECK_EQ(counter("faults_injected"), 4);
    OK(release(a));
    OK(release(b));
    // Sticky ones stick, at the call or when the work runs.
    faults("cuLaunchKernel:1=719");
    CHECK_EQ((try_launch(f, {1, 32}, nullptr, d.address, d.address, 1u, u64(4))), 719);
    CHECK_EQ(synchronize(), 719);
    OK((call<int, int>("cuDevicePrimaryCtxReset_v2", 0)));
    Handle m = nullptr, g = nullptr;
    OK((call<int, Handle*, const void*>("cuModuleLoadData", &m, "image")));
    OK((call<int, Handle*, Handle, const char*>("cuModuleGetFunction", &g, m, "right_scale")));
    faults("kernel:2=700");
    OK((try_launch(g, {1, 32}, nullptr, Ptr(0), Ptr(0), 1u, u64(0))));
    OK((try_launch(g, {1, 32}, nullptr, Ptr(0), Ptr(0), 1u, u64(0))));
    CHECK_EQ(synchronize(), 700);
    faults("");
    OK((call<int, int>("cuDevicePrimaryCtxReset_v2", 0)));
}

TEST_CASE(api_memory_budget) {
    const Session s;
    size_t free_bytes = 0, total = 0;
    OK((call<int, size_t*, size_t*>("cuMemGetInfo_v2", &free_bytes, &total)));
    CHECK_EQ(free_bytes, total);
    Ptr a = 0, b = 0;
    CHECK_EQ(allocate(&a, total + 1), 2);
    OK(allocate(&a, total / 2));
    CHECK_EQ(allocate(&b, total / 2 + 1024), 2);
    OK(allocate(&b, total / 4));
    OK((call<int, size_t*, size_t*>("cuMemGetInfo_v2", &free_bytes, &total)));
    CHECK_EQ(free_bytes, total / 4);
    OK(release(a));
    OK(release(b));
    OK((call<int, size_t*, size_t*>("cuMemGetInfo_v2", &free_bytes, &total)));
    CHECK_EQ(free_bytes, total);
}

// A pool keeps what it freed up to its threshold, until a synchronisation.
TEST_CASE(api_pool) {
    const Session s;
    Handle pool = nullptr;
    OK((call<int, Handle*, int>("cuDeviceGetDefaultMemPool", &pool, 0)));
    const auto attribute = [&](int which) {
        u64 value = 0;
        OK((call<int, Handle, int, void*>("cuMemPoolGetAttribute", pool, which, &value)));
        return value;
    };
    Ptr a = 0;
    OK((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &a, size_t(1 << 20), nullptr)));
    CHECK_EQ(attribute(7), 1 << 20);
    OK((call<int, Ptr, Handle>("cuMemFreeAsync", a, nullptr)));
    OK(wait(nullptr));
    CHECK_EQ(attribute(7), 0);
    CHECK_EQ(attribute(5), 0);
    u64 threshold = 1 << 19;
    OK((call<int, Handle, int, void*>("cuMemPoolSetAttribute", pool, 4, &threshold)));
    OK((call<int, Ptr*, size_t, Handle>("cuMemAllocAsync", &a, size_t(1 << 20), nullptr)));
    OK((call<int, Ptr, Handle>("cuMemFreeAsync", a, nullptr)));
    OK(wait(nullptr));
    CHECK_EQ(attribute(5), 1 << 19);
    OK((call<int, Handle, size_t>("cuMemPoolTrimTo", pool, 0)));
    CHECK_EQ(attribute(5), 0);
    CHECK_EQ(attribute(8), 1 << 20);
}

TEST_CASE(api_contexts) {
    const Session s;
    Handle other = nullptr, current = nullptr;
    OK((call<int, Handle*, unsigned, int>("cuCtxCreate_v2", &other, 0u, 0)));
    OK((call<int, Handle*>("cuCtxGetCurrent", &current)));
    CHECK(current == other);
    CHECK_EQ(wait(stream()), 0);
    OK((call<int, Handle>("cuCtxDestroy_v2", other)));
    OK((call<int, Handle*>("cuCtxGetCurrent", &current)));
    CHECK(current == s.context);
    CHECK_EQ((call<int, Handle>("cuCtxSetCurrent", other)), 709);
    OK(synchronize());
}

// Run with --coalescing only: four sectors for 32 neighbours, 32 for strides of 128 bytes, one for the atomic.
TEST_CASE(sectors) {
    const Session s;
    const Buffer<u32> in(std::vector<u32>(1024, 1)), out(1, 0);
    launch(s.function("right_coalesced"), {1, 32}, in.address, out.address);
    CHECK_EQ(out.read()[0], 64);
    CHECK_EQ(counter("warp_accesses"), 3);
    CHECK_EQ(counter("sectors"), 9);
    forget();
    launch(s.function("right_strided"), {1, 32}, in.address, out.address);
    CHECK_EQ(out.read()[0], 96);
    CHECK_EQ(counter("warp_accesses"), 2);
    CHECK_EQ(counter("sectors"), 33);
}
