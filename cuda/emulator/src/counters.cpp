// Counters and findings, and the extra symbols that let a test read them.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include "emulator.h"

namespace emulator {

namespace {
std::atomic<u64> counters[static_cast<u32>(Counter::count)];
constexpr const char* kNames[] = {
#define X(name) #name,
    STAFFA_COUNTERS(X)
#undef X
};
std::mutex& finding_mutex = *new std::mutex;  // findings are made with and without the driver's mutex
std::string& last_finding = *new std::string;

void at_exit() {
    report_leaks_at_exit();
    write_accesses();
    if (!config().counters_path.empty()) {
        if (FILE* file = std::fopen(config().counters_path.c_str(), "w")) {
            for (u32 i = 0; i < static_cast<u32>(Counter::count); ++i) {
                std::fprintf(file, "%s %llu\n", kNames[i], static_cast<unsigned long long>(counters[i].load()));
            }
            std::fclose(file);
        }
    }
    if (config().exit_on_findings && counter(Counter::findings) != 0) {
        std::fprintf(stderr, "staffa-emulator: %llu findings, exit code 86\n",
                     static_cast<unsigned long long>(counter(Counter::findings)));
        std::fflush(nullptr);
        _exit(86);
    }
}
struct AtExit {
    ~AtExit() { at_exit(); }
} run_at_exit;

}  // namespace

void count(Counter counter, u64 by) { counters[static_cast<u32>(counter)].fetch_add(by, std::memory_order_relaxed); }
void set_counter(Counter counter, u64 value) { counters[static_cast<u32>(counter)] = value; }
u64 counter(Counter counter) { return counters[static_cast<u32>(counter)]; }

std::string text(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    char buffer[2048];
    std::vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    return buffer;
}

void finding(const char* kind, const char* format, ...) {
    char buffer[2048];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    count(Counter::findings);
    const std::lock_guard guard(finding_mutex);
    last_finding = std::string(kind) + ": " + buffer;
    std::fprintf(stderr, "staffa-emulator: %s\n", last_finding.c_str());
}

}  // namespace emulator

using namespace emulator;

// The value of a counter by its name (as written by STAFFA_EMULATOR_COUNTERS); all ones if there is none.
STAFFA_EXPORT uint64_t staffaEmulatorCounter(const char* name) {
    for (u32 i = 0; i < static_cast<u32>(Counter::count); ++i) {
        if (!std::strcmp(name, kNames[i])) return counters[i];
    }
    return ~0ull;
}

// Copies "name value\n" lines into `out` (at most `size` bytes with the final zero). The length needed.
STAFFA_EXPORT size_t staffaEmulatorCounters(char* out, size_t size) {
    std::string lines;
    for (u32 i = 0; i < static_cast<u32>(Counter::count); ++i) {
        lines += std::string(kNames[i]) + " " + std::to_string(counters[i].load()) + "\n";
    }
    if (out && size) {
        std::strncpy(out, lines.c_str(), size - 1);
        out[size - 1] = 0;
    }
    return lines.size() + 1;
}

// Sets all counters but those of live memory to zero, forgets the last finding, and starts the
// environment's fault plan again.
STAFFA_EXPORT void staffaEmulatorReset() {
    for (u32 i = 0; i < static_cast<u32>(Counter::count); ++i) {
        if (static_cast<Counter>(i) != Counter::live_bytes) counters[i] = 0;
    }
    plan_faults_from_environment();
    const std::lock_guard guard(finding_mutex);
    last_finding.clear();
}

// The newest finding ("kind: message"), or an empty string; valid until the next one.
STAFFA_EXPORT const char* staffaEmulatorLastFinding() {
    static thread_local std::string copy;
    const std::lock_guard guard(finding_mutex);
    copy = last_finding;
    return copy.c_str();
}

// Replaces the fault plan (see STAFFA_EMULATOR_FAULTS); calls are counted from zero again.
STAFFA_EXPORT void staffaEmulatorPlanFaults(const char* plan) { plan_faults(plan); }

// Copies "function times\n" lines into `out` (at most `size` bytes with the final zero): how often each function
// was called since the fault plan was made, named as in a fault plan. The length needed.
STAFFA_EXPORT size_t staffaEmulatorCalls(char* out, size_t size) {
    const std::string lines = calls_met();
    if (out && size) {
        std::strncpy(out, lines.c_str(), size - 1);
        out[size - 1] = 0;
    }
    return lines.size() + 1;
}
