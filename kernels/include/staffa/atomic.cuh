// Atomics on global and shared memory, for u32, i32, u64, i64. All return the old value.
//
//   atomic_add  atomic_min  atomic_max  atomic_and  atomic_or  atomic_xor  atomic_exch (p, value)
//   atomic_cas(p, expected, desired)
//   load_relaxed(p)  store_relaxed(p, v)   a single access that the compiler may not drop or repeat
//   load_acquire(p)  store_release(p, v)   the same, ordering the accesses around them, device-wide
//   atomic_exch_acq_rel, atomic_cas_acq_rel, atomic_add_acq_rel
//
// Read-modify-writes without a suffix are relaxed: they order nothing else. A flag that announces data
// is stored with store_release and read with load_acquire; there is no fence function, because the
// race detector cannot follow fences. A wait loop needs spin_pause().
#pragma once
#include "staffa/launch.cuh"

namespace staffa {

namespace detail {
// Integers of 4 or 8 bytes. A variable: nvcc calls no constexpr function from device code.
template <class T>
constexpr bool is_atomic_type = (sizeof(T) == 4 || sizeof(T) == 8) && T(1) / T(2) == T(0);
}  // namespace detail

#if STAFFA_EMULATED

#define STAFFA_ATOMIC(name, call)                                              \
    template <class T>                                                        \
    STAFFA_DEVICE T name(T* p, T value) {                                     \
        static_assert(detail::is_atomic_type<T>);                          \
        ::staffa_emulated::before_atomic(p, sizeof(T));                      \
        return call;                                                         \
    }
STAFFA_ATOMIC(atomic_add, __atomic_fetch_add(p, value, __ATOMIC_RELAXED))
STAFFA_ATOMIC(atomic_and, __atomic_fetch_and(p, value, __ATOMIC_RELAXED))
STAFFA_ATOMIC(atomic_or, __atomic_fetch_or(p, value, __ATOMIC_RELAXED))
STAFFA_ATOMIC(atomic_xor, __atomic_fetch_xor(p, value, __ATOMIC_RELAXED))
STAFFA_ATOMIC(atomic_exch, __atomic_exchange_n(p, value, __ATOMIC_RELAXED))
STAFFA_ATOMIC(atomic_add_acq_rel, __atomic_fetch_add(p, value, __ATOMIC_ACQ_REL))
STAFFA_ATOMIC(atomic_exch_acq_rel, __atomic_exchange_n(p, value, __ATOMIC_ACQ_REL))
#undef STAFFA_ATOMIC

template <class T>
STAFFA_DEVICE T atomic_min(T* p, T value) {
    static_assert(detail::is_atomic_type<T>);
    ::staffa_emulated::before_atomic(p, sizeof(T));
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (value < old && !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
template <class T>
STAFFA_DEVICE T atomic_max(T* p, T value) {
    static_assert(detail::is_atomic_type<T>);
    ::staffa_emulated::before_atomic(p, sizeof(T));
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (value > old && !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
template <class T>
STAFFA_DEVICE T atomic_cas(T* p, T expected, T desired) {
    static_assert(detail::is_atomic_type<T>);
    ::staffa_emulated::before_atomic(p, sizeof(T));
    __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}
template <class T>
STAFFA_DEVICE T atomic_cas_acq_rel(T* p, T expected, T desired) {
    static_assert(detail::is_atomic_type<T>);
    ::staffa_emulated::before_atomic(p, sizeof(T));
    __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return expected;
}
template <class T>
STAFFA_DEVICE T load_relaxed(const T* p) {
    ::staffa_emulated::before_atomic(p, sizeof(T));
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}
template <class T>
STAFFA_DEVICE T load_acquire(const T* p) {
    ::staffa_emulated::before_atomic(p, sizeof(T));
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}
template <class T>
STAFFA_DEVICE void store_relaxed(T* p, T value) {
    ::staffa_emulated::before_atomic(p, sizeof(T));
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}
template <class T>
STAFFA_DEVICE void store_release(T* p, T value) {
    ::staffa_emulated::before_atomic(p, sizeof(T));
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

#else

namespace detail {
// CUDA spells its atomics with int, unsigned, long long; int64_t is long.
template <class T, bool kSigned = (T(-1) < T(0)), u32 kBytes = sizeof(T)>
struct Native;
template <class T> struct Native<T, true, 4> { using type = int; };
template <class T> struct Native<T, false, 4> { using type = unsigned; };
template <class T> struct Native<T, true, 8> { using type = long long; };
template <class T> struct Native<T, false, 8> { using type = unsigned long long; };
template <class T> using native = typename Native<T>::type;
template <class T> using native_unsigned = typename Native<T, false>::type;
}  // namespace detail

#define STAFFA_ATOMIC(name, cuda_name, as)                                                  \
    template <class T>                                                                     \
    STAFFA_DEVICE T name(T* p, T value) {                                                  \
        static_assert(detail::is_atomic_type<T>);                                       \
        using N = detail::as<T>;                                                          \
        return static_cast<T>(cuda_name(reinterpret_cast<N*>(p), static_cast<N>(value))); \
    }
STAFFA_ATOMIC(atomic_add, atomicAdd, native_unsigned)
STAFFA_ATOMIC(atomic_and, atomicAnd, native_unsigned)
STAFFA_ATOMIC(atomic_or, atomicOr, native_unsigned)
STAFFA_ATOMIC(atomic_xor, atomicXor, native_unsigned)
STAFFA_ATOMIC(atomic_exch, atomicExch, native_unsigned)
STAFFA_ATOMIC(atomic_min, atomicMin, native)
STAFFA_ATOMIC(atomic_max, atomicMax, native)
#undef STAFFA_ATOMIC

template <class T>
STAFFA_DEVICE T atomic_cas(T* p, T expected, T desired) {
    static_assert(detail::is_atomic_type<T>);
    using N = detail::native_unsigned<T>;
    return static_cast<T>(atomicCAS(reinterpret_cast<N*>(p), static_cast<N>(expected), static_cast<N>(desired)));
}

#define STAFFA_ORDERED(order)                                                                               \
    if constexpr (sizeof(T) == 4) {                                                                        \
        u32 old;                                                                                          \
        asm volatile(order "32 %0, [%1], %2;" : "=r"(old) : "l"(p), "r"(static_cast<u32>(value)) : "memory"); \
        return static_cast<T>(old);                                                                       \
    } else {                                                                                              \
        u64 old;                                                                                          \
        asm volatile(order "64 %0, [%1], %2;" : "=l"(old) : "l"(p), "l"(static_cast<u64>(value)) : "memory"); \
        return static_cast<T>(old);                                                                       \
    }
template <class T>
STAFFA_DEVICE T atomic_add_acq_rel(T* p, T value) {
    STAFFA_ORDERED("atom.acq_rel.gpu.add.u")
}
template <class T>
STAFFA_DEVICE T atomic_exch_acq_rel(T* p, T value) {
    STAFFA_ORDERED("atom.acq_rel.gpu.exch.b")
}
#undef STAFFA_ORDERED
template <class T>
STAFFA_DEVICE T atomic_cas_acq_rel(T* p, T expected, T desired) {
    static_assert(detail::is_atomic_type<T>);
    if constexpr (sizeof(T) == 4) {
        u32 old;
        asm volatile("atom.acq_rel.gpu.cas.b32 %0, [%1], %2, %3;"
                     : "=r"(old)
                     : "l"(p), "r"(static_cast<u32>(expected)), "r"(static_cast<u32>(desired))
                     : "memory");
        return static_cast<T>(old);
    } else {
        u64 old;
        asm volatile("atom.acq_rel.gpu.cas.b64 %0, [%1], %2, %3;"
                     : "=l"(old)
                     : "l"(p), "l"(static_cast<u64>(expected)), "l"(static_cast<u64>(desired))
                     : "memory");
        return static_cast<T>(old);
    }
}

#define STAFFA_LOAD(order)                                                                    \
    static_assert(detail::is_atomic_type<T>);                                              \
    if constexpr (sizeof(T) == 4) {                                                          \
        u32 value;                                                                          \
        asm volatile("ld." order ".gpu.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");   \
        return static_cast<T>(value);                                                       \
    } else {                                                                                \
        u64 value;                                                                          \
        asm volatile("ld." order ".gpu.u64 %0, [%1];" : "=l"(value) : "l"(p) : "memory");   \
        return static_cast<T>(value);                                                       \
    }
template <class T>
STAFFA_DEVICE T load_relaxed(const T* p) {
    STAFFA_LOAD("relaxed")
}
template <class T>
STAFFA_DEVICE T load_acquire(const T* p) {
    STAFFA_LOAD("acquire")
}
#undef STAFFA_LOAD

#define STAFFA_STORE(order)                                                                                  \
    static_assert(detail::is_atomic_type<T>);                                                             \
    if constexpr (sizeof(T) == 4) {                                                                         \
        asm volatile("st." order ".gpu.u32 [%0], %1;" ::"l"(p), "r"(static_cast<u32>(value)) : "memory");   \
    } else {                                                                                               \
        asm volatile("st." order ".gpu.u64 [%0], %1;" ::"l"(p), "l"(static_cast<u64>(value)) : "memory");   \
    }
template <class T>
STAFFA_DEVICE void store_relaxed(T* p, T value) {
    STAFFA_STORE("relaxed")
}
template <class T>
STAFFA_DEVICE void store_release(T* p, T value) {
    STAFFA_STORE("release")
}
#undef STAFFA_STORE

#endif

}  // namespace staffa
