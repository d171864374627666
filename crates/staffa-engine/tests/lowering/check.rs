//! One check: the reference and the device against `PhysicalExpr::evaluate`, row by row.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use staffa_common::Reason;
use staffa_engine::cuda::expression::{Compiled, Lowered, OutputFrom, Shape, lower};
use staffa_kernels::expression::Constant;
use staffa_kernels::expression::reference::{self, Cell, HostColumn};

use crate::cells::{cells, host, plain, same};
use crate::device::{Answer, Machine, machine};
use crate::values;

/// What became of a check that did not fail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    pub(crate) rows: usize,
    /// DataFusion errs, and so the program asks for a rerun.
    pub(crate) errors: usize,
    /// DataFusion does not err, and the program asks for a rerun all the same.
    pub(crate) reruns: usize,
    /// Why it does not lower.
    pub(crate) refused: Option<Reason>,
}

/// SQL as the planner makes it: coerced and simplified.
pub(crate) fn plan(sql: &str, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>, String> {
    static CONTEXT: LazyLock<SessionContext> = LazyLock::new(SessionContext::new);
    let text = |error: DataFusionError| error.to_string();
    let schema = Arc::new(DFSchema::try_from(schema.clone()).map_err(text)?);
    let expr = CONTEXT.parse_sql_expr(sql, &schema).map_err(text)?;
    let simplify = SimplifyContext::builder().with_schema(Arc::clone(&schema)).build();
    let simplifier = ExprSimplifier::new(simplify);
    let expr = simplifier.coerce(expr, &schema).map_err(text)?;
    let expr = simplifier.simplify(expr).map_err(text)?;
    CONTEXT.create_physical_expr(expr, &schema).map_err(text)
}

fn evaluate(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Result<ArrayRef, String> {
    // Some of arrow's casts overflow, which panics in builds that check.
    let value = catch_unwind(AssertUnwindSafe(|| expr.evaluate(batch)))
        .map_err(|_| "a panic".to_owned())?
        .map_err(|e| e.to_string())?;
    value.into_array(batch.num_rows()).map_err(|e| e.to_string())
}

/// What DataFusion gives for a row: a cell or an error.
fn expected(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Vec<Result<Cell, String>> {
    match evaluate(expr, batch) {
        Ok(array) => cells(array.as_ref()).into_iter().map(Ok).collect(),
        Err(_) => (0..batch.num_rows())
            .map(|row| evaluate(expr, &batch.slice(row, 1)).map(|a| cells(a.as_ref())[0].clone()))
            .collect(),
    }
}

/// Runs programs on the host.
pub(crate) struct Host {
    compiled: Compiled,
    inputs: Vec<HostColumn>,
}

impl Host {
    /// `None`: a dictionary's program asks for a rerun, and with it the whole morsel.
    pub(crate) fn new(lowered: &Lowered, batch: &RecordBatch, codes: bool) -> Option<Host> {
        let columns: Vec<(ArrayRef, bool)> = lowered
            .columns()
            .iter()
            .map(|c| {
                let array = Arc::clone(batch.column(*c));
                let text = is_text(array.data_type());
                (array, codes && text)
            })
            .collect();
        let mut shape: Shape = lowered.general(false);
        for (form, (array, codes)) in shape.columns.iter_mut().zip(&columns) {
            form.nullable = array.null_count() > 0;
            form.lookup = *codes;
            form.codes = *codes && shape.compact;
        }
        let compiled = lowered.compile(&shape).expect("a form of what lowers lowers");
        let mut inputs: Vec<HostColumn> =
            compiled.inputs.iter().map(|n| host(columns[*n].0.as_ref(), columns[*n].1)).collect();
        for part in &compiled.entries {
            let HostColumn::Codes { dictionary, .. } = host(columns[part.column].0.as_ref(), true)
            else {
                unreachable!("asked for codes");
            };
            let entries = HostColumn::Plain(dictionary.into_iter().map(Some).collect());
            let outcome = reference::run(&part.program, &[entries], None).ok()?;
            inputs.extend(outcome.columns.into_iter().map(HostColumn::Plain));
        }
        Some(Host { compiled, inputs })
    }

    /// A row's first output; `None` for a rerun.
    pub(crate) fn row(&self, row: usize) -> Option<Cell> {
        let program = self.compiled.program.as_ref()?;
        let outcome = reference::run(program, &self.inputs, Some(&[row as u32])).ok()?;
        Some(outcome.columns[0][0].clone())
    }

    /// What the program makes of a row; `None` for a rerun.
    fn outcome(&self, row: usize) -> Option<reference::Outcome> {
        let program = self.compiled.program.as_ref()?;
        reference::run(program, &self.inputs, Some(&[row as u32])).ok()
    }

    /// An output of a row that stayed; codes as their entries.
    fn cell(&self, outcome: &reference::Outcome, number: usize) -> Cell {
        match self.compiled.outputs[number] {
            OutputFrom::Program(output) => outcome.columns[output][0].clone(),
            OutputFrom::Codes { output, column } => {
                let at = self.compiled.inputs.iter().position(|input| *input == column).unwrap();
                let HostColumn::Codes { dictionary, .. } = &self.inputs[at] else {
                    unreachable!("codes of a column of codes")
                };
                match &outcome.columns[output][0] {
                    Some(Constant::U32(code)) => Some(dictionary[*code as usize].clone()),
                    _ => None,
                }
            }
            OutputFrom::Column(_) => unreachable!("a filter compacts"),
        }
    }

    fn text(&self) -> String {
        self.compiled.program.as_ref().map(ToString::to_string).unwrap_or_default()
    }
}

pub(crate) fn is_text(of: &DataType) -> bool {
    matches!(plain(of), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Checks one expression over one batch, whose strings come plain or as codes.
///
/// # Panics
/// When anything differs.
pub(crate) fn check(
    what: &str,
    expr: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    codes: bool,
) -> Verdict {
    let mut verdict = Verdict { rows: batch.num_rows(), ..Verdict::default() };
    let lowered = match lower(None, std::slice::from_ref(expr), batch.schema_ref()) {
        Ok(lowered) => lowered,
        Err(reason) => return Verdict { refused: Some(reason), ..verdict },
    };
    if let Ok(array) = evaluate(expr, batch) {
        assert_eq!(&lowered.types()[0], array.data_type(), "{what}: type");
    }
    if expr.is::<datafusion::physical_expr::expressions::Column>() {
        return verdict;
    }
    let expected = expected(expr, batch);
    let host = Host::new(&lowered, batch, codes);
    let shown = |row: usize| -> String {
        let columns = lowered.columns().iter();
        columns.map(|c| format!("{:?} ", cells(batch.column(*c).as_ref())[row])).collect()
    };
    let mut good = Vec::new();
    for (row, expected) in expected.iter().enumerate() {
        let got = host.as_ref().and_then(|host| host.row(row));
        let text = || host.as_ref().map(Host::text).unwrap_or_default();
        match (expected, got) {
            (Err(_), None) => verdict.errors += 1,
            (Err(error), Some(got)) => panic!(
                "{what}: reference gives {got:?} for {}, DataFusion errs: {error}\n{expr}\n{}",
                shown(row),
                text()
            ),
            (Ok(_), None) => verdict.reruns += 1,
            (Ok(expected), Some(got)) => {
                assert!(
                    same(expected, &got),
                    "{what}: reference gives {got:?}, DataFusion {expected:?} for {}\n{expr}\n{}",
                    shown(row),
                    text()
                );
                good.push(row as u32);
            }
        }
    }
    if let Some(machine) = machine() {
        on_device(what, &machine, &lowered, batch, codes, &good, &expected);
    }
    verdict
}

/// The rows on which nothing errs agree, and together with the others the morsel is to be rerun.
fn on_device(
    what: &str,
    machine: &Machine,
    lowered: &Lowered,
    batch: &RecordBatch,
    codes: bool,
    good: &[u32],
    expected: &[Result<Cell, String>],
) {
    let run = |rows: &[u32]| {
        let columns: Vec<_> = lowered
            .columns()
            .iter()
            .map(|c| {
                let array = values::rows(batch.column(*c).as_ref(), rows);
                machine.column(array.as_ref(), codes && is_text(array.data_type()))
            })
            .collect();
        machine.run(lowered, &columns, rows.len(), None)
    };
    let all: Vec<u32> = (0..batch.num_rows() as u32).collect();
    if good.len() < all.len() && !all.is_empty() {
        assert_eq!(run(&all), Answer::Rerun, "{what}: device, all rows");
    }
    let Answer::Done(outputs) = run(good) else {
        panic!("{what}: device asks for a rerun of rows on which the reference does not");
    };
    assert_eq!(outputs[0].len(), good.len(), "{what}: device, rows");
    for (row, got) in good.iter().zip(&outputs[0]) {
        let Ok(expected) = &expected[*row as usize] else { unreachable!("a good row") };
        assert!(
            same(expected, got),
            "{what}: device gives {got:?}, DataFusion {expected:?} at row {row}"
        );
    }
}

/// Checks a filter with several outputs: over the rows on which nothing is left to the host, and over a
/// selection of them.
///
/// # Panics
/// When anything differs.
pub(crate) fn check_rows(
    what: &str,
    filter: Option<&Arc<dyn PhysicalExpr>>,
    outputs: &[Arc<dyn PhysicalExpr>],
    batch: &RecordBatch,
    codes: bool,
) {
    // Together they may need more registers than a tile has.
    let Ok(lowered) = lower(filter, outputs, batch.schema_ref()) else { return };
    let Some(host) = Host::new(&lowered, batch, codes) else { return };
    let mask = filter.map(|filter| expected(filter, batch));
    let columns: Vec<_> = outputs.iter().map(|output| expected(output, batch)).collect();
    let (mut good, mut rows) = (Vec::new(), Vec::new());
    for row in 0..batch.num_rows() {
        let Some(outcome) = host.outcome(row) else { continue };
        good.push(row as u32);
        let keep = mask.as_ref().is_none_or(|mask| {
            mask[row].as_ref().unwrap_or_else(|e| panic!("{what}: the filter errs: {e}"))
                == &Some(Constant::Bool(true))
        });
        assert_eq!(outcome.rows.len(), usize::from(keep), "{what}: row {row}\n{}", host.text());
        if !keep {
            continue;
        }
        let cells: Vec<Cell> = columns
            .iter()
            .map(|c| c[row].clone().unwrap_or_else(|e| panic!("{what}: row {row} errs: {e}")))
            .collect();
        for (number, cell) in cells.iter().enumerate() {
            let got = host.cell(&outcome, number);
            assert!(
                same(cell, &got),
                "{what}: output {number}, row {row}: reference gives {got:?}, DataFusion {cell:?}\n{}",
                host.text()
            );
        }
        rows.push((row as u32, cells));
    }
    let Some(machine) = machine() else { return };
    let upload = |rows: Option<&[u32]>| -> Vec<_> {
        lowered
            .columns()
            .iter()
            .map(|c| {
                let array = match rows {
                    Some(rows) => values::rows(batch.column(*c).as_ref(), rows),
                    None => Arc::clone(batch.column(*c)),
                };
                machine.column(array.as_ref(), codes && is_text(array.data_type()))
            })
            .collect()
    };
    let taken = machine.run(&lowered, &upload(Some(&good)), good.len(), None);
    let mut answers = vec![("taken", taken)];
    if lowered.takes_selection() {
        // A dictionary's entries may be left to the host although none of these rows has them.
        let selected = machine.run(&lowered, &upload(None), batch.num_rows(), Some(&good));
        answers.push(("selected", selected));
    }
    for (how, answer) in answers {
        let Answer::Done(outputs) = answer else { panic!("{what}: {how}: asks for a rerun") };
        for (number, cells) in outputs.iter().enumerate() {
            assert_eq!(cells.len(), rows.len(), "{what}: {how}: rows of output {number}");
            for (cell, (row, expected)) in cells.iter().zip(&rows) {
                let expected = &expected[number];
                assert!(
                    same(cell, expected),
                    "{what}: {how}: output {number}, row {row}: {cell:?}, expected {expected:?}"
                );
            }
        }
    }
}
