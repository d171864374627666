// Faults on demand.
//
// A plan is a list of `what:when=error`, separated by commas:
//   what   a function without its version suffix (cuMemAlloc, cuLaunchKernel, ..), or
//          alloc   any device allocation      hostalloc  any pinned allocation
//          kernel  a kernel as it runs        copy       a copy or set as it runs
//   when   5 the fifth time, 5+ from the fifth on, * always, 2/10 twice in ten (by the seed)
//   error  the CUresult. Those that break a context on hardware break it here.
#include <cstdlib>
#include <cstring>
#include <map>

#include "emulator.h"

namespace emulator {

namespace {

struct Rule {
    std::string what;
    u64 from = 0, to = 0;          // the calls it hits, counted from 1
    u32 in = 0, of = 0;            // or a chance
    CUresult error = 0;
    u64 seen = 0;
};
std::mutex& plan_mutex = *new std::mutex;
std::vector<Rule>& plan = *new std::vector<Rule>;
bool has_plan = false;
Random dice{0};
// How often each function, `kernel` and `copy` was met since the plan was made, so that a test knows which
// calls there are to fail.
std::map<std::string, u64>& met = *new std::map<std::string, u64>;

[[noreturn]] void bad_plan(const std::string& rule) {
    std::fprintf(stderr, "staffa-emulator: fault '%s' is not what:when=error\n", rule.c_str());
    std::exit(2);
}

Rule parse(const std::string& rule) {
    const size_t colon = rule.find(':'), equals = rule.find('=');
    if (colon == std::string::npos || equals == std::string::npos || colon > equals) bad_plan(rule);
    Rule r;
    r.what = rule.substr(0, colon);
    const std::string when = rule.substr(colon + 1, equals - colon - 1);
    r.error = std::atoi(rule.c_str() + equals + 1);
    if (when == "*") {
        r.from = 1;
        r.to = ~0ull;
    } else if (const size_t slash = when.find('/'); slash != std::string::npos) {
        r.in = static_cast<u32>(std::atoi(when.c_str()));
        r.of = static_cast<u32>(std::atoi(when.c_str() + slash + 1));
        if (r.of == 0) bad_plan(rule);
    } else {
        r.from = std::strtoull(when.c_str(), nullptr, 10);
        r.to = when.back() == '+' ? ~0ull : r.from;
        if (r.from == 0) bad_plan(rule);
    }
    if (r.error <= 0) bad_plan(rule);
    return r;
}

bool matches(const Rule& rule, const char* name) {
    if (rule.what == name) return true;
    if (rule.what == "alloc") {
        return !std::strcmp(name, "cuMemAlloc") || !std::strcmp(name, "cuMemAllocAsync") ||
               !std::strcmp(name, "cuMemAllocFromPoolAsync");
    }
    if (rule.what == "hostalloc") {
        return !std::strcmp(name, "cuMemHostAlloc") || !std::strcmp(name, "cuMemAllocHost") ||
               !std::strcmp(name, "cuMemHostRegister");
    }
    return false;
}

}  // namespace

void plan_faults(const char* text) {
    const std::lock_guard guard(plan_mutex);
    plan.clear();
    met.clear();
    dice = {config().seed ^ 0xfa017};
    std::string rest = text ? text : "";
    while (!rest.empty()) {
        const size_t comma = rest.find(',');
        if (const std::string rule = rest.substr(0, comma); !rule.empty()) plan.push_back(parse(rule));
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
    }
    has_plan = true;
}

void plan_faults_from_environment() {
    plan_faults(std::getenv("STAFFA_EMULATOR_FAULTS"));
}

std::string calls_met() {
    const std::lock_guard guard(plan_mutex);
    std::string lines;
    for (const auto& [name, times] : met) lines += name + " " + std::to_string(times) + "\n";
    return lines;
}

CUresult planned_fault(const char* name) {
    if (!has_plan) plan_faults_from_environment();
    const std::lock_guard guard(plan_mutex);
    ++met[name];
    CUresult error = CUDA_SUCCESS;
    for (Rule& rule : plan) {
        if (!matches(rule, name)) continue;
        ++rule.seen;
        const bool hit = rule.of ? dice.below(rule.of) < rule.in : rule.seen >= rule.from && rule.seen <= rule.to;
        if (hit && error == CUDA_SUCCESS) error = rule.error;
    }
    if (error != CUDA_SUCCESS) count(Counter::faults_injected);
    return error;
}

bool is_sticky(CUresult error) {
    switch (error) {
        case CUDA_ERROR_ECC_UNCORRECTABLE:
        case CUDA_ERROR_NVLINK_UNCORRECTABLE:
        case CUDA_ERROR_ILLEGAL_ADDRESS:
        case CUDA_ERROR_LAUNCH_TIMEOUT:
        case CUDA_ERROR_ASSERT:
        case CUDA_ERROR_HARDWARE_STACK_ERROR:
        case CUDA_ERROR_ILLEGAL_INSTRUCTION:
        case CUDA_ERROR_MISALIGNED_ADDRESS:
        case 717:
        case CUDA_ERROR_INVALID_PC:
        case CUDA_ERROR_LAUNCH_FAILED:
            return true;
        default:
            return false;
    }
}

}  // namespace emulator
