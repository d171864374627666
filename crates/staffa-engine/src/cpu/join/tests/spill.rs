//! Build sides that do not fit: all join types from disk, against DataFusion's joins in memory.

use std::future::poll_fn;
use std::sync::{Arc, OnceLock};

use arrow::array::*;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, JoinType, NullEquality};
use datafusion_execution::TaskContext;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::MemoryPool;
use datafusion_execution::runtime_env::RuntimeEnvBuilder;
use datafusion_physical_plan::metrics::MetricsSet;

use super::against::less;
use super::*;

/// A task whose pool holds so many bytes.
fn limited(bytes: usize) -> (Arc<RunContext>, Arc<dyn MemoryPool>) {
    let runtime = RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0).build_arc().unwrap();
    let pool = Arc::clone(&runtime.memory_pool);
    // Threads for all tests together: there are hundreds of contexts.
    static THREADS: OnceLock<Arc<StaffaRuntime>> = OnceLock::new();
    let context = RunContext {
        task: Arc::new(TaskContext::default().with_runtime(runtime)),
        runtime: Arc::clone(THREADS.get_or_init(|| Arc::new(StaffaRuntime::new(2).unwrap()))),
        cancel: CancelFlag::default(),
        morsel_rows: 512,
        lifter: None,
    };
    (Arc::new(context), pool)
}

/// In which order lanes are polled.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Turns {
    /// One lane after the other.
    Alone,
    /// A morsel of each in turn.
    Together,
}

struct Outcome {
    batches: Vec<RecordBatch>,
    metrics: MetricsSet,
}

/// Joins with as many lanes as there are lists of batches.
async fn joined(
    spec: &Arc<JoinSpec>,
    build: &[Vec<RecordBatch>],
    probe: &[Vec<RecordBatch>],
    context: &Arc<RunContext>,
    turns: Turns,
) -> Result<Outcome> {
    let pipeline = pipeline(spec, Scope::Shared, build.len());
    let sink = BuildSink::new(spec, &pipeline, context)?;
    let mut locals = Vec::new();
    for (lane, batches) in build.iter().enumerate() {
        let mut local = sink.local(lane)?;
        for batch in batches {
            local.push(Morsel::from_batch(batch.clone())).await?;
        }
        locals.push(local);
    }
    let state = sink.seal(locals).await?;
    let factory = probe_of(spec, context)?;
    let sharers = probe.len();
    let mut lanes = (0..sharers)
        .map(|index| factory.lane(Lane { index, sharers }, Some(&state)))
        .collect::<Result<Vec<_>>>()?;
    drop(state);
    let mut out = Vec::new();
    match turns {
        Turns::Alone => {
            while !lanes.is_empty() {
                let (mut lane, batches) = (lanes.remove(0), &probe[sharers - lanes.len() - 1]);
                for batch in batches {
                    lane.push(Morsel::from_batch(batch.clone()))?;
                    drain(&mut lane, &spec.schema, &mut out).await?;
                }
                lane.end()?;
                drain(&mut lane, &spec.schema, &mut out).await?;
            }
        }
        Turns::Together => {
            for turn in 0..probe.iter().map(Vec::len).max().unwrap_or(0) {
                for (lane, batches) in lanes.iter_mut().zip(probe) {
                    if let Some(batch) = batches.get(turn) {
                        lane.push(Morsel::from_batch(batch.clone()))?;
                        drain(lane, &spec.schema, &mut out).await?;
                    }
                }
            }
            lanes.iter_mut().try_for_each(|lane| lane.end())?;
            while !lanes.is_empty() {
                let mut at = 0;
                while at < lanes.len() {
                    match poll_fn(|cx| lanes[at].poll_next(cx)).await? {
                        Some(morsel) => out.push(morsel.into_batch(&spec.schema)?),
                        None => drop(lanes.remove(at)),
                    }
                    at += 1;
                }
            }
        }
    }
    Ok(Outcome { batches: out, metrics: pipeline.metrics.clone_inner() })
}

/// `keys` as text, `k`, `v` below ten and a text of its own per row.
fn table(prefix: &str, keys: &[Option<i64>], data_type: &DataType) -> RecordBatch {
    let keys: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
    let rows = keys.len() as i32;
    let name = |column: &str| format!("{prefix}{column}");
    let text: StringArray =
        (0..rows).map(|row| Some(format!("a text of {prefix}, number {row}"))).collect();
    batch(vec![
        (&name("k"), cast(&cast(&keys, &key_type(data_type)).unwrap(), data_type).unwrap()),
        (&name("v"), Arc::new(Int32Array::from_iter_values((0..rows).map(|row| row * 7 % 10)))),
        (&name("t"), Arc::new(text)),
    ])
}

/// Strings come from text, not from numbers by way of a dictionary.
fn key_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    }
}

async fn check(
    build_keys: &[Option<i64>],
    probe_keys: &[Option<i64>],
    data_type: &DataType,
    bytes: usize,
    join_types: &[JoinType],
) {
    let (build, probe) = (table("b", build_keys, data_type), table("p", probe_keys, data_type));
    let builds = [slices(&build.slice(0, build.num_rows() / 3), 100), {
        let from = build.num_rows() / 3;
        slices(&build.slice(from, build.num_rows() - from), 300)
    }];
    let cut = probe.num_rows() / 2;
    let probes =
        [slices(&probe.slice(0, cut), 70), slices(&probe.slice(cut, probe.num_rows() - cut), 500)];
    let mut turn = 0;
    for &join_type in join_types {
        for null_equality in [NullEquality::NullEqualsNothing, NullEquality::NullEqualsNull] {
            for with_filter in [false, true] {
                let filter = with_filter.then(|| less(&build.schema(), &probe.schema()));
                let spec = Arc::new(spec(
                    &[("bk", "pk")],
                    filter,
                    join_type,
                    null_equality,
                    &build.schema(),
                    &probe.schema(),
                ));
                let theirs = rows(&theirs(&spec, &builds, &probes).await.unwrap());
                // In half of the cases each: files cost more than rows here.
                turn += 1;
                let turns = [Turns::Alone, Turns::Together][turn / 2 % 2];
                let label = format!(
                    "{data_type} {join_type} {null_equality:?} filter={with_filter} {turns:?} {bytes}"
                );
                let (context, pool) = limited(bytes);
                let ours = joined(&spec, &builds, &probes, &context, turns).await.unwrap();
                assert_eq!(rows(&ours.batches), theirs, "{label}");
                let metrics = &ours.metrics;
                // Of numbers that are only asked for, a row a key stays: that may fit.
                let of_keys = !with_filter && asks_for_keys(join_type);
                if !of_keys || *data_type != DataType::Int64 {
                    assert!(metrics.spilled_rows().is_some_and(|rows| rows > 0), "{label}");
                    assert!(metrics.spilled_bytes().is_some_and(|bytes| bytes > 0), "{label}");
                    assert!(metrics.spill_count().is_some_and(|files| files > 0), "{label}");
                }
                assert_eq!(pool.reserved(), 0, "{label}");
                let disk = &context.task.runtime_env().disk_manager;
                assert_eq!(disk.used_disk_space(), 0, "{label}: files are left");
            }
        }
    }
}

fn asks_for_keys(join_type: JoinType) -> bool {
    matches!(join_type, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark)
}

/// Keys of `rows` rows below `keys`, every 19th NULL.
fn spread(rows: usize, keys: i64, seed: u64) -> Vec<Option<i64>> {
    let mut random = Random(seed);
    let key = |row: usize| (row % 19 != 7).then(|| random.below(keys as usize) as i64);
    (0..rows).map(key).collect()
}

#[tokio::test]
async fn every_join_type_joins_from_disk() {
    let (build, probe) = (spread(2000, 900, 11), spread(800, 1000, 12));
    check(&build, &probe, &DataType::Int64, 50_000, &JOIN_TYPES).await;
}

#[tokio::test]
async fn every_join_type_joins_in_pieces() {
    // A partition takes more than memory and what is always taken together.
    let (build, probe) = (spread(2500, 4, 13), spread(30, 5, 14));
    check(&build, &probe, &DataType::Int64, 10_000, &JOIN_TYPES).await;
}

#[tokio::test]
async fn all_kinds_of_keys_join_from_disk() {
    let (build, probe) = (spread(1500, 600, 15), spread(500, 700, 16));
    let dictionary = DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8));
    let some = [JoinType::Inner, JoinType::Full, JoinType::LeftAnti, JoinType::RightSemi];
    for data_type in
        [DataType::Utf8, DataType::Utf8View, DataType::Float64, DataType::LargeUtf8, dictionary]
    {
        check(&build, &probe, &data_type, 100_000, &some).await;
    }
}

#[tokio::test]
async fn a_key_larger_than_memory_joins() {
    // Every second build row has one key.
    let half: Vec<Option<i64>> =
        (0..2000).map(|row| Some(if row % 2 == 0 { 5 } else { row })).collect();
    let probe: Vec<Option<i64>> = (0..60).map(|row| Some(row % 30)).collect();
    check(&half, &probe, &DataType::Int64, 40_000, &JOIN_TYPES).await;
    let all = vec![Some(3); 2000];
    check(&all, &probe, &DataType::Int64, 40_000, &JOIN_TYPES).await;
}

#[tokio::test]
async fn an_empty_or_foreign_probe_side_joins() {
    let build = spread(2000, 900, 17);
    check(&build, &[], &DataType::Int64, 60_000, &JOIN_TYPES).await;
    check(&build, &[Some(-1), None, Some(-2)], &DataType::Int64, 60_000, &JOIN_TYPES).await;
}

#[tokio::test]
async fn pairs_without_keys_join_in_pieces() {
    let build = table("b", &spread(1500, 100, 18), &DataType::Int64);
    let probe = table("p", &spread(40, 100, 19), &DataType::Int64);
    let (builds, probes) = ([slices(&build, 200)], [slices(&probe, 9), slices(&probe, 11)]);
    for join_type in JOIN_TYPES {
        let filter = Some(less(&build.schema(), &probe.schema()));
        let nothing = NullEquality::NullEqualsNothing;
        let all = spec(&[], filter, join_type, nothing, &build.schema(), &probe.schema());
        // The columns of neither side, too.
        let no_filter = spec(&[], None, join_type, nothing, &build.schema(), &probe.schema());
        for spec in [all, super::shapes::select(&no_filter, &[])] {
            let spec = Arc::new(spec);
            let whole = ours(&spec, &builds, &probes, &context(512)).await.unwrap();
            // Rows without columns take too little to be written.
            let writes = !spec.output.is_empty();
            let (context, pool) = limited(5_000);
            let ours = joined(&spec, &builds, &probes, &context, Turns::Alone).await.unwrap();
            assert_eq!(rows(&ours.batches), rows(&whole), "{join_type}");
            assert_eq!(
                ours.metrics.spilled_rows().is_some_and(|rows| rows > 0),
                writes,
                "{join_type}"
            );
            assert_eq!(pool.reserved(), 0, "{join_type}");
        }
    }
}

#[tokio::test]
async fn not_in_joins_from_disk() {
    let build = table("b", &spread(2000, 900, 20), &DataType::Int64);
    let without: Vec<Option<i64>> = (0..300).map(Some).collect();
    let with: Vec<Option<i64>> = (0..300).map(|row| (row != 250).then_some(row)).collect();
    for (keys, bytes) in
        [(&without, 60_000), (&with, 60_000), (&without, 10_000), (&vec![], 60_000)]
    {
        let probe = table("p", keys, &DataType::Int64);
        let nothing = NullEquality::NullEqualsNothing;
        let mut spec = spec(
            &[("bk", "pk")],
            None,
            JoinType::LeftAnti,
            nothing,
            &build.schema(),
            &probe.schema(),
        );
        spec.null_aware = true;
        let spec = Arc::new(spec);
        let (builds, probes) = ([slices(&build, 200)], [slices(&probe, 50)]);
        let theirs = rows(&theirs(&spec, &builds, &probes).await.unwrap());
        for turns in [Turns::Alone, Turns::Together] {
            let (context, _) = limited(bytes);
            let probes = [slices(&probe.slice(0, keys.len() / 2), 50), {
                slices(&probe.slice(keys.len() / 2, keys.len() - keys.len() / 2), 50)
            }];
            let ours = joined(&spec, &builds, &probes, &context, turns).await.unwrap();
            assert_eq!(rows(&ours.batches), theirs, "{} {turns:?}", keys.len());
            assert!(ours.metrics.spilled_rows().is_some_and(|rows| rows > 0));
        }
    }
}

#[tokio::test]
async fn lanes_that_stop_leave_nothing_behind() {
    let build = table("b", &spread(2000, 900, 21), &DataType::Int64);
    let probe = table("p", &spread(800, 900, 22), &DataType::Int64);
    let nothing = NullEquality::NullEqualsNothing;
    let spec = Arc::new(spec(
        &[("bk", "pk")],
        None,
        JoinType::Full,
        nothing,
        &build.schema(),
        &probe.schema(),
    ));
    let (context, pool) = limited(60_000);
    let disk = Arc::clone(&context.task.runtime_env().disk_manager);
    let sink = BuildSink::new(&spec, &pipeline(&spec, Scope::Shared, 1), &context).unwrap();
    let mut local = sink.local(0).unwrap();
    for batch in slices(&build, 200) {
        local.push(Morsel::from_batch(batch)).await.unwrap();
    }
    let state = sink.seal(vec![local]).await.unwrap();
    let factory = probe_of(&spec, &context).unwrap();
    let lane = |index| factory.lane(Lane { index, sharers: 2 }, Some(&state)).unwrap();
    let (mut first, second) = (lane(0), lane(1));
    first.push(Morsel::from_batch(probe)).unwrap();
    drain(&mut first, &spec.schema, &mut Vec::new()).await.unwrap();
    first.end().unwrap();
    // The second lane is never polled: the first one comes to its end all the same.
    assert!(poll_fn(|cx| first.poll_next(cx)).await.unwrap().is_some());
    assert!(disk.used_disk_space() > 0);
    context.cancel.cancel();
    let mut out = Vec::new();
    let error = drain(&mut first, &spec.schema, &mut out).await.unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
    drop((first, second, state));
    assert_eq!(disk.used_disk_space(), 0);
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test]
async fn a_full_or_missing_disk_is_out_of_resources() {
    let build = table("b", &spread(3000, 900, 23), &DataType::Int64);
    let probe = table("p", &spread(100, 900, 24), &DataType::Int64);
    let nothing = NullEquality::NullEqualsNothing;
    let spec = Arc::new(spec(
        &[("bk", "pk")],
        None,
        JoinType::Inner,
        nothing,
        &build.schema(),
        &probe.schema(),
    ));
    let disks = [
        DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
        DiskManagerBuilder::default().with_max_temp_directory_size(10_000),
    ];
    for disk in disks {
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_limit(60_000, 1.0)
            .with_disk_manager_builder(disk)
            .build_arc()
            .unwrap();
        let pool = Arc::clone(&runtime.memory_pool);
        let task = Arc::new(TaskContext::default().with_runtime(runtime));
        let context = context_of(task, 512);
        let (b, p) = ([slices(&build, 200)], [slices(&probe, 50)]);
        let error = joined(&spec, &b, &p, &context, Turns::Alone).await.map(drop).unwrap_err();
        assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
        assert_eq!(pool.reserved(), 0);
    }
}

#[tokio::test]
async fn where_order_counts_nothing_is_spilled() {
    let build = table("b", &spread(3000, 900, 25), &DataType::Int64);
    let probe = table("p", &[Some(1)], &DataType::Int64);
    let nothing = NullEquality::NullEqualsNothing;
    let spec = Arc::new(spec(
        &[("bk", "pk")],
        None,
        JoinType::Inner,
        nothing,
        &build.schema(),
        &probe.schema(),
    ));
    let (context, _) = limited(60_000);
    let mut pipeline = pipeline(&spec, Scope::Shared, 1);
    pipeline.sink = SinkKind::Build(Arc::clone(&spec), Overflow::Errs);
    let sink = BuildSink::new(&spec, &pipeline, &context).unwrap();
    let mut local = sink.local(0).unwrap();
    let mut pushed = Ok(());
    for batch in slices(&build, 200) {
        pushed = local.push(Morsel::from_batch(batch)).await;
        if pushed.is_err() {
            break;
        }
    }
    let error = pushed.unwrap_err();
    assert!(matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)), "{error}");
}

#[tokio::test]
async fn every_lane_and_partition_count_joins() {
    let build = table("b", &spread(2000, 900, 26), &DataType::Int64);
    let probe = table("p", &spread(600, 900, 27), &DataType::Int64);
    let nothing = NullEquality::NullEqualsNothing;
    for join_type in [JoinType::Left, JoinType::Right, JoinType::LeftSemi] {
        let spec = Arc::new(spec(
            &[("bk", "pk")],
            None,
            join_type,
            nothing,
            &build.schema(),
            &probe.schema(),
        ));
        let theirs =
            rows(&theirs(&spec, &[vec![build.clone()]], &[vec![probe.clone()]]).await.unwrap());
        for lanes in [1, 2, 8, 70] {
            let deal = |batch: &RecordBatch, rows: usize| {
                let mut lists = vec![Vec::new(); lanes];
                for (at, slice) in slices(batch, rows).into_iter().enumerate() {
                    lists[at % lanes].push(slice);
                }
                lists
            };
            let (context, _) = limited(80_000);
            let (b, p) = (deal(&build, 25), deal(&probe, 8));
            let ours = joined(&spec, &b, &p, &context, Turns::Together).await.unwrap();
            assert_eq!(rows(&ours.batches), theirs, "{join_type} {lanes}");
            assert!(
                ours.metrics.spilled_rows().is_some_and(|rows| rows > 0),
                "{join_type} {lanes}"
            );
        }
    }
}
