// Between columns in device memory and a tile's registers.
//
// Coalescing: a warp's rows of one slot are consecutive, in the input without a selection and in the
// output always. A masked row is not read, so sectors without a kept row are not fetched.
#pragma once

#include "staffa/expression/dispatch.cuh"

namespace staffa::expression {

// Where a tile's rows lie. Computed, not kept: eight row numbers in registers were what made the kernel
// spill, and a selection's numbers come from the first-level cache the second time.
struct position {
    const u32* selection;  // null: rows are consecutive
    u32 first;             // the tile's first row, of the selection or of the columns
    const u32* outputs;    // shared memory: output row of each row of the tile; null without a filter

    STAFFA_DEVICE u32 input(u32 row_of_tile) const {
        return selection != nullptr ? selection[first + row_of_tile] : first + row_of_tile;
    }
    STAFFA_DEVICE u32 output(u32 row_of_tile) const {
        return outputs != nullptr ? outputs[row_of_tile] : first + row_of_tile;
    }
};

STAFFA_DEVICE unsigned bitmap_bit(u64 words, u32 row) {
    return reinterpret_cast<const u32*>(words)[row / 32] >> (row % 32) & 1;
}

STAFFA_DEVICE unsigned read_bitmap(const tile& t, u64 words, const position& p, unsigned live) {
    if (words == 0) return all_slots;
    unsigned result = 0;
#pragma unroll
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) != 0) result |= bitmap_bit(words, p.input(t.row(k))) << k;
    }
    return result;
}

STAFFA_DEVICE const column& input_column(const tile& t, const instruction& i) {
    return reinterpret_cast<const column*>(t.launch->inputs)[i.immediate & 0xffff];
}

// load: values and validity. A column of codes is read through its dictionary. Returns validity.
STAFFA_DEVICE unsigned load(const tile& t, const instruction& i, const position& p) {
    const column& c = input_column(t, i);
    const unsigned live = t.mask(i);
    const unsigned valid = read_bitmap(t, c.validity, p, live);
    if (i.kind == static_cast<u8>(type::bits)) {
        t.set_bits(i.dst, read_bitmap(t, c.values, p, live));
        return valid;
    }
    with_width(i.kind, [&](auto zero) -> unsigned {
        using T = decltype(zero);
        // Loads in flight per thread: four (one of 16 bytes: more of those spilled on sm_90).
        constexpr unsigned batch = sizeof(T) == 16 ? 1 : rows_per_thread;
        T* dst = t.destination<T>(i.dst);
        const bool coded = c.kind == KIND_CODES;
        const u32* codes = reinterpret_cast<const u32*>(c.values);
        const T* values = reinterpret_cast<const T*>(coded ? c.dictionary : c.values);
#pragma unroll 1
        for (unsigned start = 0; start < rows_per_thread; start += batch) {
            T fetched[batch];
#pragma unroll
            for (unsigned k = 0; k < batch; ++k) {
                // A NULL row has code 0, and a column of NULLs may have an empty dictionary.
                if (((live & valid) >> (start + k) & 1) == 0) continue;
                const u32 row = p.input(t.row(start + k));
                fetched[k] = values[coded ? codes[row] : row];
            }
#pragma unroll
            for (unsigned k = 0; k < batch; ++k) {
                if ((live & valid) >> (start + k) & 1) dst[t.row(start + k)] = fetched[k];
            }
        }
        return 0;
    });
    return valid;
}

// load_code: the codes themselves, for gather. Returns validity.
STAFFA_DEVICE unsigned load_code(const tile& t, const instruction& i, const position& p) {
    const column& c = input_column(t, i);
    const unsigned live = t.mask(i);
    const u32* codes = reinterpret_cast<const u32*>(c.values);
    u32* dst = t.destination<u32>(i.dst);
    failing_rows_rolled(t, live, [&](unsigned row) {
        dst[row] = codes[p.input(row)];
        return true;
    });
    return read_bitmap(t, c.validity, p, live);
}

// gather: an entry of a column by a u32 in register b, e.g. a predicate's result per dictionary entry.
// Returns validity: of the index and of the entry; rows whose index is beyond the column fail.
STAFFA_DEVICE unsigned gather(const tile& t, const instruction& i, unsigned& failed) {
    const column& c = input_column(t, i);
    unsigned valid = t.get_bits(i.b_valid);
    const auto index = t.b<u32>(i);
    failed = failing_rows_rolled(t, t.mask(i) & valid, [&](unsigned row) { return index[row] < c.rows; });
    const unsigned live = t.mask(i) & valid & ~failed;
    const auto bits = [&](u64 words) {
        return true_rows_rolled(t, live, [&](unsigned row) { return bitmap_bit(words, index[row]) != 0; });
    };
    if (c.validity != 0) valid &= bits(c.validity);
    if (i.kind == static_cast<u8>(type::bits)) {
        t.set_bits(i.dst, bits(c.values));
        return valid;
    }
    with_width(i.kind, [&](auto zero) -> unsigned {
        using T = decltype(zero);
        T* dst = t.destination<T>(i.dst);
        const T* entries = reinterpret_cast<const T*>(c.values);
        return failing_rows_rolled(t, live & valid, [&](unsigned row) {
            dst[row] = entries[index[row]];
            return true;
        });
    });
    return valid;
}

STAFFA_DEVICE u32 warp_or(u32 value) {
    for (u32 step = kWarp / 2; step != 0; step /= 2) value |= shfl_xor(kFullMask, value, step);
    return value;
}

// Writes one bit a row into a bitmap that is zero where nothing is written. All 32 lanes call it.
STAFFA_DEVICE void write_bitmap(const tile& t, u64 address, const position& p, unsigned active, unsigned bits) {
    u32* words = reinterpret_cast<u32*>(address);
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        const bool here = (active >> k & 1) != 0;
        const bool set = here && (bits >> k & 1) != 0;
        const u32 present = ballot(kFullMask, here);
        if (present == 0) continue;
        const u32 word = ballot(kFullMask, set);
        const u32 output = here ? p.output(t.row(k)) : 0;
        if (p.outputs == nullptr) {
            // Tiles begin at multiples of 32 and a warp's rows are consecutive: a whole word.
            const u32 at = shfl(kFullMask, output, leader_of(present)) / 32;
            if (lane() == 0) words[at] = word;
            continue;
        }
        // The warp's rows take consecutive output rows: at most two words. Each lane contributes
        // its bit to one of them; the reduction makes two atomics of up to 32.
        const u32 first = shfl(kFullMask, output, leader_of(present)) / 32;
        const bool second = here && output / 32 != first;
        const u32 bit = set ? 1u << (output % 32) : 0;
        const u32 low = warp_or(second ? 0 : bit);
        const u32 high = warp_or(second ? bit : 0);
        if (lane() == 0 && low != 0) atomic_or(&words[first], low);
        if (lane() == 0 && high != 0) atomic_or(&words[first + 1], high);
    }
}

// store: a NULL's slot is zero, as docs/design/columns.md asks. All 32 lanes call it.
STAFFA_DEVICE void store(const tile& t, const instruction& i, const position& p) {
    const column& c = reinterpret_cast<const column*>(t.launch->outputs)[i.immediate & 0xffff];
    const unsigned live = t.mask(i);
    const unsigned valid = t.get_bits(i.a_valid);
    if (c.validity != 0) write_bitmap(t, c.validity, p, live, valid);
    if (i.kind == static_cast<u8>(type::bits)) {
        write_bitmap(t, c.values, p, live, t.get_bits(i.a) & valid);
        return;
    }
    with_width(i.kind, [&](auto zero) -> unsigned {
        using T = decltype(zero);
        const auto a = t.a<T>(i);
        T* values = reinterpret_cast<T*>(c.values);
        return failing_slots(t, live, [&](unsigned row, unsigned slot) {
            values[p.output(row)] = (valid >> slot & 1) != 0 ? a[row] : T{};
            return true;
        });
    });
}

}  // namespace staffa::expression
