//! The states of an aggregation's functions, one per group.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_expr::GroupsAccumulator;
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::GroupsAccumulatorAdapter;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;

/// DataFusion's own states of a function, so that partial states mix with DataFusion's.
///
/// # Errors
/// DataFusion's, for a function that does not support the arguments.
pub(super) fn groups(function: &Arc<AggregateFunctionExpr>) -> Result<Box<dyn GroupsAccumulator>> {
    if function.groups_accumulator_supported() {
        return function.create_groups_accumulator();
    }
    let function = Arc::clone(function);
    Ok(Box::new(GroupsAccumulatorAdapter::new(move || function.create_accumulator())))
}
