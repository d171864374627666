// Shared memory of a block: static arrays from the start, each followed by a red zone; the dynamic part at
// the end, before a guard page. Filled with a pattern before each block.
#include <sys/mman.h>

#include <cstring>

#include "block.h"
#include "sanitizer.h"

namespace emulator {

namespace {
constexpr u32 kZone = 32;
constexpr u8 kZoneByte = 0xc9;
constexpr u64 kPage = 4096;

// CUDA aligns the dynamic part to 16 bytes at least; its end is as near to the guard page as that allows.
u8* dynamic_start(const Block& block) {
    const u32 bytes = (block.launch->dynamic_shared + 15) & ~15u;
    return block.shared + kSharedBytes - bytes;
}
}  // namespace

void allocate_shared(Block& block) {
    void* const pages = mmap(nullptr, kSharedBytes + 2 * kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) {
        std::fprintf(stderr, "staffa-emulator: no memory for shared memory\n");
        std::abort();
    }
    block.shared = static_cast<u8*>(pages) + kPage;
    mprotect(block.shared, kSharedBytes, PROT_READ | PROT_WRITE);
}

void open_shared(Block& block) {
    if (has_tsan() && block.shared_used) {
        // New pages: what the block before did there must not look like a race with this one.
        mmap(block.shared, kSharedBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    }
    block.shared_used = 0;
    block.arrays.clear();
    close_memory(block.shared, kSharedBytes);
    if (const u32 bytes = block.launch->dynamic_shared) {
        open_memory(dynamic_start(block), bytes);
        std::memset(dynamic_start(block), config().fill, bytes);
        block.shared_used = 1;
    }
}

void close_shared(Block& block) {
    open_memory(block.shared, kSharedBytes);
    if (block.arrays.empty() || has_asan()) return;
    for (const SharedArray& array : block.arrays) {
        const u8* const zone = block.shared + array.offset + array.bytes;
        for (u32 i = 0; i < kZone; ++i) {
            if (zone[i] == kZoneByte) continue;
            if (!block.launch->failed) {
                record_failure(*block.launch, CUDA_ERROR_ILLEGAL_ADDRESS,
                               text("shared memory overflow: byte %u behind %s (%s:%d, %u bytes) was written, block %llu", i,
                                    array.name, array.file, array.line, array.bytes,
                                    static_cast<unsigned long long>(block.number)));
            }
            return;
        }
    }
}

std::string describe_shared(const Block& block, u64 address) {
    const u64 begin = reinterpret_cast<u64>(block.shared);
    if (address < begin - kPage || address >= begin + kSharedBytes + kPage) return "";
    if (address >= begin + kSharedBytes) {
        return text("%llu bytes behind the block's dynamic shared memory (%u bytes)",
                    static_cast<unsigned long long>(address - begin - kSharedBytes), block.launch->dynamic_shared);
    }
    return "the block's shared memory";
}

}  // namespace emulator

using namespace emulator;

namespace staffa_emulated {

__attribute__((visibility("default"))) void* shared_address(const void* key, uint64_t bytes, uint64_t align,
                                                            const char* name, const char* file, int line) {
    Thread& thread = *static_cast<Thread*>(staffa_emulated_self);
    Block& block = *thread.home;
    for (const SharedArray& array : block.arrays) {
        if (array.key == key) return block.shared + array.offset;
    }
    Launch& launch = *block.launch;
    align = std::max<uint64_t>(align, 16);
    u32 offset = 0, used = static_cast<u32>(bytes);
    for (const SharedArray& array : block.arrays) {
        offset = array.offset + array.bytes + kZone;
        used += (array.bytes + 15) & ~15u;
    }
    offset = static_cast<u32>((offset + align - 1) / align * align);
    launch.static_shared = std::max(launch.static_shared.load(), used);
    if (used > config().shared_default()) {
        fail(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "%u bytes of static shared memory with %s (%s:%d); at most %llu are allowed",
             used, name, file, line, static_cast<unsigned long long>(config().shared_default()));
    }
    if (used + launch.dynamic_shared > launch.shared_limit ||
        offset + bytes + kZone + launch.dynamic_shared + 16 > kSharedBytes) {
        fail(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
             "%u bytes of static shared memory with %s (%s:%d) and %u dynamic ones; the launch may have %u together", used,
             name, file, line, launch.dynamic_shared, launch.shared_limit);
    }
    u8* const at = block.shared + offset;
    open_memory(at, bytes);
    std::memset(at, config().fill, bytes);
    if (!has_asan()) std::memset(at + bytes, kZoneByte, kZone);
    block.arrays.push_back({key, name, file, line, offset, static_cast<u32>(bytes)});
    block.shared_used = 1;
    return at;
}

__attribute__((visibility("default"))) void* shared_dynamic() {
    return dynamic_start(*static_cast<Thread*>(staffa_emulated_self)->home);
}

__attribute__((visibility("default"))) uint32_t shared_dynamic_bytes() {
    return static_cast<Thread*>(staffa_emulated_self)->home->launch->dynamic_shared;
}

// Asynchronous copies happen at the wait, read their source then, and leave a pattern until then.
__attribute__((visibility("default"))) void copy_async(void* shared, const void* global, uint32_t bytes) {
    before_access(shared, bytes, bytes);
    before_access(global, bytes, bytes);
    Thread& thread = *static_cast<Thread*>(staffa_emulated_self);
    const u64 to = reinterpret_cast<u64>(shared), begin = reinterpret_cast<u64>(thread.home->shared);
    if (to < begin || to + bytes > begin + kSharedBytes) {
        fail(CUDA_ERROR_ILLEGAL_ADDRESS, "copy_async to %p, which is not shared memory", shared);
    }
    if (!thread.copies) thread.copies = new Copies;
    std::memset(shared, config().fill, bytes);
    thread.copies->pending.push_back({shared, global, bytes, thread.copies->group});
}

__attribute__((visibility("default"))) void copy_async_commit() {
    Thread& thread = *static_cast<Thread*>(staffa_emulated_self);
    if (!thread.copies) thread.copies = new Copies;
    ++thread.copies->group;
}

__attribute__((visibility("default"))) void copy_async_wait(uint32_t newest) {
    Thread& thread = *static_cast<Thread*>(staffa_emulated_self);
    if (!thread.copies) return;
    auto& pending = thread.copies->pending;
    size_t done = 0;
    while (done < pending.size() && pending[done].group + newest < thread.copies->group) {
        std::memcpy(pending[done].to, pending[done].from, pending[done].bytes);
        ++done;
    }
    pending.erase(pending.begin(), pending.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace staffa_emulated
