// What an instruction sees of a tile: its registers in shared memory, masks and errors.
#pragma once

#include "staffa/abi.h"
#include "staffa/expression/program.cuh"
#include "staffa/expression/wide.cuh"

namespace staffa::expression {

STAFFA_DEVICE const u8* bytes_of(const span& s) { return reinterpret_cast<const u8*>(s.address); }

template <class T>
struct operand {
    const T* base;
    unsigned stride;  // 1, or 0 for a constant
    STAFFA_DEVICE T operator[](unsigned row) const { return base[row * stride]; }
};

// Shared memory: constants | value registers | bit registers | scratch for the filter's scan.
// A value register is tile_rows x width; a bit register one byte a thread, bit k for its slot k.
struct tile {
    unsigned char* constants;
    unsigned char* values;
    unsigned char* bits;
    unsigned rows;    // of a full tile: blockDim.x * rows_per_thread
    unsigned active;  // this thread's rows that exist
    const launch_parameters* launch;

    STAFFA_DEVICE unsigned row(unsigned slot) const { return slot * blockDim.x + threadIdx.x; }

    template <class T>
    STAFFA_DEVICE T* destination(u16 offset) const {
        return reinterpret_cast<T*>(values + static_cast<unsigned>(offset) * rows);
    }

    template <class T>
    STAFFA_DEVICE operand<T> read(u16 offset, bool constant) const {
        if (constant) return {reinterpret_cast<const T*>(constants + offset), 0};
        return {destination<T>(offset), 1};
    }
    template <class T>
    STAFFA_DEVICE operand<T> a(const instruction& i) const {
        return read<T>(i.a, (i.flags & flag_constant_a) != 0);
    }
    template <class T>
    STAFFA_DEVICE operand<T> b(const instruction& i) const {
        return read<T>(i.b, (i.flags & flag_constant_b) != 0);
    }
    template <class T>
    STAFFA_DEVICE operand<T> c(const instruction& i) const {
        return read<T>(i.c, (i.flags & flag_constant_c) != 0);
    }

    STAFFA_DEVICE unsigned get_bits(u16 index) const {
        if (index == bits_all) return all_slots;
        if (index == bits_none) return 0;
        return bits[index * blockDim.x + threadIdx.x];
    }
    STAFFA_DEVICE void set_bits(u16 index, unsigned value) const {
        if (index < bits_none) {
            bits[index * blockDim.x + threadIdx.x] = static_cast<unsigned char>(value & all_slots);
        }
    }

    // Rows whose result matters: they exist, the mask has them and no operand is NULL.
    STAFFA_DEVICE unsigned valid(const instruction& i) const {
        return get_bits(i.a_valid) & get_bits(i.b_valid) & get_bits(i.c_valid);
    }
    STAFFA_DEVICE unsigned mask(const instruction& i) const { return active & get_bits(i.mask); }
};

}  // namespace staffa::expression
