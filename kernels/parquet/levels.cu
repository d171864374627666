#include "staffa/abi.h"
extern "C" __global__ void levels_probe(staffa::levels_args a) { if (threadIdx.x == 0) *reinterpret_cast<uint64_t*>(a.nulls) = a.rows; }
