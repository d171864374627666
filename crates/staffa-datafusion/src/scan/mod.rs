//! Staffa's own Parquet scan: DataFusion's plan of what to read, read and decoded by us.
//!
//! What is read is decided as DataFusion decides it, by its own building blocks: file statistics,
//! row-group statistics, Bloom filters, page index, partition columns, schema adaption and dynamic
//! filters ([`open`]). How it is read is ours: lanes take row groups from a queue ([`run`]),
//! columns are decoded into morsels, a dictionary's codes becoming row numbers into its values
//! ([`group`]). A column that our decoder does not know is decoded by arrow-rs, in the same morsels.

mod columns;
mod group;
mod open;
mod piece;
mod prune;
mod rows;
mod run;

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use staffa_common::{Reason, ReasonCode};
use staffa_engine::RunContext;
use staffa_engine::plan::{NodeOp, Scan, ScanRequest, ScanRun};

use crate::lower::{Lowered, Setting};

/// A Parquet scan as DataFusion planned it.
#[derive(Debug)]
pub(crate) struct ParquetScan {
    config: FileScanConfig,
    source: ParquetSource,
}

/// The scan that `plan` is, if it reads Parquet files.
pub(crate) fn lower(plan: &Arc<dyn ExecutionPlan>, _: Setting) -> Option<Lowered> {
    let exec = plan.downcast_ref::<DataSourceExec>()?;
    let (config, source) = exec.downcast_to_file_source::<ParquetSource>()?;
    Some(check(source).map(|()| {
        let scan = ParquetScan { config: config.clone(), source: source.clone() };
        NodeOp::Scan(Arc::new(scan))
    }))
}

fn check(source: &ParquetSource) -> Result<(), Reason> {
    let refuse = |detail: &str| Err(Reason::new(ReasonCode::ScanOption, detail));
    if !source.table_schema().virtual_columns().is_empty() {
        return refuse("virtual columns");
    }
    let crypto = &source.table_parquet_options().crypto;
    if crypto.file_decryption.is_some() || crypto.factory_id.is_some() {
        return refuse("encrypted files");
    }
    Ok(())
}

impl Scan for ParquetScan {
    fn pieces(&self) -> usize {
        self.config.file_groups.iter().map(|group| group.len()).sum()
    }

    fn shares(&self) -> bool {
        self.config.limit.is_none()
    }

    fn start(&self, context: &Arc<RunContext>, request: &ScanRequest) -> Result<Arc<dyn ScanRun>> {
        run::start(&self.config, &self.source, context, request)
    }
}
