//! The program as the kernels read it: kernels/include/staffa/expression/program.cuh, in Rust.

use bytemuck::{Pod, Zeroable};

/// Rows of a tile that one thread owns.
pub const ROWS_PER_THREAD: u32 = 4;
/// The bit operand whose bits are all set: "always valid", "no mask", TRUE.
pub const BITS_ALL: u16 = 0xffff;
/// The bit operand whose bits are all clear: NULL, FALSE.
pub const BITS_NONE: u16 = 0xfffe;

/// Error code: the morsel is to be rerun by the host.
pub const ERROR_RERUN: u32 = 0x4558_0001;
/// Error code: the string heap was too small; the heap's counter says what was asked for.
pub const ERROR_HEAP_FULL: u32 = 0x4558_0002;

/// [`Instruction::flags`]: operand `a` is a constant at that byte of the blob.
pub const FLAG_CONSTANT_A: u16 = 1;
/// The same for `b`.
pub const FLAG_CONSTANT_B: u16 = 2;
/// The same for `c`.
pub const FLAG_CONSTANT_C: u16 = 4;
/// A bit result is inverted.
pub const FLAG_NEGATE: u16 = 8;
/// A failing row becomes NULL instead of an error (TRY_CAST).
pub const FLAG_NULL_ON_ERROR: u16 = 16;
/// Letters of ASCII compare without case; a string that is not ASCII is left to the host.
pub const FLAG_IGNORE_CASE: u16 = 32;
/// A variant, by opcode.
pub const FLAG_OPTION: u16 = 64;

macro_rules! opcodes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $text:literal;)+) => {
        /// What an instruction does; docs/design/expression.md has the exact rules.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Opcode { $($(#[doc = $doc])+ $name = $code),+ }

        impl Opcode {
            /// Every opcode.
            pub const ALL: &'static [Opcode] = &[$(Opcode::$name),+];

            /// The name in a disassembly.
            pub fn name(self) -> &'static str {
                match self { $(Opcode::$name => $text),+ }
            }

            /// The opcode with this number.
            pub fn from_number(number: u16) -> Option<Opcode> {
                match number { $($code => Some(Opcode::$name),)+ _ => None }
            }
        }
    };
}

opcodes! {
    /// Ends the program.
    End = 0, "end";
    /// A warp none of whose rows has a bit of `a` goes on at instruction `immediate`.
    JumpIfNone = 1, "jump_if_none";
    /// Only rows whose `a` is true stay.
    Filter = 2, "filter";
    /// Input column `immediate`, through its dictionary if it has one.
    Load = 8, "load";
    /// The codes of input column `immediate`.
    LoadCode = 9, "load_code";
    /// Row `b` of input column `immediate`.
    Gather = 10, "gather";
    /// Output column `immediate` takes `a`.
    Store = 11, "store";
    /// Rows of the mask whose `a` is true.
    MaskAnd = 16, "mask_and";
    /// Rows of the mask whose `a` is false or NULL.
    MaskAndNot = 17, "mask_and_not";
    /// Three-valued AND.
    BitsAnd = 18, "and";
    /// Three-valued OR.
    BitsOr = 19, "or";
    /// Three-valued NOT.
    BitsNot = 20, "not";
    /// Whether `a` is NULL.
    IsNull = 21, "is_null";
    /// Whether `a` is TRUE.
    IsTrue = 22, "is_true";
    /// Whether `a` is FALSE.
    IsFalse = 23, "is_false";
    /// Booleans are equal.
    BitsEqual = 24, "bits_equal";
    /// `a` is false and `b` is true.
    BitsLess = 25, "bits_less";
    /// `c` is true ? `a` : `b`, booleans.
    BitsSelect = 26, "bits_select";
    /// `a` says that values differ; the result counts NULL as a value.
    Distinct = 27, "distinct";
    /// Bits of `a` without the rows where `b` is true.
    ValidAndNot = 28, "valid_and_not";
    /// `c` is true ? `a` : `b`.
    Select = 32, "select";
    /// Wrapping or IEEE addition.
    Add = 40, "add";
    /// Wrapping or IEEE subtraction.
    Subtract = 41, "subtract";
    /// Wrapping or IEEE multiplication.
    Multiply = 42, "multiply";
    /// Addition that fails on overflow.
    AddChecked = 43, "add_checked";
    /// Subtraction that fails on overflow.
    SubtractChecked = 44, "subtract_checked";
    /// Multiplication that fails on overflow.
    MultiplyChecked = 45, "multiply_checked";
    /// Division that truncates; zero and MIN / -1 fail; IEEE for floats.
    Divide = 46, "divide";
    /// Remainder with the dividend's sign; zero fails, with the option MIN % -1 too.
    Remainder = 47, "remainder";
    /// The sign bit of a float, inverted.
    Negate = 48, "negate";
    /// `a` AND `b`, bit by bit.
    BitAnd = 50, "bit_and";
    /// `a` OR `b`, bit by bit.
    BitOr = 51, "bit_or";
    /// `a` XOR `b`, bit by bit.
    BitXor = 52, "bit_xor";
    /// `a` shifted left by the constant `b`.
    ShiftLeft = 53, "shift_left";
    /// `a` shifted right by the constant `b`; the sign moves in.
    ShiftRight = 54, "shift_right";
    /// Division by the power of ten `b`, rounded half away from zero.
    DivideRounded = 55, "divide_rounded";
    /// `a`, which fails when its magnitude is above `b`.
    CheckMagnitude = 56, "check_magnitude";
    /// A float, rounded to a whole number half away from zero.
    Round = 57, "round";
    /// The magnitude; MIN fails.
    Absolute = 58, "absolute";
    /// `a` rounded down to a multiple of the positive `b`.
    FloorMultiple = 59, "floor_multiple";
    /// Values are equal; floats by their bits.
    Equal = 64, "equal";
    /// `a` is below `b`; floats in totalOrder.
    Less = 65, "less";
    /// `a` is in a list.
    InList = 66, "in_list";
    /// A cast that fails when the value does not fit.
    Convert = 72, "convert";
    /// A cast that keeps the low bits.
    ConvertWrapping = 73, "convert_wrapping";
    /// A field of a date or timestamp, as i32.
    DatePart = 80, "date_part";
    /// A date or timestamp, back to the start of its year, quarter, month or week.
    TruncateDate = 81, "truncate_date";
    /// A date or timestamp plus a month-day-nanosecond interval, minus with the option.
    AddInterval = 82, "add_interval";
    /// A string is like a pattern.
    Like = 96, "like";
    /// Characters of a string.
    CharacterLength = 97, "character_length";
    /// Bytes of a string.
    OctetLength = 98, "octet_length";
    /// Characters `b` and on, `c` of them; all with the option.
    Substring = 99, "substring";
    /// `a` starts with (0), ends with (1) or contains (2) `b`.
    Find = 100, "find";
    /// Letters of ASCII in upper case; a string that is not ASCII is left to the host.
    ToUpper = 101, "to_upper";
    /// Letters of ASCII in lower case; a string that is not ASCII is left to the host.
    ToLower = 102, "to_lower";
    /// `a` followed by `b`.
    Concatenate = 103, "concatenate";
    /// `a` without the characters of `b` at its start (1), end (2) or both (3).
    Trim = 104, "trim";
}

/// One instruction, 32 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C, align(16))]
pub struct Instruction {
    /// An [`Opcode`].
    pub op: u16,
    /// Type tag of the operands.
    pub kind: u8,
    /// Type tag of the result where it differs.
    pub kind_to: u8,
    /// `FLAG_*`.
    pub flags: u16,
    /// Bit register: rows that are evaluated.
    pub mask: u16,
    /// Result: byte offset per row, or bit register.
    pub dst: u16,
    /// Bit register that gets the result's validity; [`BITS_ALL`]: it is not wanted.
    pub dst_valid: u16,
    /// First operand.
    pub a: u16,
    /// Its validity.
    pub a_valid: u16,
    /// Second operand.
    pub b: u16,
    /// Its validity.
    pub b_valid: u16,
    /// Third operand.
    pub c: u16,
    /// Its validity.
    pub c_valid: u16,
    /// By opcode: column, jump target, offset into the blob.
    pub immediate: u64,
}

/// What a launch gets, by value; addresses are device addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct LaunchParameters {
    /// `Instruction[instruction_count]`.
    pub instructions: u64,
    /// Constants, then lists and patterns; aligned to 16 bytes.
    pub blob: u64,
    /// `Column[]`, the inputs.
    pub inputs: u64,
    /// `Column[]`, the outputs.
    pub outputs: u64,
    /// `u32[]`, ascending row numbers; 0: every row.
    pub selection: u64,
    /// `u32`, the selection's count; 0 without a selection.
    pub selection_count: u64,
    /// `u32[]` for the numbers of the rows that stay; 0: not wanted.
    pub selection_out: u64,
    /// `u32` for their count; 0: not wanted.
    pub count_out: u64,
    /// `u64[1 + tiles]`, zeroed; 0 for a program without a filter.
    pub look_back: u64,
    /// An error slot, zeroed.
    pub error: u64,
    /// Bytes for strings that are made.
    pub heap: u64,
    /// How many.
    pub heap_capacity: u64,
    /// `u64`, zeroed: bytes asked for, which may exceed the capacity.
    pub heap_used: u64,
    /// The bits of this machine's `0.0 / 0.0`.
    pub default_nan_f64: u64,
    /// The same in single precision.
    pub default_nan_f32: u32,
    /// Rows of the inputs.
    pub rows: u32,
    /// Value bytes a row.
    pub row_bytes: u32,
    /// Bit registers.
    pub bit_registers: u32,
    /// Bytes of the blob that go to shared memory, a multiple of 16.
    pub constant_bytes: u32,
    /// Instructions.
    pub instruction_count: u32,
    /// Operator number for the error slot.
    pub operator_number: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Instruction>() == 32 && offset_of!(Instruction, mask) == 6);
    assert!(offset_of!(Instruction, a) == 12 && offset_of!(Instruction, immediate) == 24);
    assert!(size_of::<LaunchParameters>() == 144 && offset_of!(LaunchParameters, error) == 72);
    assert!(
        offset_of!(LaunchParameters, rows) == 116 && offset_of!(LaunchParameters, reserved) == 140
    );
};

#[cfg(test)]
mod tests {
    use super::Opcode;

    /// The header's `enum class opcode` and this one have the same names and numbers.
    #[test]
    fn opcodes_are_the_kernels() {
        let header = include_str!("../../include/staffa/expression/program.cuh");
        let (_, list) = header.split_once("enum class opcode : u16 {").unwrap();
        let (list, _) = list.split_once('}').unwrap();
        let theirs: Vec<(String, u16)> = list
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(name, rest)| {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap();
                (name.trim().replace('_', ""), digits.parse().unwrap())
            })
            .collect();
        let ours: Vec<(String, u16)> =
            Opcode::ALL.iter().map(|op| (format!("{op:?}").to_lowercase(), *op as u16)).collect();
        assert_eq!(ours, theirs);
    }
}
