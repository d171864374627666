// What a device says about itself. The figures are those of the chosen architecture (T4, A100, H100);
// two multiprocessors, so that grids sized by their number stay small.
#include <algorithm>
#include <cstring>

#include "emulator.h"

using namespace emulator;

namespace {

constexpr int kMultiprocessors = 2;

Device* device_of(int ordinal) {
    auto& devices = driver().devices;
    return ordinal >= 0 && static_cast<size_t>(ordinal) < devices.size() ? devices[ordinal].get() : nullptr;
}

// CUdevice_attribute -> value; false if it is not one that we know.
bool attribute(int which, const Device& device, int& value) {
    const Config& c = config();
    switch (which) {
        case 1: value = 1024; break;                  // MAX_THREADS_PER_BLOCK
        case 2: case 3: value = 1024; break;          // MAX_BLOCK_DIM_X, _Y
        case 4: value = 64; break;                    // MAX_BLOCK_DIM_Z
        case 5: value = 0x7fffffff; break;            // MAX_GRID_DIM_X
        case 6: case 7: value = 65535; break;         // MAX_GRID_DIM_Y, _Z
        case 8: value = static_cast<int>(c.shared_default()); break;
        case 9: value = 65536; break;                 // TOTAL_CONSTANT_MEMORY
        case 10: value = 32; break;                   // WARP_SIZE
        case 11: value = 0x7fffffff; break;           // MAX_PITCH
        case 12: value = 65536; break;                // MAX_REGISTERS_PER_BLOCK
        case 13: value = 1500000; break;              // CLOCK_RATE, kHz
        case 14: value = 512; break;                  // TEXTURE_ALIGNMENT
        case 15: value = 1; break;                    // GPU_OVERLAP
        case 16: value = kMultiprocessors; break;     // MULTIPROCESSOR_COUNT
        case 17: case 18: value = 0; break;           // KERNEL_EXEC_TIMEOUT, INTEGRATED
        case 19: value = 1; break;                    // CAN_MAP_HOST_MEMORY
        case 20: value = 0; break;                    // COMPUTE_MODE
        case 31: value = 1; break;                    // CONCURRENT_KERNELS
        case 32: value = 1; break;                    // ECC_ENABLED
        case 33: value = device.ordinal + 1; break;   // PCI_BUS_ID
        case 34: case 35: case 50: value = 0; break;  // PCI_DEVICE_ID, TCC_DRIVER, PCI_DOMAIN_ID
        case 36: value = 2600000; break;              // MEMORY_CLOCK_RATE, kHz
        case 37: value = 5120; break;                 // GLOBAL_MEMORY_BUS_WIDTH
        case 38: value = c.arch_major >= 9 ? 50 << 20 : (c.arch_major == 8 ? 40 << 20 : 4 << 20); break;
        case 39: value = static_cast<int>(c.threads_per_processor()); break;
        case 40: value = 2; break;                    // ASYNC_ENGINE_COUNT
        case 41: value = 1; break;                    // UNIFIED_ADDRESSING
        case 75: value = static_cast<int>(c.arch_major); break;
        case 76: value = static_cast<int>(c.arch_minor); break;
        case 78: value = 1; break;                    // STREAM_PRIORITIES_SUPPORTED
        case 79: case 80: value = 1; break;           // GLOBAL_L1_CACHE, LOCAL_L1_CACHE
        case 81: value = static_cast<int>(c.shared_per_processor()); break;
        case 82: value = 65536; break;                // MAX_REGISTERS_PER_MULTIPROCESSOR
        case 83: case 88: case 89: case 95: value = 0; break;  // managed, pageable, concurrent managed, cooperative
        case 91: case 99: value = 1; break;           // host pointers of registered memory, HOST_REGISTER_SUPPORTED
        case 97: value = static_cast<int>(c.shared_opt_in()); break;
        case 106: value = static_cast<int>(c.blocks_per_processor()); break;
        case 111: value = c.arch_major >= 8 ? 1024 : 0; break;  // RESERVED_SHARED_MEMORY_PER_BLOCK
        case 115: value = 1; break;                   // MEMORY_POOLS_SUPPORTED
        default:
            value = 0;
            return which > 0 && which < 150;
    }
    return true;
}

}  // namespace

STAFFA_EXPORT CUresult cuDeviceGet(CUdevice* out, int ordinal) {
    ENTER("cuDeviceGet", kInit);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (!device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *out = ordinal;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDeviceGetCount(int* out) {
    ENTER("cuDeviceGetCount", kInit);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = static_cast<int>(driver().devices.size());
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDeviceGetName(char* out, int length, CUdevice ordinal) {
    ENTER("cuDeviceGetName", kInit);
    if (!out || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (!device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    std::snprintf(out, static_cast<size_t>(length), "Staffa emulated GPU (%u.%u)", config().arch_major,
                  config().arch_minor);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDeviceGetUuid_v2(CUuuid* out, CUdevice ordinal) {
    ENTER("cuDeviceGetUuid", kInit);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (!device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    std::memcpy(out->bytes, "staffa-emulated", 15);
    out->bytes[15] = static_cast<char>(ordinal);
    return CUDA_SUCCESS;
}
STAFFA_EXPORT CUresult cuDeviceGetUuid(CUuuid* out, CUdevice ordinal) { return cuDeviceGetUuid_v2(out, ordinal); }

STAFFA_EXPORT CUresult cuDeviceGetPCIBusId(char* out, int length, CUdevice ordinal) {
    ENTER("cuDeviceGetPCIBusId", kInit);
    if (!out || length <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (!device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    std::snprintf(out, static_cast<size_t>(length), "0000:%02x:00.0", ordinal + 1);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDeviceGetAttribute(int* out, int which, CUdevice ordinal) {
    ENTER("cuDeviceGetAttribute", kInit);
    const Device* const device = device_of(ordinal);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    return attribute(which, *device, *out) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

STAFFA_EXPORT CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice ordinal) {
    ENTER("cuDeviceComputeCapability", kInit);
    if (!device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *major = static_cast<int>(config().arch_major);
    *minor = static_cast<int>(config().arch_minor);
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDeviceTotalMem_v2(size_t* out, CUdevice ordinal) {
    ENTER("cuDeviceTotalMem", kInit);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    if (!device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *out = config().memory_bytes;
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuDeviceCanAccessPeer(int* out, CUdevice, CUdevice) {
    ENTER("cuDeviceCanAccessPeer", kInit);
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    *out = 0;
    return CUDA_SUCCESS;
}
