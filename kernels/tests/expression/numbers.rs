//! Arithmetic, comparison, lists and casts of numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::{cmp, numeric};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type};
use arrow::error::ArrowError;
use staffa_kernels::expression::{Arithmetic, Comparison, OnError};

use crate::arrays::{cells, decimals, register_type};
use crate::check::{check, pairs};
use crate::edge::{FLOAT_TYPES, INTEGERS, values};

type Kernel =
    fn(&dyn arrow::array::Datum, &dyn arrow::array::Datum) -> Result<ArrayRef, ArrowError>;

fn numbers() -> Vec<DataType> {
    INTEGERS.iter().chain(&FLOAT_TYPES).cloned().collect()
}

#[test]
fn arithmetic_is_arrows() {
    let operations: [(Arithmetic, Kernel); 5] = [
        (Arithmetic::Add, numeric::add_wrapping),
        (Arithmetic::Subtract, numeric::sub_wrapping),
        (Arithmetic::Multiply, numeric::mul_wrapping),
        (Arithmetic::Divide, numeric::div),
        (Arithmetic::Remainder, numeric::rem),
    ];
    for kind in numbers() {
        let columns = pairs(&values(&kind), &values(&kind));
        for (op, kernel) in operations {
            let what = format!("{op:?} {kind}");
            check(&what, &columns, |b, v| b.arithmetic(op, v[0], v[1]), |c| kernel(&c[0], &c[1]));
        }
    }
}

#[test]
fn checked_arithmetic_is_arrows() {
    let operations: [(Arithmetic, Kernel); 3] = [
        (Arithmetic::AddChecked, numeric::add),
        (Arithmetic::SubtractChecked, numeric::sub),
        (Arithmetic::MultiplyChecked, numeric::mul),
    ];
    for kind in INTEGERS {
        let columns = pairs(&values(&kind), &values(&kind));
        for (op, kernel) in operations {
            let what = format!("{op:?} {kind}");
            check(&what, &columns, |b, v| b.arithmetic(op, v[0], v[1]), |c| kernel(&c[0], &c[1]));
        }
    }
}

/// The raw 128-bit operations: precision 38 so that arrow adds no scaling of its own.
#[test]
fn wide_arithmetic_is_arrows() {
    let kind = DataType::Decimal128(38, 0);
    let columns = pairs(&values(&kind), &values(&kind));
    let operations: [(Arithmetic, Kernel); 4] = [
        (Arithmetic::AddChecked, numeric::add),
        (Arithmetic::SubtractChecked, numeric::sub),
        (Arithmetic::MultiplyChecked, numeric::mul),
        (Arithmetic::RemainderChecked, numeric::rem),
    ];
    for (op, kernel) in operations {
        check(
            &format!("{op:?}"),
            &columns,
            |b, v| b.arithmetic(op, v[0], v[1]),
            |c| kernel(&c[0], &c[1]),
        );
    }
    // Division: arrow scales by 10^4, so the plain quotient is computed here.
    let divide = |c: &[ArrayRef]| -> Result<ArrayRef, ArrowError> {
        let (a, b) = (c[0].as_primitive::<Decimal128Type>(), c[1].as_primitive::<Decimal128Type>());
        let quotients: Result<Vec<Option<i128>>, ArrowError> = a
            .iter()
            .zip(b)
            .map(|(a, b)| match (a, b) {
                (Some(a), Some(b)) => a.checked_div(b).map(Some).ok_or(ArrowError::DivideByZero),
                _ => Ok(None),
            })
            .collect();
        Ok(decimals(quotients?, 38, 0))
    };
    check("Divide i128", &columns, |b, v| b.arithmetic(Arithmetic::Divide, v[0], v[1]), divide);
}

#[test]
fn negation_is_arrows() {
    for kind in [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
    ] {
        let columns = [values(&kind)];
        check(
            &format!("-{kind}"),
            &columns,
            |b, v| b.negate(v[0], false),
            |c| numeric::neg_wrapping(&c[0]),
        );
        check(
            &format!("checked -{kind}"),
            &columns,
            |b, v| b.negate(v[0], true),
            |c| numeric::neg(&c[0]),
        );
    }
}

#[test]
fn comparisons_are_arrows() {
    type Compare =
        fn(&dyn arrow::array::Datum, &dyn arrow::array::Datum) -> Result<BooleanArray, ArrowError>;
    let comparisons: [(Comparison, Compare); 6] = [
        (Comparison::Equal, cmp::eq),
        (Comparison::NotEqual, cmp::neq),
        (Comparison::Less, cmp::lt),
        (Comparison::LessOrEqual, cmp::lt_eq),
        (Comparison::Greater, cmp::gt),
        (Comparison::GreaterOrEqual, cmp::gt_eq),
    ];
    let others = [DataType::Boolean, DataType::Decimal128(38, 3), DataType::Utf8];
    for kind in numbers().into_iter().chain(others) {
        let columns = pairs(&values(&kind), &values(&kind));
        for (op, kernel) in comparisons {
            let what = format!("{op:?} {kind}");
            let expected = |c: &[ArrayRef]| kernel(&c[0], &c[1]).map(|a| Arc::new(a) as ArrayRef);
            check(&what, &columns, |b, v| b.compare(op, v[0], v[1]), expected);
        }
        check(
            &format!("distinct {kind}"),
            &columns,
            |b, v| b.distinct(v[0], v[1], false),
            |c| cmp::distinct(&c[0], &c[1]).map(|a| Arc::new(a) as ArrayRef),
        );
        check(
            &format!("not distinct {kind}"),
            &columns,
            |b, v| b.distinct(v[0], v[1], true),
            |c| cmp::not_distinct(&c[0], &c[1]).map(|a| Arc::new(a) as ArrayRef),
        );
    }
}

#[test]
fn casts_between_numbers_are_arrows() {
    let mut kinds = numbers();
    kinds.push(DataType::Boolean);
    for from in &kinds {
        for to in &kinds {
            let columns = [values(from)];
            for (safe, on_error) in [(false, OnError::Raise), (true, OnError::Null)] {
                let options = CastOptions { safe, ..CastOptions::default() };
                check(
                    &format!("{from} to {to}, safe {safe}"),
                    &columns,
                    |b, v| b.convert(v[0], register_type(to), on_error),
                    |c| cast_with_options(&c[0], to, &options),
                );
            }
        }
    }
}

#[test]
fn lists_hold_what_compares_equal() {
    let others = [DataType::Decimal128(38, 3), DataType::Utf8];
    for kind in numbers().into_iter().chain(others) {
        let all = values(&kind);
        for (with_null, negated) in [(false, false), (false, true), (true, false), (true, true)] {
            let list: Vec<_> = cells(all.as_ref()).into_iter().flatten().step_by(2).collect();
            let expected = |c: &[ArrayRef]| {
                let cells = cells(c[0].as_ref());
                let found = cells.iter().map(|cell| {
                    let cell = cell.as_ref()?;
                    let hit = list
                        .iter()
                        .any(|entry| crate::check::same(&Some(entry.clone()), &Some(cell.clone())));
                    if !hit && with_null { None } else { Some(hit != negated) }
                });
                Ok(Arc::new(found.collect::<BooleanArray>()) as ArrayRef)
            };
            let what = format!("{kind} in list, null {with_null}, negated {negated}");
            check(
                &what,
                std::slice::from_ref(&all),
                |b, v| b.in_list(v[0], &list, with_null, negated),
                expected,
            );
            assert!(all.len() > list.len());
        }
    }
}
