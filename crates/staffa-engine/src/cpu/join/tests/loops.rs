//! Joins without keys, by the row of one side or the other.

use std::sync::Arc;

use arrow::array::{Float64Array, Int32Array, StringArray};
use datafusion_common::{JoinType, NullEquality, ScalarValue};
use datafusion_physical_expr::expressions::{Literal, lit};

use super::against::less;
use super::*;

fn table(prefix: &str, rows: usize, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let name = |column: &str| format!("{prefix}{column}");
    let v: Int32Array =
        (0..rows).map(|_| (random.below(9) > 0).then(|| random.below(500) as i32)).collect();
    let t: StringArray = (0..rows).map(|row| Some(format!("a text of {prefix}, {row}"))).collect();
    let f: Float64Array = (0..rows).map(|row| [0.0, -0.0, f64::NAN, 1.5][row % 4]).collect();
    batch(vec![
        (&name("v"), Arc::new(v) as _),
        (&name("t"), Arc::new(t) as _),
        (&name("f"), Arc::new(f) as _),
    ])
}

/// Either side is the longer one: fewer build rows than are read at a time, as many, and more, in several morsels.
#[tokio::test]
async fn each_pair_is_tried_once() {
    for (build_rows, probe_rows) in [
        (1, 700),
        (3, 700),
        (40, 3000),
        (511, 60),
        (512, 60),
        (1300, 40),
        (70_000, 3),
        (5, 0),
        (0, 5),
    ] {
        let build = table("b", build_rows, 7 + build_rows as u64);
        let probe = table("p", probe_rows, 8);
        let filter = less(&build.schema(), &probe.schema());
        let builds = [slices(&build, 300), Vec::new()];
        let cut = probe_rows / 2;
        let probes =
            [slices(&probe.slice(0, cut), 77), slices(&probe.slice(cut, probe_rows - cut), 500)];
        for join_type in JOIN_TYPES {
            let spec = Arc::new(spec(
                &[],
                Some(filter.clone()),
                join_type,
                NullEquality::NullEqualsNothing,
                &build.schema(),
                &probe.schema(),
            ));
            let theirs = theirs(&spec, &builds, &probes).await.unwrap();
            let ours = ours(&spec, &builds, &probes, &context(512)).await.unwrap();
            let label = format!("{join_type} {build_rows} x {probe_rows}");
            assert!(rows(&ours) == rows(&theirs), "{label}");
            assert!(ours.iter().all(|batch| batch.num_rows() <= 512), "{label}");
        }
    }
}

/// A condition of one side's columns, or of none, is a single value for all rows of the other.
#[tokio::test]
async fn a_condition_may_read_one_side_or_none() {
    let (build, probe) = (table("b", 600, 1), table("p", 90, 2));
    let both = less(&build.schema(), &probe.schema());
    let of_build = both.expression().children()[0].clone();
    let is_null = datafusion_physical_expr::expressions::is_null(of_build).unwrap();
    let unknown: Arc<dyn datafusion_physical_expr_common::physical_expr::PhysicalExpr> =
        Arc::new(Literal::new(ScalarValue::Boolean(None)));
    for condition in [is_null, lit(true), lit(false), unknown] {
        for (build, probe) in [(&build, &probe), (&build.slice(0, 20), &probe)] {
            let filter = JoinFilter::new(
                Arc::clone(&condition),
                both.column_indices().to_vec(),
                Arc::clone(both.schema()),
            );
            for join_type in [JoinType::Inner, JoinType::Full, JoinType::RightAnti] {
                let spec = Arc::new(spec(
                    &[],
                    Some(filter.clone()),
                    join_type,
                    NullEquality::NullEqualsNothing,
                    &build.schema(),
                    &probe.schema(),
                ));
                let (builds, probes) = ([slices(build, 100)], [slices(probe, 30)]);
                let theirs = theirs(&spec, &builds, &probes).await.unwrap();
                let ours = ours(&spec, &builds, &probes, &context(512)).await.unwrap();
                assert!(rows(&ours) == rows(&theirs), "{join_type} {condition}");
            }
        }
    }
}
