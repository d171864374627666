// Every load, store and atomic of the kernels, told to the driver, which counts memory sectors per warp.
//
// `scripts/with-emulated-gpu --coalescing` compiles the kernels with g++'s -fsanitize=thread and links these
// functions in the place of ThreadSanitizer's. The names and signatures are those of the compiler's interface
// (gcc/sanitizer.def).
#include <cstddef>
#include <cstdint>

#include "staffa_emulated.h"

using staffa_emulated::count_access;

#define HOOK(bytes)                                                                                              \
    extern "C" void __tsan_read##bytes(void* p) { count_access(p, bytes, false, __builtin_return_address(0)); }   \
    extern "C" void __tsan_write##bytes(void* p) { count_access(p, bytes, true, __builtin_return_address(0)); }   \
    extern "C" void __tsan_unaligned_read##bytes(void* p) { count_access(p, bytes, false, __builtin_return_address(0)); } \
    extern "C" void __tsan_unaligned_write##bytes(void* p) { count_access(p, bytes, true, __builtin_return_address(0)); } \
    extern "C" void __tsan_volatile_read##bytes(void* p) { count_access(p, bytes, false, __builtin_return_address(0)); }  \
    extern "C" void __tsan_volatile_write##bytes(void* p) { count_access(p, bytes, true, __builtin_return_address(0)); }
HOOK(1)
HOOK(2)
HOOK(4)
HOOK(8)
HOOK(16)
#undef HOOK

extern "C" {
void __tsan_read_range(void* p, size_t bytes) { count_access(p, bytes, false, __builtin_return_address(0)); }
void __tsan_write_range(void* p, size_t bytes) { count_access(p, bytes, true, __builtin_return_address(0)); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}
}

#define RMW(bits, type, name, builtin)                                                                  \
    extern "C" type __tsan_atomic##bits##_##name(volatile type* p, type v, int) {                       \
        count_access(const_cast<type*>(p), sizeof(type), true, __builtin_return_address(0));           \
        return builtin(p, v, __ATOMIC_SEQ_CST);                                                        \
    }
#define CAS(bits, type, name)                                                                           \
    extern "C" int __tsan_atomic##bits##_##name(volatile type* p, type* expected, type v, int, int) {   \
        count_access(const_cast<type*>(p), sizeof(type), true, __builtin_return_address(0));           \
        return __atomic_compare_exchange_n(p, expected, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    }
#define ATOMICS(bits, type)                                                                             \
    extern "C" type __tsan_atomic##bits##_load(const volatile type* p, int) {                           \
        count_access(const_cast<type*>(p), sizeof(type), false, __builtin_return_address(0));          \
        return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                   \
    }                                                                                                   \
    extern "C" void __tsan_atomic##bits##_store(volatile type* p, type v, int) {                        \
        count_access(const_cast<type*>(p), sizeof(type), true, __builtin_return_address(0));           \
        __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                      \
    }                                                                                                   \
    RMW(bits, type, exchange, __atomic_exchange_n)                                                      \
    RMW(bits, type, fetch_add, __atomic_fetch_add)                                                      \
    RMW(bits, type, fetch_sub, __atomic_fetch_sub)                                                      \
    RMW(bits, type, fetch_and, __atomic_fetch_and)                                                      \
    RMW(bits, type, fetch_or, __atomic_fetch_or)                                                        \
    RMW(bits, type, fetch_xor, __atomic_fetch_xor)                                                      \
    CAS(bits, type, compare_exchange_strong)                                                            \
    CAS(bits, type, compare_exchange_weak)
ATOMICS(8, unsigned char)
ATOMICS(16, unsigned short)
ATOMICS(32, unsigned)
ATOMICS(64, unsigned long)
