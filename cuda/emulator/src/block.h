// How blocks run: the records shared by launch.cpp, worker.cpp, fiber.cpp, block.cpp, warp.cpp,
// shared.cpp and signals.cpp.
#pragma once

#define STAFFA_EMULATED_DRIVER 1
#include <atomic>

#include "emulator.h"
#include "staffa_emulated.h"

namespace emulator {

using staffa::Site;
using staffa_emulated::Vote;
using staffa_emulated::WarpOp;
using staffa_emulated::Words;

struct Block;
struct Warp;
struct Worker;
struct TsanThread;

// A launch while it runs.
struct Launch {
    const staffa_emulated::KernelInfo* kernel = nullptr;
    uint3 grid{}, block{};
    u32 dynamic_shared = 0;
    u32 shared_limit = 0;  // static and dynamic together
    std::vector<u8> parameter_bytes;
    std::vector<void*> parameters;
    u64 number = 0;
    u64 blocks = 0, first = 0, stride = 1;  // the order of blocks: (first + i * stride) modulo blocks
    std::atomic<u64> next_block{0};
    std::atomic<bool> failed{false};
    std::mutex failure_mutex;
    CUresult error = CUDA_SUCCESS;
    std::string message;
    std::atomic<u32> static_shared{0};
    // For the race detector: before the first thread, and after the last.
    Point begin = new_point(), end = new_point();
};

// A stack that threads run on; used again when its thread ends.
struct Stack {
    u8* bottom = nullptr;
    size_t bytes = 0;
    u32 number = 0;
    void* saved = nullptr;  // stack pointer of its loop, waiting for the next thread
};

enum class Doing : u8 { fresh, running, paused, spinning, barrier, collective, done };

struct CopyAsync {
    void* to;
    const void* from;
    u32 bytes;
    u32 group;
};
struct Copies {
    std::vector<CopyAsync> pending;
    u32 group = 0;  // the open one
};

struct Thread : staffa_emulated::Self {
    Block* home;
    Warp* warp;
    void* stack_pointer;
    Stack* stack;
    Doing doing;
    u8 lane;
    u8 phase;
    Vote vote;
    WarpOp op;
    u32 mask;
    u32 argument, width;
    Site site;
    Words value;
    TsanThread* tsan;
    Copies* copies;
};

struct Warp {
    Thread* threads = nullptr;
    u32 exists = 0, ready = 0, spinning = 0, waiting = 0, at_barrier = 0, done = 0;
    u32 number = 0;
    u32 phase = 0;
    char order[2] = {};  // for the race detector: what warp_sync orders
    struct WarpAccesses* accesses = nullptr;  // coalescing.cpp
};

// What the race detector takes for an OS thread: it keeps its stack, or the stack's frames would look
// shared between threads that only follow each other there.
struct TsanThread {
    void* fiber = nullptr;
    Stack* stack = nullptr;
};

struct SharedArray {
    const void* key;
    const char* name;
    const char* file;
    int line;
    u32 offset;
    u32 bytes;
};

struct Block {
    staffa_emulated::BlockView view{};
    Launch* launch = nullptr;
    u64 number = 0;
    bool busy = false;
    u32 threads = 0, warps = 0;
    u32 ready_warps = 0, spinning_warps = 0;
    u32 done = 0, at_barrier = 0;
    u32 phase = 0;
    Thread* first_at_barrier = nullptr;
    u32 votes = 0;
    u32 vote_result[2] = {};
    char order[2] = {};  // for the race detector: what block_sync orders
    std::vector<Thread> thread;
    std::vector<Warp> warp;
    u8* shared = nullptr;  // the block's shared memory, before a guard page
    u32 shared_used = 0;
    std::vector<SharedArray> arrays;
    std::vector<TsanThread> tsan_threads;
};

// One OS thread that runs blocks, several at a time.
struct Worker {
    u32 number = 0;
    Launch* launch = nullptr;
    Thread* current = nullptr;
    void* scheduler_stack = nullptr;  // saved stack pointer while a thread runs
    const void* os_stack_bottom = nullptr;
    size_t os_stack_bytes = 0;
    void* tsan = nullptr;
    void* asan_fake = nullptr;
    Random random{0};
    bool shuffled = false;
    std::vector<std::unique_ptr<Block>> blocks;
    std::vector<Stack*> free_stacks;
    u64 events = 0;  // whatever is not spinning: for noticing that nothing moves
    std::atomic<u64> switches{0};  // watched by the watchdog
    u32 chain = 0;  // how many more threads of a warp may follow each other before the scheduler is asked
    u8* signal_stack = nullptr;
    u8* landing_stack = nullptr;
    pthread_t os_thread{};
    // What a signal handler found.
    int fault_signal = 0;
    u64 fault_address = 0;
};
// A thread pointer's offset known at load time: a library call for each access would be felt.
extern __attribute__((tls_model("initial-exec"))) __thread Worker* this_worker;

// A lane of a mask that is not empty: the lowest, or any by the seed.
inline u32 pick(u32 mask, Worker& worker) {
    if (!worker.shuffled) return static_cast<u32>(__builtin_ctz(mask));
    const u32 turn = static_cast<u32>(worker.random.next()) & 31;
    const u32 turned = (mask >> turn) | (turn ? mask << (32 - turn) : 0);
    return (static_cast<u32>(__builtin_ctz(turned)) + turn) & 31;
}

constexpr u64 kSharedBytes = 232 << 10;

// worker.cpp
void run_launch(Launch& launch);
void run_blocks(Worker& worker, Launch& launch);

// fiber.cpp
void enter_worker(Worker& worker);
Thread& resume(Worker& worker, Thread& thread);  // the thread that came back, of the same warp
void leave(Thread& thread, Doing why);  // from a thread to the scheduler
[[noreturn]] void leave_for_good();
void drop_stack(Worker& worker, Thread& thread);
void drop_tsan_threads(Block& block);

// block.cpp
void start_block(Worker& worker, Block& block, u64 number);
void end_block(Block& block);
bool step(Worker& worker, Block& block);  // runs some threads; false: none is ready
void thread_ended(Thread& thread);
std::string name_of(const Site& site);
std::string name_of(const Thread& thread);
bool same_site(const Site& a, const Site& b);

// Ends the launch with an error that breaks the context. From a thread of a kernel.
[[noreturn]] __attribute__((format(printf, 2, 3))) void fail(CUresult error, const char* format, ...);
void record_failure(Launch& launch, CUresult error, const std::string& message);

// warp.cpp
void check_exit_from_warp(Thread& thread);
void check_barrier_against_warp(Thread& thread);

// shared.cpp
void open_shared(Block& block);
void close_shared(Block& block);
void allocate_shared(Block& block);
std::string describe_shared(const Block& block, u64 address);

// signals.cpp
void install_signal_handlers();
void enter_signals(Worker& worker);
void interrupt(Worker& worker);  // ends what its thread does, from another OS thread

// coalescing.cpp
void end_accesses(Block& block);

// watchdog.cpp
void watch(Worker& worker);

}  // namespace emulator
