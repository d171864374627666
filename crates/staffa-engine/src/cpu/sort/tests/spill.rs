//! Memory limits: runs on disk, and errors where there is no disk.

use std::sync::Arc;
use std::time::Duration;

use arrow::compute::{SortOptions, concat_batches};
use datafusion_common::DataFusionError;
use datafusion_execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion_execution::memory_pool::{FairSpillPool, GreedyMemoryPool, MemoryPool};
use datafusion_execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};

use super::data::plain;
use super::{check, context, expected, ordering, read, seal, spec};
use crate::RunContext;

fn limited(pool: Arc<dyn MemoryPool>, disk: DiskManagerMode) -> Arc<RuntimeEnv> {
    RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(disk))
        .build_arc()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_merged_and_memory_is_given_back() {
    let pools: [Arc<dyn MemoryPool>; 2] =
        [Arc::new(FairSpillPool::new(6 << 20)), Arc::new(GreedyMemoryPool::new(6 << 20))];
    let lanes = [plain(60_000, 4096, 1, 0), plain(50_000, 4096, 2, 60_000)];
    let schema = lanes[0][0].schema();
    for pool in pools {
        let context = context(limited(Arc::clone(&pool), DiskManagerMode::OsTmpDirectory));
        for keys in [vec!["k"], vec!["w", "id"]] {
            let keys: Vec<_> = keys.into_iter().map(|k| (k, SortOptions::default())).collect();
            let ordering = ordering(&schema, &keys);
            for fetch in [None, Some(40_000)] {
                let state = seal(spec(&ordering, fetch), &lanes, &schema, &context).await.unwrap();
                assert!(context.task.runtime_env().disk_manager.used_disk_space() > 0);
                let wanted = expected(&lanes, &schema, &ordering, fetch);
                // Twice: a state may be read again.
                for _ in 0..2 {
                    let got = read(Arc::clone(&state), &schema).await.unwrap();
                    let got = concat_batches(&schema, &got).unwrap();
                    assert_eq!(got.num_rows(), wanted.num_rows());
                    for key in ["k", "w"] {
                        if keys.iter().any(|(name, _)| *name == key) {
                            assert_eq!(got.column_by_name(key), wanted.column_by_name(key));
                        }
                    }
                }
                drop(state);
                assert_eq!(pool.reserved(), 0);
                wait_for_no_files(&context).await;
            }
        }
    }
}

/// Reading tasks that are aborted let go of their files a little later.
async fn wait_for_no_files(context: &RunContext) {
    let environment = context.task.runtime_env();
    for _ in 0..500 {
        if environment.disk_manager.used_disk_space() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("files are left");
}

#[tokio::test]
async fn without_a_disk_the_error_is_datafusions() {
    let lanes = [plain(60_000, 4096, 1, 0)];
    let schema = lanes[0][0].schema();
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1 << 20));
    let context = context(limited(Arc::clone(&pool), DiskManagerMode::Disabled));
    let ordering = ordering(&schema, &[("k", SortOptions::default())]);
    for fetch in [None, Some(50_000)] {
        let error = match seal(spec(&ordering, fetch), &lanes, &schema, &context).await {
            Ok(_) => panic!("there was enough memory"),
            Err(error) => error,
        };
        let root = error.find_root();
        assert!(matches!(root, DataFusionError::ResourcesExhausted(_)), "{error}");
        assert_eq!(pool.reserved(), 0);
    }
    // A small top-K needs next to nothing.
    check(&lanes, &schema, &[("k", SortOptions::default())], Some(20), &context).await;
}
