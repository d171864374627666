//! Pools of distinct values: a column draws its cells from one, so that keys of different tables
//! meet, and predicates can name values that occur.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StructArray};
use arrow::datatypes::{
    DataType, Field, IntervalDayTime, IntervalMonthDayNano, IntervalUnit, TimeUnit, i256,
};
use datafusion::common::{Result, ScalarValue, internal_datafusion_err};

use super::catalogue::{Class, class};
use crate::rng::Rng;

/// The range that a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    /// Values whose sums, averages and date arithmetic are exact and cannot overflow.
    Small,
    /// 0, -1, MIN, MAX, NaN, infinities and everything between.
    Full,
}

/// Distinct values of one type.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    /// The type of the values.
    pub data_type: DataType,
    /// Where they come from.
    pub domain: Domain,
    /// The values, as an array without NULL.
    pub values: ArrayRef,
    /// The same values as SQL literals; empty for nested types.
    pub literals: Vec<String>,
}

impl Pool {
    /// Up to `distinct` values (at least one).
    ///
    /// # Errors
    /// A type that the generator has no values for.
    pub(crate) fn new(
        rng: &mut Rng,
        data_type: &DataType,
        domain: Domain,
        distinct: usize,
    ) -> Result<Self> {
        let mut scalars: Vec<ScalarValue> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        // Narrow types have fewer values than asked for: stop after a number of draws in vain.
        let mut draws = 0;
        // An Int8 dictionary has codes for 128 values.
        let distinct = if matches!(data_type, DataType::Dictionary(..)) {
            distinct.min(100)
        } else {
            distinct
        };
        while scalars.len() < distinct.max(1) && draws < 3 * distinct + 10 {
            draws += 1;
            let value = scalar(rng, data_type, domain)?;
            if seen.insert(value.clone()) {
                scalars.push(value);
            }
        }
        let literals = match class(data_type) {
            Class::Nested | Class::Other => Vec::new(),
            _ => scalars.iter().take(40).map(literal).collect::<Result<_>>()?,
        };
        let values = ScalarValue::iter_to_array(scalars)?;
        Ok(Self { data_type: data_type.clone(), domain, values, literals })
    }
}

/// One of the edges 0, 1, -1, `low`, `high`, or anything between.
fn integer(rng: &mut Rng, low: i64, high: i64) -> i64 {
    match rng.below(8) {
        0 => 0i64.clamp(low, high),
        1 => (-1i64).clamp(low, high),
        2 => low,
        3 => high,
        4 => 1i64.clamp(low, high),
        _ => rng.between(low, high),
    }
}

fn scalar(rng: &mut Rng, data_type: &DataType, domain: Domain) -> Result<ScalarValue> {
    let small = domain == Domain::Small;
    Ok(match data_type {
        DataType::UInt64 if !small => {
            let edges = [0, 1, u64::MAX, i64::MAX as u64, i64::MAX as u64 + 1, rng.bits()];
            ScalarValue::UInt64(Some(*rng.pick(&edges)))
        }
        t if t.is_unsigned_integer() => {
            let high = if small { 40 } else { unsigned_max(t) };
            ScalarValue::Int64(Some(integer(rng, 0, high))).cast_to(t)?
        }
        t if t.is_signed_integer() => {
            let (low, high) = if small { (-20, 60) } else { signed_range(t) };
            ScalarValue::Int64(Some(integer(rng, low, high))).cast_to(t)?
        }
        DataType::Float64 => ScalarValue::Float64(Some(float(rng, small))),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "infinity and rounding are welcome here"
        )]
        DataType::Float32 => ScalarValue::Float32(Some(float(rng, small) as f32)),
        DataType::Boolean => ScalarValue::Boolean(Some(rng.chance(50))),
        t if t.is_decimal() => decimal(rng, t, small)?,
        t if class(t) == Class::Interval => interval(rng, t)?,
        t if t.is_temporal() => temporal(rng, t, small)?,
        DataType::Dictionary(key, value) => {
            ScalarValue::Dictionary(key.clone(), Box::new(scalar(rng, value, domain)?))
        }
        t if class(t) == Class::Text => ScalarValue::Utf8(Some(text(rng))).cast_to(t)?,
        DataType::FixedSizeBinary(width) => {
            let fill = *rng.pick(&[0u8, 255, 1, 97]);
            let mut bytes = vec![fill; usize::try_from(*width).unwrap_or(0)];
            bytes[0] = *rng.pick(&[0, 1, 2, 3, 128, 255]);
            ScalarValue::FixedSizeBinary(*width, Some(bytes))
        }
        t if class(t) == Class::Bytes => ScalarValue::Binary(Some(bytes(rng))).cast_to(t)?,
        DataType::List(item) => {
            let n = *rng.pick(&[0, 1, 2, 5]);
            let items = (0..n)
                .map(|_| match rng.chance(20) {
                    true => ScalarValue::try_from(item.data_type()),
                    false => scalar(rng, item.data_type(), domain),
                })
                .collect::<Result<Vec<_>>>()?;
            ScalarValue::List(ScalarValue::new_list(&items, item.data_type(), true))
        }
        DataType::Struct(fields) => {
            let columns = fields
                .iter()
                .map(|f: &Arc<Field>| match rng.chance(20) {
                    true => ScalarValue::try_from(f.data_type())?.to_array(),
                    false => scalar(rng, f.data_type(), domain)?.to_array(),
                })
                .collect::<Result<Vec<_>>>()?;
            ScalarValue::Struct(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
        }
        other => return Err(internal_datafusion_err!("no values for {other}")),
    })
}

fn signed_range(data_type: &DataType) -> (i64, i64) {
    match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

fn unsigned_max(data_type: &DataType) -> i64 {
    match data_type {
        DataType::UInt8 => u8::MAX.into(),
        DataType::UInt16 => u16::MAX.into(),
        _ => u32::MAX.into(),
    }
}

fn float(rng: &mut Rng, small: bool) -> f64 {
    if small {
        return rng.between(-200, 200) as f64 * 0.25;
    }
    let edges =
        [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, -1.0];
    match rng.chance(60) {
        true => *rng.pick(&edges),
        false => rng.between(-1_000_000, 1_000_000) as f64 / 7.0,
    }
}

fn decimal(rng: &mut Rng, data_type: &DataType, small: bool) -> Result<ScalarValue> {
    let low_digits = i128::from(rng.between(-100_000, 100_000));
    let edge = |precision: u8| 10i128.pow(u32::from(precision).min(38)) - 1;
    let kind = if small { 3 } else { rng.below(6) };
    let value = |precision: u8| match kind {
        0 => edge(precision),
        1 => -edge(precision),
        2 => 0,
        _ => low_digits,
    };
    Ok(match data_type {
        DataType::Decimal32(p, s) => ScalarValue::Decimal32(i32::try_from(value(*p)).ok(), *p, *s),
        DataType::Decimal64(p, s) => ScalarValue::Decimal64(i64::try_from(value(*p)).ok(), *p, *s),
        DataType::Decimal128(p, s) => ScalarValue::Decimal128(Some(value(*p)), *p, *s),
        DataType::Decimal256(p, s) => {
            // Beyond 38 digits, so that the upper half of the 256 bits counts.
            let wide = i256::from_i128(value(*p));
            let shift = if kind < 2 {
                i256::from_i128(10i128.pow(u32::from(*p).saturating_sub(38).min(38)))
            } else {
                i256::ONE
            };
            ScalarValue::Decimal256(Some(wide.wrapping_mul(shift)), *p, *s)
        }
        other => return Err(internal_datafusion_err!("{other} is no decimal")),
    })
}

fn interval(rng: &mut Rng, data_type: &DataType) -> Result<ScalarValue> {
    let small = |rng: &mut Rng| i32::try_from(rng.between(-3, 14)).unwrap_or(0);
    let (months, days, rest) = (small(rng), small(rng), rng.between(-2, 2));
    Ok(match data_type {
        DataType::Interval(IntervalUnit::YearMonth) => ScalarValue::IntervalYearMonth(Some(months)),
        DataType::Interval(IntervalUnit::DayTime) => {
            ScalarValue::IntervalDayTime(Some(IntervalDayTime::new(days, months * 1000)))
        }
        _ => {
            let value = IntervalMonthDayNano::new(months, days, rest * 1_000_000_000);
            ScalarValue::IntervalMonthDayNano(Some(value))
        }
    })
}

/// Days around 2020 and times of day; with `Full`, dates and timestamps at their type's edges.
fn temporal(rng: &mut Rng, data_type: &DataType, small: bool) -> Result<ScalarValue> {
    let days = rng.between(18_000, 18_800);
    let any = rng.between(0, 86_399);
    let second = *rng.pick(&[0, 1, 3_599, 86_399, any]);
    let edge = !small && rng.chance(40);
    let per_second = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let wide_edge = *rng.pick(&[0, -1, i64::MIN, i64::MAX]);
    let narrow_edge = *rng.pick(&[0, -1, i32::MIN, i32::MAX]);
    let narrow = |v: i64| ScalarValue::Int32(i32::try_from(v).ok());
    let number = match data_type {
        DataType::Date32 if edge => ScalarValue::Int32(Some(narrow_edge)),
        DataType::Date32 => narrow(days),
        DataType::Date64 => ScalarValue::Int64(Some(days * 86_400_000)),
        DataType::Time32(unit) => narrow(second * per_second(unit)),
        DataType::Time64(unit) => ScalarValue::Int64(Some(second * per_second(unit))),
        DataType::Timestamp(..) if edge => ScalarValue::Int64(Some(wide_edge)),
        DataType::Timestamp(unit, _) => {
            ScalarValue::Int64(Some((days * 86_400 + second) * per_second(unit)))
        }
        other => return Err(internal_datafusion_err!("{other} is no date or time")),
    };
    number.cast_to(data_type)
}

fn text(rng: &mut Rng) -> String {
    const WORDS: [&str; 16] = [
        "",
        "a",
        "b",
        "ab",
        "é",
        "日本語",
        "ß",
        "🦀",
        "null",
        "a_b%",
        " ",
        "\\",
        "it's",
        "A",
        "a string beyond twelve bytes",
        "a string beyond twelve bytez",
    ];
    let mut text = (*rng.pick(&WORDS)).to_string();
    if rng.chance(50) {
        let word: &str = rng.pick::<&str>(&WORDS);
        text.push_str(word);
    }
    if rng.chance(40) {
        text.push_str(&rng.below(1000).to_string());
    }
    text
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    let length = *rng.pick(&[0, 1, 2, 11, 12, 13, 30]);
    let fill = *rng.pick(&[0u8, 255, 65]);
    let mut bytes = vec![fill; length];
    if let Some(last) = bytes.last_mut() {
        *last = rng.pick(&[0u8, 1, 2, 254, 255]).to_owned();
    }
    bytes
}

/// `value` as SQL text of exactly its type.
fn literal(value: &ScalarValue) -> Result<String> {
    let data_type = value.data_type();
    let name = data_type.to_string().replace('\'', "''");
    Ok(match class(&data_type) {
        Class::Boolean => value.to_string(),
        Class::Date | Class::Time | Class::Timestamp => {
            let narrow = matches!(data_type, DataType::Date32 | DataType::Time32(_));
            let number = if narrow { DataType::Int32 } else { DataType::Int64 };
            let plain = value.cast_to(&number)?;
            format!("arrow_cast(arrow_cast('{plain}', '{number}'), '{name}')")
        }
        Class::Bytes => {
            let array = arrow::compute::cast(&value.to_array()?, &DataType::Binary)?;
            let hex: String =
                array.as_binary::<i32>().value(0).iter().map(|b| format!("{b:02X}")).collect();
            format!("arrow_cast(X'{hex}', '{name}')")
        }
        Class::Interval => interval_literal(value, &name),
        _ => {
            let plain = value.cast_to(&DataType::Utf8)?;
            let plain = match plain {
                ScalarValue::Utf8(Some(text)) => text,
                other => return Err(internal_datafusion_err!("{other:?} is no text")),
            };
            format!("arrow_cast('{}', '{name}')", plain.replace('\'', "''"))
        }
    })
}

fn interval_literal(value: &ScalarValue, name: &str) -> String {
    let text = match value {
        ScalarValue::IntervalYearMonth(Some(months)) => format!("{months} months"),
        ScalarValue::IntervalDayTime(Some(v)) => {
            format!("{} days {} milliseconds", v.days, v.milliseconds)
        }
        ScalarValue::IntervalMonthDayNano(Some(v)) => {
            format!("{} months {} days {} seconds", v.months, v.days, v.nanoseconds / 1_000_000_000)
        }
        _ => "0 days".to_string(),
    };
    format!("arrow_cast('{text}', '{name}')")
}
