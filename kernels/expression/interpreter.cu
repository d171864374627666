// Filter and projection of a morsel by an interpreted program; docs/design/expression.md.
//
// Input: a program that the host validated (trusted) and columns (contents untrusted, spans and codes
// validated by whoever made them). No access is out of bounds: columns have `rows` rows or the selection's
// row numbers below that; register offsets and shared memory were checked by the host.
// Launch: any number of blocks of 32 to 256 threads; dynamic shared memory as
// staffa_kernels::expression::Program::shared_bytes computes.
// Work per thread: four rows of a tile, all instructions.
//
// One kernel per feature set, because the widest operation decides the registers of all: a program is
// run by the narrowest kernel that has its instructions.
#include "staffa/expression/interpreter.cuh"

using namespace staffa;
using namespace staffa::expression;

extern "C" __global__ void STAFFA_BOUNDS(256, 2)
expression_interpreter_narrow(const launch_parameters l) {
    STAFFA_SHARED_DYNAMIC(unsigned char, shared);
    interpret<0>(l, shared);
}

extern "C" __global__ void STAFFA_BOUNDS(256, 2)
expression_interpreter_wide(const launch_parameters l) {
    STAFFA_SHARED_DYNAMIC(unsigned char, shared);
    interpret<feature_wide>(l, shared);
}

extern "C" __global__ void STAFFA_BOUNDS(256, 2)
expression_interpreter_strings(const launch_parameters l) {
    STAFFA_SHARED_DYNAMIC(unsigned char, shared);
    interpret<feature_wide | feature_strings>(l, shared);
}
