//! Masks, CASE, COALESCE, NULLIF, three-valued logic, filters, dictionaries.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::kernels::boolean::{and_kleene, is_not_null, is_null, not, or_kleene};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::error::ArrowError;
use staffa_kernels::expression::reference::{self, HostColumn};
use staffa_kernels::expression::{Arithmetic, Builder, Comparison, Constant, Input, OnError, Type};

use crate::arrays::{array_of, cells, host, input};
use crate::check::{assert_same, check, pairs};
use crate::device::{self, Answer, Shape};
use crate::edge::values;

fn bits(array: BooleanArray) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(array))
}

fn booleans_of(c: &[ArrayRef]) -> (BooleanArray, BooleanArray) {
    (c[0].as_boolean().clone(), c[1].as_boolean().clone())
}

#[test]
fn logic_is_arrows() {
    let columns = pairs(&values(&DataType::Boolean), &values(&DataType::Boolean));
    check(
        "and",
        &columns,
        |b, v| b.and(v[0], v[1]),
        |c| and_kleene(&booleans_of(c).0, &booleans_of(c).1).and_then(bits),
    );
    check(
        "or",
        &columns,
        |b, v| b.or(v[0], v[1]),
        |c| or_kleene(&booleans_of(c).0, &booleans_of(c).1).and_then(bits),
    );
    check("not", &columns, |b, v| b.not(v[0]), |c| not(&booleans_of(c).0).and_then(bits));
    check(
        "is null",
        &columns,
        |b, v| Ok(b.is_null(v[0], false)),
        |c| is_null(c[0].as_ref()).and_then(bits),
    );
    check(
        "is not null",
        &columns,
        |b, v| Ok(b.is_null(v[0], true)),
        |c| is_not_null(c[0].as_ref()).and_then(bits),
    );
    for (truth, negated) in [(true, false), (true, true), (false, false), (false, true)] {
        check(
            &format!("is {truth}, negated {negated}"),
            &columns,
            |b, v| b.is_truth(v[0], truth, negated),
            |c| {
                let a = booleans_of(c).0;
                bits(a.iter().map(|x| Some((x == Some(truth)) != negated)).collect())
            },
        );
    }
    check(
        "and true",
        &columns,
        |b, v| {
            let yes = b.constant(&Constant::Bool(true))?;
            b.and(v[0], yes)
        },
        |c| Ok(Arc::clone(&c[0])),
    );
    check(
        "or null",
        &columns,
        |b, v| {
            let null = b.null(Type::Bits)?;
            b.or(v[0], null)
        },
        |c| bits(booleans_of(c).0.iter().map(|x| x.filter(|x| *x)).collect()),
    );
}

#[test]
fn case_evaluates_each_side_where_it_counts() {
    // CASE WHEN b <> 0 THEN a / b ELSE -1 END never divides by zero.
    let columns = pairs(&values(&DataType::Int32), &values(&DataType::Int32));
    check(
        "guarded division",
        &columns,
        |b, v| {
            let zero = b.constant(&Constant::I32(0))?;
            let minus_one = b.constant(&Constant::I32(-1))?;
            let guard = b.compare(Comparison::NotEqual, v[1], zero)?;
            b.case(guard, |b| b.arithmetic(Arithmetic::Divide, v[0], v[1]), |_| Ok(minus_one))
        },
        |c| {
            let (x, y) = (c[0].as_primitive::<Int32Type>(), c[1].as_primitive::<Int32Type>());
            let cells: Result<Vec<Option<i32>>, ArrowError> = x
                .iter()
                .zip(y)
                .map(|(x, y)| match (x, y) {
                    (_, None | Some(0)) => Ok(Some(-1)),
                    (None, _) => Ok(None),
                    (Some(x), Some(y)) => {
                        x.checked_div(y).map(Some).ok_or(ArrowError::DivideByZero)
                    }
                })
                .collect();
            Ok(array_of::<Int32Type>(cells?))
        },
    );
}

#[test]
fn nested_case_of_every_type() {
    let others = [DataType::Boolean, DataType::Decimal128(30, 2), DataType::Utf8];
    for kind in crate::edge::INTEGERS.iter().chain(&crate::edge::FLOAT_TYPES).chain(&others) {
        let columns = pairs(&values(kind), &values(kind));
        let conditions: Vec<Option<bool>> =
            (0..columns[0].len()).map(|r| [Some(true), Some(false), None][r % 3]).collect();
        let other: Vec<Option<bool>> = (0..columns[0].len())
            .map(|r| [Some(false), None, Some(true), Some(true)][r % 4])
            .collect();
        let mut all = columns.clone();
        all.push(Arc::new(BooleanArray::from(conditions)));
        all.push(Arc::new(BooleanArray::from(other)));
        check(
            &format!("case of {kind}"),
            &all,
            |b, v| {
                b.case(v[2], |_| Ok(v[0]), |b| b.case(v[3], |_| Ok(v[1]), |b| b.null(v[0].kind())))
            },
            |c| {
                let (p, q) = (c[2].as_boolean(), c[3].as_boolean());
                let pick = |r: usize| {
                    if p.is_valid(r) && p.value(r) {
                        0
                    } else if q.is_valid(r) && q.value(r) {
                        1
                    } else {
                        2
                    }
                };
                let null = arrow::array::new_null_array(c[0].data_type(), 1);
                let arrays = [c[0].as_ref(), c[1].as_ref(), null.as_ref()];
                let indices: Vec<(usize, usize)> =
                    (0..p.len()).map(|r| (pick(r), if pick(r) == 2 { 0 } else { r })).collect();
                arrow::compute::interleave(&arrays, &indices)
            },
        );
        check(
            &format!("coalesce of {kind}"),
            &columns,
            |b, v| b.coalesce(v[0], |_| Ok(v[1])),
            |c| {
                let indices: Vec<(usize, usize)> =
                    (0..c[0].len()).map(|r| (usize::from(c[0].is_null(r)), r)).collect();
                arrow::compute::interleave(&[c[0].as_ref(), c[1].as_ref()], &indices)
            },
        );
        check(
            &format!("nullif of {kind}"),
            &columns,
            |b, v| {
                let same = b.compare(Comparison::Equal, v[0], v[1])?;
                b.null_if(v[0], same)
            },
            |c| {
                let same = arrow::compute::kernels::cmp::eq(&c[0], &c[1])?;
                arrow::compute::nullif(c[0].as_ref(), &same)
            },
        );
    }
}

/// A jump over a masked region must not be taken by a warp that has rows in it, and a load under a mask must
/// not be used outside of it.
#[test]
fn columns_are_read_under_masks() {
    let rows = 5000usize;
    let a = array_of::<Int64Type>((0..rows).map(|r| (r % 7 != 3).then_some(r as i64)).collect());
    let b = array_of::<Int64Type>(
        (0..rows).map(|r| (r % 5 != 2).then_some(1 - (r as i64 % 3))).collect(),
    );
    let columns = [a, b];
    let program = {
        let mut builder = Builder::new(columns.iter().map(input).collect());
        let x = builder.column(0).unwrap();
        let limit = builder.constant(&Constant::I64(4000)).unwrap();
        let late = builder.compare(Comparison::Greater, x, limit).unwrap();
        let result = builder
            .case(
                late,
                |b| {
                    let y = b.column(1)?;
                    let zero = b.constant(&Constant::I64(0))?;
                    let safe = b.compare(Comparison::NotEqual, y, zero)?;
                    b.case(
                        safe,
                        |b| {
                            let y = b.column(1)?;
                            let sum = b.arithmetic(Arithmetic::AddChecked, x, y)?;
                            let twice = b.arithmetic(Arithmetic::MultiplyChecked, sum, y)?;
                            b.arithmetic(Arithmetic::Divide, twice, y)
                        },
                        |b| b.constant(&Constant::I64(-7)),
                    )
                },
                |b| {
                    let y = b.column(1)?;
                    b.arithmetic(Arithmetic::Subtract, x, y)
                },
            )
            .unwrap();
        builder.output(result).unwrap();
        builder.finish().unwrap()
    };
    let hosts: Vec<HostColumn> = columns.iter().map(host).collect();
    let expected = reference::run(&program, &hosts, None).unwrap();
    let (x, y) = (columns[0].as_primitive::<Int64Type>(), columns[1].as_primitive::<Int64Type>());
    let plain: Int64Array = x
        .iter()
        .zip(y)
        .map(|(x, y)| match (x, y) {
            (Some(x), y) if x > 4000 => match y {
                None | Some(0) => Some(-7),
                Some(y) => Some(x + y),
            },
            (x, y) => Some(x? - y?),
        })
        .collect();
    assert_same("masks: reference", &expected.columns[0], &cells(&plain), &program, |r| {
        r.to_string()
    });
    if let Some(mut machine) = device::machine() {
        let answer = device::run(machine.as_mut(), &program, &hosts, None, Shape::default());
        let Answer::Done(done) = answer else { panic!("{answer:?}") };
        assert_same("masks: device", &done.columns[0], &cells(&plain), &program, |r| r.to_string());
    }
}

/// TRY_CAST within an expression: the NULL travels on.
#[test]
fn failing_casts_become_null() {
    let columns = [values(&DataType::Int64)];
    check(
        "try_cast + 1",
        &columns,
        |b, v| {
            let small = b.convert(v[0], Type::I8, OnError::Null)?;
            let one = b.constant(&Constant::I8(1))?;
            b.arithmetic(Arithmetic::Add, small, one)
        },
        |c| {
            let cells = c[0]
                .as_primitive::<Int64Type>()
                .iter()
                .map(|v| v.and_then(|v| i8::try_from(v).ok()).map(|v| v.wrapping_add(1)));
            Ok(Arc::new(cells.collect::<arrow::array::Int8Array>()) as ArrayRef)
        },
    );
}

/// A predicate on a dictionary column, once per entry, then looked up by code; and the column itself.
#[test]
fn dictionaries_are_looked_up() {
    let entries = ["apple", "banana", "cherry", "date", "elderberry", "fig"];
    let dictionary: Vec<Constant> = entries.iter().map(|e| Constant::text(e)).collect();
    let codes: Vec<Option<u32>> =
        (0..3000u32).map(|r| (r % 11 != 4).then_some(r * 7 % 6)).collect();
    let like_e = {
        let mut b = Builder::new(vec![Input { kind: Type::Span, nullable: false }]);
        let x = b.column(0).unwrap();
        let hit = b.like(x, "%e%", false, false).unwrap();
        b.output(hit).unwrap();
        b.finish().unwrap()
    };
    let plain = HostColumn::Plain(dictionary.iter().cloned().map(Some).collect());
    let per_entry = reference::run(&like_e, &[plain], None).unwrap().columns.remove(0);
    let program = {
        let mut b = Builder::new(vec![
            Input { kind: Type::Span, nullable: true },
            Input { kind: Type::Bits, nullable: false },
        ]);
        let code = b.codes(0).unwrap();
        let hit = b.gather(1, code).unwrap();
        b.filter(hit).unwrap();
        let text = b.column(0).unwrap();
        b.output(text).unwrap();
        b.finish().unwrap()
    };
    let columns =
        [HostColumn::Codes { codes: codes.clone(), dictionary }, HostColumn::Plain(per_entry)];
    let expected: Vec<u32> = (0..3000u32)
        .filter(|r| codes[*r as usize].is_some_and(|c| entries[c as usize].contains('e')))
        .collect();
    let outcome = reference::run(&program, &columns, None).unwrap();
    assert_eq!(outcome.rows, expected);
    if let Some(mut machine) = device::machine() {
        assert_eq!(
            device::run(machine.as_mut(), &program, &columns, None, Shape::default()),
            Answer::Done(outcome)
        );
        // An index beyond the looked-up column is not followed.
        let short = [columns[0].clone(), HostColumn::Plain(vec![Some(Constant::Bool(true)); 3])];
        assert_eq!(
            device::run(machine.as_mut(), &program, &short, None, Shape::default()),
            Answer::Rerun
        );
    }
}

/// Every way to be wrong that the builder can see.
#[test]
fn the_builder_refuses_what_does_not_fit() {
    let inputs = vec![
        Input { kind: Type::I64, nullable: false },
        Input { kind: Type::Span, nullable: false },
    ];
    let mut b = Builder::new(inputs);
    let (x, s) = (b.column(0).unwrap(), b.column(1).unwrap());
    assert!(b.column(2).is_err());
    assert!(b.arithmetic(Arithmetic::Add, x, s).is_err());
    assert!(b.arithmetic(Arithmetic::Add, s, s).is_err());
    assert!(b.compare(Comparison::Less, x, s).is_err());
    assert!(b.and(x, x).is_err());
    assert!(b.filter(x).is_err());
    assert!(b.convert(s, Type::I64, OnError::Raise).is_err());
    assert!(b.like(x, "a", false, false).is_err());
    assert!(b.like(s, "é", true, false).is_err());
    assert!(b.in_list(x, &[Constant::I32(1)], false, false).is_err());
    assert!(b.floor_multiple(x, 0).is_err());
    let keep = b.compare(Comparison::Equal, x, x).unwrap();
    b.output(x).unwrap();
    assert!(b.filter(keep).is_err(), "a filter behind an output");
}

/// More live values than a tile of one warp holds.
#[test]
fn a_program_that_fits_no_block_is_unsupported() {
    let count = 40usize;
    let inputs = vec![Input { kind: Type::I128, nullable: false }; count];
    let mut b = Builder::new(inputs);
    let columns: Vec<_> = (0..count).map(|c| b.column(c).unwrap()).collect();
    let mut sum = columns[0];
    for c in &columns[1..] {
        sum = b.arithmetic(Arithmetic::AddChecked, sum, *c).unwrap();
    }
    b.output(sum).unwrap();
    let error = b.finish().unwrap_err();
    assert_eq!(error.class(), staffa_common::FaultClass::Unsupported);
    assert!(error.to_string().contains("E004"), "{error}");
}
