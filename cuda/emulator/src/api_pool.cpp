// Stream-ordered allocation and memory pools. Addresses are given at the call; the pages can be used from
// the stream's point of allocation to its point of freeing, and fault before and after.
#include <algorithm>

#include "emulator.h"

namespace emulator {

namespace {

Pool* pool_of(CUmemoryPool handle) {
    const auto found = driver().pools.find(reinterpret_cast<u64>(handle));
    return found == driver().pools.end() || found->second->destroyed ? nullptr : found->second.get();
}

// Takes `bytes` from what the pool keeps, and the rest from the device.
bool charge(Pool* pool, u64 bytes) {
    Device& device = *driver().devices[static_cast<size_t>(pool->device)];
    const u64 kept = pool->reserved - pool->used;
    if (bytes > kept) {
        const u64 more = bytes - kept;
        if (more > budget_left(pool->device)) return false;
        device.used_bytes += more;
        pool->reserved += more;
    }
    pool->used += bytes;
    pool->used_high = std::max(pool->used_high, pool->used);
    pool->reserved_high = std::max(pool->reserved_high, pool->reserved);
    return true;
}

void trim(Pool* pool, u64 keep) {
    keep = std::max(pool->used, keep);
    if (pool->reserved <= keep) return;
    driver().devices[static_cast<size_t>(pool->device)]->used_bytes -= pool->reserved - keep;
    pool->reserved = keep;
}

CUresult allocate_async(Call& call, CUdeviceptr* out, u64 bytes, Pool* pool, CUstream handle) {
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (!out || bytes == 0 || !pool) return CUDA_ERROR_INVALID_VALUE;
    const u64 charged = (bytes + 511) / 512 * 512;
    if (!charge(pool, charged)) {
        // What is queued may free memory; other pools may keep some.
        wait_for_context(call.lock, call.context);
        if (call.context->sticky != CUDA_SUCCESS) return call.context->sticky;
        for (auto& [number, other] : driver().pools) {
            if (other.get() != pool) trim(other.get(), 0);
        }
        if (!charge(pool, charged)) return CUDA_ERROR_OUT_OF_MEMORY;
    }
    Allocation* allocation = nullptr;
    const CUresult result = allocate(call.context, bytes, Kind::pool, pool, State::reserved, &allocation);
    if (result != CUDA_SUCCESS) {
        pool->used -= charged;
        return result;
    }
    count(Counter::pool_allocations);
    *out = allocation->address;
    Op op;
    op.name = "cuMemAllocAsync";
    op.run = [address = allocation->address] {
        const Lock lock(driver().mutex);
        if (const auto found = allocations.find(address); found != allocations.end()) {
            const bool freeing = found->second.state == State::freeing;
            make_live(found->second);
            if (freeing) found->second.state = State::freeing;  // its free is queued behind
        }
        return CUDA_SUCCESS;
    };
    submit(stream, std::move(op));
    return CUDA_SUCCESS;
}

}  // namespace

}  // namespace emulator

using namespace emulator;

STAFFA_EXPORT CUresult cuMemAllocAsync(CUdeviceptr* out, size_t bytes, CUstream stream) {
    ENTER("cuMemAllocAsync", kContext);
    return allocate_async(call, out, bytes, call.context->device->current_pool, stream);
}
STAFFA_EXPORT CUresult cuMemAllocFromPoolAsync(CUdeviceptr* out, size_t bytes, CUmemoryPool pool, CUstream stream) {
    ENTER("cuMemAllocFromPoolAsync", kContext);
    return allocate_async(call, out, bytes, pool_of(pool), stream);
}

STAFFA_EXPORT CUresult cuMemFreeAsync(CUdeviceptr address, CUstream handle) {
    ENTER("cuMemFreeAsync", kContext);
    Stream* const stream = stream_of(call.context, handle);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (address == 0) return CUDA_SUCCESS;
    const auto found = allocations.find(address);
    if (found == allocations.end() || found->second.state == State::freeing ||
        (found->second.kind != Kind::pool && found->second.kind != Kind::device)) {
        finding(found != allocations.end() || was_freed(address) ? "double free" : "bad free",
                "cuMemFreeAsync of 0x%llx: %s", address, describe(address).c_str());
        return CUDA_ERROR_INVALID_VALUE;
    }
    found->second.state = State::freeing;
    count(found->second.kind == Kind::pool ? Counter::pool_frees : Counter::device_frees);
    Op op;
    op.name = "cuMemFreeAsync";
    op.run = [address] {
        const Lock lock(driver().mutex);
        if (const auto again = allocations.find(address); again != allocations.end()) release(again->second);
        return CUDA_SUCCESS;
    };
    submit(stream, std::move(op));
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemPoolCreate(CUmemoryPool* out, const CUmemPoolProps* properties) {
    ENTER("cuMemPoolCreate", kInit);
    if (!out || !properties || properties->alloc_type != 1 || properties->location.type != 1) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (static_cast<size_t>(properties->location.id) >= driver().devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    auto pool = std::make_unique<Pool>();
    pool->handle = driver().new_handle();
    pool->device = properties->location.id;
    *out = reinterpret_cast<CUmemoryPool>(pool->handle);
    driver().pools.emplace(pool->handle, std::move(pool));
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemPoolDestroy(CUmemoryPool handle) {
    ENTER("cuMemPoolDestroy", kInit);
    Pool* const pool = pool_of(handle);
    if (!pool || pool->is_default) return CUDA_ERROR_INVALID_VALUE;
    pool->destroyed = true;  // its allocations live on; the record stays for them
    Device& device = *driver().devices[static_cast<size_t>(pool->device)];
    if (device.current_pool == pool) device.current_pool = device.default_pool;
    pool->release_threshold = 0;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemPoolTrimTo(CUmemoryPool handle, size_t keep) {
    ENTER("cuMemPoolTrimTo", kInit);
    Pool* const pool = pool_of(handle);
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    trim(pool, keep);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemPoolGetAttribute(CUmemoryPool handle, int which, void* out) {
    ENTER("cuMemPoolGetAttribute", kInit);
    Pool* const pool = pool_of(handle);
    if (!pool || !out) return CUDA_ERROR_INVALID_VALUE;
    switch (which) {
        case 1: case 2: case 3: *static_cast<int*>(out) = static_cast<int>(pool->reuse[which]); break;
        case 4: *static_cast<u64*>(out) = pool->release_threshold; break;
        case 5: *static_cast<u64*>(out) = pool->reserved; break;
        case 6: *static_cast<u64*>(out) = pool->reserved_high; break;
        case 7: *static_cast<u64*>(out) = pool->used; break;
        case 8: *static_cast<u64*>(out) = pool->used_high; break;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuMemPoolSetAttribute(CUmemoryPool handle, int which, void* value) {
    ENTER("cuMemPoolSetAttribute", kInit);
    Pool* const pool = pool_of(handle);
    if (!pool || !value) return CUDA_ERROR_INVALID_VALUE;
    switch (which) {
        case 1: case 2: case 3: pool->reuse[which] = static_cast<u64>(*static_cast<int*>(value)); break;
        case 4: pool->release_threshold = *static_cast<u64*>(value); break;
        case 6: pool->reserved_high = pool->reserved; break;  // only zero may be set: starts again
        case 8: pool->used_high = pool->used; break;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

namespace {
CUresult get_pool(CUmemoryPool* out, CUdevice ordinal, bool current) {
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || static_cast<size_t>(ordinal) >= driver().devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    const Device& device = *driver().devices[static_cast<size_t>(ordinal)];
    *out = reinterpret_cast<CUmemoryPool>((current ? device.current_pool : device.default_pool)->handle);
    return CUDA_SUCCESS;
}
}  // namespace

STAFFA_EXPORT CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* out, CUdevice ordinal) {
    ENTER("cuDeviceGetDefaultMemPool", kInit);
    return get_pool(out, ordinal, false);
}
STAFFA_EXPORT CUresult cuDeviceGetMemPool(CUmemoryPool* out, CUdevice ordinal) {
    ENTER("cuDeviceGetMemPool", kInit);
    return get_pool(out, ordinal, true);
}
STAFFA_EXPORT CUresult cuDeviceSetMemPool(CUdevice ordinal, CUmemoryPool handle) {
    ENTER("cuDeviceSetMemPool", kInit);
    Pool* const pool = pool_of(handle);
    if (!pool || pool->device != ordinal) return CUDA_ERROR_INVALID_VALUE;
    driver().devices[static_cast<size_t>(ordinal)]->current_pool = pool;
    return CUDA_SUCCESS;
}
