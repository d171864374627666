//! Dates, by counting years and months.

use super::super::constant::Constant;
use super::super::format::{FLAG_OPTION, Instruction, Opcode};
use super::super::temporal::Field;
use super::numbers::{fit, integer};
use super::row::Computed;

const DAY_NANOSECONDS: i128 = 86_400_000_000_000;
/// The days that the device handles: 0001-01-01 to 9999-12-31.
const DAYS: std::ops::RangeInclusive<i128> = -719_162..=2_932_896;

fn leap(year: i128) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i128, month: i128) -> i128 {
    match month {
        2 => 28 + i128::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first day of a year.
fn year_start(year: i128) -> i128 {
    let before = year - 1;
    before * 365 + before / 4 - before / 100 + before / 400 - 719_162
}

/// Year, month, day.
fn civil(days: i128) -> (i128, i128, i128) {
    // At or below the year: a year has 365 days at least and 366 at most.
    let mut year = 1970 + days.div_euclid(if days < 0 { 365 } else { 366 });
    while year_start(year + 1) <= days {
        year += 1;
    }
    let mut rest = days - year_start(year);
    let mut month = 1;
    while rest >= month_days(year, month) {
        rest -= month_days(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

fn days_of(year: i128, month: i128, day: i128) -> i128 {
    year_start(year) + (1..month).map(|m| month_days(year, m)).sum::<i128>() + day - 1
}

fn part(field: Field, day: i128, rest: i128, units: i128) -> i128 {
    let (year, month, day_of_month) = civil(day);
    let weekday = (day + 3).rem_euclid(7);
    let thursday = day - weekday + 3;
    let second = if units == 1 { 0 } else { rest / (units / 86_400) };
    match field {
        Field::Year => year,
        Field::Quarter => (month + 2) / 3,
        Field::Month => month,
        Field::Week => (thursday - year_start(civil(thursday).0)) / 7 + 1,
        Field::Day => day_of_month,
        Field::DayOfYear => day - year_start(year) + 1,
        Field::WeekdayFromSunday => (weekday + 1) % 7,
        Field::WeekdayFromMonday => weekday,
        Field::IsoYear => civil(thursday).0,
        Field::Hour => second / 3600,
        Field::Minute => second / 60 % 60,
        Field::Second => second % 60,
        Field::Nanosecond if units == 1 => 0,
        Field::Nanosecond => rest * (DAY_NANOSECONDS / units) % 1_000_000_000,
    }
}

pub(super) fn compute(i: &Instruction, op: Opcode, operands: &[Constant; 3]) -> Computed {
    let Some(value) = integer(&operands[0]) else { return Computed::Error };
    let units = i128::from(i.immediate & 0x00ff_ffff_ffff_ffff);
    let field = Field::from_number((i.immediate >> 56) as u8);
    let (day, rest) = (value.div_euclid(units), value.rem_euclid(units));
    if !DAYS.contains(&day) {
        return Computed::Host;
    }
    let kind = operands[0].kind();
    let (year, month, day_of_month) = civil(day);
    match (op, field) {
        (Opcode::DatePart, Some(field)) => Computed::Value(Constant::integer(
            super::super::types::Type::I32,
            part(field, day, rest, units),
        )),
        (Opcode::TruncateDate, Some(field)) if (-106_000..=106_000).contains(&day) => {
            let first = match field {
                Field::Year => year_start(year),
                Field::Quarter => days_of(year, (month - 1) / 3 * 3 + 1, 1),
                Field::Month => days_of(year, month, 1),
                _ => day - (day + 3).rem_euclid(7),
            };
            Computed::Value(Constant::integer(kind, first * units))
        }
        (Opcode::AddInterval, _) => {
            let Constant::I128(bits) = operands[1] else { return Computed::Error };
            let date = (year, month, day_of_month);
            add(date, rest, units, bits, i.flags & FLAG_OPTION != 0)
                .and_then(|v| fit(kind, v))
                .map_or(Computed::Host, Computed::Value)
        }
        _ => Computed::Host,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the parts of the interval")]
fn add(
    (year, month, day): (i128, i128, i128),
    rest: i128,
    units: i128,
    bits: i128,
    minus: bool,
) -> Option<i128> {
    let mut parts =
        [i128::from(bits as i32), i128::from((bits >> 32) as i32), i128::from((bits >> 64) as i64)];
    if minus {
        if parts == [i128::from(i32::MIN), parts[1], parts[2]]
            || parts[1] == i128::from(i32::MIN)
            || parts[2] == i128::from(i64::MIN)
        {
            return None;
        }
        parts = parts.map(|p| -p);
    }
    let months = year * 12 + month - 1 + parts[0];
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    if !(1..=9999).contains(&year) {
        return None;
    }
    let mut days = days_of(year, month, day.min(month_days(year, month))) + parts[1];
    if !DAYS.contains(&days) {
        return None;
    }
    if units == 1 {
        days += parts[2] / DAY_NANOSECONDS;
        return DAYS.contains(&days).then_some(days);
    }
    let per_unit = DAY_NANOSECONDS / units;
    let sum = (days * units + rest) * per_unit + parts[2];
    // The device's bounds here are two days narrower and computed coarsely: near them either may give up.
    let sum_days = (sum >> 20).div_euclid(DAY_NANOSECONDS >> 20);
    (DAYS.start() + 2..=DAYS.end() - 2).contains(&sum_days).then(|| sum.div_euclid(per_unit))
}
