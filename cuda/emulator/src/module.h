// Modules, functions and what a launch needs of them.
#pragma once
#include "block.h"

namespace emulator {

struct Module {
    u64 handle = 0;
    Context* context = nullptr;
    std::map<std::string, u64, std::less<>> functions;
};
struct Function {
    const staffa_emulated::KernelInfo* info = nullptr;
    u64 handle = 0;
    u64 module = 0;
    u32 max_dynamic_shared = 0;  // 0: what every kernel may have
    u32 static_shared = 0;       // known after the first launch
    u32 max_threads() const { return info->max_threads ? info->max_threads : 1024; }
};
Module* module_of(CUmodule handle);
Function* function_of(CUfunction handle);        // a finding if there is none
Function* find_known_function(u64 handle);  // null if its module was unloaded

}  // namespace emulator
