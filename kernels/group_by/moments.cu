// Count, mean and sum of squared deviations from it, of doubles by group: variances and standard deviations.
//
//   moments_merge    a morsel's moments, or another table's, with the groups' own
//
// A sum of squares would lose what little a variance is beside a large mean. So a morsel goes in in three steps:
// counts and sums by group (aggregate_word_add, _add_f64), squared deviations from the means that these give
// (aggregate_word_add_deviations), and both merged with what the groups have, by the pairwise rule of Chan, Golub
// and LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances", 1979), in the form in
// which DataFusion's accumulators merge.
//
// Input: a group is named by at most one row of a launch, so that nothing here is atomic; numbers of groups are
// checked against `groups`.
#include "staffa/group_by/accumulate.cuh"

using namespace staffa;
using namespace staffa::group_by;

// Grid: rows / 256. Block: 256.
extern "C" __global__ void STAFFA_BOUNDS(256) moments_merge(moments_args args) {
    if (args.stop != 0 && load_relaxed(pointer<const u32>(args.stop)) != 0) return;
    const u64 row = grid_thread();
    if (row >= args.rows) return;
    const u64 count = pointer<const u64>(args.counts)[row];
    const u32 group = args.ids == 0 ? u32(row) : pointer<const u32>(args.ids)[row];
    if (count == 0 || group >= args.groups) return;
    const double rows = static_cast<double>(count);
    const double mean =
        args.means != 0 ? pointer<const double>(args.means)[row] : pointer<const double>(args.sums)[row] / rows;
    const double deviations = pointer<const double>(args.deviations)[row];
    u64* own_count = pointer<u64>(args.into_counts) + group;
    double* own_mean = pointer<double>(args.into_means) + group;
    double* own_deviations = pointer<double>(args.into_deviations) + group;
    const u64 before = *own_count;
    *own_count = before + count;
    if (before == 0) {
        *own_mean = mean;
        *own_deviations = deviations;
        return;
    }
    const double old_rows = static_cast<double>(before);
    const double all = static_cast<double>(before + count);
    const double old_mean = *own_mean;
    const double apart = old_mean - mean;
    *own_mean = old_mean * old_rows / all + mean * rows / all;
    *own_deviations = *own_deviations + deviations + apart * apart * old_rows * rows / all;
}
