// What the race detector is told about queues. Nothing without it.
//
// Each stream is a thread of ThreadSanitizer (a fiber, used by the device thread only), so is "the host",
// all its threads together (used under the driver's mutex). Between them go points: a release on one side,
// an acquire on the other.
#pragma once
#include <memory>

#include "sanitizer.h"

namespace emulator {

using Point = std::shared_ptr<char>;
inline Point new_point() { return has_tsan() ? std::make_shared<char>() : nullptr; }

// One line of execution.
class Line {
public:
    Line() = default;
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;
    ~Line() {
        if (fiber_) __tsan_destroy_fiber(fiber_);
    }
    void release(const Point& point) {
        if (has_tsan() && point) on([&] { __tsan_release(point.get()); });
    }
    void acquire(const Point& point) {
        if (has_tsan() && point) on([&] { __tsan_acquire(point.get()); });
    }
    // A copy or fill touches device memory. `who` is the function that a report names.
    void reads(const void* address, size_t bytes, void* who);
    void writes(const void* address, size_t bytes, void* who);

private:
    template <class F>
    void on(F what) {
        if (!fiber_) fiber_ = __tsan_create_fiber(0);
        void* const here = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(fiber_, 1);
        what();
        __tsan_switch_to_fiber(here, 1);
    }
    void* fiber_ = nullptr;
};

}  // namespace emulator
