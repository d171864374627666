//! Joins that rows probe on the device: what a row of operators behind a scan, or above any other source, becomes there.
//!
//! [`lower`] and [`lower_lifted`] turn probes, and the filters and projections between them, into a [`Chain`] of steps
//! over columns, or say why a device cannot do them; they ask no device. Who runs a chain gathers what the steps name: a column that
//! nobody reads behind a join is never gathered. docs/design/join.md has the order of launches.

mod lowering;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use staffa_kernels::abi::KeyRule;

use super::expression::Lowered;

pub use lowering::{End, lower, lower_lifted};

/// A row of operators. Behind a scan the first of them is a probe.
#[derive(Debug)]
pub struct Chain {
    /// What the first step reads, over the rows that enter: columns as they are where the chain was lifted.
    pub entry: Vec<Arc<dyn PhysicalExpr>>,
    /// The operators that let every row pass that enters.
    pub counts: Vec<usize>,
    /// In the order of the rows' way. The last one leaves the columns that the end asked for.
    pub steps: Vec<Step>,
    /// The types of the last step's columns.
    pub types: Vec<DataType>,
    /// Operators that it does, as many as were given.
    pub operators: usize,
}

impl Chain {
    /// The probes.
    pub fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.steps.iter().filter_map(|step| match step {
            Step::Probe(probe) => Some(probe.as_ref()),
            Step::Compute(_) => None,
        })
    }
}

/// A part of a chain: from columns to columns.
#[derive(Debug)]
pub enum Step {
    /// Finds matches, and gathers the columns that are read of them.
    Probe(Box<Probe>),
    /// Drops rows and computes columns.
    Compute(Compute),
}

/// See [`Step::Probe`].
#[derive(Debug)]
pub struct Probe {
    /// Which of the operators it is.
    pub operator: usize,
    /// The operators whose rows are those that this step leaves.
    pub counts: Vec<usize>,
    /// The keys, in the order of the join's.
    pub keys: Vec<Key>,
    /// Whether NULL matches NULL.
    pub nulls_equal: bool,
    /// What is to be found.
    pub finds: Finds,
    /// Whether the build rows that have a match are to be told.
    pub marks: bool,
    /// What a pair must meet too, where it is not a filter of the rows that go on.
    pub residual: Option<Box<Residual>>,
    /// The columns that go on.
    pub gathers: Vec<From>,
}

impl Probe {
    /// The columns of the build side that it reads, as numbers of those that are kept; ascending.
    pub fn build_columns(&self) -> Vec<usize> {
        let residual = self.residual.iter().flat_map(|residual| &residual.gathers);
        let mut columns: Vec<usize> = self
            .gathers
            .iter()
            .chain(residual)
            .filter_map(|from| match from {
                From::Build(column) => Some(*column),
                _ => None,
            })
            .collect();
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

/// A key.
#[derive(Debug, Clone)]
pub struct Key {
    /// Which of the columns it is.
    pub column: usize,
    /// How values compare.
    pub rule: KeyRule,
    /// Its type on the build side.
    pub build_type: DataType,
}

/// What a probe is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finds {
    /// Pairs of rows; `outer`: also the rows without a match.
    Pairs {
        /// See above.
        outer: bool,
    },
    /// Rows that have a match, or those that have none.
    Rows {
        /// See above.
        matched: bool,
    },
    /// All rows, and whether they have a match.
    Mark,
    /// No rows: only which build rows have a match.
    Nothing,
}

/// Where a column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// This column of the build side, as a number of those that are kept.
    Build(usize),
    /// This column of the step before.
    Probe(usize),
    /// Whether the row has a match.
    Mark,
}

/// A condition on pairs.
#[derive(Debug)]
pub struct Residual {
    /// What it reads.
    pub gathers: Vec<From>,
    /// One output, a boolean.
    pub lowered: Lowered,
}

/// See [`Step::Compute`].
#[derive(Debug)]
pub struct Compute {
    /// The operators whose rows are those that this step leaves.
    pub counts: Vec<usize>,
    /// Over the columns of the step before.
    pub work: Work,
}

/// How columns are made.
#[derive(Debug)]
pub enum Work {
    /// These columns, as they are.
    Columns(Vec<usize>),
    /// By a program.
    Program(Box<Lowered>),
}
