// Least and greatest of what no atomic holds: strings, binary, decimals of 128 and 256 bits.
//
//   aggregate_elect    the best row of the morsel for each group, by compare-and-swap on row numbers
//   aggregate_settle   each elected row against the group's value of earlier morsels
//
// A row number is 32 bits whatever the value's width, and the values that it stands for do not change during
// the launch: so the loop needs no lock. Once a group's best row is there, most rows only read. The number
// is the position + 1; settle finds the elected rows by going over the rows, not the groups, and leaves all
// numbers zero behind it for the next morsel.
//
// Strings are ordered by unsigned bytes, then by length (Rust's order of [u8], which is str's); a state of
// strings holds spans into the morsels' memory, which the caller keeps or copies.
#include "staffa/group_by/accumulate.cuh"

using namespace staffa;
using namespace staffa::group_by;

namespace {

STAFFA_DEVICE span load_span(u64 values, u32 index) {
    return bit_cast<span>(load16(pointer<const span>(values) + index));
}

STAFFA_DEVICE bool less_bytes(const span& a, const span& b) {
    const u32 common = smaller(a.length, b.length);
    for (u32 k = 0; k < common; ++k) {
        const u8 x = load_byte(a.address + k);
        const u8 y = load_byte(b.address + k);
        if (x != y) return x < y;
    }
    return a.length < b.length;
}

// Two's complement of `width` bytes (16 or 32), most significant word first.
STAFFA_DEVICE bool less_integer(u64 a, u64 b, u32 width) {
    for (u32 k = width / 8; k-- > 0;) {
        const u64 flip = k + 1 == width / 8 ? 1ull << 63 : 0;
        const u64 x = pointer<const u64>(a)[k] ^ flip;
        const u64 y = pointer<const u64>(b)[k] ^ flip;
        if (x != y) return x < y;
    }
    return false;
}

// A value of a column or of the state; codes have been followed.
STAFFA_DEVICE bool less(const Place& a, const Place& b, u32 width) {
    if (a.kind == KIND_SPANS) return less_bytes(load_span(a.values, a.index), load_span(b.values, b.index));
    return less_integer(a.values + u64(a.index) * width, b.values + u64(b.index) * width, width);
}
STAFFA_DEVICE bool better(const aggregate_args& args, const Place& a, const Place& b) {
    return args.greatest != 0 ? less(b, a, args.value.width) : less(a, b, args.value.width);
}
STAFFA_DEVICE Place at_position(const aggregate_args& args, u32 position) {
    return place_of(args.value, row_at(args.list, position));
}

}  // namespace

// Grid: any number of blocks. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_elect(aggregate_args args) {
    if (stopped(args.list)) return;
    for_rows(args, [&](u32 group, u32, u32 at) {
        const u32 peers = match_any(kFullMask, group);
        const u32 best = combine_peers(peers, at, [&](u32 a, u32 b) {
            if (group == NONE) return a;
            return better(args, at_position(args, b), at_position(args, a)) ? b : a;
        });
        if (group == NONE || lane() != leader_of(peers)) return;
        u32* elected = pointer<u32>(args.elected) + group;
        const Place mine = at_position(args, best);
        u32 current = load_relaxed(elected);
        while (current == 0 || better(args, mine, at_position(args, current - 1))) {
            const u32 old = atomic_cas(elected, current, best + 1);
            if (old == current) break;
            current = old;
        }
    });
}

// Grid: any number of blocks. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_settle(aggregate_args args) {
    if (stopped(args.list)) return;
    for_rows(args, [&](u32 group, u32 row, u32 at) {
        if (group == NONE) return;
        u32* elected = pointer<u32>(args.elected) + group;
        if (load_relaxed(elected) != at + 1) return;
        const u32 seen = load_relaxed(pointer<const u32>(args.seen) + group / 32) >> group % 32 & 1;
        const Place mine = place_of(args.value, row);
        const Place held = {args.words, group, mine.kind};
        if (seen == 0 || better(args, mine, held)) {
            const u32 width = args.value.width;
            for (u32 k = 0; k < width; k += 16) {
                const uint4 part = load16(pointer<const u8>(mine.values) + u64(mine.index) * width + k);
                store16(pointer<u8>(args.words) + u64(group) * width + k, part);
            }
        }
        mark_seen(args.seen, group);
        store_relaxed(elected, 0u);  // no other row of this launch looks for this number
    });
}
