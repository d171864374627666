//! Memory limits: what is not read goes to disk, or is an error.

use std::sync::Arc;

use datafusion_common::DataFusionError;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool};
use datafusion_execution::runtime_env::RuntimeEnvBuilder;

use super::{assert_in_order, collect, context, ids, lane, rows, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_nobody_reads_yet_are_spilled() {
    let pools: [Arc<dyn MemoryPool>; 2] =
        [Arc::new(FairSpillPool::new(200_000)), Arc::new(GreedyMemoryPool::new(200_000))];
    for pool in pools {
        let runtime =
            RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().unwrap();
        let context = context(runtime);
        let lanes: Vec<_> = (0..3).map(|at| rows(at, 40, 1000, 5)).collect();
        let schema = lanes[0][0].schema();
        let lanes = lanes.into_iter().map(lane).collect();
        let exchange = start(lanes, &schema, &["k"], 3, &context);
        let mut all = Vec::new();
        // The second and third fill while the first is read.
        for output in 0..3 {
            let got = ids(&collect(exchange.open(output)).await.unwrap());
            assert_in_order(&got);
            all.extend(got);
            if output == 0 {
                let disk = &context.task.runtime_env().disk_manager;
                assert!(disk.used_disk_space() > 0);
            }
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 3 * 40 * 1000);
        drop(exchange);
        assert_eq!(pool.reserved(), 0);
    }
}

#[tokio::test]
async fn without_a_disk_it_is_an_error() {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100_000));
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::clone(&pool))
        .with_disk_manager_builder(disk)
        .build_arc()
        .unwrap();
    let context = context(runtime);
    let source = rows(0, 40, 1000, 5);
    let schema = source[0].schema();
    let exchange = start(vec![lane(source)], &schema, &["k"], 3, &context);
    let error = collect(exchange.open(0)).await.unwrap_err();
    let root = error.find_root();
    assert!(matches!(root, DataFusionError::ResourcesExhausted(_)), "{error}");
}
