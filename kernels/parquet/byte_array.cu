// PLAIN BYTE_ARRAY to spans: value := length (4 bytes) bytes. Nothing is copied.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#PLAIN
//
// Where a string starts is known only from the one before it: a chain of dependent loads. A warp takes
// a page; it loads 4 KB at a time into shared memory (16 bytes a lane), one lane follows the chain
// there (about 40 cycles a string instead of 300 and more from L2), and 32 spans at a time are written by
// all lanes. Pages run in parallel; pointer doubling within the window costs as much as the walk for
// strings of 20 bytes and was left out.
//
// Grid: pages. Block: 32. Shared memory: 4.4 KB.
// Input: page bytes are hostile. A length beyond the rest of the page ends the page's walk with an
// error; its remaining rows become empty. A span never leaves its page.
#include "staffa/parquet/compact.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

constexpr u32 WINDOW = 4096;

// A window of the values section in shared memory.
struct Window {
    u32* words;
    u64 base;  // address, a multiple of 16
    u32 skip;  // bytes of the first load in front of the section's byte `from`
    u32 from;  // offset in the section of the byte at `skip`

    // The 4 bytes at an offset of the section; 0 <= at - from <= WINDOW - 20.
    STAFFA_DEVICE u32 load(u32 at) const {
        const u32 i = at - from + skip;
        return funnel_shift_right(words[i / 4], words[i / 4 + 1], (i & 3) * 8);
    }
    // Whether 4 bytes from `at` on are in the window.
    STAFFA_DEVICE bool has(u32 at) const { return at >= from && at - from + skip + 8 <= WINDOW; }
};

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(32) byte_array_spans(compact_args args) {
    STAFFA_SHARED(u32, words, WINDOW / 4);
    STAFFA_SHARED(u32, starts, kWarp);
    STAFFA_SHARED(u32, lengths, kWarp);
    if (blockIdx.x >= args.set.count) return;
    const PageValues page = page_values(args.set, blockIdx.x);
    const Output<span> output(args, page);

    Window window{words, 0, 0, 0};
    bool loaded = false;
    u32 at = 0;       // of the next length
    u32 done = 0;
    u32 failed = 0;
    while (done < page.count && !failed) {
        if (!loaded || !window.has(at)) {
            warp_sync();  // lanes may still read the old window
            window.base = (page.values + at) & ~u64(15);
            window.skip = u32(page.values + at - window.base);
            window.from = at;
            // Not beyond the section's last 16-byte line: buffers have 64 bytes of padding.
            const u64 end = page.values + page.bytes;
            for (u32 i = lane() * 16; i < WINDOW && window.base + i < end; i += kWarp * 16) {
                *reinterpret_cast<uint4*>(&words[i / 4]) =
                    load_readonly(pointer<const uint4>(window.base + i));
            }
            loaded = true;
            warp_sync();
        }
        u32 found = 0;
        if (lane() == 0) {
            const u32 wanted = smaller(page.count - done, kWarp);
            while (found < wanted && (window.has(at) || at > page.bytes - smaller(page.bytes, 4u))) {
                const u32 rest = page.bytes - at;
                if (rest < 4) {
                    report(args.set.error, ERROR_VALUES_TRUNCATED, page.ordinal, done + found, rest, 4);
                    failed = 1;
                    break;
                }
                const u32 length = window.load(at);
                if (length > rest - 4 || length > LONGEST_STRING) {
                    report(args.set.error, ERROR_STRING_LENGTH, page.ordinal, done + found, length, rest - 4);
                    failed = 1;
                    break;
                }
                starts[found] = at + 4;
                lengths[found] = length;
                at += 4 + length;
                ++found;
            }
        }
        warp_sync();
        found = shfl(kFullMask, found, 0);
        at = shfl(kFullMask, at, 0);
        failed = shfl(kFullMask, failed, 0);
        if (lane() < found) output.put(done + lane(), make_span(page.values + starts[lane()], lengths[lane()]));
        done += found;
        warp_sync();
    }
    for (u32 i = done + lane(); i < page.count; i += kWarp) output.put(i, span{0, 0, 0});
}
