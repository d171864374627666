// Allocation calls: plain, and pinned host memory.
#include <algorithm>

#include "emulator.h"

namespace emulator {

namespace {

void* at(u64 address) { return reinterpret_cast<void*>(address); }

// Frees of memory that queued work will still touch are errors that hardware may let pass.
bool host_range_is_queued(u64 address, u64 bytes, const char** by) {
    for (const auto& [handle, stream] : driver().streams) {
        for (const Op& op : stream->queue) {
            if (op.host_bytes && op.host_address < address + bytes && address < op.host_address + op.host_bytes) {
                *by = op.name;
                return true;
            }
        }
    }
    return false;
}

CUresult bad_free(const char* call, u64 address) {
    if (was_freed(address)) {
        finding("double free", "%s of %s", call, describe(address).c_str());
    } else {
        finding("bad free", "%s of 0x%llx: %s", call, static_cast<unsigned long long>(address),
                describe(address).c_str());
    }
    return CUDA_ERROR_INVALID_VALUE;
}

CUresult free_host(Call& call, const char* name, void* pointer, Kind kind) {
    const u64 address = reinterpret_cast<u64>(pointer);
    const auto found = allocations.find(address);
    if (found == allocations.end() || found->second.kind != kind) {
        bad_free(name, address);
        return kind == Kind::host ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    }
    const char* by = nullptr;
    if (host_range_is_queued(address, found->second.bytes, &by)) {
        finding("freed while in use", "%s of host memory that a queued %s still uses", name, by);
        wait_for_context(call.lock, call.context);
        if (allocations.find(address) == allocations.end()) return CUDA_SUCCESS;
    } else {
        // The operation that runs right now may be one that uses it.
        driver().changed.wait(call.lock, [address, bytes = found->second.bytes] {
            return std::none_of(driver().streams.begin(), driver().streams.end(), [=](const auto& entry) {
                const Stream& s = *entry.second;
                return s.running && s.running_host_address < address + bytes &&
                       address < s.running_host_address + s.running_host_bytes;
            });
        });
    }
    count(Counter::host_frees);
    release(allocations.find(address)->second);
    return CUDA_SUCCESS;
}

}  // namespace

}  // namespace emulator

using namespace emulator;

STAFFA_EXPORT CUresult cuMemGetInfo_v2(size_t* free_bytes, size_t* total_bytes) {
    ENTER("cuMemGetInfo", kContext);
    if (free_bytes) *free_bytes = budget_left(call.context->device->ordinal);
    if (total_bytes) *total_bytes = config().memory_bytes;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr* out, size_t bytes) {
    ENTER("cuMemAlloc", kContext);
    if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocation* allocation = nullptr;
    CUresult result = allocate(call.context, bytes, Kind::device, nullptr, State::live, &allocation);
    if (result == CUDA_ERROR_OUT_OF_MEMORY) {  // pools give back what they only keep
        wait_for_context(call.lock, call.context);
        if (call.context->sticky != CUDA_SUCCESS) return call.context->sticky;
        for (auto& [handle, pool] : driver().pools) {
            driver().devices[static_cast<size_t>(pool->device)]->used_bytes -= pool->reserved - pool->used;
            pool->reserved = pool->used;
        }
        result = allocate(call.context, bytes, Kind::device, nullptr, State::live, &allocation);
    }
    if (result != CUDA_SUCCESS) return result;
    count(Counter::device_allocations);
    *out = allocation->address;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemFree_v2(CUdeviceptr address) {
    ENTER("cuMemFree", kContext);
    if (address == 0) return CUDA_SUCCESS;
    const auto found = allocations.find(address);
    if (found == allocations.end() || found->second.kind == Kind::host || found->second.kind == Kind::registered ||
        found->second.state == State::freeing) {
        return bad_free("cuMemFree", address);
    }
    // As drivers do in practice: the device is idle before memory goes away.
    wait_for_context(call.lock, call.context);
    if (call.context->sticky != CUDA_SUCCESS) return call.context->sticky;
    const auto again = allocations.find(address);
    if (again == allocations.end()) return bad_free("cuMemFree", address);
    count(again->second.kind == Kind::pool ? Counter::pool_frees : Counter::device_frees);
    release(again->second);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemHostAlloc(void** out, size_t bytes, unsigned) {
    ENTER("cuMemHostAlloc", kContext);
    if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocation* allocation = nullptr;
    const CUresult result = allocate(call.context, bytes, Kind::host, nullptr, State::live, &allocation);
    if (result != CUDA_SUCCESS) return result;
    count(Counter::host_allocations);
    *out = at(allocation->address);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemAllocHost_v2(void** out, size_t bytes) {
    ENTER("cuMemAllocHost", kContext);
    if (!out || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    Allocation* allocation = nullptr;
    const CUresult result = allocate(call.context, bytes, Kind::host, nullptr, State::live, &allocation);
    if (result != CUDA_SUCCESS) return result;
    count(Counter::host_allocations);
    *out = at(allocation->address);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemFreeHost(void* pointer) {
    ENTER("cuMemFreeHost", kContext);
    return free_host(call, "cuMemFreeHost", pointer, Kind::host);
}

STAFFA_EXPORT CUresult cuMemHostRegister_v2(void* pointer, size_t bytes, unsigned) {
    ENTER("cuMemHostRegister", kContext);
    const u64 address = reinterpret_cast<u64>(pointer);
    if (address == 0 || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    const auto after = allocations.lower_bound(address);
    if (find_allocation(address) || (after != allocations.end() && after->first < address + bytes)) {
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    }
    Allocation& a = allocations[address];
    a.address = a.base = address;
    a.bytes = a.span = bytes;
    a.kind = Kind::registered;
    a.context = call.context;
    count(Counter::host_allocations);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemHostUnregister(void* pointer) {
    ENTER("cuMemHostUnregister", kContext);
    return free_host(call, "cuMemHostUnregister", pointer, Kind::registered);
}

STAFFA_EXPORT CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* out, void* pointer, unsigned) {
    ENTER("cuMemHostGetDevicePointer", kContext);
    const Allocation* const a = find_allocation(reinterpret_cast<u64>(pointer));
    if (!out || !a || (a->kind != Kind::host && a->kind != Kind::registered)) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<u64>(pointer);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemHostGetFlags(unsigned* out, void* pointer) {
    ENTER("cuMemHostGetFlags", kContext);
    const Allocation* const a = find_allocation(reinterpret_cast<u64>(pointer));
    if (!out || !a || a->kind != Kind::host) return CUDA_ERROR_INVALID_VALUE;
    *out = 2;  // mapped
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, size_t* bytes, CUdeviceptr address) {
    ENTER("cuMemGetAddressRange", kContext);
    const Allocation* const a = find_allocation(address);
    if (!a) return CUDA_ERROR_NOT_FOUND;
    if (base) *base = a->address;
    if (bytes) *bytes = a->bytes;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuPointerGetAttribute(void* out, int which, CUdeviceptr address) {
    ENTER("cuPointerGetAttribute", kContext);
    const Allocation* const a = find_allocation(address);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    const bool on_host = a && (a->kind == Kind::host || a->kind == Kind::registered);
    if (which == 13) {  // MAPPED
        *static_cast<int*>(out) = a != nullptr;
        return CUDA_SUCCESS;
    }
    if (!a) return CUDA_ERROR_INVALID_VALUE;
    switch (which) {
        case 1: *static_cast<CUcontext*>(out) = reinterpret_cast<CUcontext>(a->context->handle); break;
        case 2: *static_cast<unsigned*>(out) = on_host ? 1 : 2; break;  // MEMORY_TYPE: host, device
        case 3: *static_cast<u64*>(out) = address; break;
        case 4:  // HOST_POINTER
            if (!on_host) return CUDA_ERROR_INVALID_VALUE;
            *static_cast<u64*>(out) = address;
            break;
        case 7: *static_cast<u64*>(out) = a->number; break;
        case 8: *static_cast<unsigned*>(out) = 0; break;
        case 9: *static_cast<int*>(out) = a->context->device->ordinal; break;
        case 11: *static_cast<u64*>(out) = a->address; break;
        case 12: *static_cast<size_t*>(out) = a->bytes; break;
        case 17: *static_cast<u64*>(out) = a->pool ? a->pool->handle : 0; break;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}
