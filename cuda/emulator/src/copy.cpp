// Copies and fills, with CUDA's rules about who waits for whom (driver API, "API synchronization
// behavior"):
//   host to device, pageable: the source is read during the call; the copy itself comes later
//   host to device, pinned:   read when the copy runs; the plain call waits for it
//   device to host, pageable: the call waits, the "Async" one too
//   device to host, pinned:   written when the copy runs; the plain call waits
//   device to device, fills:  the host never waits
// The plain calls use the legacy stream, with which non-blocking streams are not ordered.
#include <cstring>

#include "emulator.h"

namespace emulator {

namespace {

void* at(u64 address) { return reinterpret_cast<void*>(address); }

bool is_pinned(const Allocation* a) { return a && (a->kind == Kind::host || a->kind == Kind::registered); }

// A device range, or pinned host memory used as one. Says what is wrong with it.
bool device_range(const char* name, u64 address, u64 bytes) {
    const Allocation* const a = find_range(address, bytes);
    if (a && a->state != State::freeing) return true;
    if (a) {
        finding("use after free", "%s uses allocation %llu after its cuMemFreeAsync", name,
                static_cast<unsigned long long>(a->number));
    } else {
        finding("bad range", "%s of %llu bytes at 0x%llx: %s", name, static_cast<unsigned long long>(bytes),
                static_cast<unsigned long long>(address), describe(address).c_str());
    }
    return false;
}

// When the copy runs, in the queue's order, the memory must be there.
bool still_there(const char* name, u64 address, u64 bytes) {
    const Lock lock(driver().mutex);
    const Allocation* const a = find_range(address, bytes);
    if (a && a->mapped) return true;
    if (a && a->kind == Kind::registered) return true;
    finding("use out of order", "%s runs before its memory is allocated or after it was freed: %s", name,
            describe(address).c_str());
    return false;
}

// Host memory (pageable or pinned) is not checked: a bad address faults as it does in a real driver.
Op copy_op(const char* name, void* who, u64 to, u64 from, u64 bytes, bool to_device, bool from_device,
           std::shared_ptr<std::vector<u8>> staged) {
    Op op;
    op.name = name;
    if (!to_device) op.host_address = to, op.host_bytes = bytes;
    if (!from_device && !staged) op.host_address = from, op.host_bytes = bytes;
    op.run = [=] {
        if (const CUresult fault = planned_fault("copy"); fault != CUDA_SUCCESS) return fault;
        if (to_device && !still_there(name, to, bytes)) return static_cast<CUresult>(CUDA_ERROR_ILLEGAL_ADDRESS);
        if (from_device && !still_there(name, from, bytes)) return static_cast<CUresult>(CUDA_ERROR_ILLEGAL_ADDRESS);
        if (from_device) running_line().reads(at(from), bytes, who);
        if (to_device) running_line().writes(at(to), bytes, who);
        std::memmove(at(to), staged ? staged->data() : at(from), bytes);
        if (to_device && from_device) {
            count(Counter::bytes_on_device, bytes);
            count(Counter::copies_on_device);
        } else if (to_device) {
            count(Counter::bytes_to_device, bytes);
            count(Counter::copies_to_device);
        } else {
            count(Counter::bytes_to_host, bytes);
            count(Counter::copies_to_host);
        }
        return static_cast<CUresult>(CUDA_SUCCESS);
    };
    return op;
}

CUresult wait_for(Call& call, Stream* stream) {
    wait_for_stream(call.lock, stream);
    return call.context->sticky;
}

CUresult to_device(Call& call, const char* name, void* who, u64 to, const void* from, u64 bytes, CUstream handle, bool waits) {
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!from || !device_range(name, to, bytes)) return CUDA_ERROR_INVALID_VALUE;
    const u64 source = reinterpret_cast<u64>(from);
    if (is_pinned(find_range(source, bytes))) {
        submit(stream, copy_op(name, who, to, source, bytes, true, false, nullptr));
        return waits ? wait_for(call, stream) : CUDA_SUCCESS;
    }
    if (waits) {  // the stream is idle before a pageable source is read
        if (const CUresult error = wait_for(call, stream); error != CUDA_SUCCESS) return error;
    }
    const u8* const begin = static_cast<const u8*>(from);
    count(Counter::staged_bytes, bytes);
    submit(stream, copy_op(name, who, to, 0, bytes, true, false, std::make_shared<std::vector<u8>>(begin, begin + bytes)));
    return CUDA_SUCCESS;
}

CUresult to_host(Call& call, const char* name, void* who, void* to, u64 from, u64 bytes, CUstream handle, bool waits) {
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!to || !device_range(name, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
    const u64 target = reinterpret_cast<u64>(to);
    const bool pinned = is_pinned(find_range(target, bytes));
    submit(stream, copy_op(name, who, target, from, bytes, false, true, nullptr));
    return waits || !pinned ? wait_for(call, stream) : CUDA_SUCCESS;
}

CUresult on_device(Call& call, const char* name, void* who, u64 to, u64 from, u64 bytes, CUstream handle) {
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!device_range(name, to, bytes) || !device_range(name, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
    submit(stream, copy_op(name, who, to, from, bytes, true, true, nullptr));
    return CUDA_SUCCESS;
}

template <class T>
CUresult set(Call& call, const char* name, void* who, u64 to, T value, u64 n, CUstream handle) {
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (n == 0) return CUDA_SUCCESS;
    const u64 bytes = n * sizeof(T);
    if (to % sizeof(T) != 0 || !device_range(name, to, bytes)) return CUDA_ERROR_INVALID_VALUE;
    Op op;
    op.name = name;
    op.run = [=] {
        if (const CUresult fault = planned_fault("copy"); fault != CUDA_SUCCESS) return fault;
        if (!still_there(name, to, bytes)) return static_cast<CUresult>(CUDA_ERROR_ILLEGAL_ADDRESS);
        running_line().writes(at(to), bytes, who);
        T* const begin = static_cast<T*>(at(to));
        std::fill(begin, begin + n, value);
        count(Counter::bytes_set, bytes);
        return static_cast<CUresult>(CUDA_SUCCESS);
    };
    submit(stream, std::move(op));
    return CUDA_SUCCESS;
}

// Unified addressing: the direction follows from the addresses.
CUresult any_copy(Call& call, const char* name, void* who, u64 to, u64 from, u64 bytes, CUstream stream, bool waits) {
    const bool to_dev = arena_holds(to) && !is_pinned(find_allocation(to));
    const bool from_dev = arena_holds(from) && !is_pinned(find_allocation(from));
    if (to_dev && from_dev) return on_device(call, name, who, to, from, bytes, stream);
    if (to_dev) return to_device(call, name, who, to, at(from), bytes, stream, waits);
    if (from_dev) return to_host(call, name, who, at(to), from, bytes, stream, waits);
    return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

}  // namespace emulator

using namespace emulator;

STAFFA_EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
    ENTER("cuMemcpyHtoD", kContext);
    return to_device(call, "cuMemcpyHtoD", reinterpret_cast<void*>(&cuMemcpyHtoD_v2), to, from, bytes, nullptr, true);
}
STAFFA_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
    ENTER("cuMemcpyHtoDAsync", kContext);
    return to_device(call, "cuMemcpyHtoDAsync", reinterpret_cast<void*>(&cuMemcpyHtoDAsync_v2), to, from, bytes, stream, false);
}
STAFFA_EXPORT CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
    ENTER("cuMemcpyDtoH", kContext);
    return to_host(call, "cuMemcpyDtoH", reinterpret_cast<void*>(&cuMemcpyDtoH_v2), to, from, bytes, nullptr, true);
}
STAFFA_EXPORT CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER("cuMemcpyDtoHAsync", kContext);
    return to_host(call, "cuMemcpyDtoHAsync", reinterpret_cast<void*>(&cuMemcpyDtoHAsync_v2), to, from, bytes, stream, false);
}
STAFFA_EXPORT CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    ENTER("cuMemcpyDtoD", kContext);
    return on_device(call, "cuMemcpyDtoD", reinterpret_cast<void*>(&cuMemcpyDtoD_v2), to, from, bytes, nullptr);
}
STAFFA_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER("cuMemcpyDtoDAsync", kContext);
    return on_device(call, "cuMemcpyDtoDAsync", reinterpret_cast<void*>(&cuMemcpyDtoDAsync_v2), to, from, bytes, stream);
}
STAFFA_EXPORT CUresult cuMemcpyPeerAsync(CUdeviceptr to, CUcontext, CUdeviceptr from, CUcontext, size_t bytes,
                                         CUstream stream) {
    ENTER("cuMemcpyPeerAsync", kContext);
    return on_device(call, "cuMemcpyPeerAsync", reinterpret_cast<void*>(&cuMemcpyPeerAsync), to, from, bytes, stream);
}
STAFFA_EXPORT CUresult cuMemcpy(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    ENTER("cuMemcpy", kContext);
    return any_copy(call, "cuMemcpy", reinterpret_cast<void*>(&cuMemcpy), to, from, bytes, nullptr, true);
}
STAFFA_EXPORT CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    ENTER("cuMemcpyAsync", kContext);
    return any_copy(call, "cuMemcpyAsync", reinterpret_cast<void*>(&cuMemcpyAsync), to, from, bytes, stream, false);
}

#define STAFFA_MEMSET(bits, type)                                                                          \
    STAFFA_EXPORT CUresult cuMemsetD##bits##_v2(CUdeviceptr to, type value, size_t n) {                    \
        ENTER("cuMemsetD" #bits, kContext);                                                                \
        void* const who = reinterpret_cast<void*>(&cuMemsetD##bits##_v2);                                  \
        return set(call, "cuMemsetD" #bits, who, to, value, n, nullptr);                                   \
    }                                                                                                      \
    STAFFA_EXPORT CUresult cuMemsetD##bits##Async(CUdeviceptr to, type value, size_t n, CUstream stream) { \
        ENTER("cuMemsetD" #bits "Async", kContext);                                                        \
        void* const who = reinterpret_cast<void*>(&cuMemsetD##bits##Async);                                \
        return set(call, "cuMemsetD" #bits "Async", who, to, value, n, stream);                            \
    }
STAFFA_MEMSET(8, unsigned char)
STAFFA_MEMSET(16, unsigned short)
STAFFA_MEMSET(32, unsigned)
