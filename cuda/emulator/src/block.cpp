// The threads of a block, their barrier, and in which order they run.
#include "block.h"

#include <cstring>

#include "sanitizer.h"

namespace emulator {

bool same_site(const Site& a, const Site& b) {
    return a.line == b.line && a.part == b.part && (a.file == b.file || !std::strcmp(a.file, b.file));
}

std::string name_of(const Site& site) {
    const char* const slash = std::strrchr(site.file, '/');
    std::string name = text("%s:%u", slash ? slash + 1 : site.file, site.line);
    if (site.part) name += text(" (step %u of the helper called there)", site.part);
    return name;
}

std::string name_of(const Thread& thread) {
    const Block& block = *thread.home;
    return text("thread (%u, %u, %u) of block (%u, %u, %u)", thread.thread_index.x, thread.thread_index.y,
                thread.thread_index.z, block.view.block_index.x, block.view.block_index.y, block.view.block_index.z);
}

void record_failure(Launch& launch, CUresult error, const std::string& message) {
    const std::lock_guard guard(launch.failure_mutex);
    if (launch.failed) return;
    launch.error = error;
    launch.message = message;
    launch.failed = true;
}

void fail(CUresult error, const char* format, ...) {
    char buffer[1536];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    const Thread& thread = *this_worker->current;
    record_failure(*thread.home->launch, error, text("%s, %s", buffer, name_of(thread).c_str()));
    leave_for_good();
}

void start_block(Worker& worker, Block& block, u64 number) {
    Launch& launch = *worker.launch;
    block.launch = &launch;
    block.number = number;
    block.busy = true;
    const uint3 grid = launch.grid, dim = launch.block;
    block.view.block_index = {static_cast<u32>(number % grid.x), static_cast<u32>(number / grid.x % grid.y),
                              static_cast<u32>(number / grid.x / grid.y)};
    block.view.block_dim = dim;
    block.view.grid_dim = grid;
    block.threads = dim.x * dim.y * dim.z;
    block.warps = (block.threads + 31) / 32;
    if (block.thread.size() < block.threads) block.thread.resize(block.threads);
    if (block.warp.size() < block.warps) block.warp.resize(block.warps);
    block.done = block.at_barrier = 0;
    block.spinning_warps = 0;
    block.ready_warps = block.warps == 32 ? ~0u : (1u << block.warps) - 1;
    u32 at = 0;
    for (u32 w = 0; w < block.warps; ++w) {
        Warp& warp = block.warp[w];
        const u32 lanes = std::min(32u, block.threads - w * 32);
        warp.threads = &block.thread[w * 32];
        warp.number = w;
        warp.exists = warp.ready = lanes == 32 ? ~0u : (1u << lanes) - 1;
        warp.spinning = warp.waiting = warp.at_barrier = warp.done = 0;
        for (u32 l = 0; l < lanes; ++l, ++at) {
            Thread& t = block.thread[at];
            t.thread_index = dim.y == 1 && dim.z == 1
                                 ? uint3{at, 0, 0}
                                 : uint3{at % dim.x, at / dim.x % dim.y, at / dim.x / dim.y};
            t.atomics_to_yield = worker.shuffled ? 1 + worker.random.below(128) : 0;
            t.block = &block.view;
            t.home = &block;
            t.warp = &warp;
            t.lane = static_cast<u8>(l);
            t.doing = Doing::fresh;
            t.stack = nullptr;
        }
    }
    if (has_tsan()) {
        const size_t had = block.tsan_threads.size();
        if (had < block.threads) block.tsan_threads.resize(block.threads);
        for (size_t i = had; i < block.threads; ++i) block.tsan_threads[i].fiber = __tsan_create_fiber(0);
        // Another thread of the next block gets this history, so that races between blocks show too.
        const u32 turn = worker.random.below(block.threads);
        for (u32 i = 0; i < block.threads; ++i) block.thread[i].tsan = &block.tsan_threads[(i + turn) % block.threads];
    }
    open_shared(block);
}

void end_block(Block& block) {
    close_shared(block);
    end_accesses(block);
    block.busy = false;
}

void thread_ended(Thread& thread) {
    Block& block = *thread.home;
    if (thread.copies && !thread.copies->pending.empty()) {
        fail(CUDA_ERROR_LAUNCH_FAILED, "a thread ended with an asynchronous copy it never waited for");
    }
    if (block.at_barrier != 0) {
        fail(CUDA_ERROR_LAUNCH_FAILED, "divergent barrier: a thread returned while %s waits in block_sync at %s",
             name_of(*block.first_at_barrier).c_str(), name_of(block.first_at_barrier->site).c_str());
    }
    check_exit_from_warp(thread);
    thread.doing = Doing::done;
    thread.warp->done |= 1u << thread.lane;
    ++block.done;
    ++this_worker->events;
}

bool step(Worker& worker, Block& block) {
    if (block.ready_warps == 0) {
        if (block.spinning_warps == 0) return false;
        for (u32 w = 0; w < block.warps; ++w) {
            block.warp[w].ready |= block.warp[w].spinning;
            block.warp[w].spinning = 0;
        }
        block.ready_warps = block.spinning_warps;
        block.spinning_warps = 0;
        return true;
    }
    const u32 w = pick(block.ready_warps, worker);
    Warp& warp = block.warp[w];
    // Sometimes a warp stops in the middle, and its lanes drift apart.
    const u64 dice = worker.shuffled ? worker.random.next() : 0;
    worker.chain = (dice & 7) == 7 ? 1 + (dice >> 8 & 31) : 256;
    while (warp.ready && worker.chain != 0) {
        --worker.chain;
        const u32 lane = pick(warp.ready, worker);
        warp.ready &= ~(1u << lane);
        const Thread& thread = resume(worker, warp.threads[lane]);
        if (worker.launch->failed) return true;
        if (thread.doing == Doing::paused) {
            warp.ready |= 1u << thread.lane;
            if ((worker.random.next() & 3) == 0) break;
        } else if (thread.doing == Doing::spinning) {
            warp.spinning |= 1u << thread.lane;
        }
    }
    // Barriers set these bits for other warps; this warp's own bits are settled here.
    if (warp.ready) {
        block.ready_warps |= 1u << w;
    } else {
        block.ready_warps &= ~(1u << w);
    }
    if (warp.spinning) {
        block.spinning_warps |= 1u << w;
    } else {
        block.spinning_warps &= ~(1u << w);
    }
    return true;
}

}  // namespace emulator

using namespace emulator;

namespace staffa_emulated {

// All threads of the block, at the same place; none may have returned.
__attribute__((visibility("default"))) uint32_t block_barrier(Vote vote, uint32_t predicate, Site site) {
    Thread& thread = *static_cast<Thread*>(staffa_emulated_self);
    Block& block = *thread.home;
    thread.site = site;
    thread.vote = vote;
    thread.phase = static_cast<u8>(block.phase & 1);
    if (block.done != 0) {
        for (u32 i = 0; i < block.threads; ++i) {
            if (block.thread[i].doing != Doing::done) continue;
            fail(CUDA_ERROR_LAUNCH_FAILED, "divergent barrier: block_sync at %s, but %s has returned",
                 name_of(site).c_str(), name_of(block.thread[i]).c_str());
        }
    }
    if (block.at_barrier == 0) {
        block.first_at_barrier = &thread;
        block.votes = 0;
    } else if (!same_site(site, block.first_at_barrier->site)) {
        fail(CUDA_ERROR_LAUNCH_FAILED, "divergent barrier: block_sync at %s, but %s waits at %s",
             name_of(site).c_str(), name_of(*block.first_at_barrier).c_str(),
             name_of(block.first_at_barrier->site).c_str());
    }
    check_barrier_against_warp(thread);
    block.votes += predicate != 0;
    if (has_tsan()) __tsan_release(&block.order[thread.phase]);
    if (++block.at_barrier == block.threads) {
        const u32 yes = block.votes;
        block.vote_result[thread.phase] =
            vote == Vote::any ? yes != 0 : (vote == Vote::all ? yes == block.threads : yes);
        block.at_barrier = 0;
        ++block.phase;
        ++this_worker->events;
        for (u32 w = 0; w < block.warps; ++w) {
            Warp& warp = block.warp[w];
            warp.ready |= warp.at_barrier;
            if (warp.at_barrier) block.ready_warps |= 1u << w;
            warp.at_barrier = 0;
        }
    } else {
        thread.warp->at_barrier |= 1u << thread.lane;
        leave(thread, Doing::barrier);
    }
    if (has_tsan()) __tsan_acquire(&block.order[thread.phase]);
    return block.vote_result[thread.phase];
}

__attribute__((visibility("default"))) void spin_pause() {
    leave(*static_cast<Thread*>(staffa_emulated_self), Doing::spinning);
}

__attribute__((visibility("default"))) void yield_at_atomic() {
    Thread& thread = *static_cast<Thread*>(staffa_emulated_self);
    thread.atomics_to_yield = 1 + this_worker->random.below(128);
    leave(thread, Doing::paused);
}

__attribute__((visibility("default"))) void misaligned(const void* address, uint64_t bytes) {
    fail(CUDA_ERROR_MISALIGNED_ADDRESS, "misaligned access of %llu bytes at %p", static_cast<unsigned long long>(bytes),
         address);
}

}  // namespace staffa_emulated
