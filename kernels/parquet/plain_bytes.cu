// PLAIN FIXED_LEN_BYTE_ARRAY: decimals (big-endian, 1 to 32 bytes) and plain bytes of any width.
//
// Grid: tiles of the page set. Block: 256. Shared memory: 516 bytes with NULLs, else none. Bounds as
// in plain.cu.
#include "staffa/parquet/fixed.cuh"

using namespace staffa::parquet;
using staffa::u32;
using staffa::u64;

STAFFA_FIXED(plain_decimal_32, Plain, BigEndian<u32>)
STAFFA_FIXED(plain_decimal_64, Plain, BigEndian<u64>)
STAFFA_FIXED(plain_decimal_128, Plain, BigEndian<Wide128>)
STAFFA_FIXED(plain_decimal_256, Plain, BigEndian<Wide256>)
STAFFA_BYTES(plain_bytes, Plain)
