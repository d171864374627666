// Runs the blocks of a launch: several in flight on each OS thread, started in an order that the seed picks.
#include <pthread.h>
#include <sched.h>

#include <numeric>
#include <thread>

#include "block.h"
#include "sanitizer.h"

namespace emulator {

namespace {

u32 blocks_in_flight(Worker& worker, const Launch& launch) {
    u32 most = 4;
    if (has_tsan()) most = 2;  // the race detector knows 8,000 threads, and forgets none
    const u32 wanted = config().seed == 0 ? 2 : 1 + worker.random.below(most);
    return static_cast<u32>(std::min<u64>(wanted, launch.blocks));
}

bool start_next(Worker& worker, Launch& launch, Block& block) {
    const u64 i = launch.next_block.fetch_add(1, std::memory_order_relaxed);
    if (i >= launch.blocks) return false;
    const u64 number = static_cast<u64>((launch.first + static_cast<unsigned __int128>(i) * launch.stride) % launch.blocks);
    start_block(worker, block, number);
    return true;
}

void abandon(Worker& worker) {
    for (auto& block : worker.blocks) {
        if (!block->busy) continue;
        for (u32 i = 0; i < block->threads; ++i) {
            Thread& thread = block->thread[i];
            if (thread.stack) drop_stack(worker, thread);
            if (thread.copies) *thread.copies = {};
        }
        if (has_tsan()) drop_tsan_threads(*block);
        end_block(*block);
    }
}

void report_deadlock(Launch& launch, Block& block) {
    std::string where;
    u32 shown = 0;
    for (u32 i = 0; i < block.threads && shown < 3; ++i) {
        const Thread& t = block.thread[i];
        if (t.doing != Doing::barrier && t.doing != Doing::collective) continue;
        where += text("; %s waits in a %s at %s", name_of(t).c_str(), t.doing == Doing::barrier ? "barrier" : "warp operation",
                      name_of(t.site).c_str());
        ++shown;
    }
    record_failure(launch, CUDA_ERROR_LAUNCH_FAILED, text("deadlock: %u of %u threads have ended%s", block.done,
                                                          block.threads, where.c_str()));
}

bool only_spinning(const Worker& worker) {
    for (const auto& block : worker.blocks) {
        if (block->busy && block->ready_warps != 0) return false;
    }
    return true;
}

// Threads only spin: what they wait for must come from a block that runs elsewhere, or never.
struct Patience {
    u64 events = 0;
    u64 rounds = 0;
    Clock::time_point since{};
    bool lost(const Worker& worker, bool only_spinning) {
        if (worker.events != events || rounds == 0) {
            events = worker.events;
            rounds = 1;
            since = Clock::now();
            return false;
        }
        if (++rounds % 256 != 0) return false;
        sched_yield();
        // Alone, nothing can change any more after a few rounds of everybody.
        if (config().threads == 1 && only_spinning && rounds > 200000) return true;
        return std::chrono::duration<double>(Clock::now() - since).count() > config().timeout_s;
    }
};

}  // namespace

void run_blocks(Worker& worker, Launch& launch) {
    worker.launch = &launch;
    worker.random = {config().seed * 0x10001 + launch.number * 977 + worker.number};
    worker.shuffled = config().seed != 0;
    const u32 in_flight = blocks_in_flight(worker, launch);
    while (worker.blocks.size() < in_flight) {
        worker.blocks.push_back(std::make_unique<Block>());
        allocate_shared(*worker.blocks.back());
    }
    u32 busy = 0;
    bool more = true;
    u64 ended = 0;
    Patience patience;
    while (!launch.failed) {
        for (u32 i = 0; i < in_flight && more; ++i) {
            if (worker.blocks[i]->busy) continue;
            more = start_next(worker, launch, *worker.blocks[i]);
            busy += more;
        }
        if (busy == 0) break;
        u32 at = in_flight == 1 ? 0 : worker.random.below(in_flight);
        while (!worker.blocks[at]->busy) at = (at + 1) % in_flight;
        Block& block = *worker.blocks[at];
        const u32 steps = worker.shuffled ? 1 + worker.random.below(16) : 64;
        for (u32 s = 0; s < steps && !launch.failed; ++s) {
            if (!step(worker, block)) break;
            if (block.ready_warps == 0) break;
        }
        if (launch.failed) break;
        if (block.done == block.threads) {
            ended += block.threads;
            end_block(block);
            --busy;
            count(Counter::blocks);
        } else if (block.ready_warps == 0 && block.spinning_warps == 0) {
            report_deadlock(launch, block);
        } else if (patience.lost(worker, only_spinning(worker))) {
            record_failure(launch, CUDA_ERROR_LAUNCH_TIMEOUT,
                           "livelock: every running thread waits in a loop for something that nobody will do");
        }
    }
    if (launch.failed) abandon(worker);
    count(Counter::threads, ended);
    worker.launch = nullptr;
}

namespace {

// The other OS threads, made at the first launch.
struct Crew {
    std::mutex mutex;
    std::condition_variable changed;
    Launch* launch = nullptr;
    u64 turn = 0;
    u32 working = 0;
    u32 hired = 0;
};
Crew& crew() {
    static Crew* const one = new Crew;
    return *one;
}

Worker& make_worker() {
    Worker* const worker = new Worker;  // lives as long as its OS thread, that is, the process
    static std::atomic<u32> workers{0};
    worker->number = workers++;
    worker->os_thread = pthread_self();
    enter_worker(*worker);
    enter_signals(*worker);
    watch(*worker);
    return *worker;
}

void crew_thread() {
    Worker& worker = make_worker();
    Crew& c = crew();
    std::unique_lock lock(c.mutex);
    u64 seen = 0;
    for (;;) {
        c.changed.wait(lock, [&] { return c.launch && c.turn != seen; });
        seen = c.turn;
        Launch* const launch = c.launch;
        lock.unlock();
        run_blocks(worker, *launch);
        lock.lock();
        if (--c.working == 0) c.changed.notify_all();
    }
}

}  // namespace

// On the device thread.
void run_launch(Launch& launch) {
    static Worker* const mine = &make_worker();
    const u32 others = static_cast<u32>(std::min<u64>(config().threads, launch.blocks)) - 1;
    Crew& c = crew();
    running_line().release(launch.begin);
    if (others != 0) {
        const std::lock_guard guard(c.mutex);
        for (; c.hired < config().threads - 1; ++c.hired) std::thread(crew_thread).detach();
        c.launch = &launch;
        c.working = c.hired;
        ++c.turn;
        c.changed.notify_all();
    }
    run_blocks(*mine, launch);
    if (others != 0) {
        std::unique_lock lock(c.mutex);
        c.changed.wait(lock, [&] { return c.working == 0; });
        c.launch = nullptr;
    }
    running_line().acquire(launch.end);
}

}  // namespace emulator
