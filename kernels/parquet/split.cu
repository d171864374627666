// BYTE_STREAM_SPLIT values to rows: byte i of value v is at i * values + v.
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#BYTESTREAMSPLIT
//
// Grid: tiles of the page set. Block: 256. Shared memory: 516 bytes with NULLs, else none. A warp's
// lanes read neighbouring bytes of each stream: one 32-byte sector a stream and warp.
// Input: page bytes are hostile. The length of a stream is what the section holds (bytes / width), as
// in arrow-rs; a value beyond it is reported and becomes zero.
#include "staffa/parquet/fixed.cuh"

using namespace staffa::parquet;
using staffa::u16;
using staffa::u32;
using staffa::u64;
using staffa::u8;

STAFFA_FIXED(split_32_8, Split, From32<u8>)
STAFFA_FIXED(split_32_16, Split, From32<u16>)
STAFFA_FIXED(split_32_32, Split, From32<u32>)
STAFFA_FIXED(split_32_64, Split, From32Scaled)
STAFFA_FIXED(split_32_128, Split, Widen32<Wide128>)
STAFFA_FIXED(split_32_256, Split, Widen32<Wide256>)
STAFFA_FIXED(split_64_64, Split, From64)
STAFFA_FIXED(split_64_128, Split, Widen64<Wide128>)
STAFFA_FIXED(split_64_256, Split, Widen64<Wide256>)
STAFFA_FIXED(split_decimal_32, Split, BigEndian<u32>)
STAFFA_FIXED(split_decimal_64, Split, BigEndian<u64>)
STAFFA_FIXED(split_decimal_128, Split, BigEndian<Wide128>)
STAFFA_FIXED(split_decimal_256, Split, BigEndian<Wide256>)
STAFFA_BYTES(split_bytes, Split)
