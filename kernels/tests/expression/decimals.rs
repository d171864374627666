//! Decimal arithmetic and casts with arrow's scales and precisions.

use arrow::array::{Array, ArrayRef, Datum};
use arrow::compute::kernels::numeric;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use staffa_kernels::expression::{Builder, Decimal, DecimalArithmetic, Input, OnError, Type};

use crate::arrays::register_type;
use crate::check::{check, pairs};
use crate::edge::{FLOAT_TYPES, INTEGERS, values};

const TYPES: [(u8, i8); 9] =
    [(38, 0), (38, 10), (15, 2), (12, 2), (7, 7), (38, 38), (20, 0), (10, -2), (3, 1)];

fn decimal((precision, scale): (u8, i8)) -> (Decimal, DataType) {
    (Decimal { precision, scale }, DataType::Decimal128(precision, scale))
}

type Kernel = fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>;

#[test]
fn arithmetic_of_every_scale_is_arrows() {
    let operations: [(DecimalArithmetic, Kernel); 5] = [
        (DecimalArithmetic::Add, numeric::add),
        (DecimalArithmetic::Subtract, numeric::sub),
        (DecimalArithmetic::Multiply, numeric::mul),
        (DecimalArithmetic::Divide, numeric::div),
        (DecimalArithmetic::Remainder, numeric::rem),
    ];
    for (left, right) in TYPES.into_iter().zip(TYPES.into_iter().cycle().skip(2)) {
        let ((of_a, kind_a), (of_b, kind_b)) = (decimal(left), decimal(right));
        let columns = pairs(&values(&kind_a), &values(&kind_b));
        for (op, kernel) in operations {
            let what = format!("{op:?} of {kind_a} and {kind_b}");
            let empty = kernel(&columns[0].slice(0, 0), &columns[1].slice(0, 0));
            let mut b = Builder::new(vec![Input { kind: Type::I128, nullable: true }; 2]);
            let (x, y) = (b.column(0).unwrap(), b.column(1).unwrap());
            match (empty, b.decimal_arithmetic(op, (x, of_a), (y, of_b))) {
                (Ok(empty), Ok((_, result))) => {
                    assert_eq!(
                        *empty.data_type(),
                        DataType::Decimal128(result.precision, result.scale),
                        "{what}"
                    );
                    check(
                        &what,
                        &columns,
                        |b, v| Ok(b.decimal_arithmetic(op, (v[0], of_a), (v[1], of_b))?.0),
                        |c| kernel(&c[0], &c[1]),
                    );
                }
                (Err(_), _) => {}
                // arrow lets this power of ten wrap in a remainder; the host may have it.
                (Ok(_), Err(error)) => {
                    let apart = i16::from(left.1) - i16::from(right.1);
                    assert!(
                        apart.abs() > 38 && error.to_string().contains("E008"),
                        "{what}: {error}"
                    );
                }
            }
        }
    }
}

#[test]
fn casts_of_decimals_are_arrows() {
    for (safe, on_error) in [(false, OnError::Raise), (true, OnError::Null)] {
        let options = CastOptions { safe, ..CastOptions::default() };
        let cast = |c: &[ArrayRef], to: &DataType| cast_with_options(&c[0], to, &options);
        for from in TYPES {
            let (of, kind) = decimal(from);
            let columns = [values(&kind)];
            for to in INTEGERS.iter().chain(&FLOAT_TYPES) {
                check(
                    &format!("{kind} to {to}, safe {safe}"),
                    &columns,
                    |b, v| b.decimal_to_number(v[0], of, register_type(to), on_error),
                    |c| cast(c, to),
                );
            }
            for to in TYPES {
                let (of_to, kind_to) = decimal(to);
                if i16::from(to.1) - i16::from(from.1) > 38 {
                    assert!(
                        cast(&[columns[0].slice(0, 0)], &kind_to).is_err(),
                        "arrow refuses {kind} to {kind_to}"
                    );
                    continue;
                }
                check(
                    &format!("{kind} to {kind_to}, safe {safe}"),
                    &columns,
                    |b, v| b.decimal_rescale(v[0], of, of_to, on_error),
                    |c| cast(c, &kind_to),
                );
            }
            for source in INTEGERS.iter().chain(&FLOAT_TYPES) {
                let columns = [values(source)];
                let float = FLOAT_TYPES.contains(source);
                check(
                    &format!("{source} to {kind}, safe {safe}"),
                    &columns,
                    |b, v| {
                        if float {
                            b.decimal_from_float(v[0], of, on_error)
                        } else {
                            b.decimal_from_integer(v[0], of, on_error)
                        }
                    },
                    |c| cast(c, &kind),
                );
            }
        }
    }
}
