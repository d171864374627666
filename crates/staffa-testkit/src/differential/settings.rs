//! The session settings of a case: parallelism, batch sizes, and which plans the optimizer makes.

use datafusion::common::Result;
use datafusion::prelude::SessionConfig;

use crate::rng::Rng;

/// Settings as `key = value` pairs of `datafusion.*`, equal for both sessions of a case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// The pairs.
    pub pairs: Vec<(String, String)>,
}

impl Settings {
    /// Random settings for tables of `rows` rows.
    pub(crate) fn new(rng: &mut Rng, rows: usize) -> Self {
        let mut settings = Self::default();
        let partitions = *rng.pick(&[1, 2, 3, 8]);
        settings.set("execution.target_partitions", partitions);
        // Tiny batches cost a channel round trip a row: only where there are few rows.
        let batch_sizes: &[usize] = match rows {
            0..=60 => &[1, 2, 3, 7, 64, 8192],
            61..=2500 => &[7, 64, 100, 1000, 8192],
            _ => &[500, 1024, 8192],
        };
        settings.set("execution.batch_size", rng.pick(batch_sizes));
        if rng.chance(25) {
            settings.set("optimizer.prefer_hash_join", false);
        }
        if rng.chance(50) {
            // Small tables would always be collected on the build side: force partitioned joins.
            settings.set("optimizer.hash_join_single_partition_threshold", 0);
            settings.set("optimizer.hash_join_single_partition_threshold_rows", 0);
        }
        for key in [
            "optimizer.repartition_joins",
            "optimizer.repartition_aggregations",
            "optimizer.repartition_sorts",
            "optimizer.repartition_windows",
            "optimizer.enable_round_robin_repartition",
            "optimizer.enable_dynamic_filter_pushdown",
            "optimizer.enable_topk_aggregation",
            "optimizer.enable_physical_uncorrelated_scalar_subquery",
            "execution.collect_statistics",
            "execution.coalesce_batches",
        ] {
            if rng.chance(15) {
                settings.set(key, false);
            }
        }
        for key in [
            "optimizer.prefer_existing_sort",
            "optimizer.prefer_existing_union",
            "execution.enforce_batch_size_in_joins",
            "execution.parquet.pushdown_filters",
        ] {
            if rng.chance(15) {
                settings.set(key, true);
            }
        }
        if rng.chance(20) {
            settings.set("execution.skip_partial_aggregation_probe_rows_threshold", 10);
            settings.set("execution.skip_partial_aggregation_probe_ratio_threshold", 0.1);
        }
        settings
    }

    fn set(&mut self, key: &str, value: impl ToString) {
        self.pairs.push((format!("datafusion.{key}"), value.to_string()));
    }

    /// These settings with one of them replaced or added.
    pub(crate) fn with(&self, key: &str, value: impl ToString) -> Self {
        let mut settings = self.clone();
        settings.pairs.retain(|(k, _)| k != &format!("datafusion.{key}"));
        settings.set(key, value);
        settings
    }

    /// What makes the simplest plan: one partition, hash joins, everything else as it comes.
    pub(crate) fn simplest(&self) -> Self {
        let mut settings = Self::default();
        settings.set("execution.target_partitions", 1);
        settings
    }

    /// A session configuration that holds them.
    ///
    /// # Errors
    /// A key or value that DataFusion refuses.
    pub(crate) fn session_config(&self) -> Result<SessionConfig> {
        let mut config = SessionConfig::new();
        for (key, value) in &self.pairs {
            config.options_mut().set(key, value)?;
        }
        Ok(config)
    }
}
