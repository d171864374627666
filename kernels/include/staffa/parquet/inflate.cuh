// What the byte-oriented decompressors share: literals and matches, copied by a warp.
//
// A page is decoded by one warp, token after token; all lanes parse (uniform loads are one
// transaction), and the lanes copy side by side. Every copy is checked against the compressed bytes
// left, the output left and the output so far, before any access.
#pragma once
#include "staffa/parquet/page.cuh"

namespace staffa::parquet {

struct Inflate {
    u64 source;
    u32 source_bytes;
    u8* target;
    u32 target_bytes;
    u32 at;    // next compressed byte
    u32 made;  // output bytes so far

    STAFFA_DEVICE u32 source_left() const { return source_bytes - at; }
    STAFFA_DEVICE u32 target_left() const { return target_bytes - made; }

    // Copies `length` compressed bytes. Returns an error_code.
    STAFFA_DEVICE u32 literal(u64 length) {
        if (length > source_left()) return ERROR_COMPRESSED_TRUNCATED;
        if (length > target_left()) return ERROR_COMPRESSED_OVERFLOW;
        const u32 n = u32(length);
        u8* to = target + made;
        const u64 from = source + at;
        if (n < 64) {
            for (u32 i = lane(); i < n; i += kWarp) to[i] = load_byte(from + i);
        } else {
            // Words at aligned targets: 128 bytes a step instead of 32.
            const u32 head = u32(-reinterpret_cast<u64>(to) & 3);
            const u32 words = (n - head) / 4;
            if (lane() < head) to[lane()] = load_byte(from + lane());
            for (u32 i = lane(); i < words; i += kWarp) {
                *reinterpret_cast<u32*>(to + head + 4 * i) = load_le32(from + head + 4 * i);
            }
            for (u32 i = head + 4 * words + lane(); i < n; i += kWarp) to[i] = load_byte(from + i);
        }
        at += n;
        made += n;
        return ERROR_NONE;
    }

    // Repeats `length` bytes from `offset` back, which may overlap: then the last `offset` bytes recur.
    STAFFA_DEVICE u32 match(u64 length, u32 offset) {
        if (offset == 0 || offset > made) return ERROR_COMPRESSED_OFFSET;
        if (length > target_left()) return ERROR_COMPRESSED_OVERFLOW;
        const u32 n = u32(length);
        u8* to = target + made;
        const u8* from = to - offset;
        warp_sync();  // earlier copies have arrived
        if (offset >= n) {
            for (u32 i = lane(); i < n; i += kWarp) to[i] = from[i];
        } else {
            // Only bytes in front of `to` are read, none that this copy writes.
            for (u32 i = lane(); i < n; i += kWarp) to[i] = from[i % offset];
        }
        made += n;
        return ERROR_NONE;
    }

    // Leaves zeros, not what was in the buffer before, where output is missing.
    STAFFA_DEVICE void zero_rest() {
        for (u32 i = made + lane(); i < target_bytes; i += kWarp) target[i] = 0;
    }
};

// One warp a page: decode(inflate) returns an error_code; output of another size is one too.
template <class Decode>
STAFFA_DEVICE void inflate_page(const decompress_args& args, Decode decode) {
    if (blockIdx.x >= args.count) return;
    const compressed_page page = pointer<const compressed_page>(args.pages)[blockIdx.x];
    Inflate inflate{page.source, page.source_bytes, pointer<u8>(page.target), page.target_bytes, 0, 0};
    u32 code = decode(inflate);
    if (code == ERROR_NONE && inflate.made != page.target_bytes) code = ERROR_COMPRESSED_SHORT;
    if (code == ERROR_NONE) return;
    if (lane() == 0) report(args.error, code, page.ordinal, 0, inflate.made, page.target_bytes);
    inflate.zero_rest();
}

}  // namespace staffa::parquet
