// Aggregates whose state is one word of 64 bits a group.
//
//   aggregate_word_add                 counts; sums of integers and decimals up to 64 bits, wrapping
//   aggregate_word_add_f64             sums of floats, as doubles
//   aggregate_word_add_deviations      sums of their squared deviations from the mean of the morsel's group
//   aggregate_word_min, _max           in a form whose unsigned order is the values'
//   aggregate_word_and, _or, _xor      of bits; booleans are one bit
//   aggregate_fill                     the neutral word for every group
//   aggregate_finish                   from words to a column's values
//
// The words are made by `word_form`: a sum modulo 2^64, cut to the type's width, is the wrapping sum that
// DataFusion's accumulators give. Least and greatest floats follow DataFusion's accumulator: it starts at
// the type's own MAX (MIN), so an infinity never comes out above it, and it takes a NaN over anything and
// anything over a NaN, which depends on the order of rows. Here a NaN wins over all and is reported, so that
// whoever needs DataFusion's order can run the rows there. The order of float additions is not fixed.
//
// Accumulators are reached as accumulate.cuh says. A block's cache has 1,024 slots: 12 KiB, so that eight
// blocks fit a multiprocessor of any architecture beside the first-level cache.
//
// Input: group ids are this library's and checked against `groups`; rows are below the columns' rows.
#include "staffa/group_by/accumulate.cuh"

using namespace staffa;
using namespace staffa::group_by;

namespace {

constexpr u32 kSlots = 1024;

struct Add {
    static constexpr u64 neutral = 0;
    STAFFA_DEVICE static u64 both(u64 a, u64 b) { return a + b; }
    STAFFA_DEVICE static void into(u64* p, u64 word) { atomic_add(p, word); }
};
struct AddDouble {
    static constexpr u64 neutral = 1ull << 63;  // -0.0: adding it changes nothing, not even -0.0
    STAFFA_DEVICE static u64 both(u64 a, u64 b) { return bit_cast<u64>(bit_cast<double>(a) + bit_cast<double>(b)); }
    STAFFA_DEVICE static void into(u64* p, u64 word) {
#if STAFFA_EMULATED
        u64 seen = load_relaxed(p);
        for (;;) {
            const u64 old = atomic_cas(p, seen, both(seen, word));
            if (old == seen) return;
            seen = old;
        }
#else
        atomicAdd(reinterpret_cast<double*>(p), bit_cast<double>(word));
#endif
    }
};
// Of values' squared deviations (moments.cu says what for).
struct AddDeviations : AddDouble {};
struct Least {
    static constexpr u64 neutral = ~0ull;
    STAFFA_DEVICE static u64 both(u64 a, u64 b) { return smaller(a, b); }
    STAFFA_DEVICE static void into(u64* p, u64 word) {
        if (word < load_relaxed(p)) atomic_min(p, word);
    }
};
struct Greatest {
    static constexpr u64 neutral = 0;
    STAFFA_DEVICE static u64 both(u64 a, u64 b) { return larger(a, b); }
    STAFFA_DEVICE static void into(u64* p, u64 word) {
        if (word > load_relaxed(p)) atomic_max(p, word);
    }
};
struct And {
    static constexpr u64 neutral = ~0ull;
    STAFFA_DEVICE static u64 both(u64 a, u64 b) { return a & b; }
    STAFFA_DEVICE static void into(u64* p, u64 word) { atomic_and(p, word); }
};
struct Or {
    static constexpr u64 neutral = 0;
    STAFFA_DEVICE static u64 both(u64 a, u64 b) { return a | b; }
    STAFFA_DEVICE static void into(u64* p, u64 word) { atomic_or(p, word); }
};
struct Xor {
    static constexpr u64 neutral = 0;
    STAFFA_DEVICE static u64 both(u64 a, u64 b) { return a ^ b; }
    STAFFA_DEVICE static void into(u64* p, u64 word) { atomic_xor(p, word); }
};

// Exponent all ones and a mantissa that is not zero, in a float moved to the top of the word.
STAFFA_DEVICE bool is_nan(u64 top, u32 width) {
    const u64 infinity = width == 2 ? 0x7c00ull << 48 : width == 4 ? 0x7f800000ull << 32 : 0x7ffull << 52;
    return (top & ~(1ull << 63)) > infinity;
}

template <class Op>
STAFFA_DEVICE u64 load_word(const aggregate_args& args, u32 row, u32) {
    if (args.form == FORM_ONE) return 1;
    const column& c = args.value;
    const u64 bits = word_of(place_of(c, row), c.width, RULE_BITS);
    switch (args.form) {
    case FORM_SIGNED: return sign_extend(bits, c.width);
    case FORM_ORDERED_SIGNED: return sign_extend(bits, c.width) ^ 1ull << 63;
    case FORM_ORDERED_FLOAT: {
        const u64 top = bits << (64 - 8 * c.width);
        if (is_nan(top, c.width)) {
            if (args.nan != 0) store_relaxed(pointer<u32>(args.nan), 1u);
            return ~Op::neutral;  // beyond everything
        }
        return top >> 63 != 0 ? ~top : top | 1ull << 63;
    }
    case FORM_FLOAT:
        return c.width == 4 ? bit_cast<u64>(static_cast<double>(bit_cast<float>(u32(bits)))) : bits;
    default: return bits;
    }
}

template <>
STAFFA_DEVICE u64 load_word<AddDeviations>(const aggregate_args& args, u32 row, u32 group) {
    const u64 bits = word_of(place_of(args.value, row), 8, RULE_BITS);
    const double count = static_cast<double>(pointer<const u64>(args.counts)[group]);
    const double deviation = bit_cast<double>(bits) - pointer<const double>(args.sums)[group] / count;
    return bit_cast<u64>(deviation * deviation);
}

template <class Op>
STAFFA_DEVICE void add_words(const aggregate_args& args) {
    STAFFA_SHARED(u64, cached, kSlots);
    STAFFA_SHARED(u32, owners, kSlots);
    if (stopped(args.list)) return;
    for (u32 k = threadIdx.x; k < kSlots; k += BLOCK) {
        owners[k] = NONE;
        cached[k] = Op::neutral;
    }
    block_sync();
    u64* words = pointer<u64>(args.words);
    for_rows(args, [&](u32 group, u32 row, u32) {
        u64 word = group != NONE ? load_word<Op>(args, row, group) : Op::neutral;
        const u32 peers = match_any(kFullMask, group);
        word = combine_peers(peers, word, [](u64 a, u64 b) { return Op::both(a, b); });
        if (group == NONE || lane() != leader_of(peers)) return;
        const u32 slot = group % kSlots;
        if (owns(&owners[slot], group)) {
            Op::into(&cached[slot], word);
        } else {
            Op::into(&words[group], word);
            mark_seen(args.seen, group);
        }
    });
    block_sync();
    for (u32 k = threadIdx.x; k < kSlots; k += BLOCK) {
        if (owners[k] == NONE) continue;
        Op::into(&words[owners[k]], cached[k]);
        mark_seen(args.seen, owners[k]);
    }
}

// Back from an ordered form.
STAFFA_DEVICE u64 value_of(u64 word, u32 form, u32 width) {
    switch (form) {
    case FORM_ORDERED_SIGNED: return word ^ 1ull << 63;
    case FORM_ORDERED_FLOAT: return (word >> 63 != 0 ? word & ~(1ull << 63) : ~word) >> (64 - 8 * width);
    default: return word;
    }
}

}  // namespace

// Grid: any number of blocks. Block: 256. The same for all of them.
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_word_add(aggregate_args args) { add_words<Add>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_word_add_f64(aggregate_args args) {
    add_words<AddDouble>(args);
}
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_word_add_deviations(aggregate_args args) {
    add_words<AddDeviations>(args);
}
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_word_min(aggregate_args args) { add_words<Least>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_word_max(aggregate_args args) { add_words<Greatest>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_word_and(aggregate_args args) { add_words<And>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_word_or(aggregate_args args) { add_words<Or>(args); }
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_word_xor(aggregate_args args) { add_words<Xor>(args); }

// Grid: groups / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_fill(finish_args args) {
    const u64 group = grid_thread();
    if (group < args.groups) pointer<u64>(args.words)[group] = args.first;
}

// Grid: groups / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) aggregate_finish(finish_args args) {
    const u32 group = u32(grid_thread());
    u64 value = 0;
    if (group < args.groups && (args.seen == 0 || bit_at(args.seen, group))) {
        value = value_of(pointer<const u64>(args.words)[group], args.form, args.width);
    }
    if (args.width == 0) {
        const u32 word = ballot(kFullMask, (value & 1) != 0);
        if (lane() == 0 && group < args.groups) pointer<u32>(args.values)[group / 32] = word;
        return;
    }
    if (group >= args.groups) return;
    switch (args.width) {
    case 1: pointer<u8>(args.values)[group] = u8(value); break;
    case 2: pointer<u16>(args.values)[group] = u16(value); break;
    case 4: pointer<u32>(args.values)[group] = u32(value); break;
    default: pointer<u64>(args.values)[group] = value; break;
    }
}
