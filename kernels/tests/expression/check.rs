//! One check: device, reference and arrow give the same, row by row.

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::error::ArrowError;
use staffa_common::StaffaError;
use staffa_kernels::expression::reference::{self, Cell, HostColumn};
use staffa_kernels::expression::{Builder, Constant, Program, Value};

use crate::arrays::{cells, host, input};
use crate::device::{self, Answer, Machine, Shape};

/// Equal, with floats compared by their bits.
pub(crate) fn same(a: &Cell, b: &Cell) -> bool {
    match (a, b) {
        (Some(Constant::F64(x)), Some(Constant::F64(y))) => x.to_bits() == y.to_bits(),
        (Some(Constant::F32(x)), Some(Constant::F32(y))) => x.to_bits() == y.to_bits(),
        (x, y) => x == y,
    }
}

pub(crate) fn assert_same(
    what: &str,
    left: &[Cell],
    right: &[Cell],
    program: &Program,
    row: impl Fn(usize) -> String,
) {
    assert_eq!(left.len(), right.len(), "{what}: lengths\n{program}");
    for (at, (l, r)) in left.iter().zip(right).enumerate() {
        assert!(same(l, r), "{what}: {} gives {l:?}, expected {r:?}\n{program}", row(at));
    }
}

/// A program of one output over columns of these arrays.
pub(crate) fn program(
    columns: &[ArrayRef],
    f: impl Fn(&mut Builder, &[Value]) -> Result<Value, StaffaError>,
) -> Program {
    let mut b = Builder::new(columns.iter().map(input).collect());
    let values: Vec<Value> = (0..columns.len()).map(|c| b.column(c).unwrap()).collect();
    let result = f(&mut b, &values).unwrap();
    b.output(result).unwrap();
    b.finish().unwrap()
}

fn rows_of(columns: &[ArrayRef], rows: &[u32]) -> Vec<ArrayRef> {
    let rows = UInt32Array::from(rows.to_vec());
    columns.iter().map(|c| take(c.as_ref(), &rows, None).unwrap()).collect()
}

/// Checks an expression against arrow. Rows on which arrow errs must make both others ask for a rerun, and
/// the rest is compared without them.
pub(crate) fn check(
    what: &str,
    columns: &[ArrayRef],
    f: impl Fn(&mut Builder, &[Value]) -> Result<Value, StaffaError>,
    expected: impl Fn(&[ArrayRef]) -> Result<ArrayRef, ArrowError>,
) {
    let mut machine = device::machine();
    let rows = columns[0].len() as u32;
    let (mut good, mut bad) = ((0..rows).collect::<Vec<u32>>(), Vec::new());
    if expected(columns).is_err() {
        (good, bad) = (0..rows).partition(|row| expected(&rows_of(columns, &[*row])).is_ok());
    }
    let program = program(columns, f);
    let good = rows_of(columns, &good);
    let expect = cells(expected(&good).unwrap().as_ref());
    let hosts: Vec<HostColumn> = good.iter().map(host).collect();
    let row = |at: usize| {
        format!("{:?}", good.iter().map(|c| cells(c.slice(at, 1).as_ref())).collect::<Vec<_>>())
    };
    let outcome = reference::run(&program, &hosts, None).unwrap_or_else(|rerun| {
        panic!("{what}: reference asks for a rerun of {}\n{program}", row(rerun.row as usize))
    });
    assert_same(&format!("{what}: reference"), &outcome.columns[0], &expect, &program, row);
    if let Some(machine) = machine.as_deref_mut() {
        match device::run(machine, &program, &hosts, None, Shape::default()) {
            Answer::Done(done) => {
                assert_same(&format!("{what}: device"), &done.columns[0], &expect, &program, row)
            }
            other => panic!("{what}: device answers {other:?}\n{program}"),
        }
    }
    for row in bad {
        check_error(what, &program, machine.as_deref_mut(), &rows_of(columns, &[row]));
    }
}

fn check_error(
    what: &str,
    program: &Program,
    machine: Option<&mut (dyn Machine + 'static)>,
    columns: &[ArrayRef],
) {
    let hosts: Vec<HostColumn> = columns.iter().map(host).collect();
    let row = || format!("{hosts:?}");
    assert!(
        reference::run(program, &hosts, None).is_err(),
        "{what}: reference accepts {}\n{program}",
        row()
    );
    if let Some(machine) = machine {
        let answer = device::run(machine, program, &hosts, None, Shape::default());
        assert_eq!(answer, Answer::Rerun, "{what}: device accepts {}\n{program}", row());
    }
}

/// Every pair of the entries of two arrays, as two arrays.
pub(crate) fn pairs(a: &ArrayRef, b: &ArrayRef) -> Vec<ArrayRef> {
    let (n, m) = (a.len() as u32, b.len() as u32);
    let left: Vec<u32> = (0..n * m).map(|i| i / m).collect();
    let right: Vec<u32> = (0..n * m).map(|i| i % m).collect();
    vec![
        rows_of(std::slice::from_ref(a), &left)[0].clone(),
        rows_of(std::slice::from_ref(b), &right)[0].clone(),
    ]
}

/// The same rows and cells, floats by their bits.
pub(crate) fn assert_answer(
    what: &str,
    answer: &Answer,
    expected: &reference::Outcome,
    program: &Program,
) {
    let Answer::Done(done) = answer else { panic!("{what}: {answer:?}\n{program}") };
    assert_eq!(done.rows, expected.rows, "{what}\n{program}");
    assert_eq!(done.columns.len(), expected.columns.len());
    for (number, (d, e)) in done.columns.iter().zip(&expected.columns).enumerate() {
        assert_same(&format!("{what}, output {number}"), d, e, program, |row| {
            format!("output row {row}")
        });
    }
}
