// Strings that are made: upper, lower, concatenate.
//
// A span holds an address, so the strings of a column may lie anywhere: a warp takes what its rows need
// from the heap by one atomic addition. The counter runs on when the heap is full, so that the host
// knows what to reserve for the second try.
#pragma once

#include "staffa/expression/strings.cuh"

namespace staffa::expression {

// Calls write(row, address) for each live row, with room for length(row) bytes. All lanes of the warp
// call it. False for a thread whose bytes the heap did not have: nothing was written for it.
template <class Length, class Write>
STAFFA_DEVICE bool make_strings(const tile& t, unsigned live, Length length, Write write) {
    u64 mine = 0;
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) != 0) mine += length(t.row(k));
    }
    const u64 before = warp_exclusive_scan(mine, u64(0), Sum{});
    const u64 total = shfl(kFullMask, before + mine, kWarp - 1);
    if (total == 0) {
        failing_rows_rolled(t, live, [&](unsigned row) { return write(row, u64(0)), true; });
        return true;
    }
    u64 start = 0;
    if (lane() == 0) start = atomic_add(reinterpret_cast<u64*>(t.launch->heap_used), total);
    start = shfl(kFullMask, start, 0);
    if (start + total > t.launch->heap_capacity) return false;
    u64 address = t.launch->heap + start + before;
#pragma unroll 1
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if ((live >> k & 1) == 0) continue;
        // Before write: the result may take the place of an operand.
        const u64 bytes = length(t.row(k));
        write(t.row(k), address);
        address += bytes;
    }
    return true;
}

STAFFA_DEVICE span made(u64 address, u32 length) {
    span r;
    r.address = address;
    r.length = length;
    r.prefix = prefix_of(bytes_of(r), length);
    return r;
}

// to_upper, to_lower: rows that are not ASCII are the host's.
STAFFA_DEVICE bool change_case(const tile& t, const instruction& i, unsigned live, unsigned& host) {
    const bool upper = static_cast<opcode>(i.op) == opcode::to_upper;
    const auto a = t.a<span>(i);
    span* dst = t.destination<span>(i.dst);
    host = failing_rows_rolled(t, live, [&](unsigned row) { return is_ascii(a[row]); });
    return make_strings(
        t, live & ~host, [&](unsigned row) { return u64(a[row].length); },
        [&](unsigned row, u64 address) {
            const span s = a[row];
            u8* to = reinterpret_cast<u8*>(address);
            for (u32 k = 0; k < s.length; ++k) {
                const u8 byte = bytes_of(s)[k];
                to[k] = upper ? to_upper_ascii(byte) : to_lower_ascii(byte);
            }
            dst[row] = made(address, s.length);
        });
}

// concatenate: a then b; a result of 2 GiB or more is the host's.
STAFFA_DEVICE bool concatenate(const tile& t, const instruction& i, unsigned live, unsigned& host) {
    const auto a = t.a<span>(i);
    const auto b = t.b<span>(i);
    span* dst = t.destination<span>(i.dst);
    const auto length = [&](unsigned row) { return u64(a[row].length) + b[row].length; };
    host = failing_rows_rolled(t, live, [&](unsigned row) { return length(row) < (1u << 31); });
    return make_strings(t, live & ~host, length, [&](unsigned row, u64 address) {
        const span first = a[row];
        const span second = b[row];
        u8* to = reinterpret_cast<u8*>(address);
        for (u32 k = 0; k < first.length; ++k) to[k] = bytes_of(first)[k];
        for (u32 k = 0; k < second.length; ++k) to[first.length + k] = bytes_of(second)[k];
        dst[row] = made(address, first.length + second.length);
    });
}

}  // namespace staffa::expression
