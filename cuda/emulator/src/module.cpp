// Modules and functions. An image's bytes are not looked at: kernels are found by name in the libraries
// that STAFFA_EMULATED_KERNELS names (separated by colons), which register them when they are loaded.
#include <dlfcn.h>

#include <cstring>
#include <set>

#include "module.h"

namespace emulator {

namespace {

struct Registry {
    std::mutex mutex;
    std::map<std::string, const staffa_emulated::KernelInfo*, std::less<>> kernels;
};
Registry& registry() {
    static Registry* const one = new Registry;
    return *one;
}
std::map<u64, Module>& modules = *new std::map<u64, Module>;
std::map<u64, Function>& functions = *new std::map<u64, Function>;  // handles stay valid as long as their module

}  // namespace

Function* function_of(CUfunction handle) {
    const auto found = functions.find(reinterpret_cast<u64>(handle));
    if (found == functions.end()) {
        finding("bad handle", "function %p is not one, or its module was unloaded", handle);
        return nullptr;
    }
    return &found->second;
}

Function* find_known_function(u64 handle) {
    const auto found = functions.find(handle);
    return found == functions.end() ? nullptr : &found->second;
}

Module* module_of(CUmodule handle) {
    const auto found = modules.find(reinterpret_cast<u64>(handle));
    return found == modules.end() ? nullptr : &found->second;
}

CUresult load_kernels() {
    static CUresult result = [] {
        std::string rest = config().kernels;
        if (rest.empty()) {
            std::fprintf(stderr, "staffa-emulator: STAFFA_EMULATED_KERNELS names no library of kernels\n");
            return CUDA_ERROR_FILE_NOT_FOUND;
        }
        while (!rest.empty()) {
            const size_t colon = rest.find(':');
            const std::string path = rest.substr(0, colon);
            rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
            if (!path.empty() && !dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
                std::fprintf(stderr, "staffa-emulator: %s\n", dlerror());
                return CUDA_ERROR_INVALID_IMAGE;
            }
        }
        return CUDA_SUCCESS;
    }();
    return result;
}

CUresult new_module(Context* context, u64* handle) {
    if (const CUresult error = load_kernels(); error != CUDA_SUCCESS) return error;
    *handle = driver().new_handle();
    modules[*handle] = {*handle, context, {}};
    return CUDA_SUCCESS;
}

CUresult drop_module(u64 handle) {
    const auto found = modules.find(handle);
    if (found == modules.end()) {
        finding("bad handle", "module 0x%llx is not one, or was unloaded", static_cast<unsigned long long>(handle));
        return CUDA_ERROR_INVALID_HANDLE;
    }
    for (const auto& [name, function] : found->second.functions) functions.erase(function);
    modules.erase(found);
    return CUDA_SUCCESS;
}

void drop_modules(Context* context) {
    std::vector<u64> handles;
    for (const auto& [handle, module] : modules) {
        if (module.context == context) handles.push_back(handle);
    }
    for (const u64 handle : handles) drop_module(handle);
}

CUresult find_function(Module& module, const char* name, u64* handle) {
    if (const auto known = module.functions.find(name); known != module.functions.end()) {
        *handle = known->second;
        return CUDA_SUCCESS;
    }
    const staffa_emulated::KernelInfo* info = nullptr;
    {
        const std::lock_guard guard(registry().mutex);
        const auto found = registry().kernels.find(name);
        if (found != registry().kernels.end()) info = found->second;
    }
    if (!info) return CUDA_ERROR_NOT_FOUND;
    *handle = module.functions[name] = driver().new_handle();
    functions[*handle] = {info, *handle, module.handle, 0};
    return CUDA_SUCCESS;
}

}  // namespace emulator

namespace staffa_emulated {
__attribute__((visibility("default"))) void register_kernel(const KernelInfo* info) {
    auto& r = emulator::registry();
    const std::lock_guard guard(r.mutex);
    const auto [at, fresh] = r.kernels.emplace(info->name, info);
    if (!fresh) {
        std::fprintf(stderr, "staffa-emulator: kernel %s is defined twice: %s and %s\n", info->name, at->second->file,
                     info->file);
        std::abort();
    }
}
}  // namespace staffa_emulated

using namespace emulator;

STAFFA_EXPORT CUresult cuModuleLoadData(CUmodule* out, const void* image) {
    ENTER("cuModuleLoadData", kContext);
    if (!out || !image) return CUDA_ERROR_INVALID_VALUE;
    return new_module(call.context, reinterpret_cast<u64*>(out));
}
STAFFA_EXPORT CUresult cuModuleLoadDataEx(CUmodule* out, const void* image, unsigned, int*, void**) {
    ENTER("cuModuleLoadDataEx", kContext);
    if (!out || !image) return CUDA_ERROR_INVALID_VALUE;
    return new_module(call.context, reinterpret_cast<u64*>(out));
}
STAFFA_EXPORT CUresult cuModuleLoadFatBinary(CUmodule* out, const void* image) {
    ENTER("cuModuleLoadFatBinary", kContext);
    if (!out || !image) return CUDA_ERROR_INVALID_VALUE;
    return new_module(call.context, reinterpret_cast<u64*>(out));
}
STAFFA_EXPORT CUresult cuModuleLoad(CUmodule* out, const char* path) {
    ENTER("cuModuleLoad", kContext);
    if (!out || !path) return CUDA_ERROR_INVALID_VALUE;
    return new_module(call.context, reinterpret_cast<u64*>(out));
}
STAFFA_EXPORT CUresult cuModuleUnload(CUmodule handle) {
    ENTER("cuModuleUnload", kContext);
    return drop_module(reinterpret_cast<u64>(handle));
}
STAFFA_EXPORT CUresult cuModuleGetFunction(CUfunction* out, CUmodule handle, const char* name) {
    ENTER("cuModuleGetFunction", kContext);
    Module* const module = module_of(handle);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    if (!out || !name) return CUDA_ERROR_INVALID_VALUE;
    return find_function(*module, name, reinterpret_cast<u64*>(out));
}
STAFFA_EXPORT CUresult cuModuleGetGlobal_v2(CUdeviceptr*, size_t*, CUmodule, const char*) {
    ENTER("cuModuleGetGlobal", kContext);
    return CUDA_ERROR_NOT_FOUND;
}
STAFFA_EXPORT CUresult cuModuleGetLoadingMode(int* mode) {
    ENTER("cuModuleGetLoadingMode", kInit);
    if (!mode) return CUDA_ERROR_INVALID_VALUE;
    *mode = 1;  // eager
    return CUDA_SUCCESS;
}
STAFFA_EXPORT CUresult cuLibraryLoadData(CUlibrary* out, const void* image, int*, void**, unsigned, int*, void**, unsigned) {
    ENTER("cuLibraryLoadData", kInit);
    if (!out || !image) return CUDA_ERROR_INVALID_VALUE;
    return new_module(current_context(), reinterpret_cast<u64*>(out));
}
STAFFA_EXPORT CUresult cuLibraryUnload(CUlibrary handle) {
    ENTER("cuLibraryUnload", kInit);
    return drop_module(reinterpret_cast<u64>(handle));
}
STAFFA_EXPORT CUresult cuLibraryGetKernel(CUkernel* out, CUlibrary handle, const char* name) {
    ENTER("cuLibraryGetKernel", kInit);
    Module* const module = module_of(handle);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    if (!out || !name) return CUDA_ERROR_INVALID_VALUE;
    return find_function(*module, name, reinterpret_cast<u64*>(out));
}
STAFFA_EXPORT CUresult cuLibraryGetModule(CUmodule* out, CUlibrary handle) {
    ENTER("cuLibraryGetModule", kContext);
    if (!module_of(handle)) return CUDA_ERROR_INVALID_HANDLE;
    *out = handle;
    return CUDA_SUCCESS;
}
STAFFA_EXPORT CUresult cuKernelGetFunction(CUfunction* out, CUkernel kernel) {
    ENTER("cuKernelGetFunction", kContext);
    if (!out || !function_of(kernel)) return CUDA_ERROR_INVALID_HANDLE;
    *out = kernel;
    return CUDA_SUCCESS;
}
