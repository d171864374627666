// Shuffles, votes, match and warp barriers: lanes bring their part and wait until every lane of the mask has
// come to the same call; the last one works out all results.
#include "block.h"
#include "sanitizer.h"

namespace emulator {

namespace {

const char* name_of_op(WarpOp op) {
    static constexpr const char* kNames[] = {"warp_sync", "shfl", "shfl_up", "shfl_down", "shfl_xor",
                                             "ballot",    "any",  "all",     "match_any"};
    return kNames[static_cast<u32>(op)];
}

// The lane that `lane` reads from; `lane` itself where CUDA keeps the own value.
u32 source_lane(WarpOp op, u32 lane, u32 argument, u32 width) {
    const u32 first = lane & ~(width - 1), last = first + width - 1;
    switch (op) {
        case WarpOp::shfl: return first + (argument & (width - 1));
        case WarpOp::shfl_up: return lane < first + argument ? lane : lane - argument;
        case WarpOp::shfl_down: return argument > last || lane > last - argument ? lane : lane + argument;
        default: {
            const u32 other = lane ^ argument;
            return other > last ? lane : other;
        }
    }
}

void check_mask(Thread& thread) {
    const Warp& warp = *thread.warp;
    const char* const op = name_of_op(thread.op);
    const std::string site = name_of(thread.site);
    const u32 mask = thread.mask;
    if (!(mask >> thread.lane & 1)) {
        fail(CUDA_ERROR_LAUNCH_FAILED, "wrong mask: %s at %s with mask 0x%08x, which leaves out lane %u that calls it",
             op, site.c_str(), mask, thread.lane);
    }
    if (const u32 missing = mask & ~warp.exists) {
        fail(CUDA_ERROR_LAUNCH_FAILED, "wrong mask: %s at %s with mask 0x%08x names lane %d, which the block does not have",
             op, site.c_str(), mask, __builtin_ctz(missing));
    }
    if (const u32 gone = mask & warp.done) {
        fail(CUDA_ERROR_LAUNCH_FAILED, "exited lane: %s at %s with mask 0x%08x names lane %d, which has returned", op,
             site.c_str(), mask, __builtin_ctz(gone));
    }
    if (const u32 held = mask & warp.at_barrier) {
        const u32 lane = static_cast<u32>(__builtin_ctz(held));
        fail(CUDA_ERROR_LAUNCH_FAILED, "divergence: %s at %s with mask 0x%08x names lane %u, which waits in block_sync at %s",
             op, site.c_str(), mask, lane, name_of(warp.threads[lane].site).c_str());
    }
    for (u32 waiting = mask & warp.waiting; waiting; waiting &= waiting - 1) {
        const u32 lane = static_cast<u32>(__builtin_ctz(waiting));
        const Thread& other = warp.threads[lane];
        if (!(other.mask >> thread.lane & 1)) continue;  // it waits for others first
        if (other.mask != mask) {
            fail(CUDA_ERROR_LAUNCH_FAILED, "wrong mask: %s at %s with mask 0x%08x, but lane %u came to %s at %s with 0x%08x",
                 op, site.c_str(), mask, lane, name_of_op(other.op), name_of(other.site).c_str(), other.mask);
        }
        if (other.op != thread.op || !same_site(other.site, thread.site)) {
            fail(CUDA_ERROR_LAUNCH_FAILED, "divergence: %s at %s, but lane %u of its mask came to %s at %s", op,
                 site.c_str(), lane, name_of_op(other.op), name_of(other.site).c_str());
        }
    }
}

void check_mask_fast(Thread& thread) {
    const Warp& warp = *thread.warp;
    const u32 mask = thread.mask;
    bool fine = (mask >> thread.lane & 1) && !(mask & (~warp.exists | warp.done | warp.at_barrier));
    if (fine && (mask & warp.waiting)) {
        const Thread& other = warp.threads[__builtin_ctz(mask & warp.waiting)];
        // All that wait have been compared with each other, if they share a mask.
        fine = other.mask == mask && other.op == thread.op && other.site.line == thread.site.line &&
               other.site.file == thread.site.file && other.site.part == thread.site.part;
    }
    if (!fine) check_mask(thread);
}

void compute(Warp& warp, const Thread& last) {
    const u32 mask = last.mask;
    Words values[32];
    u32 votes = 0;
    for (u32 rest = mask; rest; rest &= rest - 1) {
        const u32 lane = static_cast<u32>(__builtin_ctz(rest));
        values[lane] = warp.threads[lane].value;
        if (values[lane].low) votes |= 1u << lane;
    }
    for (u32 rest = mask; rest; rest &= rest - 1) {
        const u32 lane = static_cast<u32>(__builtin_ctz(rest));
        Thread& t = warp.threads[lane];
        switch (last.op) {
            case WarpOp::sync: break;
            case WarpOp::ballot: t.value = {votes, 0}; break;
            case WarpOp::any: t.value = {votes != 0, 0}; break;
            case WarpOp::all: t.value = {votes == mask, 0}; break;
            case WarpOp::match_any: {
                u64 equal = 0;
                for (u32 others = mask; others; others &= others - 1) {
                    const u32 other = static_cast<u32>(__builtin_ctz(others));
                    if (values[other].low == values[lane].low) equal |= 1u << other;
                }
                t.value = {equal, 0};
                break;
            }
            default: {
                const u32 source = source_lane(last.op, lane, t.argument, t.width);
                if (!(mask >> source & 1)) {
                    fail(CUDA_ERROR_LAUNCH_FAILED, "wrong mask: %s at %s: lane %u reads from lane %u, which mask 0x%08x leaves out",
                         name_of_op(last.op), name_of(last.site).c_str(), lane, source, mask);
                }
                t.value = values[source];
            }
        }
    }
}

}  // namespace

void check_exit_from_warp(Thread& thread) {
    for (u32 waiting = thread.warp->waiting; waiting; waiting &= waiting - 1) {
        const Thread& other = thread.warp->threads[__builtin_ctz(waiting)];
        if (other.mask >> thread.lane & 1) {
            fail(CUDA_ERROR_LAUNCH_FAILED, "exited lane: lane %u returned, but lane %u waits for it in %s at %s with mask 0x%08x",
                 thread.lane, other.lane, name_of_op(other.op), name_of(other.site).c_str(), other.mask);
        }
    }
}

void check_barrier_against_warp(Thread& thread) {
    for (u32 waiting = thread.warp->waiting; waiting; waiting &= waiting - 1) {
        const Thread& other = thread.warp->threads[__builtin_ctz(waiting)];
        if (other.mask >> thread.lane & 1) {
            fail(CUDA_ERROR_LAUNCH_FAILED, "divergence: lane %u is in block_sync at %s, but lane %u waits for it in %s at %s",
                 thread.lane, name_of(thread.site).c_str(), other.lane, name_of_op(other.op),
                 name_of(other.site).c_str());
        }
    }
}

}  // namespace emulator

using namespace emulator;

namespace staffa_emulated {

__attribute__((visibility("default"))) Words collective(WarpOp op, uint32_t mask, Words value, uint32_t argument,
                                                        uint32_t width, Site site) {
    Thread& thread = *static_cast<Thread*>(staffa_emulated_self);
    Warp& warp = *thread.warp;
    thread.op = op;
    thread.mask = mask;
    thread.value = value;
    thread.argument = argument;
    thread.width = width;
    thread.site = site;
    if (width == 0 || width > 32 || (width & (width - 1)) != 0) {
        fail(CUDA_ERROR_LAUNCH_FAILED, "wrong width: %s at %s with width %u", name_of_op(op), name_of(site).c_str(), width);
    }
    check_mask_fast(thread);
    thread.phase = static_cast<u8>(warp.phase & 1);
    if (op == WarpOp::sync && has_tsan()) __tsan_release(&warp.order[thread.phase]);
    const u32 here = 1u << thread.lane;
    if (((warp.waiting | here) & mask) == mask) {
        // Lanes that wait with another mask are not complete, whatever their number.
        bool complete = true;
        for (u32 rest = mask & ~here; rest; rest &= rest - 1) {
            complete &= warp.threads[__builtin_ctz(rest)].mask == mask;
        }
        if (complete) {
            compute(warp, thread);
            warp.waiting &= ~mask;
            warp.ready |= mask & ~here;
            ++warp.phase;
            ++this_worker->events;
            if (op == WarpOp::sync && has_tsan()) __tsan_acquire(&warp.order[thread.phase]);
            return thread.value;
        }
    }
    warp.waiting |= here;
    leave(thread, Doing::collective);
    if (op == WarpOp::sync && has_tsan()) __tsan_acquire(&warp.order[thread.phase]);
    return thread.value;
}

}  // namespace staffa_emulated
