//! Hash exchanges: every row in the partition where DataFusion puts it, because plain and
//! accelerated stages of one query meet there.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::datasource::TableProvider;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use staffa_datafusion::{Policy, StaffaConfig, report, rewrite};

use super::tables::{Shape, table};
use crate::oracle::{Answer, Comparison};

/// Partitions rows by keys of `data_type`, alone and after another column, into 1 to 16 parts;
/// gives how many exchanges ran.
///
/// # Errors
/// The first partition whose rows differ, or an exchange that stayed with DataFusion.
pub async fn partitions_as_datafusion(
    config: &StaffaConfig,
    data_type: &DataType,
) -> Result<usize> {
    let ctx = SessionContext::new();
    let mut ran = 0;
    for shape in Shape::ALL {
        let table = table(data_type, shape, 5)?;
        for (keys, count) in
            [(vec!["k"], 1), (vec!["k"], 3), (vec!["v", "k"], 16), (vec!["k", "v"], 7)]
        {
            let source = table.scan(&ctx.state(), None, &[], None).await?;
            let schema = source.schema();
            let keys = keys.iter().map(|k| col(k, &schema)).collect::<Result<Vec<_>>>()?;
            let exchange = || -> Result<Arc<dyn ExecutionPlan>> {
                let by = Partitioning::Hash(keys.clone(), count);
                Ok(Arc::new(RepartitionExec::try_new(source.clone(), by)?))
            };
            let ours = rewrite(exchange()?, &Policy { config: config.clone() })?;
            if report(&ours).staffa_nodes() == 0 {
                return Err(exec_datafusion_err!(
                    "the exchange on {data_type} stayed with DataFusion"
                ));
            }
            let (theirs, ours) = (parts(exchange()?, &ctx).await?, parts(ours, &ctx).await?);
            for (at, (expected, actual)) in theirs.iter().zip(&ours).enumerate() {
                if let Some(text) = Comparison::default().difference(expected, actual)? {
                    return Err(exec_datafusion_err!(
                        "{data_type}, {shape:?}, partition {at} of {count}: {text}"
                    ));
                }
            }
            ran += 1;
        }
    }
    Ok(ran)
}

/// The rows of every output partition.
async fn parts(plan: Arc<dyn ExecutionPlan>, ctx: &SessionContext) -> Result<Vec<Answer>> {
    // All partitions at once: an exchange's outputs wait for each other where one is not read.
    let reads = (0..plan.output_partitioning().partition_count()).map(|partition| {
        let (plan, task) = (plan.clone(), ctx.task_ctx());
        async move {
            let batches = plan.execute(partition, task)?.try_collect().await?;
            Ok(Answer { schema: plan.schema(), batches })
        }
    });
    futures::future::try_join_all(reads).await
}
