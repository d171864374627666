// For the tests of the emulated driver: the driver's functions by name, checks, and a list of cases.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

using u8 = uint8_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i32 = int32_t;
using i64 = int64_t;
using Ptr = unsigned long long;
using Handle = void*;

// Calls a driver function by its exported name.
template <class R = int, class... A>
R call(const char* name, A... arguments) {
    static void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    void* const function = dlsym(library, name);
    if (!function) throw std::runtime_error(std::string("no function ") + name);
    return reinterpret_cast<R (*)(A...)>(function)(arguments...);
}

struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

#define CHECK_EQ(a, b)                                                                                        \
    do {                                                                                                      \
        auto left_ = (a);                                                                                     \
        auto right_ = (b);                                                                                    \
        if (!(left_ == static_cast<decltype(left_)>(right_))) {                                               \
            throw Failure(std::string(__FILE__) + ":" + std::to_string(__LINE__) + ": " #a " is " +           \
                          std::to_string(left_) + ", not " + std::to_string(static_cast<decltype(left_)>(right_))); \
        }                                                                                                     \
    } while (0)
#define CHECK(condition) \
    do { if (!(condition)) throw Failure(std::string(__FILE__) + ":" + std::to_string(__LINE__) + ": not " #condition); } while (0)
#define OK(result) CHECK_EQ(result, 0)

inline u64 counter(const char* name) { return call<u64>("staffaEmulatorCounter", name); }
inline std::string last_finding() { return call<const char*>("staffaEmulatorLastFinding"); }
inline void forget() { call<void>("staffaEmulatorReset"); }

// What is expected of the newest finding.
inline void expect_finding(const char* part) {
    const std::string found = last_finding();
    if (found.find(part) == std::string::npos) throw Failure("the finding is '" + found + "', without '" + part + "'");
}

// The primary context for the length of a test; its memory must be gone at the end unless it broke.
struct Session {
    Handle context = nullptr, module = nullptr;
    Session() {
        forget();
        OK(call("cuInit", 0u));
        OK(call("cuDevicePrimaryCtxRetain", &context, 0));
        OK(call("cuCtxSetCurrent", context));
        OK(call("cuModuleLoadData", &module, "image"));
    }
    ~Session() { call("cuDevicePrimaryCtxRelease_v2", 0); }
    Handle function(const char* name) const {
        Handle f = nullptr;
        OK(call("cuModuleGetFunction", &f, module, name));
        return f;
    }
};

inline int allocate(Ptr* out, u64 bytes) { return call<int, Ptr*, size_t>("cuMemAlloc_v2", out, bytes); }
inline int release(Ptr address) { return call<int, Ptr>("cuMemFree_v2", address); }
inline int to_device(Ptr to, const void* from, u64 bytes) {
    return call<int, Ptr, const void*, size_t>("cuMemcpyHtoD_v2", to, from, bytes);
}
inline int to_host(void* to, Ptr from, u64 bytes) { return call<int, void*, Ptr, size_t>("cuMemcpyDtoH_v2", to, from, bytes); }
inline int synchronize() { return call("cuCtxSynchronize"); }

// Device memory with the host's values in it.
template <class T>
struct Buffer {
    Ptr address = 0;
    u64 count = 0;
    explicit Buffer(const std::vector<T>& values) : count(values.size()) {
        OK(allocate(&address, count * sizeof(T)));
        OK(to_device(address, values.data(), count * sizeof(T)));
    }
    Buffer(u64 n, u8 byte) : count(n) {
        OK(allocate(&address, count * sizeof(T)));
        OK((call<int, Ptr, unsigned char, size_t>("cuMemsetD8_v2", address, byte, count * sizeof(T))));
    }
    Buffer(const Buffer&) = delete;
    ~Buffer() { release(address); }
    std::vector<T> read() const {
        std::vector<T> values(count);
        OK(to_host(values.data(), address, count * sizeof(T)));
        return values;
    }
};

struct Shape {
    u32 grid, block, shared = 0;
};
template <class... A>
int try_launch(Handle function, Shape shape, Handle stream, A... arguments) {
    void* pointers[] = {&arguments..., nullptr};
    return call<int, Handle, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Handle, void**, void**>(
        "cuLaunchKernel", function, shape.grid, 1u, 1u, shape.block, 1u, 1u, shape.shared, stream, pointers, nullptr);
}
template <class... A>
void launch(Handle function, Shape shape, A... arguments) {
    OK((try_launch(function, shape, nullptr, arguments...)));
}

// ---- the list of cases ----

struct Case {
    const char* name;
    std::function<void()> run;
};
inline std::vector<Case>& cases() {
    static std::vector<Case> all;
    return all;
}
struct AddCase {
    AddCase(const char* name, std::function<void()> run) { cases().push_back({name, std::move(run)}); }
};
#define TEST_CASE(name)                                  \
    static void test_##name();                           \
    static const AddCase add_##name(#name, test_##name); \
    static void test_##name()

// A repeatable sequence of numbers.
inline std::vector<u32> numbers(u64 count, u32 below, u64 seed = 1) {
    std::vector<u32> values(count);
    u64 state = seed * 0x9e3779b97f4a7c15ull;
    for (u32& v : values) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        v = static_cast<u32>(state >> 33) % below;
    }
    return values;
}
