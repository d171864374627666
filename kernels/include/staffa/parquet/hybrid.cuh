// The hybrid of run-length and bit-packed encoding: levels, dictionary indexes, booleans.
//
//   stream := run*
//   run    := varint(n << 1)     value in ceil(width / 8) bytes          n values, all the same
//           | varint(n << 1 | 1) n * width bytes                         8 n values, packed
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#RLE
//
// A run's place is known only once all runs before it were read, so one warp of a page walks the
// headers once (index_runs) and notes for every tile of TILE_ROWS values in which run it starts, 16
// bytes a tile. Then all tiles are independent: each walks its own headers into a table in shared
// memory, and its threads find their value's run by binary search. A table of *all* runs would need
// up to 8 bytes for every byte of the page.
//
// Hostile input: a walk takes at least one byte of the stream per header and stops at its end, runs
// are clipped to the values asked for and to the bytes that are there, and what a broken stream
// leaves open becomes `filler`. Writers may truncate the last packed run; so values, not groups,
// decide what is missing.
#pragma once
#include "staffa/parquet/page.cuh"

namespace staffa::parquet {

constexpr u32 PACKED = 0x80000000u;
constexpr u32 BROKEN = 0xffffffffu;
// Runs that a tile's table holds at a time; most tiles have fewer than ten.
constexpr u32 TABLE_RUNS = 256;

struct Stream {
    u64 address;
    u32 bytes;
    u32 width;   // bits a value, at most 32
    u32 filler;  // what a broken stream's values become
};

struct Run {
    u32 data;    // offset when packed, else the value
    u32 length;  // values, with PACKED
    u32 next;    // offset of the next header, or BROKEN
    STAFFA_DEVICE u32 values() const { return length & ~PACKED; }
};

STAFFA_DEVICE Run broken_run(const Stream& stream, u32 left) { return {stream.filler, left, BROKEN}; }

// Reads the run at `at`, clipped to `left` values. Returns an error_code.
STAFFA_DEVICE u32 read_run(const Stream& stream, u32 at, u32 left, u32 truncated, Run& run) {
    u64 header;
    if (at >= stream.bytes) return truncated;
    if (!read_varint(stream.address, stream.bytes, at, header) || header > 0xffffffffu) return ERROR_RUN_HEADER;
    const u32 rest = stream.bytes - at;
    if (header & 1) {
        const u64 groups = header >> 1;
        u64 values = groups * 8;
        if (stream.width != 0) values = smaller(values, u64(rest) * 8 / stream.width);
        run.data = at;
        run.length = u32(smaller(values, u64(left))) | PACKED;
        run.next = at + u32(smaller(groups * stream.width, u64(rest)));
        return ERROR_NONE;
    }
    const u32 bytes = (stream.width + 7) / 8;
    if (rest < bytes) return truncated;
    u32 value = 0;
    for (u32 i = 0; i < bytes; ++i) value |= u32(load_byte(stream.address + at + i)) << (8 * i);
    if (stream.width < 32 && value >> stream.width != 0) return ERROR_RUN_HEADER;
    run.data = value;
    run.length = u32(smaller(header >> 1, u64(left)));
    run.next = at + bytes;
    return ERROR_NONE;
}

// One warp: notes where each tile of the first `count` values starts.
//
// Headers are a chain of dependent loads, so the warp guesses: lane i reads the header that would stand
// `i * stride` bytes ahead, and the warp follows the chain through the lanes' sizes with a shuffle a
// run. The stride is 1 for short runs (32 bytes hold up to 16 of them), and the last run's size for long
// ones (writers cut packed runs at 504 values, so the next header stands where the last run's size
// says).
STAFFA_DEVICE void index_runs(const Stream& stream, u32 count, u32 truncated, checkpoint* tiles, u64 error,
                              u32 ordinal) {
    u32 done = 0;
    u32 at = 0;
    u32 stride = 1;
    while (done < count) {
        const u64 guess = u64(at) + u64(lane()) * stride;
        Run run{};
        u32 code = truncated;
        if (guess < stream.bytes) code = read_run(stream, u32(guess), count - done, truncated, run);
        const u32 size = run.next - u32(guess);  // at least 1 when the code is none
        const u32 right = ballot(kFullMask, code == ERROR_NONE);
        // Lane 0 does not guess.
        if (!(right & 1)) {
            if (lane() == 0) report(error, code, ordinal, done, at, stream.bytes);
            run = broken_run(stream, count - done);
            for (u32 tile = ceil_div(done, TILE_ROWS) + lane(); tile * TILE_ROWS < count; tile += kWarp) {
                tiles[tile] = {run.data, run.length, tile * TILE_ROWS - done, run.next};
            }
            return;
        }
        u32 taken = 0;
        u32 last = 0;
        for (u32 next = 0; next < kWarp && (right >> next & 1);) {
            taken |= 1u << next;
            last = next;
            const u32 step = shfl(kFullMask, size, next);
            if (step % stride != 0) break;
            // A run may be longer than all guesses.
            next += smaller(step / stride, kWarp);
        }
        const bool mine = taken >> lane() & 1;
        const u64 values = mine ? run.values() : 0;
        const u64 through = warp_inclusive_scan(values, Sum{});
        if (values != 0 && done + through - values < count) {
            const u32 first = u32(done + through - values);
            run.length = (run.length & PACKED) | smaller(u32(values), count - first);
            const u32 end = first + run.values();
            for (u32 tile = ceil_div(first, TILE_ROWS); tile * TILE_ROWS < end; ++tile) {
                tiles[tile] = {run.data, run.length, tile * TILE_ROWS - first, run.next};
            }
        }
        done = u32(smaller(u64(count), done + shfl(kFullMask, through, kWarp - 1)));
        at = shfl(kFullMask, run.next, last);
        const u32 size_of_last = shfl(kFullMask, size, last);
        stride = size_of_last > 16 ? size_of_last : 1;
    }
}

// The runs that a tile's values lie in, a table's worth at a time.
struct RunTable {
    u32* first;  // number of the run's first value, with PACKED; ascending
    u32* data;
};

// The walk of one thread through a tile's runs.
struct Walk {
    Run run;
    u32 first;  // number of its first value
};

STAFFA_DEVICE Walk start_walk(const checkpoint* tiles, u32 value) {
    const checkpoint& c = tiles[value / TILE_ROWS];
    return {{c.data, c.length, c.next}, value / TILE_ROWS * TILE_ROWS - c.taken};
}

// One thread: fills the table with runs that hold values of [begin, end), and sets `filled`. Returns
// the first value that is not covered yet: `end`, or less when the table was full.
STAFFA_DEVICE u32 fill_table(const Stream& stream, const RunTable& table, Walk& walk, u32 begin, u32 end, u32 count,
                             u32& filled) {
    u32 entries = 0;
    u32 covered = end;
    for (;;) {
        const u32 run_end = walk.first + walk.run.values();
        if (walk.run.values() != 0 && run_end > begin) {
            if (entries == TABLE_RUNS) {
                covered = walk.first;
                break;
            }
            table.first[entries] = walk.first | (walk.run.length & PACKED);
            table.data[entries] = walk.run.data;
            ++entries;
        }
        if (run_end >= end) break;
        // The walk of index_runs met and reported the same error.
        Run next;
        if (walk.run.next == BROKEN ||
            read_run(stream, walk.run.next, count - run_end, ERROR_VALUES_TRUNCATED, next) != ERROR_NONE) {
            next = broken_run(stream, count - run_end);
        }
        walk.run = next;
        walk.first = run_end;
    }
    filled = entries;
    return covered;
}

// The value with this number, which the table covers.
STAFFA_DEVICE u32 table_value(const Stream& stream, const RunTable& table, u32 entries, u32 value) {
    u32 low = 0;
    u32 high = entries;
    while (high - low > 1) {
        const u32 middle = (low + high) / 2;
        if ((table.first[middle] & ~PACKED) <= value) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const u32 first = table.first[low];
    const u32 data = table.data[low];
    if (!(first & PACKED)) return data;
    return load_bits(stream.address + data, u64(value - (first & ~PACKED)) * stream.width, stream.width);
}

// The whole block: calls use(begin, end, decode) for consecutive ranges that together are
// [begin, end); `decode(value)` gives the value of that number. `count` values are in the stream.
template <class Use>
STAFFA_DEVICE void for_values(const Stream& stream, const checkpoint* tiles, u32 begin, u32 end, u32 count, Use use) {
    STAFFA_SHARED(u32, first, TABLE_RUNS);
    STAFFA_SHARED(u32, data, TABLE_RUNS);
    STAFFA_SHARED_ONE(u32, entries);
    STAFFA_SHARED_ONE(u32, covered);
    const RunTable table{first, data};
    Walk walk{};
    if (threadIdx.x == 0 && begin < end) walk = start_walk(tiles, begin);
    while (begin < end) {
        if (threadIdx.x == 0) covered = fill_table(stream, table, walk, begin, end, count, entries);
        block_sync();
        const u32 until = covered;
        const u32 runs = entries;
        use(begin, until, [&](u32 value) { return table_value(stream, table, runs, value); });
        begin = until;
        block_sync();  // before the table is overwritten
    }
}

}  // namespace staffa::parquet
