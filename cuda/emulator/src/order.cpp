// Accesses of copies and fills, for the race detector.
#include "order.h"

namespace emulator {

// Reports show the instruction before the address that they are given.
void Line::reads(const void* address, size_t bytes, void* who) {
    if (has_tsan()) on([&] { __tsan_read_range_pc(const_cast<void*>(address), bytes, static_cast<char*>(who) + 1); });
}
void Line::writes(const void* address, size_t bytes, void* who) {
    if (has_tsan()) on([&] { __tsan_write_range_pc(const_cast<void*>(address), bytes, static_cast<char*>(who) + 1); });
}

}  // namespace emulator
