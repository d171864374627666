// DELTA_BINARY_PACKED integers.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#DELTAENC
//
//   section   := varint(values a block) varint(miniblocks a block) varint(count) zigzag(first) block*
//   block     := zigzag(smallest delta) width * miniblocks  miniblock*
//   miniblock := deltas less the smallest, packed in `width` bits; the last one is padded
//
// A warp takes a page: 4 x 32 deltas at a time are unpacked, summed by scans over the warp and added
// to the last value. All lanes read the headers (one broadcast load each). Arithmetic wraps at the type's
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

// Chunks of 32 values that are in flight together: their loads and scans do not wait for each other, only
// the additions of what came before do.
constexpr u32 CHUNKS = 4;

// A block's miniblocks, unpacked in order.
struct Block {
    u64 values;           // address of the section
    u64 widths;           // address of the miniblocks' widths
    u32 bytes;            // of the section
    u32 next;             // offset in the section of the next miniblock
    u32 miniblocks;
    u32 miniblock_values;
    u32 started = 0;      // miniblocks so far
    u32 left = 0;         // values left in the last of them
    u32 at = 0;           // its offset in the section
    u32 width = 0;

    // Deltas [group, group + 128) of the block's `count`, less those behind the end, which become 0. Lane i
    // gets number i of each chunk. Returns an error_code.
    template <class Unsigned>
    STAFFA_DEVICE u32 unpack(u32 group, u32 count, Unsigned least, Unsigned (&deltas)[CHUNKS]) {
        // A miniblock has at least a chunk, so at most four start here: their widths in one load.
        const u32 mine = started + lane();
        const u32 here = lane() < CHUNKS && mine < miniblocks ? load_byte(widths + mine) : 0;
        const u32 before = started;
#pragma unroll
        for (u32 j = 0; j < CHUNKS; ++j) {
            deltas[j] = 0;
            const u32 first = group + j * kWarp;
            if (first >= count) continue;
            if (left == 0) {
                width = shfl(kFullMask, here, started - before);
                if (width > 8 * sizeof(Unsigned)) return ERROR_DELTA_WIDTH;
                // The last miniblock's padding may be missing.
                const u32 stored = smaller(count - first, miniblock_values);
                if ((u64(stored) * width + 7) / 8 > bytes - next) return ERROR_DELTA_TRUNCATED;
                at = next;
                next += u32(smaller(u64(miniblock_values) * width / 8, u64(bytes - next)));
                left = miniblock_values;
                ++started;
            }
            const u64 bit = u64(miniblock_values - left + lane()) * width;
            left -= kWarp;
            if (first + lane() >= count) continue;
            if constexpr (sizeof(Unsigned) == 4) {
                deltas[j] = load_bits(values + at, bit, width) + least;
            } else {
                deltas[j] = load_bits64(values + at, bit, width) + least;
            }
        }
        return ERROR_NONE;
    }
};

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
        Block block{page.values, page.values + at, page.bytes, at + header.miniblocks, header.miniblocks,
                    header.miniblock_values};
        const u32 values = u32(smaller(u64(header.count - done), u64(header.miniblocks) * header.miniblock_values));
        const Unsigned least = Unsigned(unzigzag(smallest));
        for (u32 group = 0; group < values; group += CHUNKS * kWarp) {
            Unsigned sums[CHUNKS];
            if (const u32 code = block.unpack(group, values, least, sums); code != ERROR_NONE) return code;
#pragma unroll
            for (u32 j = 0; j < CHUNKS; ++j) sums[j] = warp_inclusive_scan(sums[j], Sum{});
#pragma unroll
            for (u32 j = 0; j < CHUNKS; ++j) {
                const Unsigned value = last + sums[j];
                const u32 i = group + j * kWarp + lane();
                if (i < values && done + i - group < page.count) output.put(done + i - group, T(value));
                last = shfl(kFullMask, value, kWarp - 1);
            }
            done += smaller(values - group, CHUNKS * kWarp);
        }
        at = block.next;
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
