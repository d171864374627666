// Ties: places of a sorted order whose keys are equal so far, and what tells them apart.
//
//   sort_settle_32, _64, _128   a thread a place: sorted rows to their places; where each place's ties begin
//   sort_common                 a thread a place: the first unit in which strings of its ties differ
//   sort_tied                   a thread a place: who is to be sorted again
//
// Ties are a run of places; a place knows the first one of its run (its segment). Sorting some runs again keeps
// them apart, because the segment is the highest part of their keys, so the j-th sorted row goes to the j-th
// of the places that took part.
//
// Strings of a run are not sorted by every unit up to their ends: neighbours are compared, and the run goes on
// with the first unit in which any two of them differ. So long common prefixes (paths, URLs) cost one
// reading, every further sort splits every run, and runs of equal strings are done at once.
//
// Input: ours. Where a run begins is found by binary search among sorted keys, which costs those a look only that
// do not begin one.
#include "staffa/sort/value.cuh"

using namespace staffa;
using namespace staffa::keys;

namespace {

template <class Key>
STAFFA_DEVICE void settle(const sort_settle_args& args) {
    if (stopped(args.list)) return;
    const u32 at = u32(grid_thread());
    if (at >= positions(args.list)) return;
    const Key* sorted = pointer<const Key>(args.keys);
    const Key key = sorted[at];
    u32 first = at;
    if (at > 0 && sorted[at - 1] == key) {
        u32 low = 0;
        first = at - 1;
        while (low < first) {
            const u32 middle = low + (first - low) / 2;
            if (sorted[middle] < key) {
                low = middle + 1;
            } else {
                first = middle;
            }
        }
    }
    const u32 place = row_at(args.list, at);
    u32* segment = pointer<u32>(args.segments) + place;
    if (args.depths != 0) {
        u32 depth = 1;
        if (args.units != 0) depth = pointer<const u32>(args.units)[*segment] + 1;
        pointer<u32>(args.depths)[place] = depth;
    }
    *segment = row_at(args.list, first);
    pointer<u32>(args.order)[place] = pointer<const u32>(args.rows)[at];
}

// The first unit from `unit` on in which two strings differ; NONE if they are equal.
STAFFA_DEVICE u32 first_difference(const span& a, const span& b, u32 unit) {
    if (a.address == b.address && a.length == b.length) return NONE;
    for (;; ++unit) {
        const sort::StringUnit x = sort::string_unit(a, unit);
        const sort::StringUnit y = sort::string_unit(b, unit);
        if (x.word != y.word || x.length != y.length) return unit;
        if (x.length <= 8) return NONE;
    }
}

}  // namespace

// Grid: places / 256. Block: 256. The same for all of them.
extern "C" __global__ void STAFFA_BOUNDS(256) sort_settle_32(sort_settle_args args) { settle<u32>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) sort_settle_64(sort_settle_args args) { settle<u64>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) sort_settle_128(sort_settle_args args) { settle<u128>(args); }

// Grid: places / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) sort_common(sort_ties_args args) {
    if (stopped(args.list)) return;
    const u32 place = u32(grid_thread());
    if (place >= positions(args.list)) return;
    const u32 segment = pointer<const u32>(args.segments)[place];
    if (segment == place) return;
    const u32* order = pointer<const u32>(args.order);
    const u32 row = order[place];
    const u32 depth = pointer<const u32>(args.depths)[place];
    // Ties are all NULL or all not.
    if (depth == NONE || !valid_at(args.values, row)) return;
    const u32 unit =
        first_difference(sort::span_at(args.values, order[place - 1]), sort::span_at(args.values, row), depth);
    if (unit != NONE) atomic_min(pointer<u32>(args.units) + segment, unit);
}

// Grid: places / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) sort_tied(sort_ties_args args) {
    if (stopped(args.list)) return;
    const u32 place = u32(grid_thread());
    const u32 places = positions(args.list);
    bool tied = false;
    if (place < places) {
        const u32* segments = pointer<const u32>(args.segments);
        const u32 segment = segments[place];
        tied = segment != place || (place + 1 < places && segments[place + 1] == segment);
        if (tied && args.units != 0) {
            tied = pointer<const u32>(args.units)[segment] != NONE;
            // Equal to their ends: not to be compared again.
            if (!tied) pointer<u32>(args.depths)[place] = NONE;
        }
    }
    const u32 word = ballot(kFullMask, tied);
    if (lane() == 0 && place < args.list.rows) pointer<u32>(args.bits)[place / 32] = word;
}
