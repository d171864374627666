// A kernel's access outside of its memory is a fault of the OS thread that runs it: the handler turns it into
// the launch's error. Faults of anything else go to whoever handled them before.
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>

#include "block.h"

namespace emulator {

namespace {

struct sigaction before[65];
constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t kStack = 64 << 10;
int interrupt_signal() { return SIGRTMAX - 3; }

// Runs on the landing stack, as if the faulting instruction had called it.
[[noreturn]] void landed() {
    Worker& worker = *this_worker;
    const Thread& thread = *worker.current;
    const u64 address = worker.fault_address;
    switch (worker.fault_signal) {
        case SIGFPE: fail(CUDA_ERROR_LAUNCH_FAILED, "integer division by zero or overflow (undefined on a GPU)");
        case 0: fail(CUDA_ERROR_LAUNCH_TIMEOUT, "a thread ran for %.0f s without ending or waiting (a loop that waits needs spin_pause())",
                     config().timeout_s);
        case SIGILL: fail(CUDA_ERROR_ILLEGAL_INSTRUCTION, "trap or illegal instruction");
        default: break;
    }
    if (thread.stack && address + 4096 >= reinterpret_cast<u64>(thread.stack->bottom) &&
        address < reinterpret_cast<u64>(thread.stack->bottom)) {
        fail(CUDA_ERROR_HARDWARE_STACK_ERROR, "stack overflow");
    }
    std::string what = describe_shared(*thread.home, address);
    if (what.empty()) {
        const Lock lock(driver().mutex);
        what = describe(address);
    }
    fail(CUDA_ERROR_ILLEGAL_ADDRESS, "illegal access at 0x%llx: %s", static_cast<unsigned long long>(address), what.c_str());
}

void handle(int signal, siginfo_t* info, void* context) {
    Worker* const worker = this_worker;
    if (!worker || !worker->current) {
        if (signal == interrupt_signal()) return;
        const struct sigaction& old = before[signal];
        if (old.sa_flags & SA_SIGINFO) {
            old.sa_sigaction(signal, info, context);
        } else if (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN) {
            std::signal(signal, SIG_DFL);  // comes again, and ends the process
        } else {
            old.sa_handler(signal);
        }
        return;
    }
    worker->fault_signal = signal == interrupt_signal() ? 0 : signal;
    worker->fault_address = reinterpret_cast<u64>(info->si_addr);
    // Go on in landed(), on a stack of its own: the thread's may be what overflowed.
    auto* const machine = static_cast<ucontext_t*>(context);
    u64 top = reinterpret_cast<u64>(worker->landing_stack + kStack) & ~15ull;
    top -= 8;  // as after a call
    machine->uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(top);
    machine->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(&landed);
}

}  // namespace

void install_signal_handlers() {
    static bool done = false;
    if (done) return;
    done = true;
    const auto install = [](int signal) {
        struct sigaction action;
        std::memset(&action, 0, sizeof action);
        action.sa_sigaction = handle;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        sigaction(signal, &action, &before[signal]);
    };
    for (const int signal : kSignals) install(signal);
    install(interrupt_signal());
}

void interrupt(Worker& worker) { pthread_kill(worker.os_thread, interrupt_signal()); }

void enter_signals(Worker& worker) {
    install_signal_handlers();
    worker.signal_stack = static_cast<u8*>(
        mmap(nullptr, 2 * kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    worker.landing_stack = worker.signal_stack + kStack;
    stack_t alternate{};
    alternate.ss_sp = worker.signal_stack;
    alternate.ss_size = kStack;
    sigaltstack(&alternate, nullptr);
}

}  // namespace emulator
