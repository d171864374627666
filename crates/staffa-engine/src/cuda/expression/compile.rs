//! From expressions and the form of the columns to programs.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;
use staffa_common::{Reason, ReasonCode};
use staffa_kernels::expression::{Builder, Input, Program, Type};

use super::Lowered;
use super::dictionary::gathers;
use super::lowering::{Lowering, Place};
use super::types::{no_type, storage};

/// The form in which one column comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ColumnShape {
    /// Whether it has a validity bitmap.
    pub nullable: bool,
    /// Whether it is of kind `Codes`, which outputs that are this column keep.
    pub codes: bool,
    /// Whether expressions of it alone are computed per entry of its dictionary.
    pub lookup: bool,
}

/// The form of all columns, in the order of [`Lowered::columns`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Whether rows are dropped, by the filter or because a selection is read: then no column passes as it is.
    pub compact: bool,
    /// The columns.
    pub columns: Vec<ColumnShape>,
}

/// Where an output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFrom {
    /// The column of this number of [`Lowered::columns`], untouched.
    Column(usize),
    /// This output of the program.
    Program(usize),
    /// This output of the program holds codes into the dictionary of this column.
    Codes {
        /// Output of the program.
        output: usize,
        /// Number of the column.
        column: usize,
    },
}

/// The expressions over one column's dictionary.
#[derive(Debug)]
pub struct Entries {
    /// Number of the column in [`Lowered::columns`].
    pub column: usize,
    /// One input, the entries; an output for each expression.
    pub program: Program,
}

/// Programs for one form of the columns.
#[derive(Debug)]
pub struct Compiled {
    /// Run first, over dictionaries.
    pub entries: Vec<Entries>,
    /// Run over the rows; absent when all outputs are columns as they are.
    pub program: Option<Program>,
    /// The program's first inputs, as numbers of [`Lowered::columns`]; behind them come the outputs of
    /// `entries`, in order.
    pub inputs: Vec<usize>,
    /// Where the outputs come from.
    pub outputs: Vec<OutputFrom>,
}

/// A number in [`Lowered::columns`].
fn number(lowered: &Lowered, column: usize) -> Result<usize, Reason> {
    lowered
        .columns
        .binary_search(&column)
        .map_err(|_| Reason::new(ReasonCode::LoweringFault, format!("column {column} is not read")))
}

/// The columns that the program reads, as numbers.
fn inputs(lowered: &Lowered, shape: &Shape) -> Result<Vec<usize>, Reason> {
    let mut inputs = Vec::new();
    for expr in lowered.filter.iter().chain(&lowered.outputs) {
        let output = expr.is::<Column>() && lowered.outputs.iter().any(|o| Arc::ptr_eq(o, expr));
        if output && !shape.compact {
            continue;
        }
        for column in collect_columns(expr) {
            inputs.push(number(lowered, column.index())?);
        }
    }
    inputs.sort_unstable();
    inputs.dedup();
    Ok(inputs)
}

fn input(lowered: &Lowered, shape: &Shape, number: usize) -> Result<Input, Reason> {
    let of = lowered.schema.field(lowered.columns[number]).data_type();
    let kind = storage(of).ok_or_else(|| no_type(of))?;
    let nullable = shape.columns.get(number).is_none_or(|column| column.nullable);
    Ok(Input { kind, nullable })
}

/// The programs over the dictionaries of columns that have them.
fn entries(lowered: &Lowered, shape: &Shape) -> Result<Vec<Entries>, Reason> {
    let mut all = Vec::new();
    for (number, column) in lowered.columns.iter().enumerate() {
        if !shape.columns.get(number).is_some_and(|column| column.lookup) {
            continue;
        }
        let places = HashMap::from([(*column, Place { input: 0 })]);
        let builder = Builder::new(vec![Input { kind: Type::Span, nullable: false }]);
        let mut l = Lowering::new(builder, &lowered.schema, &places);
        let mut some = false;
        for lookup in lowered.lookups.iter().filter(|lookup| lookup.column == *column) {
            if gathers(&l.type_of(&lookup.expr)?) {
                let value = l.value(&lookup.expr)?;
                l.builder.output(value)?;
                some = true;
            }
        }
        if some {
            all.push(Entries { column: number, program: l.builder.finish()? });
        }
    }
    Ok(all)
}

/// `assumes`: scalar subqueries need not have run, and the programs are not for running.
///
/// # Errors
/// What the device cannot do.
pub(super) fn compile(lowered: &Lowered, shape: &Shape, assumes: bool) -> Result<Compiled, Reason> {
    let inputs = inputs(lowered, shape)?;
    let entries = entries(lowered, shape)?;
    let mut declared = Vec::with_capacity(inputs.len());
    let mut places = HashMap::new();
    for (at, number) in inputs.iter().enumerate() {
        declared.push(input(lowered, shape, *number)?);
        places.insert(lowered.columns[*number], Place { input: at });
    }
    let mut lookups = HashMap::new();
    for part in &entries {
        let column = lowered.columns[part.column];
        let exprs = lowered.lookups.iter().filter(|lookup| lookup.column == column);
        let mut outputs = part.program.outputs().iter();
        for lookup in exprs {
            let of = lookup.expr.data_type(&lowered.schema).ok();
            if !of.is_some_and(|of| gathers(&of)) {
                continue;
            }
            if let Some(output) = outputs.next() {
                lookups.insert(Arc::clone(&lookup.expr), (declared.len(), column));
                declared.push(Input { kind: output.kind, nullable: output.nullable });
            }
        }
    }
    let mut l = Lowering::new(Builder::new(declared), &lowered.schema, &places);
    l.lookups = lookups;
    l.assumes = assumes;
    let mut any = false;
    if let Some(filter) = &lowered.filter {
        let condition = l.value_as(filter, &arrow::datatypes::DataType::Boolean)?;
        l.builder.filter(condition)?;
        any = true;
    }
    let mut outputs = Vec::with_capacity(lowered.outputs.len());
    for expr in &lowered.outputs {
        let from = output(lowered, shape, &mut l, expr)?;
        any |= !matches!(from, OutputFrom::Column(_));
        outputs.push(from);
    }
    let program = if any { Some(l.builder.finish()?) } else { None };
    Ok(Compiled { entries, program, inputs, outputs })
}

fn output(
    lowered: &Lowered,
    shape: &Shape,
    l: &mut Lowering<'_>,
    expr: &super::lowering::Expr,
) -> Result<OutputFrom, Reason> {
    let Some(column) = expr.downcast_ref::<Column>() else {
        let value = l.value(expr)?;
        return Ok(OutputFrom::Program(l.builder.output(value)?));
    };
    let number = number(lowered, column.index())?;
    if !shape.compact {
        return Ok(OutputFrom::Column(number));
    }
    if shape.columns.get(number).is_some_and(|column| column.codes) {
        let codes = l.codes(column.index())?;
        return Ok(OutputFrom::Codes { output: l.builder.output(codes)?, column: number });
    }
    let value = l.column(column)?;
    Ok(OutputFrom::Program(l.builder.output(value)?))
}
