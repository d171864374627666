// Hashes of key rows: 64 bits a row, for tables of ours; never compared with DataFusion's.
//
//   keys_hash   a thread a row; all key columns; says which rows have no NULL
//
// Equal keys have equal hashes whatever their columns' form: a dictionary's codes hash as what they stand
// for, -0.0 as 0.0. Different keys may collide; whoever uses the hash compares the rows too.
//
// Input: columns checked by the launcher, spans and codes by whoever made them. Every column is read at
// rows below its length; the output has a slot a position. A string is hashed by one thread, 8 bytes at
// a time: neighbours' strings lie in the same cache lines when they are short, and group keys are.
#include "staffa/keys/rows.cuh"

using namespace staffa;
using namespace staffa::keys;

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256, 4) keys_hash(hash_args args) {
    if (stopped(args.list)) return;
    const u32 rows = positions(args.list);
    const u32 at = u32(grid_thread());
    bool any_null = false;
    if (at < rows) {
        pointer<u64>(args.hashes)[at] = hash_row(args.keys, row_at(args.list, at), any_null);
    }
    const u32 word = ballot(kFullMask, at < rows && !any_null);
    if (args.matchable != 0 && lane() == 0 && at < args.list.rows) pointer<u32>(args.matchable)[at / 32] = word;
}
