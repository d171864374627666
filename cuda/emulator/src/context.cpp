// Devices and contexts.
#include <cstring>

#include "emulator.h"

namespace emulator {

namespace {

thread_local std::vector<Context*> context_stack;

Device* device_of(int ordinal) {
    auto& devices = driver().devices;
    return ordinal >= 0 && static_cast<size_t>(ordinal) < devices.size() ? devices[ordinal].get() : nullptr;
}

Context* context_of(CUcontext handle) {
    const auto found = driver().contexts.find(reinterpret_cast<u64>(handle));
    return found == driver().contexts.end() ? nullptr : found->second.get();
}

CUcontext handle_of(const Context* context) {
    return context ? reinterpret_cast<CUcontext>(context->handle) : nullptr;
}

Context* new_context(Device* device, bool primary, u32 flags) {
    auto context = std::make_unique<Context>();
    context->handle = driver().new_handle();
    context->device = device;
    context->is_primary = primary;
    context->flags = flags;
    Context* const raw = context.get();
    driver().contexts.emplace(raw->handle, std::move(context));
    return raw;
}

void open_context(Context* context) {
    context->alive = true;
    context->sticky = CUDA_SUCCESS;
    auto stream = std::make_unique<Stream>();
    stream->handle = driver().new_handle();
    stream->context = context;
    stream->is_legacy = true;
    context->legacy = stream.get();
    driver().streams.emplace(stream->handle, std::move(stream));
}

Pool* new_default_pool(int ordinal) {
    auto pool = std::make_unique<Pool>();
    pool->handle = driver().new_handle();
    pool->device = ordinal;
    pool->is_default = true;
    Pool* const raw = pool.get();
    driver().pools.emplace(raw->handle, std::move(pool));
    return raw;
}

}  // namespace

Context* current_context() { return context_stack.empty() ? nullptr : context_stack.back(); }

void break_context(Context* context, CUresult error) {
    if (context->sticky == CUDA_SUCCESS) context->sticky = error;
    for (auto& [handle, stream] : driver().streams) {
        if (stream->context == context) stream->queue.clear();  // host functions are not called then, as in CUDA
    }
    driver().changed.notify_all();
}

void destroy_context_contents(Lock& lock, Context* context) {
    if (context->sticky == CUDA_SUCCESS) wait_for_context(lock, context);
    // A broken context's queues are empty, but its last operation may still be running.
    driver().changed.wait(lock, [&] {
        for (auto& [handle, stream] : driver().streams) {
            if (stream->context == context && stream->running) return false;
        }
        return true;
    });
    release_all(context);
    drop_modules(context);
    std::erase_if(driver().streams, [&](const auto& entry) { return entry.second->context == context; });
    std::erase_if(driver().events, [&](const auto& entry) { return entry.second->context == context; });
    context->legacy = nullptr;
    context->alive = false;
}

}  // namespace emulator

using namespace emulator;

STAFFA_EXPORT CUresult cuInit(unsigned flags) {
    ENTER("cuInit", kNothing);
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (driver().initialized) return CUDA_SUCCESS;
    if (config().devices == 0) return CUDA_ERROR_NO_DEVICE;
    for (u32 i = 0; i < config().devices; ++i) {
        auto device = std::make_unique<Device>();
        device->ordinal = static_cast<int>(i);
        device->primary = new_context(device.get(), true, 0);
        device->primary->alive = false;
        device->default_pool = device->current_pool = new_default_pool(device->ordinal);
        driver().devices.push_back(std::move(device));
    }
    driver().initialized = true;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDriverGetVersion(int* version) {
    ENTER("cuDriverGetVersion", kNothing);
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = 13000;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* out, CUdevice ordinal) {
    ENTER("cuDevicePrimaryCtxRetain", kInit);
    Device* const device = device_of(ordinal);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    if (device->primary_references++ == 0 || !device->primary->alive) open_context(device->primary);
    device->primary->flags = device->primary_flags;
    *out = handle_of(device->primary);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
    ENTER("cuDevicePrimaryCtxRelease", kInit);
    Device* const device = device_of(ordinal);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    if (device->primary_references == 0) return CUDA_ERROR_INVALID_CONTEXT;
    if (--device->primary_references == 0 && device->primary->alive) {
        destroy_context_contents(call.lock, device->primary);
    }
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDevicePrimaryCtxReset_v2(CUdevice ordinal) {
    ENTER("cuDevicePrimaryCtxReset", kInit);
    Device* const device = device_of(ordinal);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    if (device->primary->alive) {
        destroy_context_contents(call.lock, device->primary);
        // References stay: the context is active again, empty and without its error.
        if (device->primary_references != 0) open_context(device->primary);
    }
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice ordinal, unsigned flags) {
    ENTER("cuDevicePrimaryCtxSetFlags", kInit);
    Device* const device = device_of(ordinal);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    device->primary_flags = flags;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDevicePrimaryCtxGetState(CUdevice ordinal, unsigned* flags, int* active) {
    ENTER("cuDevicePrimaryCtxGetState", kInit);
    Device* const device = device_of(ordinal);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
    *flags = device->primary_flags;
    *active = device->primary->alive;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxCreate_v2(CUcontext* out, unsigned flags, CUdevice ordinal) {
    ENTER("cuCtxCreate", kInit);
    Device* const device = device_of(ordinal);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    Context* const context = new_context(device, false, flags);
    open_context(context);
    context_stack.push_back(context);
    *out = handle_of(context);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxCreate_v3(CUcontext* out, void*, int, unsigned flags, CUdevice ordinal) {
    return cuCtxCreate_v2(out, flags, ordinal);
}

STAFFA_EXPORT CUresult cuCtxCreate_v4(CUcontext* out, void*, unsigned flags, CUdevice ordinal) {
    return cuCtxCreate_v2(out, flags, ordinal);
}

STAFFA_EXPORT CUresult cuCtxDestroy_v2(CUcontext handle) {
    ENTER("cuCtxDestroy", kInit);
    Context* const context = context_of(handle);
    if (!context || context->is_primary) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    destroy_context_contents(call.lock, context);
    if (current_context() == context) context_stack.pop_back();
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxSetCurrent(CUcontext handle) {
    ENTER("cuCtxSetCurrent", kInit);
    if (!handle) {
        if (!context_stack.empty()) context_stack.pop_back();
        return CUDA_SUCCESS;
    }
    Context* const context = context_of(handle);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->alive) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    if (context_stack.empty()) {
        context_stack.push_back(context);
    } else {
        context_stack.back() = context;
    }
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxGetCurrent(CUcontext* out) {
    ENTER("cuCtxGetCurrent", kInit);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = handle_of(current_context());
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxPushCurrent_v2(CUcontext handle) {
    ENTER("cuCtxPushCurrent", kInit);
    Context* const context = context_of(handle);
    if (!context) return CUDA_ERROR_INVALID_CONTEXT;
    context_stack.push_back(context);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxPopCurrent_v2(CUcontext* out) {
    ENTER("cuCtxPopCurrent", kInit);
    if (context_stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (out) *out = handle_of(context_stack.back());
    context_stack.pop_back();
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxGetDevice(CUdevice* out) {
    ENTER("cuCtxGetDevice", kInit);
    if (!current_context()) return CUDA_ERROR_INVALID_CONTEXT;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = current_context()->device->ordinal;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxGetFlags(unsigned* flags) {
    ENTER("cuCtxGetFlags", kContext);
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = call.context->flags;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxSetFlags(unsigned flags) {
    ENTER("cuCtxSetFlags", kContext);
    call.context->flags = flags;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxGetApiVersion(CUcontext, unsigned* version) {
    ENTER("cuCtxGetApiVersion", kInit);
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    *version = 13000;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxSynchronize() {
    ENTER("cuCtxSynchronize", kContext);
    count(Counter::synchronizations);
    wait_for_context(call.lock, call.context);
    if (call.context->sticky == CUDA_SUCCESS) trim_pools_at_synchronization(call.context->device->ordinal);
    return call.context->sticky;
}

STAFFA_EXPORT CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    ENTER("cuCtxGetStreamPriorityRange", kContext);
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxGetLimit(size_t* value, int limit) {
    ENTER("cuCtxGetLimit", kContext);
    if (!value) return CUDA_ERROR_INVALID_VALUE;
    *value = limit == 0 ? 1024 : (limit == 1 ? 1 << 20 : (limit == 2 ? 8 << 20 : 0));  // stack, printf, heap
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxSetLimit(int, size_t) {
    ENTER("cuCtxSetLimit", kContext);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxSetCacheConfig(int) {
    ENTER("cuCtxSetCacheConfig", kContext);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuCtxGetCacheConfig(int* out) {
    ENTER("cuCtxGetCacheConfig", kContext);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = 0;
    return CUDA_SUCCESS;
}
