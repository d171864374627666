// Which partition a row belongs to: as DataFusion's RepartitionExec and its distributed kin assign rows.
//
//   partition_ids      a thread a row: the row's hash over its key columns (foldhash.cuh), modulo the partitions
//   partition_offsets  a thread a partition: where it starts, by the radix sort's starts of its only digit, or by
//                      binary search in ids that ascend
//
// The remainder takes a multiplication: with m = floor((2^64 - 1) / n), floor(h * m / 2^64) is the quotient or
// one below it, because h * (2^64 - n * m) / (n * 2^64) < 1; so one subtraction at most is left. A division of
// 64 bits is a subroutine of some 70 instructions.
//
// Input: columns checked by the launcher, spans and codes by whoever made them.
#include "staffa/partition/foldhash.cuh"

using namespace staffa;
using namespace staffa::keys;

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256, 4) partition_ids(partition_ids_args args) {
    if (stopped(args.list)) return;
    const u32 at = u32(grid_thread());
    if (at >= positions(args.list)) return;
    const u64 hash = foldhash::row_hash(args.keys, row_at(args.list, at));
    if (args.hashes != 0) pointer<u64>(args.hashes)[at] = hash;
    const u64 left = hash - mul_high(hash, args.reciprocal) * args.partitions;
    pointer<u32>(args.ids)[at] = u32(left >= args.partitions ? left - args.partitions : left);
}

// Grid: (partitions + 1) / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) partition_offsets(partition_offsets_args args) {
    if (stopped(args.list)) return;
    const u32 partition = u32(grid_thread());
    if (partition > args.partitions) return;
    u32 low = 0;
    u32 high = positions(args.list);
    if (args.ids == 0) {
        low = partition < args.partitions ? pointer<const u32>(args.starts)[partition] : high;
        high = low;
    }
    const u32* ids = pointer<const u32>(args.ids);
    while (low < high) {
        const u32 middle = low + (high - low) / 2;
        if (ids[middle] < partition) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    pointer<u32>(args.offsets)[partition] = low;
}
