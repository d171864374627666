// Streams, events and host functions.
#include "emulator.h"

namespace emulator {

namespace {

CUresult create_stream(Context* context, CUstream* out, unsigned flags, int priority) {
    if (!out || flags > 1) return CUDA_ERROR_INVALID_VALUE;
    auto stream = std::make_unique<Stream>();
    stream->handle = driver().new_handle();
    stream->context = context;
    stream->flags = flags;
    stream->non_blocking = flags == 1;
    stream->priority = priority > 0 ? 0 : (priority < -5 ? -5 : priority);
    *out = reinterpret_cast<CUstream>(stream->handle);
    driver().streams.emplace(stream->handle, std::move(stream));
    return CUDA_SUCCESS;
}

bool is_done(const Stream& stream) { return stream.idle(); }

}  // namespace

}  // namespace emulator

using namespace emulator;

STAFFA_EXPORT CUresult cuStreamCreate(CUstream* out, unsigned flags) {
    ENTER("cuStreamCreate", kContext);
    return create_stream(call.context, out, flags, 0);
}

STAFFA_EXPORT CUresult cuStreamCreateWithPriority(CUstream* out, unsigned flags, int priority) {
    ENTER("cuStreamCreateWithPriority", kContext);
    return create_stream(call.context, out, flags, priority);
}

STAFFA_EXPORT CUresult cuStreamDestroy_v2(CUstream handle) {
    ENTER("cuStreamDestroy", kContext);
    if (reinterpret_cast<u64>(handle) <= 2) return CUDA_ERROR_INVALID_HANDLE;
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    // Returns at once; what is queued still runs.
    stream->destroyed = true;
    if (stream->idle()) {
        driver().host.acquire(stream->done);
        driver().streams.erase(stream->handle);
    }
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuStreamQuery(CUstream handle) {
    ENTER("cuStreamQuery", kContext);
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    count(Counter::queries);
    if (is_done(*stream)) {
        driver().host.acquire(stream->done);
        return CUDA_SUCCESS;
    }
    const u64 number = stream->handle;
    make_progress(call.lock, call.context);
    if (call.context->sticky != CUDA_SUCCESS) return call.context->sticky;
    const auto found = driver().streams.find(number);
    if (found == driver().streams.end()) return CUDA_SUCCESS;
    if (!is_done(*found->second)) return CUDA_ERROR_NOT_READY;
    driver().host.acquire(found->second->done);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuStreamSynchronize(CUstream handle) {
    ENTER("cuStreamSynchronize", kContext);
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    count(Counter::synchronizations);
    wait_for_stream(call.lock, stream);
    if (call.context->sticky == CUDA_SUCCESS) trim_pools_at_synchronization(call.context->device->ordinal);
    return call.context->sticky;
}

STAFFA_EXPORT CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned) {
    ENTER("cuStreamWaitEvent", kContext);
    Stream* const stream = stream_of(call.context, handle);
    const auto state = event_of(event);
    if (!stream || !state) return CUDA_ERROR_INVALID_HANDLE;
    Op op;
    op.name = "cuStreamWaitEvent";
    op.wait_for = state;
    op.waited = state->done;
    op.wait_version = state->recorded;  // a later record does not change what is waited for
    op.run = [] { return CUDA_SUCCESS; };
    submit(stream, std::move(op));
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuStreamGetPriority(CUstream handle, int* out) {
    ENTER("cuStreamGetPriority", kContext);
    const Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = stream->priority;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuStreamGetFlags(CUstream handle, unsigned* out) {
    ENTER("cuStreamGetFlags", kContext);
    const Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = stream->flags;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuStreamGetCtx(CUstream handle, CUcontext* out) {
    ENTER("cuStreamGetCtx", kContext);
    const Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUcontext>(stream->context->handle);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuStreamIsCapturing(CUstream handle, int* out) {
    ENTER("cuStreamIsCapturing", kContext);
    if (!stream_of(call.context, handle)) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = 0;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuEventCreate(CUevent* out, unsigned flags) {
    ENTER("cuEventCreate", kContext);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    auto event = std::make_shared<EventState>();
    event->flags = flags;
    event->context = call.context;
    const u64 handle = driver().new_handle();
    driver().events.emplace(handle, std::move(event));
    *out = reinterpret_cast<CUevent>(handle);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuEventDestroy_v2(CUevent handle) {
    ENTER("cuEventDestroy", kContext);
    if (!event_of(handle)) return CUDA_ERROR_INVALID_HANDLE;
    driver().events.erase(reinterpret_cast<u64>(handle));
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuEventRecord(CUevent event, CUstream handle) {
    ENTER("cuEventRecord", kContext);
    Stream* const stream = stream_of(call.context, handle);
    auto state = event_of(event);
    if (!stream || !state) return CUDA_ERROR_INVALID_HANDLE;
    if (state->context != call.context) return CUDA_ERROR_INVALID_HANDLE;
    // A state of its own for each record: waits that are queued keep the record they were queued for,
    // even when this one, on another stream, is done first.
    state = std::make_shared<EventState>(*state);
    state->completed = 0;
    driver().events[reinterpret_cast<u64>(event)] = state;
    const u64 version = ++state->recorded;
    state->done = new_point();
    Op op;
    op.name = "cuEventRecord";
    op.run = [state, version, done = state->done] {
        running_line().release(done);
        const Lock lock(driver().mutex);
        if (state->completed < version) {
            state->completed = version;
            state->when = Clock::now();
        }
        return CUDA_SUCCESS;
    };
    submit(stream, std::move(op));
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned) {
    return cuEventRecord(event, stream);
}

STAFFA_EXPORT CUresult cuEventQuery(CUevent handle) {
    ENTER("cuEventQuery", kContext);
    const auto state = event_of(handle);
    if (!state) return CUDA_ERROR_INVALID_HANDLE;
    count(Counter::queries);
    if (state->completed < state->recorded) make_progress(call.lock, call.context);
    if (call.context->sticky != CUDA_SUCCESS) return call.context->sticky;
    if (state->completed < state->recorded) return CUDA_ERROR_NOT_READY;
    driver().host.acquire(state->done);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuEventSynchronize(CUevent handle) {
    ENTER("cuEventSynchronize", kContext);
    const auto state = event_of(handle);
    if (!state) return CUDA_ERROR_INVALID_HANDLE;
    count(Counter::synchronizations);
    const u64 version = state->recorded;
    const Point done = state->done;
    wait_until(call.lock, call.context, [&] { return state->completed >= version; });
    driver().host.acquire(done);
    if (call.context->sticky == CUDA_SUCCESS) trim_pools_at_synchronization(call.context->device->ordinal);
    return call.context->sticky;
}

STAFFA_EXPORT CUresult cuEventElapsedTime_v2(float* milliseconds, CUevent begin, CUevent end) {
    ENTER("cuEventElapsedTime", kContext);
    const auto from = event_of(begin), to = event_of(end);
    if (!from || !to) return CUDA_ERROR_INVALID_HANDLE;
    if (!milliseconds) return CUDA_ERROR_INVALID_VALUE;
    constexpr unsigned kNoTiming = 2;
    if (from->recorded == 0 || to->recorded == 0 || ((from->flags | to->flags) & kNoTiming)) {
        return CUDA_ERROR_INVALID_HANDLE;
    }
    if (from->completed < from->recorded || to->completed < to->recorded) return CUDA_ERROR_NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
    return CUDA_SUCCESS;
}
STAFFA_EXPORT CUresult cuEventElapsedTime(float* milliseconds, CUevent begin, CUevent end) {
    return cuEventElapsedTime_v2(milliseconds, begin, end);
}

STAFFA_EXPORT CUresult cuLaunchHostFunc(CUstream handle, CUhostFn function, void* data) {
    ENTER("cuLaunchHostFunc", kContext);
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!function) return CUDA_ERROR_INVALID_VALUE;
    Op op;
    op.name = "cuLaunchHostFunc";
    op.on_host_thread = true;
    op.run = [function, data] {
        function(data);
        return CUDA_SUCCESS;
    };
    submit(stream, std::move(op));
    return CUDA_SUCCESS;
}
