// DELTA_BINARY_PACKED integers.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#DELTAENC
//
//   section   := varint(values a block) varint(miniblocks a block) varint(count) zigzag(first) block*
//   block     := zigzag(smallest delta) width * miniblocks  miniblock*
//   miniblock := deltas less the smallest, packed in `width` bits; the last one is padded
//
// A warp takes a page: 32 deltas at a time are unpacked, summed by a scan over the warp and added to
// the last value. All lanes read the headers (one broadcast load each). Arithmetic wraps at the type's
// width, as in arrow-rs.
//
// delta_32 and delta_64 start where the section's last delta run ended (page_state::consumed) and move
// it on, so that two launches read the two runs of DELTA_BYTE_ARRAY.
//
// Grid: pages. Block: 32. No shared memory.
// Input: page bytes are hostile. Block sizes, widths and the count are checked before use; more values
// than the page has rows are refused, so a header cannot ask for more work than its rows. On an error
// the values that are missing become 0.
#include "staffa/parquet/compact.cuh"

using namespace staffa;
using namespace staffa::parquet;

namespace {

STAFFA_DEVICE i64 unzigzag(u64 x) { return i64((x >> 1) ^ (0 - (x & 1))); }

// Wraps where the signed type would overflow.
template <class T>
struct Wrapping;
template <>
struct Wrapping<i32> {
    using Type = u32;
};
template <>
struct Wrapping<i64> {
    using Type = u64;
};

struct Header {
    u32 miniblocks;
    u32 miniblock_values;
    u32 count;
    i64 first;
};

template <class T>
STAFFA_DEVICE bool fits(i64 x) {
    return i64(T(x)) == x;
}

// Returns an error_code.
template <class T>
STAFFA_DEVICE u32 read_header(u64 address, u32 bytes, u32& at, Header& header) {
    u64 block, miniblocks, count, first;
    if (!read_varint(address, bytes, at, block) || !read_varint(address, bytes, at, miniblocks) ||
        !read_varint(address, bytes, at, count) || !read_varint(address, bytes, at, first)) {
        return ERROR_DELTA_TRUNCATED;
    }
    if (block == 0 || block % 128 != 0 || block > 0x7fffffff || miniblocks == 0 || block % miniblocks != 0 ||
        block / miniblocks % 32 != 0 || !fits<T>(unzigzag(first))) {
        return ERROR_DELTA_HEADER;
    }
    if (count > 0x7fffffff) return ERROR_DELTA_COUNT;
    header = {u32(miniblocks), u32(block / miniblocks), u32(count), unzigzag(first)};
    return ERROR_NONE;
}

// Decodes the run at `at`; returns an error_code, and moves `at` and `done` on.
template <class T>
STAFFA_DEVICE u32 read_values(const PageValues& page, u32 rows, u32& at, u32& done, const Output<T>& output) {
    using Unsigned = typename Wrapping<T>::Type;
    Header header;
    if (const u32 code = read_header<T>(page.values, page.bytes, at, header); code != ERROR_NONE) return code;
    if (header.count < page.count || header.count > rows) return ERROR_DELTA_COUNT;
    if (header.count == 0) return ERROR_NONE;
    if (lane() == 0 && page.count != 0) output.put(0, T(header.first));
    done = 1;
    Unsigned last = Unsigned(header.first);
    while (done < header.count) {
        u64 smallest;
        if (!read_varint(page.values, page.bytes, at, smallest)) return ERROR_DELTA_TRUNCATED;
        if (!fits<T>(unzigzag(smallest))) return ERROR_DELTA_HEADER;
        if (page.bytes - at < header.miniblocks) return ERROR_DELTA_TRUNCATED;
        const Unsigned least = Unsigned(unzigzag(smallest));
        const u64 widths = page.values + at;
        at += header.miniblocks;
        for (u32 m = 0; m < header.miniblocks && done < header.count; ++m) {
            const u32 width = load_byte(widths + m);
            if (width > 8 * sizeof(T)) return ERROR_DELTA_WIDTH;
            const u32 values = smaller(header.count - done, header.miniblock_values);
            // The last miniblock's padding may be missing.
            if ((u64(values) * width + 7) / 8 > page.bytes - at) return ERROR_DELTA_TRUNCATED;
            for (u32 group = 0; group < values; group += kWarp) {
                const u32 i = group + lane();
                Unsigned delta = 0;
                if (i < values) {
                    const u64 bit = u64(i) * width;
                    if constexpr (sizeof(T) == 4) {
                        delta = load_bits(page.values + at, bit, width) + least;
                    } else {
                        delta = load_bits64(page.values + at, bit, width) + least;
                    }
                }
                const Unsigned value = last + warp_inclusive_scan(delta, Sum{});
                if (i < values && done + i < page.count) output.put(done + i, T(value));
                last = shfl(kFullMask, value, kWarp - 1);
            }
            done += values;
            at += u32(smaller(u64(header.miniblock_values) * width / 8, u64(page.bytes - at)));
        }
    }
    return ERROR_NONE;
}

template <class T>
STAFFA_DEVICE void delta_page(const compact_args& args) {
    if (blockIdx.x >= args.set.count) return;
    const PageValues values = page_values(args.set, blockIdx.x);
    const u32 rows = pointer<const page>(args.set.pages)[blockIdx.x].rows;
    page_state& state = pointer<page_state>(args.set.states)[blockIdx.x];
    const Output<T> output(args, values);
    u32 at = state.consumed;
    u32 done = 0;
    warp_sync();  // all lanes have read what lane 0 overwrites below
    // A page of NULLs may have no header at all.
    if (values.count != 0 || at < values.bytes) {
        const u32 code = read_values<T>(values, rows, at, done, output);
        if (code != ERROR_NONE) {
            if (lane() == 0) report(args.set.error, code, values.ordinal, done, at, values.bytes);
            for (u32 i = done + lane(); i < values.count; i += kWarp) output.put(i, T(0));
            at = values.bytes;
        }
    }
    if (lane() == 0) state.consumed = at;
}

}  // namespace

extern "C" __global__ void STAFFA_BOUNDS(32) delta_32(compact_args args) { delta_page<i32>(args); }
extern "C" __global__ void STAFFA_BOUNDS(32) delta_64(compact_args args) { delta_page<i64>(args); }
