// Queues, and the device thread that works them off.
//
// Nothing runs because it was submitted: work runs when somebody waits for something, when somebody polls,
// or after a few idle milliseconds. Until then host code can do all the wrong things that it may not do
// while the device works. The device thread picks, by the seed, any operation that CUDA's rules allow:
// the first of a stream, its event reached, and legacy-stream order kept.
#include "emulator.h"

#include <pthread.h>

#include <algorithm>
#include <thread>

namespace emulator {

namespace {

Random order{0};
bool device_thread_runs = false;
Line* running = nullptr;

bool may_run(const Stream& stream) {
    if (stream.running || stream.queue.empty()) return false;
    const Op& op = stream.queue.front();
    if (op.wait_for && op.wait_for->completed < op.wait_version) return false;
    if (stream.non_blocking) return true;
    // The legacy stream waits for what was submitted before to all blocking streams, and they for it.
    for (const auto& [handle, other] : driver().streams) {
        if (other.get() == &stream || other->non_blocking || other->context != stream.context) continue;
        if (stream.is_legacy == other->is_legacy) continue;
        if (other->running && other->running_number < op.number) return false;
        if (!other->queue.empty() && other->queue.front().number < op.number) return false;
    }
    return true;
}

Stream* choose() {
    static std::vector<Stream*> ready;
    ready.clear();
    for (const auto& [handle, stream] : driver().streams) {
        if (may_run(*stream)) ready.push_back(stream.get());
    }
    if (ready.empty()) return nullptr;
    Stream* first = ready[0];
    for (Stream* stream : ready) {
        if (stream->queue.front().number < first->queue.front().number) first = stream;
    }
    if (config().seed == 0) return first;
    // By handle, so that the choice does not depend on the hash map's order.
    std::sort(ready.begin(), ready.end(), [](Stream* a, Stream* b) { return a->handle < b->handle; });
    return ready[order.below(static_cast<u32>(ready.size()))];
}

void finish(u64 handle, CUresult result, const char* name) {
    const auto found = driver().streams.find(handle);
    if (found != driver().streams.end()) {
        Stream* const stream = found->second.get();
        stream->running = false;
        if (result != CUDA_SUCCESS && stream->context->sticky == CUDA_SUCCESS) {
            std::fprintf(stderr, "staffa-emulator: %s failed with error %d, which stays\n", name, result);
            break_context(stream->context, result);
        }
        stream->line.release(stream->done);
        if (stream->destroyed && stream->idle()) {
            driver().host.acquire(stream->done);  // nobody could, later
            driver().streams.erase(found);
        }
    }
    ++driver().ops_done;
    driver().changed.notify_all();
}

void run_one(Lock& lock, Stream* stream) {
    Op op = std::move(stream->queue.front());
    stream->queue.pop_front();
    stream->running = true;
    stream->running_number = op.number;
    stream->running_host_address = op.host_address;
    stream->running_host_bytes = op.host_bytes;
    const u64 handle = stream->handle;
    stream->line.acquire(op.submitted);
    stream->line.acquire(op.waited);
    if (!stream->non_blocking) {
        for (const auto& [number, other] : driver().streams) {
            const bool ordered = !other->non_blocking && other->is_legacy != stream->is_legacy;
            if (ordered && other->context == stream->context) stream->line.acquire(other->done);
        }
    }
    if (op.on_host_thread) {
        driver().host.acquire(stream->done);
        // A thread of its own: the function may block on what only another stream's work can bring about.
        std::thread([op = std::move(op), handle] {
            set_in_host_function(true);
            op.run();
            set_in_host_function(false);
            const Lock inner(driver().mutex);
            finish(handle, CUDA_SUCCESS, op.name);
        }).detach();
        return;
    }
    running = &stream->line;
    lock.unlock();
    const CUresult result = op.run();
    op.run = nullptr;  // destroyed without the mutex
    lock.lock();
    running = nullptr;
    finish(handle, result, op.name);
}

bool any_queued() {
    for (const auto& [handle, stream] : driver().streams) {
        if (!stream->queue.empty()) return true;
    }
    return false;
}

void device_thread() {
    pthread_setname_np(pthread_self(), "staffa-device");
    Lock lock(driver().mutex);
    const auto idle = std::chrono::milliseconds(config().idle_ms);
    for (;;) {
        if (driver().demands == 0) {
            if (!any_queued()) {
                driver().changed.wait(lock);
                continue;
            }
            const auto due = driver().last_submission + idle;
            if (Clock::now() < due) {
                driver().changed.wait_until(lock, due);
                continue;
            }
        }
        if (Stream* const stream = choose()) {
            run_one(lock, stream);
        } else {
            driver().changed.wait(lock);
        }
    }
}

void start_device_thread() {
    if (device_thread_runs) return;
    device_thread_runs = true;
    order = {config().seed};
    std::thread(device_thread).detach();
}

}  // namespace

Line& running_line() { return *running; }

void submit(Stream* stream, Op op) {
    start_device_thread();
    driver().host.release(op.submitted);
    op.number = ++driver().next_op;
    stream->submitted = op.number;
    stream->queue.push_back(std::move(op));
    driver().last_submission = Clock::now();
    driver().changed.notify_all();
}

void wait_until(Lock& lock, Context* context, const std::function<bool()>& done) {
    const auto over = [&] { return (context && context->sticky != CUDA_SUCCESS) || done(); };
    if (over()) return;
    ++driver().demands;
    driver().changed.notify_all();
    driver().changed.wait(lock, over);
    --driver().demands;
}

void wait_for_stream(Lock& lock, Stream* stream) {
    const u64 handle = stream->handle, target = stream->submitted;
    wait_until(lock, stream->context, [=] {
        const auto found = driver().streams.find(handle);
        if (found == driver().streams.end()) return true;
        const Stream& s = *found->second;
        if (s.running && s.running_number <= target) return false;
        return s.queue.empty() || s.queue.front().number > target;
    });
    const auto found = driver().streams.find(handle);
    if (found != driver().streams.end()) driver().host.acquire(found->second->done);
}

void wait_for_context(Lock& lock, Context* context) {
    const u64 target = driver().next_op;
    wait_until(lock, context, [=] {
        for (const auto& [handle, s] : driver().streams) {
            if (s->context != context) continue;
            if (s->running && s->running_number <= target) return false;
            if (!s->queue.empty() && s->queue.front().number <= target) return false;
        }
        return true;
    });
    for (const auto& [handle, s] : driver().streams) {
        if (s->context == context) driver().host.acquire(s->done);
    }
}

// One operation, so that whoever polls gets there in the end, and not at the first try.
void make_progress(Lock& lock, Context* context) {
    const u64 target = driver().ops_done + 1;
    wait_until(lock, context, [=] {
        if (driver().ops_done >= target) return true;
        for (const auto& [handle, s] : driver().streams) {
            if (s->running || may_run(*s)) return false;
        }
        return true;  // nothing can run now
    });
}

}  // namespace emulator
