// Device and pinned memory: one large reserved range of addresses, of which every allocation gets its own
// pages between guard pages. Addresses are not used again until the range is used up, so an access to freed
// memory faults. An allocation ends at the end of its last page, less what 256-byte alignment needs; that
// slack holds a pattern which is checked.
#include "emulator.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "sanitizer.h"

namespace emulator {

// Never destroyed, like everything here: the device thread may still run while the process ends.
std::map<u64, Allocation>& allocations = *new std::map<u64, Allocation>;

namespace {

constexpr u64 kPage = 4096;
constexpr u64 kAlignment = 256;
constexpr u64 kMargin = 1ull << 30;
constexpr u8 kCanary = 0xc5;
constexpr size_t kRemembered = 65536;  // freed allocations that messages can still name

struct Arena {
    u64 begin = 0, end = 0, next = 0;
    bool wrapped = false;
};
Arena arena;
std::map<u64, Allocation>& freed = *new std::map<u64, Allocation>;
std::deque<u64>& freed_order = *new std::deque<u64>;
u64 allocation_number = 0;

u64 round_up(u64 value, u64 to) { return (value + to - 1) / to * to; }

bool reserve_arena() {
    if (arena.begin) return true;
    // The race detector's shadow has less room.
    for (u64 bytes = has_tsan() ? 64ull << 30 : 1ull << 40; bytes >= 1ull << 32; bytes /= 2) {
        void* const at = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED) continue;
        // The ends stay closed: an access a little outside meets nobody else's memory.
        arena.begin = arena.next = reinterpret_cast<u64>(at) + kMargin;
        arena.end = arena.begin + bytes - 2 * kMargin;
        return true;
    }
    return false;
}

// Addresses for `span` bytes with a guard page on either side; 0 if there are none.
u64 take_addresses(u64 span) {
    const u64 needed = span + 2 * kPage;
    if (needed > arena.end - arena.begin) return 0;
    for (int round = 0; round < 2; ++round) {
        while (arena.next + needed <= arena.end) {
            const u64 base = arena.next + kPage;
            // After the first round, step over what is still allocated.
            auto after = allocations.lower_bound(arena.next);
            if (after != allocations.begin()) {
                const Allocation& before = std::prev(after)->second;
                if (before.base + before.span + kPage > arena.next && before.kind != Kind::registered) {
                    arena.next = before.base + before.span + kPage;
                    continue;
                }
            }
            if (arena.wrapped && after != allocations.end() && after->second.base < arena.next + needed) {
                arena.next = after->second.base + after->second.span + kPage;
                continue;
            }
            arena.next += span + kPage;
            return base;
        }
        arena.next = arena.begin;
        arena.wrapped = true;
    }
    return 0;
}

void* at(u64 address) { return reinterpret_cast<void*>(address); }

bool canary_intact(const Allocation& a) {
    if (!a.mapped || has_asan()) return true;
    const u8* const end = static_cast<const u8*>(at(a.base + a.span));
    const u8* const behind = static_cast<const u8*>(at(a.address + a.bytes));
    const u8* const start = static_cast<const u8*>(at(a.base));
    const auto intact = [](u8 byte) { return byte == kCanary; };
    return std::all_of(behind, end, intact) && std::all_of(start, static_cast<const u8*>(at(a.address)), intact);
}

void check_canary(Allocation& a, const char* when) {
    if (canary_intact(a)) return;
    finding("memory overflow", "bytes next to allocation %llu (%llu bytes at 0x%llx) were written; found %s",
            static_cast<unsigned long long>(a.number), static_cast<unsigned long long>(a.bytes),
            static_cast<unsigned long long>(a.address), when);
    // Once is enough.
    std::memset(at(a.base), kCanary, a.address - a.base);
    std::memset(at(a.address + a.bytes), kCanary, a.base + a.span - a.address - a.bytes);
}

void fill(const Allocation& a) {
    std::memset(at(a.base), kCanary, a.address - a.base);
    std::memset(at(a.address + a.bytes), kCanary, a.base + a.span - a.address - a.bytes);
    const u64 limit = config().fill_bytes;
    if (a.bytes <= limit) {
        std::memset(at(a.address), config().fill, a.bytes);
    } else {  // touching gigabytes that are never used would cost the machine its memory
        std::memset(at(a.address), config().fill, limit / 2);
        std::memset(at(a.address + a.bytes - limit / 2), config().fill, limit / 2);
    }
    close_memory(at(a.base), a.address - a.base);
    close_memory(at(a.address + a.bytes), a.base + a.span - a.address - a.bytes);
}

}  // namespace

bool arena_holds(u64 address) { return address >= arena.begin && address < arena.end; }

Allocation* find_allocation(u64 address) {
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) return nullptr;
    Allocation& a = std::prev(after)->second;
    return address < a.address + a.bytes ? &a : nullptr;
}

Allocation* find_range(u64 address, u64 bytes) {
    Allocation* const a = find_allocation(address);
    return a && bytes <= a->address + a->bytes - address ? a : nullptr;
}

bool was_freed(u64 address) { return freed.contains(address); }

u64 budget_left(int device) {
    const u64 used = driver().devices[static_cast<size_t>(device)]->used_bytes;
    return used < config().memory_bytes ? config().memory_bytes - used : 0;
}

CUresult allocate(Context* context, u64 bytes, Kind kind, Pool* pool, State state, Allocation** out) {
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (bytes > 1ull << 46 || !reserve_arena()) return CUDA_ERROR_OUT_OF_MEMORY;
    Allocation a;
    a.bytes = bytes;
    a.kind = kind;
    a.context = context;
    a.pool = pool;
    a.charged = round_up(bytes, 512);
    a.span = round_up(round_up(bytes, kAlignment), kPage);
    if (kind == Kind::device && a.charged > budget_left(context->device->ordinal)) return CUDA_ERROR_OUT_OF_MEMORY;
    a.base = take_addresses(a.span);
    if (a.base == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    a.address = a.base + a.span - round_up(bytes, kAlignment);
    a.number = ++allocation_number;
    a.state = State::reserved;
    Allocation& placed = allocations[a.address] = a;
    if (kind == Kind::device) context->device->used_bytes += a.charged;
    if (kind != Kind::host) {
        count(Counter::live_bytes, bytes);
        if (counter(Counter::live_bytes) > counter(Counter::peak_bytes)) {
            set_counter(Counter::peak_bytes, counter(Counter::live_bytes));
        }
    }
    if (state == State::live) make_live(placed);
    *out = &placed;
    return CUDA_SUCCESS;
}

void make_live(Allocation& a) {
    mprotect(at(a.base), a.span, PROT_READ | PROT_WRITE);
    open_memory(at(a.base), a.span);
    a.state = State::live;
    a.mapped = true;
    fill(a);
}

void release(Allocation& a) {
    if (a.kind != Kind::registered) {
        check_canary(a, "when it was freed");
        open_memory(at(a.base), a.span);
        mmap(at(a.base), a.span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    }
    if (a.kind == Kind::device) a.context->device->used_bytes -= a.charged;
    if (a.kind == Kind::pool) a.pool->used -= a.charged;
    if (a.kind == Kind::device || a.kind == Kind::pool) count(Counter::live_bytes, -a.bytes);
    const u64 address = a.address;
    freed[address] = a;
    freed_order.push_back(address);
    if (freed_order.size() > kRemembered) {
        freed.erase(freed_order.front());
        freed_order.pop_front();
    }
    allocations.erase(address);
}

namespace {
void report_leak(const Allocation& a, const char* when) {
    count(Counter::leaked_allocations);
    count(Counter::leaked_bytes, a.bytes);
    const auto number = static_cast<unsigned long long>(a.number);
    const auto bytes = static_cast<unsigned long long>(a.bytes);
    const char* const what = a.kind == Kind::registered ? "registration" : (a.kind == Kind::host ? "pinned allocation" : "allocation");
    if (config().leaks_are_findings) {
        finding("leak", "%s %llu (%llu bytes) was alive when %s ended", what, number, bytes, when);
    } else {
        std::fprintf(stderr, "staffa-emulator: leak: %s %llu (%llu bytes) was alive when %s ended\n", what, number, bytes, when);
    }
}
}  // namespace

// A process may leave its primary context to the system; with STAFFA_EMULATOR_LEAKS=error it may not.
void report_leaks_at_exit() {
    if (!config().leaks_are_findings) return;
    for (const auto& [address, a] : allocations) {
        if (a.context->sticky == CUDA_SUCCESS && a.state != State::freeing) report_leak(a, "the process");
    }
}

void release_all(Context* context) {
    std::vector<u64> leaked;
    for (auto& [address, a] : allocations) {
        if (a.context == context) leaked.push_back(address);
    }
    for (const u64 address : leaked) {
        Allocation& a = allocations[address];
        // After an error nothing can be freed any more: that is no leak.
        if (context->sticky == CUDA_SUCCESS && a.state != State::freeing) report_leak(a, "its context");
        release(a);
    }
}

std::string describe(u64 address) {
    if (address < 65536) return "address near zero";
    if (address < arena.begin - kMargin || address >= arena.end + kMargin) return "an address of the host that is not pinned";
    const auto name = [&](const Allocation& a, const char* what) {
        const u64 end = a.address + a.bytes;
        const auto number = static_cast<unsigned long long>(a.number);
        const auto bytes = static_cast<unsigned long long>(a.bytes);
        if (address < a.address) {
            return text("%llu bytes before %s %llu (%llu bytes)", static_cast<unsigned long long>(a.address - address),
                        what, number, bytes);
        }
        if (address >= end) {
            return text("%llu bytes behind the end of %s %llu (%llu bytes)",
                        static_cast<unsigned long long>(address - end), what, number, bytes);
        }
        return text("byte %llu of %s %llu (%llu bytes)", static_cast<unsigned long long>(address - a.address), what,
                    number, bytes);
    };
    if (const Allocation* a = find_allocation(address)) {
        return name(*a, a->state == State::live ? "allocation" : "(by the queue's order not yet allocated) allocation");
    }
    // Freed memory names itself; else the nearest neighbour within a page of guards.
    if (auto after = freed.upper_bound(address); after != freed.begin()) {
        const Allocation& a = std::prev(after)->second;
        if (address < a.address + a.bytes) return name(a, "freed allocation");
    }
    auto after = allocations.upper_bound(address);
    if (after != allocations.begin() && address < std::prev(after)->second.base + std::prev(after)->second.span + kPage) {
        return name(std::prev(after)->second, "allocation");
    }
    if (after != allocations.end() && address + 2 * kPage >= after->second.base) return name(after->second, "allocation");
    return "no allocation";
}

void check_canaries(const char* when) {
    if (allocations.size() > 256) return;  // freeing checks them all the same
    for (auto& [address, a] : allocations) check_canary(a, when);
}

void trim_pools_at_synchronization(int device) {
    for (auto& [handle, pool] : driver().pools) {
        if (pool->device != device) continue;
        const u64 keep = std::max(pool->used, pool->release_threshold);
        if (pool->reserved > keep) {
            driver().devices[static_cast<size_t>(device)]->used_bytes -= pool->reserved - keep;
            pool->reserved = keep;
        }
    }
}

}  // namespace emulator
