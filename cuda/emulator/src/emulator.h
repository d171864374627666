// What the parts of the emulated driver share. See docs/design/emulator.md for how they fit together.
//
// One mutex guards all tables and queues (`driver().mutex`); every API call holds it, and gives it up
// while it waits. Queued work runs on the device thread, without the mutex.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cuda_abi.h"
#include "order.h"

namespace emulator {

using u8 = uint8_t;
using u32 = uint32_t;
using u64 = uint64_t;
using Clock = std::chrono::steady_clock;

// ---- config.cpp: what the environment asks for, and random numbers ----

struct Config {
    u32 arch_major = 9, arch_minor = 0;  // STAFFA_EMULATOR_ARCH
    u64 seed = 1;                        // STAFFA_EMULATOR_SEED; 0: everything in its natural order
    u64 memory_bytes = 4ull << 30;       // STAFFA_EMULATOR_MEMORY_BYTES, of each device
    u32 devices = 1;                     // STAFFA_EMULATOR_DEVICES
    u32 threads = 1;                     // STAFFA_EMULATOR_THREADS that run blocks
    int idle_ms = 5;                     // STAFFA_EMULATOR_IDLE_MS: queued work waits so long for a caller
    double timeout_s = 60;               // STAFFA_EMULATOR_TIMEOUT_S: longest wait without progress
    u64 fill_bytes = 64ull << 20;        // STAFFA_EMULATOR_FILL_BYTES: fresh memory filled up to this size
    bool exit_on_findings = false;       // STAFFA_EMULATOR_STRICT_EXIT: findings make the process exit 86
    bool leaks_are_findings = false;     // STAFFA_EMULATOR_LEAKS=error
    std::string kernels;                 // STAFFA_EMULATED_KERNELS
    std::string counters_path;           // STAFFA_EMULATOR_COUNTERS
    u8 fill = 0xa5;                      // what undefined memory holds, chosen by the seed

    u64 shared_default() const { return 48 << 10; }
    u64 shared_opt_in() const { return arch_major >= 9 ? 227 << 10 : (arch_major == 8 ? 163 << 10 : 64 << 10); }
    u64 shared_per_processor() const { return arch_major >= 9 ? 228 << 10 : (arch_major == 8 ? 164 << 10 : 64 << 10); }
    u32 threads_per_processor() const { return arch_major == 7 ? 1024 : 2048; }
    u32 blocks_per_processor() const { return arch_major == 7 ? 16 : 32; }
};
const Config& config();

// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
struct Random {
    u64 state;
    u64 next() {
        u64 z = (state += 0x9e3779b97f4a7c15ull);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
        return z ^ (z >> 31);
    }
    u32 below(u32 n) { return static_cast<u32>((static_cast<unsigned __int128>(next()) * n) >> 64); }
};

// ---- counters.cpp ----

#define STAFFA_COUNTERS(X)                                                                             \
    X(launches) X(blocks) X(threads) X(kernel_ns) X(bytes_to_device) X(bytes_to_host) X(bytes_on_device) \
    X(bytes_set) X(copies_to_device) X(copies_to_host) X(copies_on_device) X(staged_bytes)             \
    X(device_allocations) X(device_frees) X(pool_allocations) X(pool_frees) X(host_allocations)        \
    X(host_frees) X(live_bytes) X(peak_bytes) X(leaked_allocations) X(leaked_bytes) X(synchronizations) \
    X(queries) X(warp_accesses) X(accessed_bytes) X(sectors) X(calls) X(faults_injected) X(findings)
enum class Counter : u32 {
#define X(name) name,
    STAFFA_COUNTERS(X)
#undef X
        count
};
void count(Counter counter, u64 by = 1);
void set_counter(Counter counter, u64 value);
u64 counter(Counter counter);

// Something no correct program does. Printed, counted, and kept for staffaEmulatorLastFinding.
__attribute__((format(printf, 2, 3))) void finding(const char* kind, const char* format, ...);
__attribute__((format(printf, 1, 2))) std::string text(const char* format, ...);

// ---- memory.cpp: addresses, guard pages, accounting ----

struct Context;
struct Pool;
struct Stream;

enum class Kind : u8 { device, pool, host, registered };
enum class State : u8 { reserved, live, freeing };  // reserved: the queue has not come to the allocation yet
struct Allocation {
    u64 number = 0;   // in order of allocation, for messages
    u64 address = 0, bytes = 0;
    u64 base = 0, span = 0;  // the pages behind it, without guards
    Kind kind = Kind::device;
    State state = State::live;
    Context* context = nullptr;
    Pool* pool = nullptr;
    u64 charged = 0;  // bytes of the budget
    bool mapped = false;  // its pages can be touched
};

bool arena_holds(u64 address);
// Finds the allocation that holds `address` (device memory or pinned host memory), or null.
Allocation* find_allocation(u64 address);
// The same, if all of [address, address + bytes) lies in it.
Allocation* find_range(u64 address, u64 bytes);
CUresult allocate(Context* context, u64 bytes, Kind kind, Pool* pool, State state, Allocation** out);
void make_live(Allocation& allocation);
void release(Allocation& allocation);  // drops the pages, keeps the addresses closed
void release_all(Context* context);    // counts leaks
void report_leaks_at_exit();
void write_accesses();  // coalescing.cpp
std::string describe(u64 address);     // "8 bytes behind allocation 7 (1024 bytes) .."
void check_canaries(const char* when);
extern std::map<u64, Allocation>& allocations;  // by address
bool was_freed(u64 address);

struct Pool {
    u64 handle = 0;
    int device = 0;
    u64 reserved = 0, reserved_high = 0, used = 0, used_high = 0, release_threshold = 0;
    u64 reuse[4] = {0, 1, 1, 1};
    bool is_default = false, destroyed = false;
};
u64 budget_left(int device);
void trim_pools_at_synchronization(int device);

// ---- context.cpp ----

struct Device {
    int ordinal = 0;
    Context* primary = nullptr;
    u32 primary_references = 0;
    u32 primary_flags = 0;
    u64 used_bytes = 0;  // device allocations and what pools reserve
    Pool* default_pool = nullptr;
    Pool* current_pool = nullptr;
};
struct Context {
    u64 handle = 0;
    Device* device = nullptr;
    bool is_primary = false, alive = true;
    CUresult sticky = CUDA_SUCCESS;
    u32 flags = 0;
    Stream* legacy = nullptr;
};
Context* current_context();
void destroy_context_contents(std::unique_lock<std::mutex>& lock, Context* context);
// Sets the error that all later calls return, and drops what is queued.
void break_context(Context* context, CUresult error);

// ---- stream.cpp: queues and the device thread ----

struct EventState {
    u64 recorded = 0, completed = 0;  // versions
    Clock::time_point when{};
    u32 flags = 0;
    Context* context = nullptr;
    Point done = new_point();  // of the newest record
};
struct Op {
    u64 number = 0;  // order of submission, over all streams
    const char* name = "";
    std::function<CUresult()> run;
    std::shared_ptr<EventState> wait_for;  // the op may start once this version has completed
    u64 wait_version = 0;
    Point submitted = new_point(), waited;
    bool on_host_thread = false;
    // Host memory that the op reads or writes when it runs.
    u64 host_address = 0, host_bytes = 0;
};
struct Stream {
    u64 handle = 0, id = 0;
    Context* context = nullptr;
    bool is_legacy = false, non_blocking = false, destroyed = false;
    int priority = 0;
    u32 flags = 0;
    std::deque<Op> queue;
    bool running = false;
    u64 running_number = 0;
    u64 running_host_address = 0, running_host_bytes = 0;  // host memory that the running op uses
    u64 submitted = 0;  // number of the newest op
    Line line;
    Point done = new_point();
    bool idle() const { return queue.empty() && !running; }
};

struct Driver {
    std::mutex mutex;
    std::condition_variable changed;  // an op finished, a context broke, work was submitted
    bool initialized = false;
    std::vector<std::unique_ptr<Device>> devices;
    std::unordered_map<u64, std::unique_ptr<Context>> contexts;
    std::unordered_map<u64, std::unique_ptr<Stream>> streams;
    std::unordered_map<u64, std::shared_ptr<EventState>> events;
    std::unordered_map<u64, std::unique_ptr<Pool>> pools;
    u64 next_handle = 0x57aff0000000ull;  // handles are numbers, never addresses, and never come twice
    u64 next_op = 0;
    u64 ops_done = 0;
    u32 demands = 0;  // callers that wait
    Line host;        // all threads of the host, for the race detector
    Clock::time_point last_submission{};
    u64 new_handle() { return next_handle += 16; }
};
Driver& driver();

using Lock = std::unique_lock<std::mutex>;
void submit(Stream* stream, Op op);
// The line of the stream whose operation runs; on the device thread.
Line& running_line();
// Runs queued work until `done` holds or the context breaks (if one is given).
void wait_until(Lock& lock, Context* context, const std::function<bool()>& done);
void wait_for_stream(Lock& lock, Stream* stream);
void wait_for_context(Lock& lock, Context* context);
// Lets the device do a little, for callers that poll.
void make_progress(Lock& lock, Context* context);

// ---- api.cpp: what every exported function starts with ----

enum Needs : u32 { kNothing = 0, kInit = 1, kContext = 2, kSurvivesError = 4 };
// `name` is the function without its version suffix. Counts the call, injects faults, checks the state.
struct Call {
    Call(const char* name, u32 needs);
    Lock lock;
    CUresult result = CUDA_SUCCESS;
    Context* context = nullptr;
};
#define ENTER(name, needs)                          \
    ::emulator::Call call{name, ::emulator::needs}; \
    if (call.result != CUDA_SUCCESS) return call.result
// Null if the handle is not a live stream of the current context. 0, 1: legacy, 2: per thread.
Stream* stream_of(Context* context, CUstream handle);
std::shared_ptr<EventState> event_of(CUevent handle);
bool in_host_function();
void set_in_host_function(bool inside);

// ---- faults.cpp ----

bool is_sticky(CUresult error);
// The error planned for this call of `name`, or success.
CUresult planned_fault(const char* name);
std::string calls_met();
void plan_faults(const char* plan);
void plan_faults_from_environment();

// ---- module.cpp, launch.cpp ----

CUresult load_kernels();
void drop_modules(Context* context);

}  // namespace emulator
