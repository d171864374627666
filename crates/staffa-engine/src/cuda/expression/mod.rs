//! Filter and projection on the device: DataFusion's expressions as programs of the tile interpreter.
//!
//! [`lower`] takes a filter and output expressions, checks that the device can compute all of them and
//! says why not, without a device. [`Lowered::run`] computes them over a morsel's columns.
//! docs/design/expression.md has the rules and what lowers.

mod binary;
mod case;
mod cast;
mod compile;
mod dictionary;
mod functions;
mod interval;
mod list;
mod literal;
mod lowering;
mod run;
mod strings;
mod types;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use datafusion_physical_expr_common::physical_expr::PhysicalExpr;
use parking_lot::Mutex;
use staffa_common::{Reason, ReasonCode};

pub use compile::{ColumnShape, Compiled, OutputFrom, Shape};
pub use run::Ran;
pub use types::storage;

use dictionary::Lookup;
use lowering::Expr;

/// A filter and a projection that the device computes, lowered for whatever form columns come in.
#[derive(Debug)]
pub struct Lowered {
    schema: Schema,
    filter: Option<Expr>,
    outputs: Vec<Expr>,
    types: Vec<DataType>,
    columns: Vec<usize>,
    lookups: Vec<Lookup>,
    /// Whether every output can be compacted.
    compacts: bool,
    makes_strings: bool,
    compiled: Mutex<HashMap<Shape, Arc<run::Loaded>>>,
}

/// Lowers a filter (a boolean expression; rows on which it is true stay) and a projection over `input`.
///
/// A scalar subquery's value is taken at the first run, by when it must be there: lower again for another
/// execution of the plan.
///
/// # Errors
/// The first thing found that the device cannot do.
pub fn lower(
    filter: Option<&Arc<dyn PhysicalExpr>>,
    outputs: &[Arc<dyn PhysicalExpr>],
    input: &Schema,
) -> Result<Lowered, Reason> {
    let mut columns: Vec<usize> = filter
        .into_iter()
        .chain(outputs)
        .flat_map(collect_columns)
        .map(|column| column.index())
        .collect();
    columns.sort_unstable();
    columns.dedup();
    if let Some(beyond) = columns.iter().find(|column| **column >= input.fields().len()) {
        return Err(Reason::new(ReasonCode::LoweringFault, format!("no column {beyond}")));
    }
    let mut types = Vec::with_capacity(outputs.len());
    for output in outputs {
        let of = output
            .data_type(input)
            .map_err(|error| Reason::new(ReasonCode::Expression, format!("{output}: {error}")))?;
        if !output.is::<Column>() && matches!(of, DataType::Dictionary(_, _)) {
            return Err(Reason::new(ReasonCode::DataType, format!("{output} makes a {of}")));
        }
        types.push(of);
    }
    let compacts = outputs.iter().zip(&types).all(|(_, of)| storage(of).is_some());
    let mut lowered = Lowered {
        schema: input.clone(),
        filter: filter.cloned(),
        outputs: outputs.to_vec(),
        types,
        columns,
        lookups: Vec::new(),
        compacts,
        makes_strings: false,
        compiled: Mutex::default(),
    };
    lowered.lookups = dictionary::find(&lowered.schema, filter.into_iter().chain(outputs));
    // Whatever form columns come in, this program can run: others only do less per row.
    let compiled = compile::compile(&lowered, &lowered.general(compacts), true)?;
    lowered.makes_strings = compiled.program.is_some_and(|program| program.makes_strings());
    Ok(lowered)
}

impl Lowered {
    /// The columns of the input schema that are read, ascending: what [`Lowered::run`] takes, in order.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The types of the outputs, as DataFusion declares them.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Whether rows are dropped.
    pub fn filters(&self) -> bool {
        self.filter.is_some()
    }

    /// Whether it writes strings, for which `Options::heap_bytes` must be there. How many is known only when it
    /// has run: where the heap was too small, the error slot holds `ERROR_HEAP_FULL` and [`Ran::heap_used`] how
    /// much the launches asked for until then.
    pub fn makes_strings(&self) -> bool {
        self.makes_strings
    }

    /// Whether it can run over a selection of rows: not when a column without a register passes through.
    pub fn takes_selection(&self) -> bool {
        self.compacts
    }

    /// The program of a form, and where outputs come from. Pure; [`Lowered::run`] keeps what it has compiled.
    ///
    /// # Errors
    /// As [`lower`]; `Expression` when a scalar subquery has not run.
    pub fn compile(&self, shape: &Shape) -> Result<Compiled, Reason> {
        compile::compile(self, shape, false)
    }

    /// The form in which every column is plain and may be NULL where the schema says so.
    pub fn general(&self, compact: bool) -> Shape {
        let nullable = |column: &usize| self.schema.field(*column).is_nullable();
        let columns = self
            .columns
            .iter()
            .map(|column| ColumnShape { nullable: nullable(column), codes: false, lookup: false })
            .collect();
        Shape { compact: compact || self.filter.is_some(), columns }
    }
}
