// Shared memory.
//
//   STAFFA_SHARED(u32, counts, 256);        u32 counts[256], 16-byte aligned, one per block
//   STAFFA_SHARED_2D(u64, tile, 32, 33);    u64 tile[32][33]
//   STAFFA_SHARED_ONE(u32, total);          u32 total
//   STAFFA_SHARED_DYNAMIC(u8, arena);       u8* arena: the bytes asked for at launch, 16-byte aligned
//
// They are declarations at the start of a kernel or device function; every thread of the block must
// pass them. Contents are undefined: the emulator fills them with a pattern that the seed chooses
// before each block, puts a red zone behind each array and a guard page behind the dynamic part.
// All dynamic declarations of a kernel alias the same bytes.
#pragma once
#include "staffa/launch.cuh"

#if STAFFA_EMULATED

#define STAFFA_SHARED(T, name, n) \
    auto& name = ::staffa_emulated::shared_static<T[n]>([] {}, #name, __FILE__, __LINE__)
#define STAFFA_SHARED_2D(T, name, n, m) \
    auto& name = ::staffa_emulated::shared_static<T[n][m]>([] {}, #name, __FILE__, __LINE__)
#define STAFFA_SHARED_ONE(T, name) \
    auto& name = ::staffa_emulated::shared_static<T>([] {}, #name, __FILE__, __LINE__)
#define STAFFA_SHARED_DYNAMIC(T, name) T* const name = static_cast<T*>(::staffa_emulated::shared_dynamic())

#else

#define STAFFA_SHARED(T, name, n) __shared__ __align__(16) T name[n]
#define STAFFA_SHARED_2D(T, name, n, m) __shared__ __align__(16) T name[n][m]
#define STAFFA_SHARED_ONE(T, name) __shared__ T name
#define STAFFA_SHARED_DYNAMIC(T, name)                                      \
    extern __shared__ __align__(16) unsigned char staffa_shared_dynamic[]; \
    T* const name = reinterpret_cast<T*>(staffa_shared_dynamic)

#endif

namespace staffa {
// Bytes of dynamic shared memory that the launch asked for.
STAFFA_DEVICE u32 shared_dynamic_bytes() {
#if STAFFA_EMULATED
    return ::staffa_emulated::shared_dynamic_bytes();
#else
    u32 bytes;
    asm("mov.u32 %0, %%dynamic_smem_size;" : "=r"(bytes));
    return bytes;
#endif
}
}  // namespace staffa
