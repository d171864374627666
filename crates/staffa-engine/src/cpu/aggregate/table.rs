//! Groups and their states.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion_common::Result;
use datafusion_expr::{EmitTo, GroupsAccumulator};

use super::fold::Folds;
use super::functions;
use super::keys::{Keys, keys, keys_of_kept};
use super::plan::{Evaluated, Plan};

/// The values of groups, in the columns of the output, from their states, in those of the state schema. A row is a
/// group: no key is there twice.
pub(super) fn values(plan: &Plan, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let (keys, states) = plan.split(columns);
    let rows = columns.first().map_or(0, |column| column.len());
    let ids: Vec<usize> = (0..rows).collect();
    let mut values = keys.to_vec();
    for (function, states) in plan.spec.aggregates.iter().zip(states) {
        let mut groups = functions::groups(function)?;
        groups.merge_batch(states, &ids, rows)?;
        values.push(groups.evaluate(EmitTo::All)?);
    }
    Ok(values)
}

/// A hash table from keys to the states of every function.
pub(super) struct Table {
    plan: Arc<Plan>,
    keys: Box<dyn Keys>,
    functions: Vec<Box<dyn GroupsAccumulator>>,
    ids: Vec<usize>,
    folds: Folds,
}

impl Table {
    pub(super) fn new(plan: &Arc<Plan>) -> Result<Self> {
        Self::of(plan, keys(&plan.key_schema)?)
    }

    /// A table for [`merge`](Self::merge) alone, of columns that are kept until it has been emptied.
    pub(super) fn of_kept(plan: &Arc<Plan>) -> Result<Self> {
        Self::of(plan, keys_of_kept(&plan.key_schema)?)
    }

    fn of(plan: &Arc<Plan>, keys: Box<dyn Keys>) -> Result<Self> {
        Ok(Self {
            plan: Arc::clone(plan),
            keys,
            functions: plan.spec.aggregates.iter().map(functions::groups).collect::<Result<_>>()?,
            ids: Vec::new(),
            folds: Folds::new(plan),
        })
    }

    /// Number of groups.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Makes the table, which has been emptied, as good as new; its keys keep their room.
    pub(super) fn renew(&mut self) -> Result<()> {
        let functions = self.plan.spec.aggregates.iter().map(functions::groups);
        self.functions = functions.collect::<Result<_>>()?;
        Ok(())
    }

    /// Makes room for `more` groups, as far as that is known to help.
    pub(super) fn reserve(&mut self, more: usize) {
        self.keys.reserve(more);
    }

    /// Bytes held.
    pub(super) fn size(&self) -> usize {
        let states: usize = self.functions.iter().map(|states| states.size()).sum();
        self.keys.size() + states + self.ids.capacity() * size_of::<usize>()
    }

    /// Adds what the input held: rows, or states where the stage reads states.
    pub(super) fn add(&mut self, input: &Evaluated) -> Result<()> {
        let reads_states = self.plan.spec.stage.reads_states();
        for keys in &input.keys {
            self.keys.intern(keys, &mut self.ids)?;
            let groups = self.keys.len();
            let few = self.folds.begin(&self.ids, groups);
            let inputs = input.arguments.iter().zip(&input.masks).enumerate();
            for (states, (at, (arguments, mask))) in self.functions.iter_mut().zip(inputs) {
                if reads_states {
                    states.merge_batch(arguments, &self.ids, groups)?;
                } else if few
                    && mask.is_none()
                    && let Some(folded) = self.folds.states(at, arguments, &self.ids)?
                {
                    states.merge_batch(&folded, self.folds.groups(), groups)?;
                } else {
                    states.update_batch(arguments, &self.ids, mask.as_ref(), groups)?;
                }
            }
        }
        Ok(())
    }

    /// The input's rows as groups of their own, one batch of state columns per grouping set.
    /// The table stays as it is.
    pub(super) fn convert(&self, input: &Evaluated) -> Result<Vec<Vec<ArrayRef>>> {
        let mut states: Vec<ArrayRef> = Vec::new();
        let inputs = input.arguments.iter().zip(&input.masks);
        for (function, (arguments, mask)) in self.functions.iter().zip(inputs) {
            if self.plan.spec.stage.reads_states() {
                states.extend(arguments.iter().cloned());
            } else {
                states.extend(function.convert_to_state(arguments, mask.as_ref())?);
            }
        }
        let with_states = |keys: &Vec<ArrayRef>| {
            let keys = keys.iter().enumerate().map(|(at, key)| self.plan.plain(at, key));
            keys.chain(states.iter().cloned().map(Ok)).collect()
        };
        input.keys.iter().map(with_states).collect()
    }

    /// Adds states of other tables, in the columns of the state schema.
    pub(super) fn merge(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let (keys, states) = self.plan.split(columns);
        self.keys.intern(keys, &mut self.ids)?;
        let groups = self.keys.len();
        for (own, other) in self.functions.iter_mut().zip(states) {
            own.merge_batch(other, &self.ids, groups)?;
        }
        Ok(())
    }

    /// All groups as columns of the state schema. Leaves the table empty.
    pub(super) fn states(&mut self) -> Result<Vec<ArrayRef>> {
        let mut columns = self.keys.take()?;
        for states in &mut self.functions {
            columns.extend(states.state(EmitTo::All)?);
        }
        Ok(columns)
    }

    /// All groups as columns of the output: states or values, as the stage writes them.
    /// Leaves the table empty.
    pub(super) fn output(&mut self) -> Result<Vec<ArrayRef>> {
        if self.plan.spec.stage.writes_states() {
            return self.states();
        }
        let mut columns = self.keys.take()?;
        for states in &mut self.functions {
            columns.push(states.evaluate(EmitTo::All)?);
        }
        Ok(columns)
    }
}
