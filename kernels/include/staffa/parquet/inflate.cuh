// What the byte-oriented decompressors share: a page is decoded by one warp, several elements at a time.
//
// Both formats are a row of elements "some literal bytes, then a match" (Snappy's have one of the two).
// Where an element starts depends on the one before it; decoding one after the other costs two dependent
// memory accesses each (some 500 cycles for about 15 bytes of output). Instead:
//
//   1. lane i parses the element that would start at byte `at + i`           (32 guesses)
//   2. from lane 0, the warp follows sizes from element to element           (a shuffle each): members
//   3. a scan over the members' output sizes places them
//   4. each lane makes output bytes, 32 apart: it finds the byte's element, and where the byte comes
//      from: the compressed stream, output of earlier batches, or output of this batch. In the last case it
//      asks again for that byte, which lies further ahead; so nobody waits for a store.
//
//   bytes    | 04 'a' 'b' | 01 02 | 00 'c' | ..         members of lanes 0, 3, 5
//   output   | a b        | a b a b | c
//
// Elements with long literals or lengths in further bytes are left to one-by-one code, in which all
// lanes copy side by side; it also finds and reports what is wrong, as the batch takes only elements that
// are right as a whole.
//
// Bounds: every copy is checked against the compressed bytes left, the output left and the output so
// far, before any access. A batch's bytes resolve to smaller and smaller positions, so step 4 ends.
#pragma once
#include "staffa/parquet/page.cuh"

namespace staffa::parquet {

// An element that a batch can take.
struct Element {
    u32 size;      // compressed bytes; 0: not for a batch
    u32 literals;  // bytes
    u32 from;      // where they are, from the element's first byte
    u32 match;     // bytes
    u32 offset;
};

// Where each member of a batch ends in the batch's output, and what it is made of.
struct Batch {
    u32* end;
    u32* literals;
    u32* from;
    u32* offset;
};

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

    // Output byte `x` of a batch of `members` elements.
    STAFFA_DEVICE u8 resolve(const Batch& batch, u32 members, u32 x) const {
        for (;;) {
            u32 low = 0;  // the first member that ends behind x
            u32 high = members - 1;
            while (low < high) {
                const u32 middle = (low + high) / 2;
                if (batch.end[middle] > x) {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            const u32 start = low == 0 ? 0 : batch.end[low - 1];
            const u32 in = x - start;
            const u32 literals = batch.literals[low];
            if (in < literals) return load_byte(source + batch.from[low] + in);
            const u32 offset = batch.offset[low];
            u32 back = in - literals;
            if (back >= offset) back %= offset;
            const u32 from = start + literals + back;
            if (from < offset) return target[made + from - offset];
            x = from - offset;
        }
    }

    // Takes as many elements as start in the next 32 bytes, if they are all right. False: none.
    template <class Parse>
    STAFFA_DEVICE bool batch(const Batch& shared, Parse parse) {
        Element mine{};
        const u32 here = at + lane();
        if (lane() < source_left()) mine = parse(source + here, source_bytes - here);
        const u32 usable = ballot(kFullMask, mine.size != 0);
        u32 taken = 0;
        u32 next = 0;
        while (next < kWarp && (usable >> next & 1)) {
            taken |= 1u << next;
            next += shfl(kFullMask, mine.size, next);
        }
        if (taken == 0) return false;
        const bool member = taken >> lane() & 1;
        const u32 length = member ? mine.literals + mine.match : 0;
        const u32 end = warp_inclusive_scan(length, Sum{});
        const u32 total = shfl(kFullMask, end, kWarp - 1);
        const u32 before_match = made + end - mine.match;
        const bool wrong = member && mine.match != 0 && (mine.offset == 0 || mine.offset > before_match);
        if (any(kFullMask, wrong) || total > target_left()) return false;
        const u32 members = popc(taken);
        if (member) {
            const u32 rank = rank_in(taken);
            shared.end[rank] = end;
            shared.literals[rank] = mine.literals;
            shared.from[rank] = here + mine.from;
            shared.offset[rank] = mine.offset;
        }
        warp_sync();  // the table is written, and so are all bytes before this batch
        for (u32 x = lane(); x < total; x += kWarp) target[made + x] = resolve(shared, members, x);
        warp_sync();  // the table may be overwritten, the bytes read
        made += total;
        at += next;
        return true;
    }

    // Leaves zeros, not what was in the buffer before, where output is missing.
    STAFFA_DEVICE void zero_rest() {
        for (u32 i = made + lane(); i < target_bytes; i += kWarp) target[i] = 0;
    }
};

// One warp a page: decode(inflate, batch table) returns an error_code; output of another size is one
// too. 512 bytes of shared memory.
template <class Decode>
STAFFA_DEVICE void inflate_page(const decompress_args& args, Decode decode) {
    STAFFA_SHARED(u32, end, kWarp);
    STAFFA_SHARED(u32, literals, kWarp);
    STAFFA_SHARED(u32, from, kWarp);
    STAFFA_SHARED(u32, offset, kWarp);
    if (blockIdx.x >= args.count) return;
    const compressed_page page = pointer<const compressed_page>(args.pages)[blockIdx.x];
    Inflate inflate{page.source, page.source_bytes, pointer<u8>(page.target), page.target_bytes, 0, 0};
    u32 code = decode(inflate, Batch{end, literals, from, offset});
    if (code == ERROR_NONE && inflate.made != page.target_bytes) code = ERROR_COMPRESSED_SHORT;
    if (code == ERROR_NONE) return;
    if (lane() == 0) report(args.error, code, page.ordinal, 0, inflate.made, page.target_bytes);
    inflate.zero_rest();
}

}  // namespace staffa::parquet
