// The interpreter's loop: tiles, instructions, errors. kernels/expression/*.cu instantiate it.
#pragma once

#include "staffa/expression/columns.cuh"
#include "staffa/expression/convert.cuh"
#include "staffa/expression/filter.cuh"
#include "staffa/expression/heap.cuh"
#include "staffa/expression/logic.cuh"
#include "staffa/expression/numbers.cuh"
#include "staffa/expression/temporal.cuh"

namespace staffa::expression {

// The first error of the morsel stays; which one is first is not defined and does not matter, because
// the host reruns the morsel.
STAFFA_DEVICE void raise(const tile& t, u32 code, u32 row, u32 instruction_number) {
    error_slot* slot = reinterpret_cast<error_slot*>(t.launch->error);
    if (atomic_cas(&slot->code, 0u, code) == 0) {
        slot->where = t.launch->operator_number;
        slot->row = row;
        slot->detail = instruction_number;
    }
}

// What an instruction leaves behind.
struct outcome {
    unsigned bits;    // result, if it is a bit register
    unsigned valid;
    unsigned failed;  // rows on which arrow would return an error
    unsigned host;    // rows that only the host handles
};

// Instructions on strings. True if the result is a bit register.
STAFFA_DEVICE bool evaluate_string(tile& t, const instruction& i, unsigned live, outcome& o, u32 number) {
    bool room = true;
    switch (static_cast<opcode>(i.op)) {
        case opcode::like: o.bits = like_rows(t, i, live, o.host); return true;
        case opcode::find: o.bits = find_rows(t, i, live); return true;
        case opcode::character_length:
        case opcode::octet_length: length_rows(t, i, live); break;
        case opcode::substring: o.failed = substring_rows(t, i, live); break;
        case opcode::trim: trim_rows(t, i, live); break;
        case opcode::to_upper:
        case opcode::to_lower: room = change_case(t, i, live, o.host); break;
        case opcode::concatenate: room = concatenate(t, i, live, o.host); break;
        default: break;  // the validator admits no other
    }
    if (!room) {
        raise(t, error_heap_full, 0, number);
        t.active &= ~live;
    }
    return false;
}

// An instruction that has no side effect but its registers.
template <unsigned features>
STAFFA_DEVICE void evaluate(tile& t, const instruction& i, const position& p, u32 number) {
    const unsigned mask = t.mask(i);
    outcome o{0, t.valid(i), 0, 0};
    const unsigned live = mask & o.valid;
    bool to_bits = false;
    switch (static_cast<opcode>(i.op)) {
        case opcode::load: o.valid = load(t, i, p); break;
        case opcode::load_code: o.valid = load_code(t, i, p); break;
        case opcode::gather: o.valid = gather(t, i, o.failed); break;

        case opcode::mask_and:
        case opcode::mask_and_not:
        case opcode::bits_and:
        case opcode::bits_or:
        case opcode::bits_not:
        case opcode::is_null:
        case opcode::is_true:
        case opcode::is_false:
        case opcode::bits_equal:
        case opcode::bits_less:
        case opcode::bits_select:
        case opcode::distinct:
        case opcode::valid_and_not: {
            const truth r = logic(t, i);
            o.bits = r.value;
            o.valid = r.valid;
            to_bits = true;
            break;
        }
        case opcode::select: o.valid = select(t, i); break;

        case opcode::add:
        case opcode::subtract:
        case opcode::multiply: o.failed = arithmetic<features>(t, i, live); break;
        case opcode::add_checked:
        case opcode::subtract_checked:
        case opcode::multiply_checked:
        case opcode::divide:
        case opcode::remainder:
        case opcode::negate:
        case opcode::absolute:
        case opcode::check_magnitude:
        case opcode::divide_rounded:
        case opcode::floor_multiple:
        case opcode::round:
        case opcode::bit_and:
        case opcode::bit_or:
        case opcode::bit_xor:
        case opcode::shift_left:
        case opcode::shift_right: o.failed = slow_arithmetic<features>(t, i, live); break;

        case opcode::equal: o.bits = equal<features>(t, i, live); to_bits = true; break;
        case opcode::less: o.bits = less<features>(t, i, live); to_bits = true; break;
        case opcode::in_list: o.bits = in_list<features>(t, i, live); to_bits = true; break;

        case opcode::convert:
        case opcode::convert_wrapping:
            if (i.kind_to == static_cast<u8>(type::bits)) {
                o.bits = convert_to_bits<features>(t, i, live);
                to_bits = true;
            } else {
                o.failed = convert<features>(t, i, live);
            }
            break;

        case opcode::date_part: date_part_rows(t, i, live, o.host); break;
        case opcode::truncate_date: truncate_rows(t, i, live, o.host); break;
        case opcode::add_interval:
            if constexpr ((features & feature_wide) != 0) add_interval_rows(t, i, live, o.host);
            break;
        default:
            if constexpr ((features & feature_strings) != 0) to_bits = evaluate_string(t, i, live, o, number);
            break;
    }
    if ((i.flags & flag_null_on_error) != 0) {
        o.valid &= ~o.failed;
        o.failed = 0;
    }
    if ((o.failed | o.host) != 0) {
        // The morsel will be discarded. Its rows have no result here, a span least of all: they are not
        // looked at again.
        raise(t, error_rerun, p.first + threadIdx.x, number);
        t.active &= ~(o.failed | o.host);
    }
    if (to_bits) t.set_bits(i.dst, (i.flags & flag_negate) != 0 ? ~o.bits : o.bits);
    t.set_bits(i.dst_valid, o.valid);
}

template <unsigned features>
STAFFA_DEVICE void run_tile(tile& t, u32 number, u32 tiles, u32 rows, const filter_scratch& scratch) {
    const launch_parameters& l = *t.launch;
    position p;
    p.selection = reinterpret_cast<const u32*>(l.selection);
    p.first = number * t.rows;
    p.outputs = nullptr;
    t.active = 0;
#pragma unroll
    for (unsigned k = 0; k < rows_per_thread; ++k) {
        if (p.first + t.row(k) < rows) t.active |= 1u << k;
    }
    const instruction* program = reinterpret_cast<const instruction*>(l.instructions);
    for (u32 at = 0; at < l.instruction_count; ++at) {
        const instruction i = program[at];
        switch (static_cast<opcode>(i.op)) {
            case opcode::end: return;
            case opcode::jump_if_none:
                // A warp may leave the others: nothing up to the target has a barrier.
                if (!any(kFullMask, (t.active & t.get_bits(i.a)) != 0)) {
                    at = static_cast<u32>(i.immediate) - 1;
                }
                break;
            case opcode::filter:
                t.active &= t.get_bits(i.a) & t.get_bits(i.a_valid);
                filter(t, t.active, p, number, tiles, scratch);
                break;
            case opcode::store: store(t, i, p); break;
            default: evaluate<features>(t, i, p, at); break;
        }
    }
}

// A block takes tiles until none is left: in ticket order when a filter's look-back needs it.
template <unsigned features>
STAFFA_DEVICE void interpret(const launch_parameters& l, unsigned char* shared) {
    tile t;
    t.launch = &l;
    t.rows = blockDim.x * rows_per_thread;
    t.constants = shared;
    t.values = shared + l.constant_bytes;
    t.bits = t.values + static_cast<size_t>(l.row_bytes) * t.rows;
    const filter_scratch scratch(
        reinterpret_cast<u32*>(t.bits + static_cast<size_t>(l.bit_registers) * blockDim.x), t.rows);
    const u32* constants = reinterpret_cast<const u32*>(l.blob);
    for (u32 word = threadIdx.x; word < l.constant_bytes / 4; word += blockDim.x) {
        reinterpret_cast<u32*>(t.constants)[word] = constants[word];
    }
    const u32 rows = l.selection_count != 0 ? *reinterpret_cast<const u32*>(l.selection_count) : l.rows;
    const u32 tiles = ceil_div(rows, t.rows);
    block_sync();
    if (l.look_back == 0) {
        for (u32 number = blockIdx.x; number < tiles; number += gridDim.x) {
            run_tile<features>(t, number, tiles, rows, scratch);
        }
        return;
    }
    if (tiles == 0 && blockIdx.x == 0 && threadIdx.x == 0 && l.count_out != 0) {
        *reinterpret_cast<u32*>(l.count_out) = 0;
    }
    u32* tickets = reinterpret_cast<u32*>(l.look_back);
    while (true) {
        const u32 number = look_back_ticket(tickets, scratch.ticket);
        if (number >= tiles) return;
        run_tile<features>(t, number, tiles, rows, scratch);
    }
}

}  // namespace staffa::expression
