// Bit registers: masks, three-valued logic, selection between values.
//
// A boolean is a pair of bit registers (value, valid); the value's bits of NULL rows are arbitrary.
// Each thread works on its own four rows at once.
#pragma once

#include "staffa/expression/dispatch.cuh"

namespace staffa::expression {

struct truth {
    unsigned value;
    unsigned valid;
};

// Instructions whose result is a bit register and that look at bit registers only.
STAFFA_DEVICE truth logic(const tile& t, const instruction& i) {
    const unsigned a = t.get_bits(i.a);
    const unsigned a_valid = t.get_bits(i.a_valid);
    const unsigned b = t.get_bits(i.b);
    const unsigned b_valid = t.get_bits(i.b_valid);
    switch (static_cast<opcode>(i.op)) {
        case opcode::mask_and: return {t.get_bits(i.mask) & a & a_valid, all_slots};
        case opcode::mask_and_not: return {t.get_bits(i.mask) & ~(a & a_valid), all_slots};
        // Kleene: FALSE AND NULL is FALSE, TRUE OR NULL is TRUE. arrow `and_kleene`, `or_kleene`.
        case opcode::bits_and: {
            const unsigned false_a = ~a & a_valid;
            const unsigned false_b = ~b & b_valid;
            return {a & b, (a_valid & b_valid) | false_a | false_b};
        }
        case opcode::bits_or: {
            const unsigned true_a = a & a_valid;
            const unsigned true_b = b & b_valid;
            return {true_a | true_b, (a_valid & b_valid) | true_a | true_b};
        }
        case opcode::bits_not: return {~a, a_valid};
        case opcode::is_null: return {~a_valid, all_slots};
        case opcode::is_true: return {a & a_valid, all_slots};
        case opcode::is_false: return {~a & a_valid, all_slots};
        case opcode::bits_equal: return {~(a ^ b), a_valid & b_valid};
        case opcode::bits_less: return {~a & b, a_valid & b_valid};
        // a: "the values differ", with the operands' validities: arrow `distinct`.
        case opcode::distinct: return {(a_valid ^ b_valid) | (a_valid & b_valid & a), all_slots};
        // NULLIF's validity: valid unless the comparison (b) is true.
        case opcode::valid_and_not: return {a & ~(b & b_valid), all_slots};
        default: {  // bits_select: c true ? a : b; a NULL condition takes b, as CASE does
            const unsigned c = t.get_bits(i.c) & t.get_bits(i.c_valid);
            return {(a & c) | (b & ~c), (a_valid & c) | (b_valid & ~c)};
        }
    }
}

// select: c true ? a : b, values of any width. Returns the result's validity.
STAFFA_DEVICE unsigned select(const tile& t, const instruction& i) {
    const unsigned c = t.get_bits(i.c) & t.get_bits(i.c_valid);
    const unsigned valid = (t.get_bits(i.a_valid) & c) | (t.get_bits(i.b_valid) & ~c);
    with_width(i.kind, [&](auto zero) -> unsigned {
        using T = decltype(zero);
        const auto a = t.a<T>(i);
        const auto b = t.b<T>(i);
        T* dst = t.destination<T>(i.dst);
        return failing_slots(t, t.mask(i) & valid, [&](unsigned row, unsigned slot) {
            dst[row] = (c >> slot & 1) != 0 ? a[row] : b[row];
            return true;
        });
    });
    return valid;
}

}  // namespace staffa::expression
