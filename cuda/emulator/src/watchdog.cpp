// Ends kernels whose threads neither end nor wait: fibers are not preempted, so an endless loop would hold
// its OS thread for ever.
#include <thread>

#include "block.h"

namespace emulator {

namespace {
struct Watched {
    Worker* worker = nullptr;
    u64 switches = 0;
    const Thread* current = nullptr;
    Clock::time_point since{};
};
std::mutex& mutex = *new std::mutex;
std::vector<Watched>& watched = *new std::vector<Watched>;

void look() {
    const auto now = Clock::now();
    const std::lock_guard guard(mutex);
    for (Watched& w : watched) {
        const u64 switches = w.worker->switches.load(std::memory_order_relaxed);
        const Thread* const current = w.worker->current;
        if (!current || switches != w.switches || current != w.current) {
            w.switches = switches;
            w.current = current;
            w.since = now;
        } else if (std::chrono::duration<double>(now - w.since).count() > config().timeout_s) {
            w.since = now;
            interrupt(*w.worker);
        }
    }
}
}  // namespace

void watch(Worker& worker) {
    const std::lock_guard guard(mutex);
    if (watched.empty()) {
        std::thread([] {
            for (;;) {
                std::this_thread::sleep_for(std::chrono::milliseconds(200));
                look();
            }
        }).detach();
    }
    watched.push_back({&worker, 0, nullptr, Clock::now()});
}

}  // namespace emulator
