// The expression interpreter's program format: what the host assembles and every block reads.
//
// Mirrored by kernels/src/expression/format.rs; both sides assert the offsets below, and a Rust test
// reads this file's opcodes. docs/design/expression.md gives the rule of every opcode.
//
// A program is trusted: the host validated register bounds, types, jump targets and shared memory
// before it was uploaded. Column contents are data and never decide an address except through codes
// and spans, which docs/design/columns.md says are validated by whoever made them.
#pragma once

#include "staffa/launch.cuh"

namespace staffa::expression {

// Rows that one thread owns in a tile. Row = slot * blockDim.x + threadIdx.x, so a warp's 32 rows of
// one slot are consecutive (loads coalesce, a ballot is a bitmap word) and no row is ever touched by
// two threads: instructions need no barrier between them. Four slots keep four loads in flight per
// thread and make a bit register four bits of one byte.
constexpr unsigned rows_per_thread = 4;
constexpr unsigned all_slots = (1u << rows_per_thread) - 1;

// Bit operands that need no register.
constexpr u16 bits_all = 0xffff;   // every bit set: "always valid", "no mask"
constexpr u16 bits_none = 0xfffe;  // every bit clear: NULL, FALSE

enum class type : u8 {
    none = 0,
    bits = 1,
    i8 = 2,
    i16 = 3,
    i32 = 4,
    i64 = 5,
    i128 = 6,
    u8 = 7,
    u16 = 8,
    u32 = 9,
    u64 = 10,
    f32 = 11,
    f64 = 12,
    span = 13,
};

enum class opcode : u16 {
    end = 0,
    jump_if_none = 1,
    filter = 2,

    load = 8,
    load_code = 9,
    gather = 10,
    store = 11,

    mask_and = 16,
    mask_and_not = 17,
    bits_and = 18,
    bits_or = 19,
    bits_not = 20,
    is_null = 21,
    is_true = 22,
    is_false = 23,
    bits_equal = 24,
    bits_less = 25,
    bits_select = 26,
    distinct = 27,
    valid_and_not = 28,

    select = 32,

    add = 40,
    subtract = 41,
    multiply = 42,
    add_checked = 43,
    subtract_checked = 44,
    multiply_checked = 45,
    divide = 46,
    remainder = 47,
    negate = 48,  // floats; integers subtract from zero
    bit_and = 50,
    bit_or = 51,
    bit_xor = 52,
    shift_left = 53,
    shift_right = 54,
    divide_rounded = 55,
    check_magnitude = 56,
    round = 57,
    absolute = 58,
    floor_multiple = 59,

    equal = 64,
    less = 65,
    in_list = 66,

    convert = 72,
    convert_wrapping = 73,

    date_part = 80,
    truncate_date = 81,
    add_interval = 82,

    like = 96,
    character_length = 97,
    octet_length = 98,
    substring = 99,
    find = 100,
    to_upper = 101,
    to_lower = 102,
    concatenate = 103,
    trim = 104,
};

// instruction::flags
constexpr u16 flag_constant_a = 1;  // operand a is at byte offset `a` of the constants
constexpr u16 flag_constant_b = 2;
constexpr u16 flag_constant_c = 4;
constexpr u16 flag_negate = 8;      // a bit result is inverted
constexpr u16 flag_null_on_error = 16;  // TRY_CAST: a failing row is NULL instead of an error
constexpr u16 flag_ignore_case = 32;
constexpr u16 flag_option = 64;     // by opcode

// One instruction. Value operands are byte offsets *per row*: the value of row r lies at
// values + offset * tile_rows + r * width. Bit operands are bit-register numbers.
struct alignas(16) instruction {
    u16 op;
    u8 kind;       // enum type of the operands
    u8 kind_to;    // enum type of the result where it differs
    u16 flags;
    u16 mask;      // bit register: rows that are evaluated
    u16 dst;
    u16 dst_valid;
    u16 a;
    u16 a_valid;
    u16 b;
    u16 b_valid;
    u16 c;
    u16 c_valid;
    u64 immediate;
};
static_assert(sizeof(instruction) == 32 && offsetof(instruction, mask) == 6 &&
              offsetof(instruction, a) == 12 && offsetof(instruction, immediate) == 24);

// What a launch gets, by value. All addresses are device addresses.
struct launch_parameters {
    u64 instructions;      // instruction[]
    u64 blob;              // constants, then lists and patterns; 16-byte aligned
    u64 inputs;            // column[]
    u64 outputs;           // column[]
    u64 selection;         // u32 row numbers, ascending; 0: every row
    u64 selection_count;   // u32 in device memory; 0 without a selection
    u64 selection_out;     // u32[rows]; 0: not wanted
    u64 count_out;         // u32; 0: not wanted
    u64 look_back;         // u64[1 + tiles], zeroed: a ticket and one state per tile; 0 without a filter
    u64 error;             // error_slot
    u64 heap;              // bytes for strings that are made
    u64 heap_capacity;
    u64 heap_used;         // u64 in device memory: bytes asked for, may exceed the capacity
    u64 default_nan_f64;   // the bits that the host's 0.0 / 0.0 has (x86: sign set, Arm: clear)
    u32 default_nan_f32;
    u32 rows;              // rows of the inputs
    u32 row_bytes;         // value bytes a row
    u32 bit_registers;
    u32 constant_bytes;    // prefix of the blob copied to shared memory, a multiple of 16
    u32 instruction_count;
    u32 operator_number;   // reported in the error slot
    u32 reserved;
};
static_assert(sizeof(launch_parameters) == 144 && offsetof(launch_parameters, error) == 72 &&
              offsetof(launch_parameters, rows) == 116 && offsetof(launch_parameters, reserved) == 140);

// The error slot's code: the morsel is to be rerun by the host. Its detail is the instruction.
constexpr u32 error_rerun = 0x4558'0001;       // "EX": overflow, division by zero, a cast that fails,
                                                    // or input that only the host handles
constexpr u32 error_heap_full = 0x4558'0002;   // heap_used says how much was asked for

}  // namespace staffa::expression
