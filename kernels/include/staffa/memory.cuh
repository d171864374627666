// Loads, stores and asynchronous copies.
//
//   load_readonly(p)          a value that no thread writes during the launch (non-coherent cache)
//   load16(p) / store16(p, v) 16 bytes at a 16-byte aligned address, as uint4
//   load_once16 / store_once16  the same for data that is touched once: kept out of the caches' way
//   load_pack<T, N>(p) / store_pack(p, pack)  N values at once; N * sizeof(T) is 4, 8 or 16 bytes
//   load_unaligned<T>(p)      a little-endian value at any address, byte by byte
//   copy_async<BYTES>(shared, global)  starts a copy of 4, 8 or 16 bytes into shared memory
//   copy_async_commit()       closes this thread's group of copies
//   copy_async_wait<N>()      until all but this thread's N newest groups have arrived
//
// After copy_async_wait the copying thread sees its own copies; others see them after block_sync().
// cp.async from 8.0 on, plain loads and stores on 7.5. The emulator copies at the wait, reads the source
// then, and fills the destination with a pattern until then. Alignment is checked.
#pragma once
#include "staffa/launch.cuh"

namespace staffa {

template <class T, u32 N>
struct alignas(sizeof(T) * N) Pack {
    static_assert(sizeof(T) * N == 4 || sizeof(T) * N == 8 || sizeof(T) * N == 16);
    T value[N];
    STAFFA_DEVICE T& operator[](u32 i) { return value[i]; }
    STAFFA_DEVICE const T& operator[](u32 i) const { return value[i]; }
};

template <class T>
STAFFA_DEVICE T load_readonly(const T* p) {
#if STAFFA_EMULATED
    ::staffa_emulated::before_access(p, sizeof(T), alignof(T));
    return *p;
#else
    if constexpr (sizeof(T) == 16) {
        return bit_cast<T>(__ldg(reinterpret_cast<const uint4*>(p)));
    } else if constexpr (sizeof(T) == 8) {
        return bit_cast<T>(__ldg(reinterpret_cast<const unsigned long long*>(p)));
    } else if constexpr (sizeof(T) == 4) {
        return bit_cast<T>(__ldg(reinterpret_cast<const unsigned*>(p)));
    } else if constexpr (sizeof(T) == 2) {
        return bit_cast<T>(__ldg(reinterpret_cast<const unsigned short*>(p)));
    } else {
        static_assert(sizeof(T) == 1);
        return bit_cast<T>(__ldg(reinterpret_cast<const unsigned char*>(p)));
    }
#endif
}

STAFFA_DEVICE uint4 load16(const void* p) {
#if STAFFA_EMULATED
    ::staffa_emulated::before_access(p, 16, 16);
#endif
    return *static_cast<const uint4*>(p);
}

STAFFA_DEVICE void store16(void* p, uint4 value) {
#if STAFFA_EMULATED
    ::staffa_emulated::before_access(p, 16, 16);
#endif
    *static_cast<uint4*>(p) = value;
}

STAFFA_DEVICE uint4 load_once16(const void* p) {
#if STAFFA_EMULATED
    return load16(p);
#else
    return __ldcs(static_cast<const uint4*>(p));
#endif
}

STAFFA_DEVICE void store_once16(void* p, uint4 value) {
#if STAFFA_EMULATED
    store16(p, value);
#else
    __stcs(static_cast<uint4*>(p), value);
#endif
}

template <class T, u32 N>
STAFFA_DEVICE Pack<T, N> load_pack(const T* p) {
#if STAFFA_EMULATED
    ::staffa_emulated::before_access(p, sizeof(T) * N, sizeof(T) * N);
#endif
    return *reinterpret_cast<const Pack<T, N>*>(p);
}

template <class T, u32 N>
STAFFA_DEVICE void store_pack(T* p, const Pack<T, N>& pack) {
#if STAFFA_EMULATED
    ::staffa_emulated::before_access(p, sizeof(T) * N, sizeof(T) * N);
#endif
    *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

template <class T>
STAFFA_DEVICE T load_unaligned(const void* p) {
    static_assert(sizeof(T) <= 8);
    u64 value = 0;  // by shifts: an array of bytes would get a stack frame
#pragma unroll
    for (u32 i = 0; i < sizeof(T); ++i) value |= u64(static_cast<const u8*>(p)[i]) << (8 * i);
    T out;
    memcpy(&out, &value, sizeof(T));
    return out;
}

template <u32 kBytes>
STAFFA_DEVICE void copy_async(void* shared, const void* global) {
    static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#if STAFFA_EMULATED
    ::staffa_emulated::copy_async(shared, global, kBytes);
#elif __CUDA_ARCH__ >= 800
    const u32 to = static_cast<u32>(__cvta_generic_to_shared(shared));
    if constexpr (kBytes == 16) {  // only 16-byte copies may skip the first-level cache
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(to), "l"(global), "n"(kBytes) : "memory");
    }
#else
    if constexpr (kBytes == 16) {
        *static_cast<uint4*>(shared) = *static_cast<const uint4*>(global);
    } else if constexpr (kBytes == 8) {
        *static_cast<u64*>(shared) = *static_cast<const u64*>(global);
    } else {
        *static_cast<u32*>(shared) = *static_cast<const u32*>(global);
    }
#endif
}

STAFFA_DEVICE void copy_async_commit() {
#if STAFFA_EMULATED
    ::staffa_emulated::copy_async_commit();
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <u32 kNewest>
STAFFA_DEVICE void copy_async_wait() {
#if STAFFA_EMULATED
    ::staffa_emulated::copy_async_wait(kNewest);
#elif __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(kNewest) : "memory");
#endif
}

}  // namespace staffa
