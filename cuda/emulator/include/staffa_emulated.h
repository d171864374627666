// The g++ side of kernels/include/staffa: what CUDA's compiler knows by itself, and the calls that the
// device primitives make into the emulated driver. Included by launch.cuh when STAFFA_EMULATED is 1.
#pragma once

#include <cstddef>
#if !defined(__x86_64__) || !defined(__linux__) || !defined(__GLIBC__)
#error "the emulated CUDA driver supports x86-64 Linux with glibc only"
#endif

#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>
#include <utility>

#ifdef STAFFA_EMULATED_SCAN
// scripts/with-emulated-gpu preprocesses a source with this to find the kernels and their bounds.
#define __global__ STAFFA_KERNEL_MARK
#define STAFFA_BOUNDS(...) STAFFA_BOUNDS_BEGIN __VA_ARGS__ STAFFA_BOUNDS_END
#else
#define __global__
#define STAFFA_BOUNDS(...)
#endif
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...) STAFFA_BOUNDS(__VA_ARGS__)
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
// Raw shared memory and barriers escape every check, so they do not compile.
#define __shared__ static_assert(false, "use STAFFA_SHARED (staffa/shared.cuh)");

// Sanitizers name the function of an access; always_inline would blur that, and costs nothing here.
#define STAFFA_DEVICE inline __attribute__((always_inline))
#define STAFFA_HOST_DEVICE inline __attribute__((always_inline))
#define STAFFA_DEVICE_COLD __attribute__((noinline))

// For what reads the driver's own memory, whose ordering the race detector does not see.
#ifdef __SANITIZE_THREAD__
#define STAFFA_UNWATCHED __attribute__((no_sanitize("thread")))
#else
#define STAFFA_UNWATCHED
#endif

#define STAFFA_VECTOR(name, type, bytes)                                             \
    struct __attribute__((aligned(2 * bytes))) name##2 { type x, y; };                \
    struct name##3 { type x, y, z; };                                                \
    struct __attribute__((aligned(bytes * 4 > 16 ? 16 : bytes * 4))) name##4 { type x, y, z, w; }; \
    inline name##2 make_##name##2(type x, type y) { return {x, y}; }                  \
    inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }       \
    inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
STAFFA_VECTOR(char, signed char, 1)
STAFFA_VECTOR(uchar, unsigned char, 1)
STAFFA_VECTOR(short, short, 2)
STAFFA_VECTOR(ushort, unsigned short, 2)
STAFFA_VECTOR(int, int, 4)
STAFFA_VECTOR(uint, unsigned, 4)
STAFFA_VECTOR(longlong, long long, 8)
STAFFA_VECTOR(ulonglong, unsigned long long, 8)
STAFFA_VECTOR(float, float, 4)
STAFFA_VECTOR(double, double, 8)
#undef STAFFA_VECTOR
struct dim3 { unsigned x = 1, y = 1, z = 1; };

namespace staffa {
// Where a barrier or warp operation was written; `part` tells a helper's own operations apart.
struct Site {
    const char* file;
    std::uint32_t line;
    std::uint32_t part = 0;
    constexpr Site step(unsigned n) const { return {file, line, part * 8 + n + 1}; }
    // As a default argument's call, it stands for the caller's place.
    static constexpr Site here(const char* file = __builtin_FILE(), std::uint32_t line = __builtin_LINE()) {
        return {file, line, 0};
    }
};
}  // namespace staffa
#define STAFFA_HERE (::staffa::Site::here())

namespace staffa_emulated {

using std::uint32_t;
using std::uint64_t;
using staffa::Site;

// What every thread of a block shares.
struct BlockView {
    uint3 block_index;
    uint3 block_dim;
    uint3 grid_dim;
};
// The running thread. The driver derives its own thread record from it.
struct Self {
    uint3 thread_index;
    uint32_t atomics_to_yield;  // 0: never; else counts down
    const BlockView* block;
};
extern "C" __attribute__((tls_model("initial-exec"))) __thread Self* staffa_emulated_self;

enum class Vote : uint32_t { none, any, all, count };
enum class WarpOp : uint32_t { sync, shfl, shfl_up, shfl_down, shfl_xor, ballot, any, all, match_any };
struct Words { uint64_t low, high; };

// Defined in the driver (cuda/emulator/src).
uint32_t block_barrier(Vote vote, uint32_t predicate, Site site);
Words collective(WarpOp op, uint32_t mask, Words value, uint32_t argument, uint32_t width, Site site);
void spin_pause();
void yield_at_atomic();
[[noreturn]] void misaligned(const void* address, uint64_t bytes);
void* shared_address(const void* key, uint64_t bytes, uint64_t align, const char* name, const char* file, int line);
void* shared_dynamic();
uint32_t shared_dynamic_bytes();
void copy_async(void* shared, const void* global, uint32_t bytes);
void copy_async_commit();
void copy_async_wait(uint32_t newest);
void count_access(const void* address, uint64_t bytes, bool writes, const void* code);  // coalescing/hooks.cpp

inline void warp_barrier(uint32_t mask, Site site) { collective(WarpOp::sync, mask, {}, 0, 32, site); }

template <class T>
inline T shuffle(WarpOp op, uint32_t mask, T value, uint32_t argument, uint32_t width, Site site) {
    static_assert(sizeof(T) <= 16 && std::is_trivially_copyable_v<T>, "a shuffle moves at most 16 bytes");
    Words words{};
    std::memcpy(&words, &value, sizeof(T));
    words = collective(op, mask, words, argument, width, site);
    std::memcpy(&value, &words, sizeof(T));
    return value;
}

inline uint32_t vote(WarpOp op, uint32_t mask, bool predicate, Site site) {
    return static_cast<uint32_t>(collective(op, mask, {predicate, 0}, 0, 32, site).low);
}

template <class T>
inline uint32_t match_any(uint32_t mask, T value, Site site) {
    Words words{};
    std::memcpy(&words, &value, sizeof(T));
    return static_cast<uint32_t>(collective(WarpOp::match_any, mask, words, 0, 32, site).low);
}

STAFFA_UNWATCHED inline void before_access(const void* address, uint64_t bytes, uint64_t align) {
    if (reinterpret_cast<uint64_t>(address) % align != 0) misaligned(address, bytes);
}

STAFFA_UNWATCHED inline void before_atomic(const void* address, uint64_t bytes) {
    before_access(address, bytes, bytes);
    Self* self = staffa_emulated_self;
    if (self->atomics_to_yield != 0 && --self->atomics_to_yield == 0) yield_at_atomic();
}

// One array of a block; `Tag` is a type of its own for each declaration and instantiation.
template <class T, class Tag>
inline T& shared_static(Tag, const char* name, const char* file, int line) {
    static char key;
    return *static_cast<T*>(shared_address(&key, sizeof(T), alignof(T), name, file, line));
}

// How the driver knows a kernel.
struct KernelInfo {
    const char* name;
    const char* file;
    void (*run)(void* const* parameters);
    uint32_t parameters;
    const uint32_t* bytes;     // of each parameter
    const bool* is_pointer;    // whether the driver checks that it is an address on the device
    uint32_t max_threads;      // 0: no bound given
};
void register_kernel(const KernelInfo* info);

template <auto kFunction>
struct Kernel;

template <class... A, void (*kFunction)(A...)>
struct Kernel<kFunction> {
    static constexpr uint32_t kBytes[sizeof...(A) + 1] = {sizeof(A)..., 0};
    static constexpr bool kIsPointer[sizeof...(A) + 1] = {std::is_pointer_v<A>..., false};

    template <std::size_t... I>
    STAFFA_UNWATCHED static void call([[maybe_unused]] void* const* parameters, std::index_sequence<I...>) {
        kFunction(*static_cast<std::remove_cv_t<A>*>(parameters[I])...);
    }
    STAFFA_UNWATCHED static void run(void* const* parameters) {
        call(parameters, std::index_sequence_for<A...>{});
    }

    static bool add(const char* name, const char* file, std::initializer_list<uint32_t> bounds) {
        static KernelInfo info;
        info = {name, file, &run, sizeof...(A), kBytes, kIsPointer, bounds.size() > 0 ? *bounds.begin() : 0};
        register_kernel(&info);
        return true;
    }
};

#define STAFFA_EMULATED_KERNEL(name, ...)               \
    [[maybe_unused]] static const bool staffa_kernel_##name = \
        ::staffa_emulated::Kernel<&name>::add(#name, __FILE__, {__VA_ARGS__});

}  // namespace staffa_emulated

#ifndef STAFFA_EMULATED_DRIVER
#define threadIdx (::staffa_emulated::staffa_emulated_self->thread_index)
#define blockIdx (::staffa_emulated::staffa_emulated_self->block->block_index)
#define blockDim (::staffa_emulated::staffa_emulated_self->block->block_dim)
#define gridDim (::staffa_emulated::staffa_emulated_self->block->grid_dim)
#endif
