// What every call starts with, handles, error names, and finding functions by name.
#include <dlfcn.h>

#include <cstring>

#include "emulator.h"

namespace emulator {

Driver& driver() {
    // Never destroyed: threads of the host may still call while the process ends.
    static Driver* const one = new Driver;
    return *one;
}

namespace {
thread_local bool inside_host_function = false;

// Streams 2: one for each host thread and context.
struct PerThread {
    std::map<Context*, u64> streams;
};
thread_local PerThread per_thread;
}  // namespace

bool in_host_function() { return inside_host_function; }
void set_in_host_function(bool inside) { inside_host_function = inside; }

Call::Call(const char* name, u32 needs) : lock(driver().mutex) {
    count(Counter::calls);
    if (inside_host_function && needs >= kContext) {
        finding("host function", "%s called by a host function: CUDA forbids it", name);
        result = CUDA_ERROR_NOT_PERMITTED;
        return;
    }
    if (needs >= kInit && !driver().initialized) {
        result = CUDA_ERROR_NOT_INITIALIZED;
        return;
    }
    if (needs & kContext) {
        context = current_context();
        if (!context) {
            result = CUDA_ERROR_INVALID_CONTEXT;
            return;
        }
        if (!context->alive) {
            result = CUDA_ERROR_CONTEXT_IS_DESTROYED;
            return;
        }
        if (context->sticky != CUDA_SUCCESS && !(needs & kSurvivesError)) {
            result = context->sticky;
            return;
        }
    }
    if (const CUresult fault = planned_fault(name); fault != CUDA_SUCCESS) {
        if (is_sticky(fault) && context) break_context(context, fault);
        result = fault;
    }
}

Stream* stream_of(Context* context, CUstream handle) {
    const u64 number = reinterpret_cast<u64>(handle);
    if (number <= 1) return context->legacy;
    auto& streams = driver().streams;
    if (number == 2) {
        u64& mine = per_thread.streams[context];
        if (const auto found = streams.find(mine); found != streams.end()) return found->second.get();
        auto stream = std::make_unique<Stream>();
        stream->handle = mine = driver().new_handle();
        stream->context = context;
        Stream* const raw = stream.get();
        streams.emplace(mine, std::move(stream));
        return raw;
    }
    const auto found = streams.find(number);
    if (found == streams.end() || found->second->destroyed) {
        finding("bad handle", "stream %p is not one, or was destroyed", handle);
        return nullptr;
    }
    if (found->second->context != context) {
        finding("bad handle", "stream %p belongs to another context", handle);
        return nullptr;
    }
    return found->second.get();
}

std::shared_ptr<EventState> event_of(CUevent handle) {
    const auto found = driver().events.find(reinterpret_cast<u64>(handle));
    if (found == driver().events.end()) {
        finding("bad handle", "event %p is not one, or was destroyed", handle);
        return nullptr;
    }
    return found->second;
}

namespace {
struct ErrorName {
    CUresult error;
    const char* name;
    const char* text;
};
constexpr ErrorName kErrors[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {4, "CUDA_ERROR_DEINITIALIZED", "driver shutting down"},
    {34, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {36, "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", "API call requires a newer CUDA driver"},
    {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", "uncorrectable NVLink error detected during the execution"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {301, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {401, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {708, "CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE", "cannot set while device is active in this process"},
    {709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {710, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {712, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED", "part or all of the requested memory range is already mapped"},
    {713, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "pointer does not correspond to a registered memory region"},
    {714, "CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error"},
    {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {717, "CUDA_ERROR_INVALID_ADDRESS_SPACE", "operation not supported on global/shared address space"},
    {718, "CUDA_ERROR_INVALID_PC", "invalid program counter"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {720, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"},
    {800, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {909, "CUDA_ERROR_TIMEOUT", "operation timed out"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};
const ErrorName* find_error(CUresult error) {
    for (const ErrorName& e : kErrors) {
        if (e.error == error) return &e;
    }
    return nullptr;
}

// The suffix that CUDA 13's headers give these names.
constexpr const char* kVersioned[][2] = {
    {"cuDeviceTotalMem", "_v2"},       {"cuModuleGetGlobal", "_v2"},     {"cuMemGetInfo", "_v2"},
    {"cuMemAlloc", "_v2"},             {"cuMemFree", "_v2"},             {"cuMemGetAddressRange", "_v2"},
    {"cuMemAllocHost", "_v2"},         {"cuMemHostGetDevicePointer", "_v2"}, {"cuMemHostRegister", "_v2"},
    {"cuCtxCreate", "_v4"},            {"cuCtxDestroy", "_v2"},          {"cuCtxPopCurrent", "_v2"},
    {"cuCtxPushCurrent", "_v2"},       {"cuStreamDestroy", "_v2"},       {"cuEventDestroy", "_v2"},
    {"cuEventElapsedTime", "_v2"},     {"cuDevicePrimaryCtxRelease", "_v2"}, {"cuDevicePrimaryCtxReset", "_v2"},
    {"cuDevicePrimaryCtxSetFlags", "_v2"}, {"cuDeviceGetUuid", "_v2"},   {"cuMemcpyHtoD", "_v2"},
    {"cuMemcpyDtoH", "_v2"},           {"cuMemcpyDtoD", "_v2"},          {"cuMemcpyHtoDAsync", "_v2"},
    {"cuMemcpyDtoHAsync", "_v2"},      {"cuMemcpyDtoDAsync", "_v2"},     {"cuMemsetD8", "_v2"},
    {"cuMemsetD16", "_v2"},            {"cuMemsetD32", "_v2"},           {"cuGetProcAddress", "_v2"},
};

void* symbol(const std::string& name) {
    Dl_info self{};
    if (!dladdr(reinterpret_cast<void*>(&symbol), &self)) return nullptr;
    void* const library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (!library) return nullptr;
    void* const found = dlsym(library, name.c_str());
    dlclose(library);
    return found;
}
}  // namespace

}  // namespace emulator

using namespace emulator;

STAFFA_EXPORT CUresult cuGetErrorName(CUresult error, const char** out) {
    const ErrorName* const found = find_error(error);
    *out = found ? found->name : nullptr;
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

STAFFA_EXPORT CUresult cuGetErrorString(CUresult error, const char** out) {
    const ErrorName* const found = find_error(error);
    *out = found ? found->text : nullptr;
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

STAFFA_EXPORT CUresult cuGetProcAddress_v2(const char* name, void** out, int version, uint64_t, int* status) {
    if (!name || !out) return CUDA_ERROR_INVALID_VALUE;
    *out = nullptr;
    std::string full = name;
    for (const auto& [base, suffix] : kVersioned) {
        if (full == base) full += suffix;
    }
    void* const found = symbol(full);
    if (status) *status = found ? 0 : 1;  // 1: symbol not found
    if (!found || version > 13000) return CUDA_ERROR_NOT_FOUND;
    *out = found;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuGetProcAddress(const char* name, void** out, int version, uint64_t flags) {
    return cuGetProcAddress_v2(name, out, version, flags, nullptr);
}
