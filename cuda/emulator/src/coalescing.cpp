// How many 32-byte sectors of global memory the warps of each access touch: the figure that decides a
// kernel's memory speed on a GPU.
//
// Lanes do not run in step here. The n-th time that a lane comes to an access (by its address in the code)
// is taken together with the n-th time of the other lanes of its warp; a hardware warp that has diverged may
// group them otherwise.
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "block.h"

namespace emulator {

namespace {

constexpr u64 kSector = 32;

struct Place {
    const char* kernel;
    const void* code;
    bool operator<(const Place& other) const {
        return kernel != other.kernel ? kernel < other.kernel : code < other.code;
    }
};
struct Totals {
    bool writes = false;
    u64 warp_accesses = 0, lanes = 0, bytes = 0, sectors = 0;
};
std::mutex& mutex = *new std::mutex;
std::map<Place, Totals>& totals = *new std::map<Place, Totals>;

// The lanes of one warp at one access, so far.
struct Group {
    u32 lanes = 0;
    u64 bytes = 0;
    std::vector<u64> sectors;
};
struct AccessSite {
    u32 times[32] = {};  // how often each lane has come
    bool writes = false;
    std::map<u32, Group> open;
};
}  // namespace

struct WarpAccesses {
    std::map<const void*, AccessSite> sites;
};

namespace {

void close(const Warp& warp, const void* code, const AccessSite& site, Group& group) {
    std::sort(group.sectors.begin(), group.sectors.end());
    const u64 sectors = static_cast<u64>(std::unique(group.sectors.begin(), group.sectors.end()) - group.sectors.begin());
    const std::lock_guard guard(mutex);
    Totals& t = totals[{warp.threads[0].home->launch->kernel->name, code}];
    t.writes = site.writes;
    ++t.warp_accesses;
    t.lanes += static_cast<u64>(__builtin_popcount(group.lanes));
    t.bytes += group.bytes;
    t.sectors += sectors;
    count(Counter::warp_accesses);
    count(Counter::accessed_bytes, group.bytes);
    count(Counter::sectors, sectors);
}

}  // namespace

void end_accesses(Block& block) {
    for (u32 w = 0; w < block.warps; ++w) {
        Warp& warp = block.warp[w];
        if (!warp.accesses) continue;
        for (auto& [code, site] : warp.accesses->sites) {
            for (auto& [time, group] : site.open) close(warp, code, site, group);
        }
        delete warp.accesses;
        warp.accesses = nullptr;
    }
}

// One line for each access: kernel, r or w, warp accesses, lanes, bytes, sectors, library, offset.
void write_accesses() {
    const char* const path = std::getenv("STAFFA_EMULATOR_COALESCING");
    if (!path || !*path) return;
    FILE* const file = std::fopen(path, "w");
    if (!file) return;
    const std::lock_guard guard(mutex);
    for (const auto& [place, t] : totals) {
        Dl_info info{};
        dladdr(place.code, &info);
        const u64 offset = reinterpret_cast<u64>(place.code) - reinterpret_cast<u64>(info.dli_fbase) - 1;
        std::fprintf(file, "%s %c %llu %llu %llu %llu %s 0x%llx\n", place.kernel, t.writes ? 'w' : 'r',
                     static_cast<unsigned long long>(t.warp_accesses), static_cast<unsigned long long>(t.lanes),
                     static_cast<unsigned long long>(t.bytes), static_cast<unsigned long long>(t.sectors),
                     info.dli_fname ? info.dli_fname : "?", static_cast<unsigned long long>(offset));
    }
    std::fclose(file);
}

}  // namespace emulator

using namespace emulator;

namespace staffa_emulated {

__attribute__((visibility("default"))) void count_access(const void* pointer, uint64_t bytes, bool writes, const void* code) {
    if (!staffa_emulated_self) return;
    const u64 address = reinterpret_cast<u64>(pointer);
    if (!arena_holds(address)) return;  // shared or local memory
    Thread& thread = *static_cast<Thread*>(staffa_emulated_self);
    Warp& warp = *thread.warp;
    if (!warp.accesses) warp.accesses = new WarpAccesses;
    AccessSite& site = warp.accesses->sites[code];
    site.writes = writes;
    const u32 time = site.times[thread.lane]++;
    Group& group = site.open[time];
    group.lanes |= 1u << thread.lane;
    group.bytes += bytes;
    for (u64 sector = address / kSector; sector <= (address + bytes - 1) / kSector; ++sector) group.sectors.push_back(sector);
    if (group.lanes == warp.exists) {
        close(warp, code, site, group);
        site.open.erase(time);
    }
}

}  // namespace staffa_emulated
