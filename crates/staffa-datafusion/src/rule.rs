//! The physical optimizer rule, and the one function that rewrites a plan.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, plan_err};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::execution_plan::replace_children_if_necessary;
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::recursive_query::RecursiveQueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, StatisticsArgs, StatisticsContext,
};
use staffa_common::ReasonCode;
use staffa_engine::plan::NodeOp;

use crate::first::below;
use crate::kept::KeptExec;
use crate::lower::{Setting, lower};
use crate::node::StaffaExec;
use crate::place::place;
use crate::region::runtime;
use crate::report::{Place, PlanReport, report};
use crate::share::share;
use crate::{OnUnsupported, StaffaConfig};

/// How a plan is to be rewritten.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The session's `staffa.*` settings.
    pub config: StaffaConfig,
}

impl Policy {
    /// The policy that a session's options ask for.
    pub fn from_options(options: &ConfigOptions) -> Self {
        Self { config: options.extensions.get::<StaffaConfig>().cloned().unwrap_or_default() }
    }
}

/// Replaces every node of `plan` that a Staffa engine runs by its twin, and puts the coded reason
/// on the rest. The only way in: the local rule, executors of a cluster and plugins all call this.
/// A plan in which there was nothing to accelerate (sources alone) comes back as it was; one that
/// holds Staffa nodes already keeps them.
///
/// # Errors
/// Under `staffa.on_unsupported = error`, a node that no engine takes.
pub fn rewrite(plan: Arc<dyn ExecutionPlan>, policy: &Policy) -> Result<Arc<dyn ExecutionPlan>> {
    if !policy.config.enabled || reads_too_little(&plan, policy.config.min_rows) {
        return Ok(plan);
    }
    // What comes out at the top is looked at in the order that it comes in, declared or not.
    let rewritten =
        node(&plan, Setting { order_used: true, cut: false, limited: false, first: None })?;
    place(&rewritten, &policy.config, &*runtime(policy.config.threads)?)?;
    share(&rewritten);
    let seen = report(&rewritten);
    if policy.config.on_unsupported == OnUnsupported::Error {
        refuse_unsupported(&seen)?;
    }
    let says_nothing =
        seen.nodes.iter().all(|node| matches!(node.code, None | Some(ReasonCode::Source)));
    Ok(if seen.staffa_nodes() == 0 && says_nothing { plan } else { rewritten })
}

/// Rewrites a node and everything below it. `above` is what lowering is to know, but that the order counts whether
/// the node declares it or not.
fn node(plan: &Arc<dyn ExecutionPlan>, above: Setting) -> Result<Arc<dyn ExecutionPlan>> {
    if StaffaExec::of(plan.as_ref()).is_some() || plan.is::<RecursiveQueryExec>() {
        return Ok(Arc::clone(plan));
    }
    let order_used = above.order_used && holds_order(plan);
    let declared = order_used && plan.output_ordering().is_some();
    let lowered = lower(plan, Setting { order_used: declared, ..above });
    let limited = !reads_all(plan) && (above.limited || cuts(plan));
    let cut = !blocks_filters(plan) && (above.cut || cuts(plan));
    let first = below(plan, above.first);
    let keeps = plan.maintains_input_order();
    let needs = plan.required_input_ordering();
    let children = plan.children();
    let mut rewritten = Vec::with_capacity(children.len());
    for (at, child) in children.iter().enumerate() {
        let used = match &lowered {
            // A node that stays may rely on any order that its input declares.
            Err(_) => true,
            // The first rows of an order are other rows than the first rows of none.
            Ok(NodeOp::Limit(_)) => true,
            Ok(NodeOp::Merge(..)) => true,
            // A frame of rows without an ORDER BY follows whatever order there is.
            Ok(NodeOp::Window(_)) => true,
            Ok(NodeOp::Sort(_) | NodeOp::Aggregate(_) | NodeOp::Join(_)) => order_used && keeps[at],
            // DataFusion's union denies keeping an order that constants complete, and relies on it.
            Ok(NodeOp::Union | NodeOp::Interleave) => order_used,
            Ok(_) => (order_used && keeps[at]) || needs[at].is_some(),
        };
        rewritten.push(node(child, Setting { order_used: used, cut, limited, first })?);
    }
    match lowered {
        Ok(op) => Ok(Arc::new(StaffaExec::new(Arc::clone(plan), rewritten, op, order_used))),
        Err(_) if KeptExec::of(plan.as_ref()).is_some() => {
            replace_children_if_necessary(Arc::clone(plan), rewritten)
        }
        Err(reason) => {
            let inner = replace_children_if_necessary(Arc::clone(plan), rewritten)?;
            Ok(Arc::new(KeptExec::new(inner, reason)))
        }
    }
}

/// Whether rows come out of a node in an order: one that it declares, or one that a projection declares no longer
/// because it drops the columns, as in `SELECT a FROM t ORDER BY b`.
pub(crate) fn holds_order(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.output_ordering().is_some() || {
        let mut inputs = plan.children().into_iter().zip(plan.maintains_input_order());
        inputs.any(|(child, keeps)| keeps && holds_order(child))
    }
}

/// Whether a node lets no dynamic filter of the nodes above pass.
fn blocks_filters(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<SortExec>()
        || plan.is::<SortPreservingMergeExec>()
        || plan.is::<GlobalLimitExec>()
        || plan.is::<LocalLimitExec>()
}

/// Whether a node may stop before its input ends. (A scan's own limit is the scan's to know.)
fn cuts(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.fetch().is_some() || any_groups(plan)
}

/// Whether a node is an aggregation that ends once it has so many groups, whichever those are.
fn any_groups(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let limit = plan.downcast_ref::<AggregateExec>().and_then(AggregateExec::limit_options);
    limit.is_some_and(|limit| limit.descending().is_none())
}

/// Whether DataFusion's node reads its input, or one of its inputs, to the end before it puts out anything.
pub(crate) fn reads_all(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let passes = plan.is::<UnionExec>() || plan.is::<InterleaveExec>();
    plan.is::<SortExec>()
        || plan.is::<WindowAggExec>()
        || (plan.is::<AggregateExec>() && !any_groups(plan))
        || (plan.children().len() > 1 && !passes)
}

/// Whether the plan's sources are known to hold fewer than `min_rows` rows in all.
fn reads_too_little(plan: &Arc<dyn ExecutionPlan>, min_rows: usize) -> bool {
    if min_rows == 0 {
        return false;
    }
    let mut rows = 0_usize;
    let known = sum_sources(plan, &StatisticsContext::new(), &mut rows);
    known && rows < min_rows
}

fn sum_sources(
    plan: &Arc<dyn ExecutionPlan>,
    statistics: &StatisticsContext,
    rows: &mut usize,
) -> bool {
    let children = plan.children();
    if !children.is_empty() {
        return children.iter().all(|child| sum_sources(child, statistics, rows));
    }
    let found = statistics.compute(plan.as_ref(), &StatisticsArgs::new());
    match found.map(|found| found.num_rows) {
        Ok(Precision::Exact(n) | Precision::Inexact(n)) => {
            *rows = rows.saturating_add(n);
            true
        }
        _ => false,
    }
}

fn refuse_unsupported(seen: &PlanReport) -> Result<()> {
    let refused = seen.nodes.iter().find(|node| {
        node.place == Place::DataFusion
            && node.code.is_some()
            && !matches!(
                node.code,
                Some(
                    ReasonCode::Source | ReasonCode::ScalarSubqueryWrapper | ReasonCode::NotFaster
                )
            )
    });
    match refused {
        Some(node) => plan_err!(
            "staffa.on_unsupported is error, and {} stays with DataFusion: {}",
            node.name,
            node.reason.as_deref().unwrap_or("no reason")
        ),
        None => Ok(()),
    }
}

/// Runs [`rewrite`] on every physical plan, immediately before `SanityCheckPlan`.
#[derive(Debug, Default)]
pub struct AccelerateRule;

impl PhysicalOptimizerRule for AccelerateRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        options: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let policy = Policy::from_options(options);
        rewrite(plan, &policy)
    }

    fn name(&self) -> &str {
        "staffa_accelerate"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Adds Staffa to a session: its settings, and its rule immediately before `SanityCheckPlan`.
/// Additive: rules, functions and settings of the builder stay. Doing it twice changes nothing.
pub fn register(mut builder: SessionStateBuilder, config: StaffaConfig) -> SessionStateBuilder {
    builder.config().get_or_insert_default().options_mut().extensions.insert(config);
    let rules =
        builder.physical_optimizer_rules().take().unwrap_or_else(|| PhysicalOptimizer::new().rules);
    builder.with_physical_optimizer_rules(with_rule(rules))
}

/// A session's rules, in their order.
type Rules = Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>;

fn with_rule(mut rules: Rules) -> Rules {
    if rules.iter().any(|rule| rule.name() == AccelerateRule.name()) {
        return rules;
    }
    let place =
        rules.iter().position(|rule| rule.name() == "SanityCheckPlan").unwrap_or(rules.len());
    rules.insert(place, Arc::new(AccelerateRule));
    rules
}

/// The plan as DataFusion made it: every Staffa node replaced by the node it stands for.
///
/// # Errors
/// DataFusion's, where a node refuses its inputs.
pub fn original(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let node = match KeptExec::of(plan.as_ref()) {
        Some(kept) => kept.inner(),
        None => plan,
    };
    if let Some(staffa) = StaffaExec::of(node.as_ref()) {
        return original(staffa.original());
    }
    let children = node.children().into_iter().map(original).collect::<Result<Vec<_>>>()?;
    replace_children_if_necessary(Arc::clone(node), children)
}
