// Launches: what a driver checks, what it does not, and the queue's operation.
#include <cstring>
#include <numeric>

#include "module.h"

namespace emulator {

namespace {

u64 launches = 0;

CUresult check_shape(const Function& function, uint3 grid, uint3 block, u32 shared) {
    const u64 threads = u64(block.x) * block.y * block.z;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0) return CUDA_ERROR_INVALID_VALUE;
    if (grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) return CUDA_ERROR_INVALID_VALUE;
    if (block.x > 1024 || block.y > 1024 || block.z > 64 || threads > 1024) return CUDA_ERROR_INVALID_VALUE;
    if (threads > function.max_threads()) return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
    const u64 allowed = function.max_dynamic_shared ? function.max_dynamic_shared
                                                    : config().shared_default() - function.static_shared;
    if (shared > allowed) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

// A pointer into host memory that no GPU can reach works here by accident, and nowhere else.
bool check_pointers(const Launch& launch) {
    for (u32 i = 0; i < launch.kernel->parameters; ++i) {
        if (!launch.kernel->is_pointer[i]) continue;
        u64 address;
        std::memcpy(&address, launch.parameters[i], sizeof address);
        if (address < 65536 || arena_holds(address) || find_allocation(address)) continue;
        // One past the end of registered memory is as good as null.
        if (find_allocation(address - 1)) continue;
        finding("host pointer", "parameter %u of kernel %s is 0x%llx: %s", i, launch.kernel->name,
                static_cast<unsigned long long>(address), describe(address).c_str());
        return false;
    }
    return true;
}

std::shared_ptr<Launch> make_launch(const Function& function, uint3 grid, uint3 block, u32 shared, void** parameters) {
    auto launch = std::make_shared<Launch>();
    launch->kernel = function.info;
    launch->grid = grid;
    launch->block = block;
    launch->dynamic_shared = shared;
    launch->shared_limit = static_cast<u32>(function.max_dynamic_shared ? config().shared_opt_in() : config().shared_default());
    launch->number = ++launches;
    launch->blocks = u64(grid.x) * grid.y * grid.z;
    if (config().seed != 0 && launch->blocks > 1) {
        Random random{config().seed ^ (launch->number * 0x5851f42d4c957f2dull)};
        launch->first = random.next() % launch->blocks;
        do {
            launch->stride = 1 + random.next() % (launch->blocks - 1);
        } while (std::gcd(launch->stride, launch->blocks) != 1);
    }
    // Parameters are copied at the call, as CUDA does. 16 bytes apart: the strictest alignment we pass.
    std::vector<u32> offsets;
    u32 total = 0;
    for (u32 i = 0; i < launch->kernel->parameters; ++i) {
        offsets.push_back(total);
        total += (launch->kernel->bytes[i] + 15) & ~15u;
    }
    launch->parameter_bytes.resize(total + 64);
    u8* const start = reinterpret_cast<u8*>((reinterpret_cast<u64>(launch->parameter_bytes.data()) + 63) & ~63ull);
    for (u32 i = 0; i < launch->kernel->parameters; ++i) {
        std::memcpy(start + offsets[i], parameters[i], launch->kernel->bytes[i]);
        launch->parameters.push_back(start + offsets[i]);
    }
    return launch;
}

CUresult run(Launch& launch, u64 function_handle) {
    if (const CUresult fault = planned_fault("kernel"); fault != CUDA_SUCCESS) return fault;
    const auto begin = Clock::now();
    run_launch(launch);
    count(Counter::kernel_ns, static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count()));
    const Lock lock(driver().mutex);
    if (Function* const function = find_known_function(function_handle)) {
        function->static_shared = std::max(function->static_shared, launch.static_shared.load());
    }
    check_canaries(text("after kernel %s", launch.kernel->name).c_str());
    if (!launch.failed) return CUDA_SUCCESS;
    finding("kernel error", "kernel %s: %s", launch.kernel->name, launch.message.c_str());
    return launch.error;
}

}  // namespace

}  // namespace emulator

using namespace emulator;

STAFFA_EXPORT CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                      unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                                      CUstream stream_handle, void** parameters, void** extra) {
    ENTER("cuLaunchKernel", kContext);
    Stream* const stream = stream_of(call.context, stream_handle);
    Function* const function = function_of(handle);
    if (!stream || !function) return CUDA_ERROR_INVALID_HANDLE;
    if (extra) return CUDA_ERROR_NOT_SUPPORTED;
    if (function->info->parameters != 0 && !parameters) return CUDA_ERROR_INVALID_VALUE;
    for (u32 i = 0; i < function->info->parameters; ++i) {
        if (!parameters[i]) return CUDA_ERROR_INVALID_VALUE;
    }
    const uint3 grid{grid_x, grid_y, grid_z}, block{block_x, block_y, block_z};
    if (const CUresult error = check_shape(*function, grid, block, shared); error != CUDA_SUCCESS) return error;
    auto launch = make_launch(*function, grid, block, shared, parameters);
    count(Counter::launches);
    const bool pointers_are_fine = check_pointers(*launch);
    Op op;
    op.name = function->info->name;
    op.run = [launch = std::move(launch), pointers_are_fine, number = function->handle] {
        if (!pointers_are_fine) return static_cast<CUresult>(CUDA_ERROR_ILLEGAL_ADDRESS);
        return run(*launch, number);
    };
    submit(stream, std::move(op));
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuFuncGetAttribute(int* out, int which, CUfunction handle) {
    ENTER("cuFuncGetAttribute", kContext);
    const Function* const function = function_of(handle);
    if (!function) return CUDA_ERROR_INVALID_HANDLE;
    if (!out) return CUDA_ERROR_INVALID_VALUE;
    switch (which) {
        case 0: *out = static_cast<int>(function->max_threads()); break;
        case 1: *out = static_cast<int>(function->static_shared); break;
        case 2: case 3: case 7: *out = 0; break;  // constant, local bytes, cache mode
        case 4: *out = 32; break;                 // registers, which are not modelled
        case 5: case 6: *out = static_cast<int>(config().arch_major * 10 + config().arch_minor); break;
        case 8:
            *out = static_cast<int>(function->max_dynamic_shared ? function->max_dynamic_shared
                                                                 : config().shared_default() - function->static_shared);
            break;
        case 9: *out = -1; break;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

STAFFA_EXPORT CUresult cuFuncSetAttribute(CUfunction handle, int which, int value) {
    ENTER("cuFuncSetAttribute", kContext);
    Function* const function = function_of(handle);
    if (!function) return CUDA_ERROR_INVALID_HANDLE;
    if (which == 9) return value >= -1 && value <= 100 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    if (which != 8) return CUDA_ERROR_INVALID_VALUE;
    if (value < 0 || static_cast<u64>(value) + function->static_shared > config().shared_opt_in()) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    function->max_dynamic_shared = static_cast<u32>(value);
    return CUDA_SUCCESS;
}
STAFFA_EXPORT CUresult cuKernelGetAttribute(int* out, int which, CUkernel kernel, CUdevice) {
    return cuFuncGetAttribute(out, which, kernel);
}
STAFFA_EXPORT CUresult cuKernelSetAttribute(int which, int value, CUkernel kernel, CUdevice) {
    return cuFuncSetAttribute(kernel, which, value);
}
STAFFA_EXPORT CUresult cuFuncSetCacheConfig(CUfunction handle, int) {
    ENTER("cuFuncSetCacheConfig", kContext);
    return function_of(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

STAFFA_EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* out, CUfunction handle, int block, size_t shared) {
    ENTER("cuOccupancyMaxActiveBlocksPerMultiprocessor", kContext);
    const Function* const function = function_of(handle);
    if (!function) return CUDA_ERROR_INVALID_HANDLE;
    if (!out || block <= 0) return CUDA_ERROR_INVALID_VALUE;
    const Config& c = config();
    const u64 reserved = c.arch_major >= 8 ? 1024 : 0;
    u64 blocks = c.threads_per_processor() / ((static_cast<u64>(block) + 31) / 32 * 32);
    blocks = std::min<u64>(blocks, c.blocks_per_processor());
    if (const u64 each = shared + function->static_shared + reserved; each > 0) {
        blocks = std::min<u64>(blocks, c.shared_per_processor() / each);
    }
    *out = static_cast<u32>(block) > function->max_threads() ? 0 : static_cast<int>(blocks);
    return CUDA_SUCCESS;
}
STAFFA_EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* out, CUfunction handle, int block,
                                                                            size_t shared, unsigned) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(out, handle, block, shared);
}
STAFFA_EXPORT CUresult cuOccupancyMaxPotentialBlockSize(int* grid, int* block, CUfunction handle, size_t (*)(int), size_t,
                                                        int limit) {
    ENTER("cuOccupancyMaxPotentialBlockSize", kContext);
    const Function* const function = function_of(handle);
    if (!function) return CUDA_ERROR_INVALID_HANDLE;
    if (!grid || !block) return CUDA_ERROR_INVALID_VALUE;
    *block = static_cast<int>(function->max_threads());
    if (limit > 0) *block = std::min(*block, limit);
    *grid = 2 * static_cast<int>(config().threads_per_processor()) / *block;
    return CUDA_SUCCESS;
}
