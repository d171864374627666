// Sort keys: columns of a row as one number of 32, 64 or 128 bits, whose order is the rows'.
//
//   sort_keys_32, _64, _128   a thread a row
//
// Each column gives a bit for NULL, if it has NULLs, and bits whose unsigned order is the values': signed numbers with
// the sign turned, floats in total order (as arrow's total_cmp and row format: -0.0 below 0.0, NaNs outside of the
// infinities by their sign), descending ones inverted. The first column is highest. Decimals above 64 bits and
// FixedSizeBinary are cut into units of 64 bits, strings into units of eight bytes and how many there are;
// units that no longer fit wait for the rows that tie without them (ties.cu). Such rows sort again by the place where
// their ties begin, highest in the key, and by units that follow.
//
// Input: columns checked by the launcher, places and rows by whoever made them (this library).
#include "staffa/sort/value.cuh"

using namespace staffa;
using namespace staffa::keys;

namespace {

template <class Key>
STAFFA_DEVICE void make_keys(const sort_keys_args& args) {
    if (stopped(args.list)) return;
    const u32 at = u32(grid_thread());
    if (at >= positions(args.list)) return;
    const u32 place = row_at(args.list, at);
    const u32 row = args.order == 0 ? place : pointer<const u32>(args.order)[place];
    u32 segment = 0;
    u32 unit = 0;
    u128 key = 0;
    if (args.segments != 0) {
        segment = pointer<const u32>(args.segments)[place];
        key = u128(segment) << args.segment_shift;
        if (args.units != 0) unit = pointer<const u32>(args.units)[segment];
    }
    const sort_field* fields = pointer<const sort_field>(args.fields);
    for (u32 k = 0; k < args.count; ++k) {
        const sort_field& f = fields[k];
        key |= sort::field_of(f, row, f.unit == NONE ? unit : f.unit) << f.shift;
    }
    pointer<Key>(args.keys)[at] = Key(key);
    if (args.rows != 0) pointer<u32>(args.rows)[at] = row;
}

}  // namespace

// Grid: rows / 256. Block: 256. The same for all of them.
extern "C" __global__ void STAFFA_BOUNDS(256) sort_keys_32(sort_keys_args args) { make_keys<u32>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) sort_keys_64(sort_keys_args args) { make_keys<u64>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) sort_keys_128(sort_keys_args args) { make_keys<u128>(args); }
