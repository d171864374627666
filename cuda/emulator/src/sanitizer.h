// The sanitizers' interfaces, as weak symbols: one build of the driver serves plain and instrumented
// kernels, and whichever runtime the process has loaded is told about fibers and closed memory.
// The driver itself is never instrumented.
#pragma once
#include <cstddef>

extern "C" {
__attribute__((weak)) void __asan_poison_memory_region(const volatile void* address, size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void* address, size_t bytes);
__attribute__((weak)) void __sanitizer_start_switch_fiber(void** fake_stack, const void* bottom, size_t bytes);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void* fake_stack, const void** bottom, size_t* bytes);
__attribute__((weak)) void* __tsan_get_current_fiber();
__attribute__((weak)) void* __tsan_create_fiber(unsigned flags);
__attribute__((weak)) void __tsan_destroy_fiber(void* fiber);
__attribute__((weak)) void __tsan_switch_to_fiber(void* fiber, unsigned flags);
__attribute__((weak)) void __tsan_acquire(void* address);
__attribute__((weak)) void __tsan_release(void* address);
__attribute__((weak)) void __tsan_read_range_pc(void* address, unsigned long bytes, void* pc);
__attribute__((weak)) void __tsan_write_range_pc(void* address, unsigned long bytes, void* pc);
}

namespace emulator {

inline bool has_asan() { return __asan_poison_memory_region != nullptr; }
inline bool has_tsan() { return __tsan_create_fiber != nullptr; }
inline void close_memory(const void* address, size_t bytes) {
    if (has_asan()) __asan_poison_memory_region(address, bytes);
}
inline void open_memory(const void* address, size_t bytes) {
    if (has_asan()) __asan_unpoison_memory_region(address, bytes);
}

}  // namespace emulator
