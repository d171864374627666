//! The session of `staffa sql`.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use datafusion::config::ConfigOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryPool, TrackConsumersPool,
};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::ExplainFormat;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_cli::functions::{
    ListFilesCacheFunc, MetadataCacheFunc, ParquetMetadataFunc, StatisticsCacheFunc,
};
use datafusion_cli::object_storage::StdinCarriesCommands;
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use datafusion_cli::pool_type::PoolType;
use staffa::StaffaConfig;

use super::Args;
use crate::files::with_url_tables;

/// A session with Staffa, tables from paths, and datafusion-cli's table functions; and the
/// registry that counts its requests to object stores.
pub(super) async fn open(
    args: &Args,
) -> Result<(SessionContext, Arc<InstrumentedObjectStoreRegistry>)> {
    let registry = Arc::new(
        InstrumentedObjectStoreRegistry::new().with_profile_mode(args.object_store_profiling),
    );
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config(args)?)
        .with_runtime_env(runtime(args, &registry)?);
    let state = staffa::register(builder, StaffaConfig::from_env()?).build();
    let ctx = with_url_tables(SessionContext::new_with_state(state)).await?;
    register_functions(&ctx);
    Ok((ctx, registry))
}

/// DataFusion's environment first, then the options.
fn config(args: &Args) -> Result<SessionConfig> {
    let mut options = ConfigOptions::from_env()?;
    // As datafusion-cli does: trees and visible NULLs read better in a terminal.
    if std::env::var_os("DATAFUSION_EXPLAIN_FORMAT").is_none() {
        options.explain.format = ExplainFormat::Tree;
    }
    if std::env::var_os("DATAFUSION_FORMAT_NULL").is_none() {
        options.format.null = "NULL".to_string();
    }
    let mut config = SessionConfig::from(options).with_information_schema(true);
    if let Some(rows) = args.batch_size {
        config = config.with_batch_size(rows);
    }
    if args.stdin_is_sql() {
        config = config.with_extension(Arc::new(StdinCarriesCommands));
    }
    Ok(config)
}

fn runtime(
    args: &Args,
    registry: &Arc<InstrumentedObjectStoreRegistry>,
) -> Result<Arc<RuntimeEnv>> {
    let mut builder =
        RuntimeEnvBuilder::new().with_object_store_registry(Arc::clone(registry) as _);
    if let Some(bytes) = args.memory_limit {
        builder = builder.with_memory_pool(pool(args, bytes));
    }
    if let Some(bytes) = args.disk_limit {
        let bytes = u64::try_from(bytes).map_err(|e| DataFusionError::External(Box::new(e)))?;
        builder = builder.with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::OsTmpDirectory)
                .with_max_temp_directory_size(bytes),
        );
    }
    builder.build_arc()
}

fn pool(args: &Args, bytes: usize) -> Arc<dyn MemoryPool> {
    match (&args.mem_pool_type, NonZeroUsize::new(args.top_memory_consumers)) {
        (PoolType::Fair, None) => Arc::new(FairSpillPool::new(bytes)),
        (PoolType::Fair, Some(top)) => {
            Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), top))
        }
        (PoolType::Greedy, None) => Arc::new(GreedyMemoryPool::new(bytes)),
        (PoolType::Greedy, Some(top)) => {
            Arc::new(TrackConsumersPool::new(GreedyMemoryPool::new(bytes), top))
        }
    }
}

/// `parquet_metadata('file')` and the contents of the session's caches.
fn register_functions(ctx: &SessionContext) {
    let caches = || Arc::clone(&ctx.task_ctx().runtime_env().cache_manager);
    ctx.register_udtf("parquet_metadata", Arc::new(ParquetMetadataFunc {}));
    ctx.register_udtf("metadata_cache", Arc::new(MetadataCacheFunc::new(caches())));
    ctx.register_udtf("statistics_cache", Arc::new(StatisticsCacheFunc::new(caches())));
    ctx.register_udtf("list_files_cache", Arc::new(ListFilesCacheFunc::new(caches())));
}
