// PLAIN fixed-width values (INT32, INT64, INT96, FLOAT, DOUBLE, FIXED_LEN_BYTE_ARRAY) to rows, and
// compact scratch (what the delta kernels write) to rows: <stored>_<output>[_nullable].
// https://parquet.apache.org/docs/file-format/data-pages/encodings/#PLAIN
//
// Grid: tiles of the page set. Block: 256. Shared memory: 516 bytes with NULLs, else none.
// Input: page bytes are hostile; a value past the end of its page is reported and becomes zero, rows
// outside the column are skipped, so no access leaves the page (plus padding) or the column.
// Unaligned values (a page's values start at any byte) are read as two or three aligned words.
#include "staffa/parquet/fixed.cuh"

using namespace staffa::parquet;
using staffa::u16;
using staffa::u32;
using staffa::u64;
using staffa::u8;

STAFFA_FIXED(plain_32_8, Plain, From32<u8>)
STAFFA_FIXED(plain_32_16, Plain, From32<u16>)
STAFFA_FIXED(plain_32_32, Plain, From32<u32>)
STAFFA_FIXED(plain_32_64, Plain, From32Scaled)
STAFFA_FIXED(plain_32_128, Plain, Widen32<Wide128>)
STAFFA_FIXED(plain_32_256, Plain, Widen32<Wide256>)
STAFFA_FIXED(plain_64_64, Plain, From64)
STAFFA_FIXED(plain_64_128, Plain, Widen64<Wide128>)
STAFFA_FIXED(plain_64_256, Plain, Widen64<Wide256>)
STAFFA_FIXED(plain_96_seconds, Plain, From96<86400, 1000000000>)
STAFFA_FIXED(plain_96_millis, Plain, From96<86400000, 1000000>)
STAFFA_FIXED(plain_96_micros, Plain, From96<86400000000, 1000>)
STAFFA_FIXED(plain_96_nanos, Plain, From96<86400000000000, 1>)
