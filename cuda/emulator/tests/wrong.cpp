// Kernels with a planted mistake: the launch must fail with the right error, the finding must name the
// mistake and its place, and the context must stay broken until it is reset.
#include "harness.h"

namespace {

constexpr int kIllegalAddress = 700, kOutOfResources = 701, kTimeout = 702, kMisaligned = 716, kLaunchFailed = 719;

// Runs a kernel that must fail.
template <class... A>
void expect(const char* kernel, Shape shape, int error, const std::vector<const char*>& parts, A... arguments) {
    const Session s;
    launch(s.function(kernel), shape, arguments...);
    CHECK_EQ(synchronize(), error);
    for (const char* part : parts) expect_finding(part);
    expect_finding(kernel);
    // The error stays.
    Ptr address = 0;
    CHECK_EQ(allocate(&address, 16), error);
    OK((call<int, int>("cuDevicePrimaryCtxReset_v2", 0)));
    OK(allocate(&address, 16));
    OK(release(address));
}

// Device memory that outlives the broken context's calls: a reset frees it.
struct Words {
    Session session;
    Ptr address = 0;
    explicit Words(u64 words) { OK(allocate(&address, words * 4)); }
};

}  // namespace

TEST_CASE(wrong_write_behind) {
    const Words w(1024);
    // The end of the memory is the end of a page: the very next word faults.
    expect("wrong_write_behind", {1, 32}, kIllegalAddress, {"0 bytes behind the end of allocation", "(4096 bytes)", "thread (5, 0, 0)"}, w.address, u64(1024));
}

TEST_CASE(wrong_write_behind_in_page) {
    const Words w(10);
    const Session s;
    launch(s.function("wrong_write_behind"), {1, 32}, w.address, u64(10));
    OK(synchronize());  // within the alignment's slack: no fault, but the pattern is gone
    expect_finding("memory overflow");
    expect_finding("wrong_write_behind");
    CHECK_EQ(counter("findings"), 1);
}

TEST_CASE(wrong_write_far_behind) {
    const Words w(10);
    expect("wrong_write_far_behind", {1, 32}, kIllegalAddress, {"behind the end of allocation", "(40 bytes)"}, w.address, u64(10));
}

TEST_CASE(wrong_read_before) {
    const Words w(1024);
    expect("wrong_read_before", {1, 32}, kIllegalAddress, {"illegal access"}, w.address, w.address);
}

TEST_CASE(wrong_use_after_free) {
    const Session s;
    Ptr gone = 0, out = 0;
    OK(allocate(&gone, 4096));
    OK(allocate(&out, 4096));
    OK(release(gone));
    launch(s.function("right_scale"), {1, 32}, gone, out, 1u, u64(32));
    CHECK_EQ(synchronize(), kIllegalAddress);
    expect_finding("freed allocation");
    OK((call<int, int>("cuDevicePrimaryCtxReset_v2", 0)));
}

TEST_CASE(wrong_divergent_barrier) {
    const Words w(64);
    expect("wrong_divergent_barrier", {1, 64}, kLaunchFailed, {"divergent barrier", "wrong.cu:", "waits at", "thread ("}, w.address);
}

TEST_CASE(wrong_return_before_barrier) {
    const Words w(64);
    expect("wrong_return_before_barrier", {1, 64}, kLaunchFailed, {"divergent barrier", "return"}, w.address, u64(40));
}

TEST_CASE(wrong_barrier_in_helper) {
    const Words w(64);
    expect("wrong_barrier_in_helper", {1, 64}, kLaunchFailed, {"divergent barrier", "helper"}, w.address);
}

TEST_CASE(wrong_mask_without_self) {
    const Words w(32);
    expect("wrong_mask_without_self", {1, 32}, kLaunchFailed, {"wrong mask", "shfl", "0x0000ffff"}, w.address);
}

TEST_CASE(wrong_masks_differ) {
    const Words w(32);
    expect("wrong_masks_differ", {1, 32}, kLaunchFailed, {"wrong mask"}, w.address);
}

TEST_CASE(wrong_source_not_in_mask) {
    const Words w(32);
    expect("wrong_source_not_in_mask", {1, 32}, kLaunchFailed, {"reads from lane 20"}, w.address);
}

TEST_CASE(wrong_lane_missing) {
    const Words w(32);
    expect("wrong_lane_missing", {1, 20}, kLaunchFailed, {"names lane 20, which the block does not have"}, w.address);
}

TEST_CASE(wrong_exited_lane) {
    const Words w(32);
    expect("wrong_exited_lane", {1, 32}, kLaunchFailed, {"exited lane"}, w.address, u64(20));
}

TEST_CASE(wrong_operations_differ) {
    const Words w(32);
    expect("wrong_operations_differ", {1, 32}, kLaunchFailed, {"divergence", "ballot", "any"}, w.address);
}

TEST_CASE(wrong_barrier_against_shuffle) {
    const Words w(32);
    expect("wrong_barrier_against_shuffle", {1, 32}, kLaunchFailed, {"divergence", "block_sync"}, w.address);
}

TEST_CASE(wrong_shared_overflow) {
    const Words w(32);
    expect("wrong_shared_overflow", {1, 32}, kIllegalAddress, {"shared memory overflow", "first"}, w.address, 1u);
}

TEST_CASE(wrong_dynamic_overflow) {
    const Words w(32);
    expect("wrong_dynamic_overflow", {1, 32, 256}, kIllegalAddress, {"dynamic shared memory (256 bytes)"}, w.address);
}

TEST_CASE(wrong_shared_not_cleared) {
    const Words w(64);
    const Session s;
    launch(s.function("wrong_shared_not_cleared"), {1, 64}, w.address);
    std::vector<u32> out(64);
    OK(to_host(out.data(), w.address, 256));
    for (const u32 v : out) CHECK(v != 2);  // what a lucky zero would give
}

TEST_CASE(wrong_too_much_shared) {
    const Words w(64);
    expect("wrong_too_much_shared", {1, 64}, kOutOfResources, {"52000 bytes of static shared memory"}, w.address);
}

TEST_CASE(wrong_block_order) {
    const Session owner;
    const Buffer<u32> flags(64, 0), out(64 * 32, 0);
    expect("wrong_block_order", {64, 32}, kTimeout, {"livelock"}, flags.address, out.address);
}

TEST_CASE(wrong_spin_without_pause) {
    const Session owner;
    const Buffer<u32> flag(1, 0);
    if (std::getenv("STAFFA_EMULATOR_SEED") && !std::strcmp(std::getenv("STAFFA_EMULATOR_SEED"), "0")) {
        expect("wrong_spin_without_pause", {1, 1}, kTimeout, {"spin_pause"}, flag.address, flag.address);
    } else {  // atomics yield at times, so the loop is interrupted, and still never ends
        expect("wrong_spin_without_pause", {1, 1}, kTimeout, {}, flag.address, flag.address);
    }
}

TEST_CASE(wrong_copy_not_waited) {
    const Session owner;
    const Buffer<u32> in(32, 1), out(32, 0);
    expect("wrong_copy_not_waited", {1, 32}, kLaunchFailed, {"never waited"}, in.address, out.address);
}

TEST_CASE(wrong_copy_read_early) {
    const Session s;
    const Buffer<u32> in(32, 1), out(32, 0);
    launch(s.function("wrong_copy_read_early"), {1, 32}, in.address, out.address);
    for (const u32 v : out.read()) CHECK(v != 0x01010101);
}

TEST_CASE(wrong_misaligned) {
    const Words w(1024);
    expect("wrong_misaligned", {1, 1}, kMisaligned, {"misaligned access of 16 bytes"}, w.address, w.address);
}

TEST_CASE(wrong_divide) {
    const Words w(32);
    expect("wrong_divide", {1, 32}, kLaunchFailed, {"division by zero"}, w.address, 0u);
}

TEST_CASE(wrong_host_pointer) {
    const Words w(32);
    static u32 on_host[32];
    const Session s;
    launch(s.function("wrong_host_pointer"), {1, 32}, Ptr(on_host), w.address);
    CHECK_EQ(synchronize(), kIllegalAddress);
    expect_finding("host pointer: parameter 0 of kernel wrong_host_pointer");
    OK((call<int, int>("cuDevicePrimaryCtxReset_v2", 0)));
}

// Wrong under some seeds only: `run` looks for a seed that shows it.
TEST_CASE(seed_no_barrier) {
    const Session s;
    const Buffer<u32> out(256, 0);
    launch(s.function("wrong_no_barrier"), {1, 256}, out.address);
    const auto result = out.read();
    for (u32 t = 0; t < 256; ++t) CHECK_EQ(result[t], 255 - t);
}

TEST_CASE(seed_one_barrier) {
    const Session s;
    const Buffer<u32> out(256, 0);
    launch(s.function("wrong_one_barrier"), {1, 256}, out.address, 8u);
    const auto result = out.read();
    for (u32 t = 0; t < 256; ++t) CHECK_EQ(result[t], (t + 8) % 256);
}

// For the race detector: `run` looks at its report.
TEST_CASE(race_no_barrier) {
    const Session s;
    const Buffer<u32> out(256, 0);
    launch(s.function("wrong_no_barrier"), {1, 256}, out.address);
    OK(synchronize());
}
TEST_CASE(race_one_barrier) {
    const Session s;
    const Buffer<u32> out(256, 0);
    launch(s.function("wrong_one_barrier"), {1, 256}, out.address, 3u);
    OK(synchronize());
}
TEST_CASE(race_relaxed_flag) {
    const Session s;
    const Buffer<u32> flag(1, 0);
    const Buffer<u64> data(1, 0), out(1, 0);
    launch(s.function("wrong_relaxed_flag"), {1, 64}, flag.address, data.address, out.address);
    OK(synchronize());
}
TEST_CASE(race_blocks) {
    const Session s;
    const Buffer<u32> out(64, 0);
    launch(s.function("wrong_blocks_race"), {4, 64}, out.address);
    OK(synchronize());
}

// For AddressSanitizer: `run` looks at its report.
TEST_CASE(address_write_behind) {
    const Session s;
    Ptr address = 0;
    OK(allocate(&address, 40));
    launch(s.function("wrong_write_behind"), {1, 32}, address, u64(10));
    OK(synchronize());
}
TEST_CASE(address_shared_overflow) {
    const Session s;
    const Buffer<u32> out(32, 0);
    launch(s.function("wrong_shared_overflow"), {1, 32}, out.address, 1u);
    OK(synchronize());
}

// Two streams without an event: kernel against kernel, and copy against kernel.
TEST_CASE(race_streams) {
    const Session s;
    Handle one, two;
    OK((call<int, Handle*, unsigned>("cuStreamCreate", &one, 1u)));
    OK((call<int, Handle*, unsigned>("cuStreamCreate", &two, 1u)));
    const Buffer<u32> a(std::vector<u32>(256, 1)), b(256, 0);
    OK(synchronize());
    OK((try_launch(s.function("right_scale"), {1, 256}, one, a.address, b.address, 2u, u64(256))));
    OK((try_launch(s.function("right_scale"), {1, 256}, two, b.address, a.address, 5u, u64(256))));
    OK(synchronize());
}
TEST_CASE(race_copy) {
    const Session s;
    Handle one, two;
    OK((call<int, Handle*, unsigned>("cuStreamCreate", &one, 1u)));
    OK((call<int, Handle*, unsigned>("cuStreamCreate", &two, 1u)));
    const Buffer<u32> a(std::vector<u32>(256, 1)), b(256, 0);
    OK(synchronize());
    const std::vector<u32> other(256, 3);
    OK((try_launch(s.function("right_scale"), {1, 256}, one, a.address, b.address, 2u, u64(256))));
    OK((call<int, Ptr, const void*, size_t, Handle>("cuMemcpyHtoDAsync_v2", a.address, other.data(), 1024, two)));
    OK(synchronize());
}
