// DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY, after delta_32 decoded their lengths into slots.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#delta-strings-delta_byte_array--7
//
//   delta_length_spans   lengths -> spans into the page, by a scan over a block; nothing is copied
//   delta_bytes_sizes    prefixes and suffixes -> checked; page_state::heap_needed
//   delta_bytes_expand   builds the strings in the page's heap: a warp a page, a string at a time, its
//                        lanes side by side on the bytes (a string's prefix is the string before it)
//
// The heap's size is not bounded by the page's bytes (a string may repeat the one before it for 1
// byte), so the host reads heap_needed, decides, and sets page::heap; expand refuses to write more.
//
// Grid: pages. Block: 256 (expand: 32). Shared memory: scans only.
// Input: lengths are hostile. Negative ones, prefixes longer than the string before, and suffixes
// beyond the section are reported; the page's strings become empty.
#include "staffa/parquet/compact.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

// page_state::consumed of a page whose lengths do not hold.
constexpr u32 REFUSED = 0xffffffffu;

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(256) delta_length_spans(compact_args args) {
    if (blockIdx.x >= args.set.count) return;
    const PageValues page = page_values(args.set, blockIdx.x);
    const u32 consumed = pointer<const page_state>(args.set.states)[blockIdx.x].consumed;
    const i32* lengths = pointer<const i32>(args.lengths) + page.first_slot;
    const Output<span> output(args, page);
    const u64 there = page.bytes - consumed;
    u64 before = 0;
    for (u32 first = 0; first < page.count; first += BLOCK) {
        const u32 i = first + threadIdx.x;
        const i32 length = i < page.count ? load_readonly(&lengths[i]) : 0;
        const bool negative = length < 0;
        const u64 bytes = negative ? 0 : u64(length);
        u64 total;
        const u64 end = before + block_inclusive_scan<BLOCK>(bytes, Sum{}, &total);
        before += total;
        if (i >= page.count) continue;
        if (negative || end > there) {
            report(args.set.error, ERROR_STRING_LENGTH, page.ordinal, i, u32(length), there);
            output.put(i, span{0, 0, 0});
        } else {
            output.put(i, make_span(page.values + consumed + (end - bytes), u32(bytes)));
        }
    }
}

extern "C" __global__ void STAFFA_BOUNDS(256) delta_bytes_sizes(compact_args args) {
    if (blockIdx.x >= args.set.count) return;
    const PageValues page = page_values(args.set, blockIdx.x);
    page_state& state = pointer<page_state>(args.set.states)[blockIdx.x];
    const i32* prefixes = pointer<const i32>(args.prefixes) + page.first_slot;
    const i32* suffixes = pointer<const i32>(args.lengths) + page.first_slot;
    const u32 there = page.bytes - state.consumed;
    u64 sum = 0;
    u64 stored = 0;
    bool wrong = false;
    for (u32 i = threadIdx.x; i < page.count; i += BLOCK) {
        const i64 prefix = load_readonly(&prefixes[i]);
        const i64 suffix = load_readonly(&suffixes[i]);
        // A string of negative length is reported at its own row only.
        const i64 previous =
            i == 0 ? 0 : larger<i64>(0, i64(load_readonly(&prefixes[i - 1])) + load_readonly(&suffixes[i - 1]));
        if (prefix < 0 || prefix > previous) {
            report(args.set.error, ERROR_PREFIX_LENGTH, page.ordinal, i, u32(prefix), u64(previous));
            wrong = true;
        } else if (suffix < 0 || prefix + suffix > i64(LONGEST_STRING)) {
            report(args.set.error, ERROR_STRING_LENGTH, page.ordinal, i, u32(suffix), there);
            wrong = true;
        } else {
            sum += u64(prefix + suffix);
            stored += u64(suffix);
        }
    }
    sum = block_reduce<BLOCK>(sum, Sum{});
    stored = block_reduce<BLOCK>(stored, Sum{});
    wrong = block_sync_or(wrong);
    if (threadIdx.x != 0) return;
    if (!wrong && stored > there) {
        report(args.set.error, ERROR_STRING_LENGTH, page.ordinal, 0, u32(smaller(stored, u64(0xffffffffu))), there);
        wrong = true;
    }
    state.heap_needed = wrong ? 0 : sum;
    if (wrong) state.consumed = REFUSED;
}

extern "C" __global__ void STAFFA_BOUNDS(32) delta_bytes_expand(compact_args args) {
    if (blockIdx.x >= args.set.count) return;
    const PageValues values = page_values(args.set, blockIdx.x);
    const page& p = pointer<const page>(args.set.pages)[blockIdx.x];
    const page_state& state = pointer<const page_state>(args.set.states)[blockIdx.x];
    const Output<span> output(args, values);
    const bool small = state.heap_needed > p.heap_bytes;
    if (small && lane() == 0) {
        report(args.set.error, ERROR_HEAP_SIZE, values.ordinal, 0, u32(smaller(p.heap_bytes, u64(0xffffffffu))),
               state.heap_needed);
    }
    if (small || state.consumed == REFUSED) {
        for (u32 i = lane(); i < values.count; i += kWarp) output.put(i, span{0, 0, 0});
        return;
    }
    const i32* prefixes = pointer<const i32>(args.prefixes) + values.first_slot;
    const i32* suffixes = pointer<const i32>(args.lengths) + values.first_slot;
    u8* heap = pointer<u8>(p.heap);
    u64 from = values.values + state.consumed;  // next suffix
    u64 to = 0;                                 // next string
    u64 previous = 0;
    for (u32 first = 0; first < values.count; first += kWarp) {
        const u32 i = first + lane();
        const u32 prefix = i < values.count ? u32(load_readonly(&prefixes[i])) : 0;
        const u32 suffix = i < values.count ? u32(load_readonly(&suffixes[i])) : 0;
        const u64 my_end = to + warp_inclusive_scan(u64(prefix) + suffix, Sum{});
        const u64 my_from = from + warp_inclusive_scan(u64(suffix), Sum{}) - suffix;
        const u64 my_to = my_end - prefix - suffix;
        const u32 strings = smaller(values.count - first, kWarp);
        for (u32 s = 0; s < strings; ++s) {
            const u32 keep = shfl(kFullMask, prefix, s);
            const u32 add = shfl(kFullMask, suffix, s);
            const u64 target = shfl(kFullMask, my_to, s);
            const u64 source = shfl(kFullMask, my_from, s);
            for (u32 k = lane(); k < keep; k += kWarp) heap[target + k] = heap[previous + k];
            for (u32 k = lane(); k < add; k += kWarp) heap[target + keep + k] = load_byte(source + k);
            previous = target;
            warp_sync();  // the next string reads this one
        }
        if (i < values.count) {
            u32 head = 0;
            for (u32 k = 0; k < 4 && k < prefix + suffix; ++k) head |= u32(heap[my_to + k]) << (8 * k);
            output.put(i, span{p.heap + my_to, prefix + suffix, head});
        }
        to = shfl(kFullMask, my_end, kWarp - 1);
        from = shfl(kFullMask, my_from + suffix, kWarp - 1);
    }
}
