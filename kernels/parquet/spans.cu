// Compact variable-length values to rows: spans, decimals stored as BYTE_ARRAY, and
// FIXED_LEN_BYTE_ARRAY from DELTA_BYTE_ARRAY.
//
// Grid: tiles of the page set. Block: 256. Shared memory: 516 bytes with NULLs, else none.
// Input: spans were validated by the kernel that formed them; a decimal's or fixed value's length is
// hostile still and is checked here.
#include "staffa/parquet/fixed.cuh"

using namespace staffa::parquet;
using staffa::u32;
using staffa::u64;

namespace {

// A span is copied whole; a NULL row becomes the empty span.
struct Copy : AnyLength<Wide128> {
    STAFFA_DEVICE static Wide128 get(const Behind& source, u32 value, const staffa::fixed_args&) {
        const uint4 x = staffa::load_readonly(reinterpret_cast<const uint4*>(&source.spans[value]));
        return {{u64(x.y) << 32 | x.x, u64(x.w) << 32 | x.z}};
    }
};

}  // namespace

STAFFA_FIXED(spans_rows, Behind, Copy)
STAFFA_FIXED(spans_decimal_32, Behind, BigEndian<u32>)
STAFFA_FIXED(spans_decimal_64, Behind, BigEndian<u64>)
STAFFA_FIXED(spans_decimal_128, Behind, BigEndian<Wide128>)
STAFFA_FIXED(spans_decimal_256, Behind, BigEndian<Wide256>)
STAFFA_BYTES(spans_bytes, Behind)
