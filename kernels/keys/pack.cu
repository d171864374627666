// Composite keys as one number: range compression.
//
//   keys_range            least and greatest value of a column
//   keys_pack_64, _128    all columns of a row in mixed radix, NULL as a digit of its own
//
// A field of `radix` = high - low + 1 (+ 1 if it may be NULL) values is a digit; the key is the sum of
// digit * stride, where a field's stride is the product of the radices of the fields before it. So keys are
// below the product of all radices, which the host has checked to fit, and equal exactly when the rows are:
// tables need not look at the columns again, and a small product addresses a table directly.
//
// Values are compared in a mapped form of 64 bits whose unsigned order is theirs: signed integers with the
// sign bit flipped, floats and codes by their (zero-folded) bits. Decimals of 128 bits take part as long as
// they fit 64 (`wide` says when not). A row outside of the ranges gets key 0 and is reported: for a
// group-by as a reason to choose new ranges, for a join's probe side as a row that matches nothing.
#include "staffa/keys/rows.cuh"

using namespace staffa;
using namespace staffa::keys;

namespace {

// The mapped value; false when it does not fit 64 bits.
STAFFA_DEVICE bool mapped(const column& c, u32 row, u64& value) {
    if (c.kind == KIND_CODES) {  // the code itself: the host promises one dictionary without duplicates
        value = load_readonly(pointer<const u32>(c.values) + row);
        return true;
    }
    const Place p = place_of(c, row);
    if (c.kind == KIND_FIXED && c.width == 16) {
        const uint4 v = load16(pointer<const u8>(p.values) + u64(row) * 16);
        const u64 low = u64(v.y) << 32 | v.x;
        const u64 high = u64(v.w) << 32 | v.z;
        value = low ^ 1ull << 63;
        return high == u64(i64(low) >> 63);
    }
    const u64 bits = word_of(p, c.width, c.type);
    value = c.type == RULE_SIGNED ? sign_extend(bits, c.width) ^ 1ull << 63 : bits;
    return true;
}

template <class Key>
STAFFA_DEVICE void pack(const pack_args& args) {
    // `outside` may be the word that stops: another block may set it meanwhile.
    if (block_sync_or(stopped(args.list))) return;
    const u32 rows = positions(args.list);
    const u32 at = u32(grid_thread());
    const pack_field* fields = pointer<const pack_field>(args.fields);
    Key key = 0;
    bool fits = at < rows;
    bool null = false;
    if (at < rows) {
        const u32 row = row_at(args.list, at);
        for (u32 k = 0; k < args.count; ++k) {
            const pack_field& f = fields[k];
            u64 digit = 0;
            u64 value;
            if (!valid_at(f.values, row)) {
                fits = fits && f.nullable != 0;
                null = true;
                continue;
            }
            if (!mapped(f.values, row, value) || value < f.low || value > f.high) {
                fits = false;
                continue;
            }
            digit = value - f.low;
            const Key stride = Key(u128(f.stride_high) << 64 | f.stride_low);
            // digit + nullable may need 65 bits, so the step for NULL is added apart.
            key += Key(digit) * stride + (f.nullable != 0 ? stride : Key(0));
        }
        if (!fits) key = 0;
        pointer<Key>(args.keys)[at] = key;
        // NULL where none may stand is no news to a join that ignores NULLs.
        const bool ignored = null && args.nulls_differ != 0;
        if (!fits && !ignored && args.outside != 0) store_relaxed(pointer<u32>(args.outside), KEY_OUTSIDE);
    }
    const u32 word = ballot(kFullMask, fits && !(null && args.nulls_differ != 0));
    if (args.matchable != 0 && lane() == 0 && at < args.list.rows) pointer<u32>(args.matchable)[at / 32] = word;
}

}  // namespace

// Grid: any number of blocks. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) keys_range(range_args args) {
    if (stopped(args.list)) return;
    const u32 rows = positions(args.list);
    u64 low = ~0ull;
    u64 high = 0;
    bool wide = false;
    bool nulls = false;
    for (u64 at = grid_thread(); at < rows; at += grid_threads()) {
        const u32 row = row_at(args.list, u32(at));
        u64 value;
        if (!valid_at(args.values, row)) {
            nulls = true;
        } else if (!mapped(args.values, row, value)) {
            wide = true;
        } else {
            low = smaller(low, value);
            high = larger(high, value);
        }
    }
    low = block_reduce<BLOCK>(low, Min{});
    high = block_reduce<BLOCK>(high, Max{});
    wide = block_sync_or(wide);
    nulls = block_sync_or(nulls);
    if (threadIdx.x != 0) return;
    key_range* range = pointer<key_range>(args.range);
    atomic_min(&range->low, low);
    atomic_max(&range->high, high);
    if (wide) store_relaxed(&range->wide, 1u);
    if (nulls) store_relaxed(&range->nulls, 1u);
}

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) keys_pack_64(pack_args args) { pack<u64>(args); }

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) keys_pack_128(pack_args args) { pack<u128>(args); }
