// The environment variables, read once.
#include <cstdlib>
#include <cstring>

#include "emulator.h"

namespace emulator {

namespace {

u64 number(const char* name, u64 otherwise) {
    const char* value = std::getenv(name);
    if (!value || !*value) return otherwise;
    char* end = nullptr;
    const u64 parsed = std::strtoull(value, &end, 0);
    if (*end != 0) {
        std::fprintf(stderr, "staffa-emulator: %s=%s is not a number\n", name, value);
        std::exit(2);
    }
    return parsed;
}

Config read() {
    Config c;
    if (const char* arch = std::getenv("STAFFA_EMULATOR_ARCH"); arch && *arch) {
        unsigned major = 0, minor = 0;
        const std::string asked = arch;
        if (std::sscanf(arch, "%u.%u", &major, &minor) != 2 ||
            (asked != "7.5" && asked != "8.0" && asked != "9.0")) {
            std::fprintf(stderr, "staffa-emulator: STAFFA_EMULATOR_ARCH=%s is not 7.5, 8.0 or 9.0\n", arch);
            std::exit(2);
        }
        c.arch_major = major;
        c.arch_minor = minor;
    }
    c.seed = number("STAFFA_EMULATOR_SEED", c.seed);
    c.memory_bytes = number("STAFFA_EMULATOR_MEMORY_BYTES", c.memory_bytes);
    c.devices = static_cast<u32>(number("STAFFA_EMULATOR_DEVICES", c.devices));
    c.threads = static_cast<u32>(number("STAFFA_EMULATOR_THREADS", c.threads));
    if (c.threads == 0) c.threads = 1;
    c.idle_ms = static_cast<int>(number("STAFFA_EMULATOR_IDLE_MS", 5));
    c.timeout_s = static_cast<double>(number("STAFFA_EMULATOR_TIMEOUT_S", 60));
    c.fill_bytes = number("STAFFA_EMULATOR_FILL_BYTES", c.fill_bytes);
    c.exit_on_findings = number("STAFFA_EMULATOR_STRICT_EXIT", 0) != 0;
    if (const char* leaks = std::getenv("STAFFA_EMULATOR_LEAKS")) c.leaks_are_findings = !std::strcmp(leaks, "error");
    if (const char* kernels = std::getenv("STAFFA_EMULATED_KERNELS")) c.kernels = kernels;
    if (const char* path = std::getenv("STAFFA_EMULATOR_COUNTERS")) c.counters_path = path;
    // Never 0: a kernel that forgets to clear memory must not be lucky.
    static constexpr u8 kFills[] = {0xa5, 0xff, 0x7f, 0x5a, 0x80, 0xc3};
    c.fill = kFills[c.seed % sizeof kFills];
    return c;
}

}  // namespace

const Config& config() {
    static const Config* const c = new Config(read());  // read while the process ends, too
    return *c;
}

}  // namespace emulator
