// Stacks and switching between them. A stack's loop runs one thread after another: a thread that ends
// without ever waiting leaves its stack, still warm in the cache, to the next.
#include <sys/mman.h>

#include "block.h"
#include "sanitizer.h"

#if !defined(__x86_64__)
#error "fiber.cpp switches stacks in x86-64 assembly"
#endif


// Saves the callee-saved registers and the stack pointer, and takes the other stack's.
extern "C" void staffa_emulator_switch(void** save, void* load);
__asm__(
    ".text\n"
    ".hidden staffa_emulator_switch\n"
    ".globl staffa_emulator_switch\n"
    ".type staffa_emulator_switch, @function\n"
    "staffa_emulator_switch:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    retq\n"
    ".size staffa_emulator_switch, .-staffa_emulator_switch\n");

namespace staffa_emulated {
extern "C" {
__attribute__((visibility("default"))) __thread Self* staffa_emulated_self;
}
}  // namespace staffa_emulated

namespace emulator {

__attribute__((tls_model("initial-exec"))) __thread Worker* this_worker;

namespace {

constexpr size_t kPage = 4096;

// Instrumented frames are several times larger.
size_t stack_bytes() { return has_asan() || has_tsan() ? 512 << 10 : 128 << 10; }

void to_scheduler(Worker& worker, Thread& thread, bool for_good) {
    if (has_tsan()) __tsan_switch_to_fiber(worker.tsan, 1);  // 1: the switch orders nothing
    void* fake = nullptr;
    if (has_asan()) {
        __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, worker.os_stack_bottom, worker.os_stack_bytes);
    }
    staffa_emulator_switch(&thread.stack_pointer, worker.scheduler_stack);
    if (has_asan()) __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
}

// The next thread of the same warp, so that threads can hand over to each other without the scheduler.
// The sanitizers want to see every switch, so there it goes through the scheduler.
Thread* next_of_warp(Worker& worker, Thread& thread) {
    if (has_asan() || has_tsan()) return nullptr;
    Warp& warp = *thread.warp;
    if (warp.ready == 0 || worker.chain == 0) return nullptr;
    --worker.chain;
    const u32 lane = pick(warp.ready, worker);
    warp.ready &= ~(1u << lane);
    return &warp.threads[lane];
}

void make_current(Worker& worker, Thread& thread) {
    thread.doing = Doing::running;
    worker.current = &thread;
    staffa_emulated::staffa_emulated_self = &thread;
    worker.switches.store(worker.switches.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// The first frame of every stack.
void loop() {
    if (has_asan()) {
        const void* bottom = nullptr;
        size_t bytes = 0;
        __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
        this_worker->os_stack_bottom = bottom;
        this_worker->os_stack_bytes = bytes;
    }
    for (;;) {
        Worker& worker = *this_worker;
        Thread& thread = *worker.current;
        const Launch& launch = *thread.home->launch;
        if (has_tsan()) __tsan_acquire(launch.begin.get());
        launch.kernel->run(launch.parameters.data());
        if (has_tsan()) __tsan_release(launch.end.get());
        thread_ended(thread);
        Thread* const next = next_of_warp(worker, thread);
        if (!next) {
            to_scheduler(worker, thread, false);
            continue;
        }
        Stack* const stack = thread.stack;
        thread.stack = nullptr;
        if (next->doing == Doing::fresh) {
            next->stack = stack;
            make_current(worker, *next);
        } else {
            worker.free_stacks.push_back(stack);
            make_current(worker, *next);
            staffa_emulator_switch(&stack->saved, next->stack_pointer);
        }
    }
}

void prepare(Stack& stack) {
    // Not all stacks at the same place in their pages: their tops would share a few cache sets.
    u8* top = stack.bottom + stack.bytes - 64 - (stack.number % 48) * 64;
    top = reinterpret_cast<u8*>(reinterpret_cast<u64>(top) & ~15ull);
    u64* at = reinterpret_cast<u64*>(top);
    *--at = 0;                               // as after a call: the return address of loop()
    *--at = reinterpret_cast<u64>(&loop);    // where the switch returns to
    for (int i = 0; i < 6; ++i) *--at = 0;   // the six registers
    stack.saved = at;
}

Stack* new_stack() {
    static std::atomic<u32> numbers{0};
    auto stack = std::make_unique<Stack>();
    stack->bytes = stack_bytes();
    stack->number = numbers++;
    void* const pages = mmap(nullptr, stack->bytes + kPage, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (pages == MAP_FAILED) {
        std::fprintf(stderr, "staffa-emulator: no memory for the stack of a thread\n");
        std::abort();
    }
    mprotect(pages, kPage, PROT_NONE);
    stack->bottom = static_cast<u8*>(pages) + kPage;
    prepare(*stack);
    return stack.release();
}

}  // namespace

void enter_worker(Worker& worker) {
    this_worker = &worker;
    if (has_tsan()) worker.tsan = __tsan_get_current_fiber();
}

namespace {
void give_stack(Worker& worker, Thread& thread) {
    if (has_tsan()) {
        if (!thread.tsan->stack) thread.tsan->stack = new_stack();
        thread.stack = thread.tsan->stack;
    } else if (worker.free_stacks.empty()) {
        thread.stack = new_stack();
    } else {
        thread.stack = worker.free_stacks.back();
        worker.free_stacks.pop_back();
    }
    thread.stack_pointer = thread.stack->saved;
}
}  // namespace

Thread& resume(Worker& worker, Thread& thread) {
    if (thread.doing == Doing::fresh) give_stack(worker, thread);
    make_current(worker, thread);
    if (has_tsan()) __tsan_switch_to_fiber(thread.tsan->fiber, 1);
    if (has_asan()) __sanitizer_start_switch_fiber(&worker.asan_fake, thread.stack->bottom, thread.stack->bytes);
    staffa_emulator_switch(&worker.scheduler_stack, thread.stack_pointer);
    if (has_asan()) __sanitizer_finish_switch_fiber(worker.asan_fake, nullptr, nullptr);
    Thread& back = *worker.current;
    worker.current = nullptr;
    staffa_emulated::staffa_emulated_self = nullptr;
    if (back.doing == Doing::done) {
        back.stack->saved = back.stack_pointer;
        if (!has_tsan()) worker.free_stacks.push_back(back.stack);
        back.stack = nullptr;
    }
    return back;
}

void leave(Thread& thread, Doing why) {
    Worker& worker = *this_worker;
    thread.doing = why;
    if (why == Doing::barrier || why == Doing::collective) {
        if (Thread* const next = next_of_warp(worker, thread)) {
            if (next->doing == Doing::fresh) give_stack(worker, *next);
            make_current(worker, *next);
            staffa_emulator_switch(&thread.stack_pointer, next->stack_pointer);
            return;
        }
    }
    to_scheduler(worker, thread, false);
}

void leave_for_good() {
    Worker& worker = *this_worker;
    to_scheduler(worker, *worker.current, true);
    __builtin_unreachable();
}

// After a failure: the thread's frames are abandoned and its stack starts afresh.
void drop_stack(Worker& worker, Thread& thread) {
    if (!thread.stack) return;
    open_memory(thread.stack->bottom, thread.stack->bytes);
    prepare(*thread.stack);
    if (!has_tsan()) worker.free_stacks.push_back(thread.stack);
    thread.stack = nullptr;
}

// After a failure too: call stacks that were never unwound cannot be used again.
void drop_tsan_threads(Block& block) {
    for (TsanThread& thread : block.tsan_threads) {
        __tsan_destroy_fiber(thread.fiber);
        if (!thread.stack) continue;
        munmap(thread.stack->bottom - kPage, thread.stack->bytes + kPage);
        delete thread.stack;
    }
    block.tsan_threads.clear();
}

}  // namespace emulator
