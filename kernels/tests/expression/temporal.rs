//! Dates, timestamps and intervals against arrow.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::numeric;
use arrow::compute::{DatePart, date_part};
use arrow::datatypes::{DataType, Int32Type, IntervalMonthDayNano, TimeUnit};
use arrow::error::ArrowError;
use staffa_kernels::expression::{Field, Unit};

use crate::arrays::{intervals, temporal};
use crate::check::{check, pairs};

const FIELDS: [(Field, DatePart); 13] = [
    (Field::Year, DatePart::Year),
    (Field::Quarter, DatePart::Quarter),
    (Field::Month, DatePart::Month),
    (Field::Week, DatePart::Week),
    (Field::Day, DatePart::Day),
    (Field::DayOfYear, DatePart::DayOfYear),
    (Field::WeekdayFromSunday, DatePart::DayOfWeekSunday0),
    (Field::WeekdayFromMonday, DatePart::DayOfWeekMonday0),
    (Field::IsoYear, DatePart::YearISO),
    (Field::Hour, DatePart::Hour),
    (Field::Minute, DatePart::Minute),
    (Field::Second, DatePart::Second),
    (Field::Nanosecond, DatePart::Nanosecond),
];

fn kinds() -> Vec<(DataType, Unit)> {
    vec![
        (DataType::Date32, Unit::Day),
        (DataType::Date64, Unit::Millisecond),
        (DataType::Timestamp(TimeUnit::Second, None), Unit::Second),
        (DataType::Timestamp(TimeUnit::Millisecond, None), Unit::Millisecond),
        (DataType::Timestamp(TimeUnit::Microsecond, None), Unit::Microsecond),
        (DataType::Timestamp(TimeUnit::Nanosecond, None), Unit::Nanosecond),
    ]
}

/// Days around every kind of boundary, then scaled to the unit with times of day.
fn dates(kind: &DataType, unit: Unit) -> ArrayRef {
    let mut days: Vec<i64> = vec![
        0, -1, 1, 58, 59, 60, 364, 365, 366, -365, -366, 10957, 11016, 19723, 20088, -25567, 47482,
    ];
    days.extend((0..40).map(|k| 16_000 + k * 31));
    days.extend((-30..30).map(|k| k * 1461));
    days.extend([-719_162, 2_932_896, -106_000, 106_000, 106_001, -719_163, 2_932_897]);
    let per_day = unit.per_day() as i64;
    let times = [0, 1, per_day - 1, per_day / 2 + 1, per_day / 3];
    let mut values: Vec<Option<i64>> = days
        .iter()
        .enumerate()
        .map(|(n, day)| {
            let value =
                day.checked_mul(per_day)?.checked_add(times[n % times.len()].min(per_day - 1))?;
            (*kind != DataType::Date32 || i32::try_from(value).is_ok()).then_some(value)
        })
        .collect();
    values.push(None);
    temporal(kind, values)
}

fn in_calendar(array: &ArrayRef, unit: Unit) -> bool {
    crate::arrays::cells(array.as_ref()).iter().flatten().all(|cell| {
        let value = match cell {
            staffa_kernels::expression::Constant::I32(v) => i64::from(*v),
            staffa_kernels::expression::Constant::I64(v) => *v,
            other => panic!("{other:?}"),
        };
        (-719_162..=2_932_896).contains(&value.div_euclid(unit.per_day() as i64))
    })
}

fn host() -> ArrowError {
    ArrowError::ComputeError("the host's".into())
}

#[test]
fn parts_are_arrows() {
    for (kind, unit) in kinds() {
        let columns = [dates(&kind, unit)];
        for (field, part) in FIELDS {
            check(
                &format!("{field:?} of {kind}"),
                &columns,
                |b, v| b.date_part(v[0], unit, field),
                |c| {
                    if !in_calendar(&c[0], unit) {
                        return Err(host());
                    }
                    let parts = date_part(c[0].as_ref(), part)?;
                    // A part that arrow cannot give (nanoseconds that overflow) does not occur here.
                    assert_eq!(parts.as_primitive::<Int32Type>().null_count(), c[0].null_count());
                    Ok(parts)
                },
            );
        }
    }
}

#[test]
fn intervals_add_as_arrows() {
    let parts = [
        (0, 0, 0),
        (1, 0, 0),
        (-1, 0, 0),
        (12, 0, 0),
        (13, -5, 7),
        (-25, 40, -1),
        (0, 1, 0),
        (0, -400, 0),
        (0, 0, 1),
        (0, 0, -1),
        (0, 0, 86_400_000_000_000),
        (0, 0, 86_399_999_999_999),
        (0, 0, -86_400_000_000_001),
        (0, 0, 3_600_000_000_000),
        (6, 15, 999_999_999),
        (0, 0, 1_000),
        (0, 0, -1_500_000),
    ];
    let mut all: Vec<Option<IntervalMonthDayNano>> =
        parts.iter().map(|(m, d, n)| Some(IntervalMonthDayNano::new(*m, *d, *n))).collect();
    all.push(None);
    let all = intervals(all);
    for (kind, unit) in kinds() {
        if kind == DataType::Date64 {
            continue;
        }
        let columns = pairs(&dates(&kind, unit), &all);
        for minus in [false, true] {
            // Results near the ends of the calendar are left to the host: those rows are not asked about.
            let inside: Vec<u32> = (0..columns[0].len() as u32)
                .filter(|row| {
                    let cell =
                        &crate::arrays::cells(columns[0].slice(*row as usize, 1).as_ref())[0];
                    let value = match cell {
                        Some(staffa_kernels::expression::Constant::I32(v)) => i64::from(*v),
                        Some(staffa_kernels::expression::Constant::I64(v)) => *v,
                        _ => 0,
                    };
                    (-700_000..=2_900_000).contains(&value.div_euclid(unit.per_day() as i64))
                })
                .collect();
            let rows = arrow::array::UInt32Array::from(inside);
            let columns: Vec<ArrayRef> = columns
                .iter()
                .map(|c| arrow::compute::take(c.as_ref(), &rows, None).unwrap())
                .collect();
            check(
                &format!("{kind} and interval, minus {minus}"),
                &columns,
                |b, v| b.add_interval(v[0], unit, v[1], minus),
                |c| {
                    let result =
                        if minus { numeric::sub(&c[0], &c[1]) } else { numeric::add(&c[0], &c[1]) };
                    result.map(|a| Arc::clone(&a))
                },
            );
        }
    }
}

/// A constant interval is no value of the tile: the program still needs the kernel that knows intervals.
#[test]
fn dates_and_a_constant_interval() {
    let days: ArrayRef =
        Arc::new(arrow::array::Date32Array::from(vec![Some(0), None, Some(11_016), Some(19_782)]));
    let month = staffa_kernels::expression::Constant::I128(1);
    let interval = arrow::array::IntervalMonthDayNanoArray::new_scalar(
        arrow::datatypes::IntervalMonthDayNano::new(1, 0, 0),
    );
    check(
        "date and a constant month",
        &[days],
        |b, v| {
            let month = b.constant(&month)?;
            b.add_interval(v[0], Unit::Day, month, false)
        },
        |c| numeric::add(&c[0], &interval),
    );
}
