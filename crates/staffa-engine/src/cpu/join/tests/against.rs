//! All join types over all kinds of keys, against DataFusion.

use std::sync::Arc;

use arrow::array::*;
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, TimeUnit};
use datafusion_common::{JoinSide, JoinType, NullEquality};
use datafusion_expr::Operator;
use datafusion_physical_expr::expressions::{BinaryExpr, Column};
use datafusion_physical_plan::joins::utils::{ColumnIndex, JoinFilter};

use super::*;

/// Key values of a type, NULL among them, and more on the probe side than on the build side.
fn domain(data_type: &DataType) -> ArrayRef {
    let ints = |values: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
    match data_type {
        DataType::Int64 => ints(vec![
            None,
            Some(0),
            Some(-1),
            Some(i64::MIN),
            Some(i64::MAX),
            Some(1),
            Some(7),
            Some(8),
        ]),
        DataType::UInt64 => Arc::new(UInt64Array::from(vec![
            None,
            Some(0),
            Some(u64::MAX),
            Some(1),
            Some(1 << 63),
            Some(9),
        ])),
        DataType::Float64 => Arc::new(Float64Array::from(vec![
            None,
            Some(0.0),
            Some(-0.0),
            Some(f64::NAN),
            Some(-f64::NAN),
            Some(f64::INFINITY),
            Some(1.5),
            Some(f64::MIN),
        ])),
        DataType::Boolean => Arc::new(BooleanArray::from(vec![None, Some(true), Some(false)])),
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::BinaryView
        | DataType::Dictionary(..) => {
            let strings: ArrayRef = Arc::new(StringArray::from(vec![
                None,
                Some(""),
                Some("a"),
                Some("ß∂ƒ"),
                Some("twelve bytes"),
                Some("thirteen byte"),
                Some("thirteen bytf"),
                Some("日本語日本語日本語"),
            ]));
            cast(&strings, data_type).unwrap()
        }
        other => {
            let small = ints(vec![None, Some(0), Some(-1), Some(1), Some(5), Some(90)]);
            match other {
                DataType::Timestamp(..) | DataType::Duration(_) => cast(&small, other).unwrap(),
                DataType::Date32 | DataType::Time32(_) => {
                    let small = cast(&small, &DataType::Int32).unwrap();
                    cast(&small, other).unwrap()
                }
                other => cast(&small, other).unwrap(),
            }
        }
    }
}

fn draw(domain: &ArrayRef, rows: usize, random: &mut Random) -> ArrayRef {
    let at: Int32Array = (0..rows).map(|_| random.below(domain.len()) as i32).collect();
    take(domain.as_ref(), &at, None).unwrap()
}

fn side(names: [&str; 2], types: &[DataType], rows: usize, random: &mut Random) -> RecordBatch {
    let mut columns: Vec<(String, ArrayRef)> = types
        .iter()
        .enumerate()
        .map(|(i, t)| (format!("{}{i}", names[0]), draw(&domain(t), rows, random)))
        .collect();
    let value: Int32Array =
        (0..rows).map(|_| (random.below(10) > 0).then(|| random.below(6) as i32)).collect();
    let id: Int32Array = (0..rows as i32).collect();
    let text: StringArray = (0..rows).map(|i| Some(format!("{}{i}", names[1]))).collect();
    columns.push((format!("{}v", names[1]), Arc::new(value)));
    columns.push((format!("{}id", names[1]), Arc::new(id)));
    columns.push((format!("{}t", names[1]), Arc::new(text)));
    batch(columns.iter().map(|(n, a)| (n.as_str(), Arc::clone(a))).collect())
}

/// `build.v < probe.v`.
pub(super) fn less(build: &Schema, probe: &Schema) -> JoinFilter {
    let field = |name| Field::new(name, DataType::Int32, true);
    JoinFilter::new(
        Arc::new(BinaryExpr::new(
            Arc::new(Column::new("p", 0)),
            Operator::Gt,
            Arc::new(Column::new("b", 1)),
        )),
        vec![
            ColumnIndex { index: probe.index_of("pv").unwrap(), side: JoinSide::Right },
            ColumnIndex { index: build.index_of("bv").unwrap(), side: JoinSide::Left },
        ],
        Arc::new(Schema::new(vec![field("p"), field("b")])),
    )
}

struct Case {
    types: Vec<DataType>,
    build_rows: usize,
    probe_rows: usize,
}

async fn check(case: &Case, morsel_rows: usize, random: &mut Random) {
    let build = side(["bk", "b"], &case.types, case.build_rows, random);
    let probe = side(["pk", "p"], &case.types, case.probe_rows, random);
    let names: Vec<(String, String)> =
        (0..case.types.len()).map(|i| (format!("bk{i}"), format!("pk{i}"))).collect();
    let keys: Vec<(&str, &str)> = names.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let build_lanes = [slices(&build, 7), vec![], slices(&build.slice(0, 0), 1)];
    let cut = case.probe_rows / 2;
    let probe_lanes =
        [slices(&probe.slice(0, cut), 13), slices(&probe.slice(cut, case.probe_rows - cut), 100)];
    let context = context(morsel_rows);
    for join_type in JOIN_TYPES {
        for null_equality in [NullEquality::NullEqualsNothing, NullEquality::NullEqualsNull] {
            for with_filter in [false, true] {
                let filter = with_filter.then(|| less(&build.schema(), &probe.schema()));
                let spec = Arc::new(spec(
                    &keys,
                    filter,
                    join_type,
                    null_equality,
                    &build.schema(),
                    &probe.schema(),
                ));
                let ours = ours(&spec, &build_lanes, &probe_lanes, &context).await.unwrap();
                let theirs = theirs(&spec, &build_lanes, &probe_lanes).await.unwrap();
                let label = format!(
                    "{:?} {join_type} {null_equality:?} filter={with_filter} \
                     {}x{} chunk={morsel_rows}",
                    case.types, case.build_rows, case.probe_rows
                );
                assert_eq!(rows(&ours), rows(&theirs), "{label}");
                assert_probe_order(&ours, &label);
            }
        }
    }
}

/// Probe ids ascend (the lanes ran one after the other), up to the build rows at the end.
fn assert_probe_order(batches: &[RecordBatch], label: &str) {
    let mut last = -1;
    let mut ended = false;
    for batch in batches {
        let Some(ids) = batch.column_by_name("pid") else {
            return;
        };
        for id in ids.as_primitive::<Int32Type>() {
            match id {
                Some(id) => {
                    assert!(!ended && id >= last, "{label}: {id} after {last}");
                    last = id;
                }
                None => ended = true,
            }
        }
    }
}

fn key_types() -> Vec<Vec<DataType>> {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    vec![
        vec![DataType::Int8],
        vec![DataType::Int32],
        vec![DataType::Int64],
        vec![DataType::UInt64],
        vec![DataType::Float64],
        vec![DataType::Boolean],
        vec![DataType::Date32],
        vec![DataType::Timestamp(TimeUnit::Microsecond, None)],
        vec![DataType::Decimal64(10, 2)],
        vec![DataType::Decimal128(30, 2)],
        vec![DataType::Utf8],
        vec![DataType::LargeUtf8],
        vec![DataType::Utf8View],
        vec![DataType::Binary],
        vec![DataType::BinaryView],
        vec![dictionary.clone()],
        vec![DataType::Int32, DataType::Int32],
        vec![DataType::Boolean, DataType::Date32, DataType::Int8],
        vec![DataType::Int64, DataType::Int64],
        vec![DataType::Int64, DataType::Float64],
        vec![DataType::Utf8, DataType::Int32],
        vec![DataType::Int32, DataType::Utf8View, DataType::Float64],
        vec![dictionary, DataType::Decimal128(20, 0)],
    ]
}

#[tokio::test]
async fn all_keys_and_join_types() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for types in key_types() {
        for (build_rows, probe_rows) in [(40, 60), (3, 50)] {
            let case = Case { types: types.clone(), build_rows, probe_rows };
            check(&case, 16, &mut random).await;
        }
    }
}

#[tokio::test]
async fn empty_and_single_rows() {
    let mut random = Random(42);
    for types in [
        vec![],
        vec![DataType::Int32],
        vec![DataType::Utf8],
        vec![DataType::Int64, DataType::Utf8View],
    ] {
        for (build_rows, probe_rows) in [(0, 0), (0, 20), (20, 0), (1, 20), (20, 1), (1, 1)] {
            let case = Case { types: types.clone(), build_rows, probe_rows };
            check(&case, 8192, &mut random).await;
        }
    }
}

#[tokio::test]
async fn loops() {
    let mut random = Random(99);
    for (build_rows, probe_rows, chunk) in [(30, 40, 7), (5, 100, 8192), (100, 5, 64)] {
        let case = Case { types: vec![], build_rows, probe_rows };
        check(&case, chunk, &mut random).await;
    }
}

#[tokio::test]
async fn null_keys_only() {
    for data_type in [DataType::Int32, DataType::Utf8] {
        for null_equality in [NullEquality::NullEqualsNothing, NullEquality::NullEqualsNull] {
            let build = batch(vec![
                ("b", new_null_array(&data_type, 5)),
                ("x", Arc::new(Int32Array::from_iter_values(0..5))),
            ]);
            let probe = batch(vec![("p", draw(&domain(&data_type), 20, &mut Random(5)))]);
            for join_type in JOIN_TYPES {
                let spec = Arc::new(spec(
                    &[("b", "p")],
                    None,
                    join_type,
                    null_equality,
                    &build.schema(),
                    &probe.schema(),
                ));
                let (b, p) = ([vec![build.clone()]], [vec![probe.clone()]]);
                let ours = ours(&spec, &b, &p, &context(100)).await.unwrap();
                let theirs = theirs(&spec, &b, &p).await.unwrap();
                assert_eq!(rows(&ours), rows(&theirs), "{data_type} {join_type}");
            }
        }
    }
}

#[tokio::test]
async fn not_in() {
    let list = |values: Vec<Option<i32>>, name| {
        batch(vec![(name, Arc::new(Int32Array::from(values)) as _)])
    };
    let builds = [
        vec![],
        vec![None],
        vec![Some(1), None, Some(2), Some(3)],
        vec![Some(1), Some(2), Some(2)],
    ];
    let probes = [
        vec![],
        vec![None],
        vec![Some(1)],
        vec![Some(2), None],
        vec![Some(1), Some(2), Some(3)],
        vec![Some(9)],
    ];
    for build in &builds {
        for probe in &probes {
            let build = list(build.clone(), "b");
            let probe = list(probe.clone(), "p");
            let mut spec = spec(
                &[("b", "p")],
                None,
                JoinType::LeftAnti,
                NullEquality::NullEqualsNothing,
                &build.schema(),
                &probe.schema(),
            );
            spec.null_aware = true;
            let spec = Arc::new(spec);
            let b = [vec![build.clone()]];
            let theirs = theirs(&spec, &b, &[vec![probe.clone()]]).await.unwrap();
            for lanes in [
                vec![slices(&probe, 10)],
                vec![slices(&probe, 1), vec![]],
                vec![
                    slices(&probe.slice(0, probe.num_rows().min(1)), 1),
                    slices(
                        &probe.slice(probe.num_rows().min(1), probe.num_rows().saturating_sub(1)),
                        1,
                    ),
                ],
            ] {
                let ours = ours(&spec, &b, &lanes, &context(100)).await.unwrap();
                assert_eq!(rows(&ours), rows(&theirs), "{build:?} {probe:?}");
            }
        }
    }
}

/// Enough rows for several partitions; sparse, dense and wide keys; with and without duplicates.
#[tokio::test]
async fn many_rows() {
    let mut random = Random(7);
    let build_rows = 150_000usize;
    let probe_rows = 60_000usize;
    for kind in 0..6 {
        let mut key = |rows: usize| -> ArrayRef {
            let values: Vec<i64> = (0..rows)
                .map(|at| match kind {
                    0 => at as i64 * 3,
                    1 => random.below(50_000) as i64,
                    2 => (at as i64).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64),
                    3 => (random.below(40_000) as i64).wrapping_mul(0x1_0000_0001),
                    4 => random.below(100_000) as i64,
                    _ => at as i64 * 5,
                })
                .collect();
            match kind {
                4 | 5 => Arc::new(StringArray::from_iter_values(
                    values.iter().map(|v| format!("key number {v}")),
                )),
                _ => Arc::new(Int64Array::from(values)),
            }
        };
        let build = batch(vec![
            ("b", key(build_rows)),
            ("bid", Arc::new(Int32Array::from_iter_values(0..build_rows as i32))),
        ]);
        let probe = batch(vec![
            ("p", key(probe_rows)),
            ("pid", Arc::new(Int32Array::from_iter_values(0..probe_rows as i32))),
        ]);
        for join_type in [JoinType::Full, JoinType::LeftSemi, JoinType::RightAnti] {
            let spec = Arc::new(spec(
                &[("b", "p")],
                None,
                join_type,
                NullEquality::NullEqualsNothing,
                &build.schema(),
                &probe.schema(),
            ));
            let b = [
                slices(&build.slice(0, 100_000), 8192),
                slices(&build.slice(100_000, 50_000), 999),
            ];
            let p = [slices(&probe, 8192)];
            let ours = ours(&spec, &b, &p, &context(16_384)).await.unwrap();
            let theirs = theirs(&spec, &b, &p).await.unwrap();
            assert!(rows(&ours) == rows(&theirs), "{kind} {join_type}");
            assert_probe_order(&ours, "many rows");
        }
    }
}

/// Few probe rows have a match: after the first morsel the table's filter is asked.
#[tokio::test]
async fn selective_probes() {
    let mut random = Random(77);
    for kind in 0..4 {
        let mut key = |rows: usize, side: i64| -> ArrayRef {
            let values = (0..rows).map(|at| match (kind, side) {
                // Direct, with a bit per code; then a directory; then strings.
                (0, 0) => Some(at as i64 * 7),
                (0 | 2, _) => Some(random.below(700_000) as i64 - 1000),
                (1, 0) => Some((at as i64 * 7).wrapping_mul(0x1_0000_0001)),
                (1, _) => Some((random.below(700_000) as i64).wrapping_mul(0x1_0000_0001)),
                _ if at % 100 == 5 => None,
                _ => Some(random.below(30_000_000 / rows) as i64),
            });
            match kind {
                3 => Arc::new(values.map(|v| v.map(|v| format!("k{v}"))).collect::<StringArray>()),
                _ => Arc::new(values.collect::<Int64Array>()),
            }
        };
        let build = batch(vec![("b", key(100_000, 0))]);
        let probe = batch(vec![
            ("p", key(30_000, 1)),
            ("pid", Arc::new(Int32Array::from_iter_values(0..30_000))),
        ]);
        for join_type in [JoinType::Inner, JoinType::Right, JoinType::LeftAnti] {
            let spec = Arc::new(spec(
                &[("b", "p")],
                None,
                join_type,
                NullEquality::NullEqualsNothing,
                &build.schema(),
                &probe.schema(),
            ));
            let (b, p) = ([vec![build.clone()]], [slices(&probe, 1000)]);
            let ours = ours(&spec, &b, &p, &context(1000)).await.unwrap();
            let theirs = theirs(&spec, &b, &p).await.unwrap();
            assert!(rows(&ours) == rows(&theirs), "{kind} {join_type}");
        }
    }
}

/// Keys without codes or typed comparisons: structs, lists, fixed-size and 256-bit values.
#[tokio::test]
async fn nested_and_rare_keys() {
    let ints: ArrayRef =
        Arc::new(Int32Array::from(vec![Some(1), None, Some(2), Some(1), Some(3), Some(2), None]));
    let field = Arc::new(Field::new("x", DataType::Int32, true));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StructArray::from(vec![(Arc::clone(&field), Arc::clone(&ints))])),
        cast(&ints, &DataType::Decimal256(40, 3)).unwrap(),
        cast(&ints, &DataType::new_list(DataType::Int32, true)).unwrap(),
        Arc::new(
            FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                ["ab", "", "cd", "ab", "xy", "cd", ""]
                    .into_iter()
                    .map(|s| (!s.is_empty()).then_some(s)),
                2,
            )
            .unwrap(),
        ),
        cast(&ints, &DataType::Float16).unwrap(),
    ];
    for column in columns {
        let build = batch(vec![("b", column.slice(0, 5))]);
        let probe = batch(vec![("p", column.slice(1, 6))]);
        for join_type in JOIN_TYPES {
            for null_equality in [NullEquality::NullEqualsNothing, NullEquality::NullEqualsNull] {
                let spec = Arc::new(spec(
                    &[("b", "p")],
                    None,
                    join_type,
                    null_equality,
                    &build.schema(),
                    &probe.schema(),
                ));
                let (b, p) = ([slices(&build, 2)], [slices(&probe, 4)]);
                let ours = ours(&spec, &b, &p, &context(100)).await.unwrap();
                let theirs = theirs(&spec, &b, &p).await.unwrap();
                assert_eq!(rows(&ours), rows(&theirs), "{} {join_type}", column.data_type());
            }
        }
    }
}
