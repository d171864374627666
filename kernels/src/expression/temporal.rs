//! The builder's operations on dates, timestamps and intervals.

use staffa_common::StaffaError;

use super::builder::{Builder, Value, mismatch};
use super::draft::Draft;
use super::format::{FLAG_OPTION, Opcode};
use super::types::Type;

/// A field of a date or timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Field {
    Year = 1,
    Quarter = 2,
    Month = 3,
    /// ISO 8601.
    Week = 4,
    Day = 5,
    DayOfYear = 6,
    /// Sunday is 0.
    WeekdayFromSunday = 7,
    /// Monday is 0.
    WeekdayFromMonday = 8,
    IsoYear = 9,
    Hour = 10,
    Minute = 11,
    Second = 12,
    /// Of the second, from 0 to 999 999 999.
    Nanosecond = 13,
}

impl Field {
    /// Every field.
    pub const ALL: [Field; 13] = [
        Field::Year,
        Field::Quarter,
        Field::Month,
        Field::Week,
        Field::Day,
        Field::DayOfYear,
        Field::WeekdayFromSunday,
        Field::WeekdayFromMonday,
        Field::IsoYear,
        Field::Hour,
        Field::Minute,
        Field::Second,
        Field::Nanosecond,
    ];

    pub(super) fn from_number(number: u8) -> Option<Field> {
        Field::ALL.into_iter().find(|f| *f as u8 == number)
    }
}

/// What one unit of a date or timestamp is; time zones other than UTC are the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Date32.
    Day,
    /// Timestamp(Second).
    Second,
    /// Date64, Timestamp(Millisecond).
    Millisecond,
    /// Timestamp(Microsecond).
    Microsecond,
    /// Timestamp(Nanosecond).
    Nanosecond,
}

impl Unit {
    /// How many make a day.
    pub fn per_day(self) -> u64 {
        match self {
            Unit::Day => 1,
            Unit::Second => 86_400,
            Unit::Millisecond => 86_400_000,
            Unit::Microsecond => 86_400_000_000,
            Unit::Nanosecond => 86_400_000_000_000,
        }
    }

    fn check(self, a: Value) -> Result<(), StaffaError> {
        let kind = if self == Unit::Day { Type::I32 } else { Type::I64 };
        if a.kind() == kind { Ok(()) } else { Err(mismatch("a date or timestamp", a.kind())) }
    }
}

impl Builder {
    /// A field, as i32. Dates outside of the years 1 to 9999 are the host's.
    ///
    /// # Errors
    /// `Bug` unless it is an i32 (days) or i64 (other units).
    pub fn date_part(&mut self, a: Value, unit: Unit, field: Field) -> Result<Value, StaffaError> {
        unit.check(a)?;
        let mut draft = Draft::new(Opcode::DatePart, Some(a.kind));
        draft.kind_to = Some(Type::I32);
        draft.operands[0] = a.operand;
        draft.valids[0] = a.valid;
        draft.immediate = unit.per_day() | (field as u64) << 56;
        Ok(self.strict(draft, Type::I32))
    }

    /// The first instant of the year, quarter, month or week. Finer granularities are multiples of the
    /// unit: [`Builder::floor_multiple`].
    ///
    /// # Errors
    /// `Bug` for another field, or unless it is an i32 (days) or i64 (other units).
    pub fn truncate_date(
        &mut self,
        a: Value,
        unit: Unit,
        field: Field,
    ) -> Result<Value, StaffaError> {
        unit.check(a)?;
        if !matches!(field, Field::Year | Field::Quarter | Field::Month | Field::Week) {
            return Err(mismatch("truncation to a field", a.kind));
        }
        let mut draft = Draft::new(Opcode::TruncateDate, Some(a.kind));
        draft.operands[0] = a.operand;
        draft.valids[0] = a.valid;
        draft.immediate = unit.per_day() | (field as u64) << 56;
        Ok(self.strict(draft, a.kind))
    }

    /// A date or timestamp plus (`minus`: less) a month-day-nanosecond interval, an i128 as arrow lays it
    /// out. Results outside of the years 1 to 9999 are the host's.
    ///
    /// # Errors
    /// `Bug` for other types.
    pub fn add_interval(
        &mut self,
        a: Value,
        unit: Unit,
        interval: Value,
        minus: bool,
    ) -> Result<Value, StaffaError> {
        unit.check(a)?;
        if interval.kind != Type::I128 {
            return Err(mismatch("an interval", interval.kind));
        }
        let mut draft = Draft::new(Opcode::AddInterval, Some(a.kind));
        draft.operands[0] = a.operand;
        draft.valids[0] = a.valid;
        draft.operands[1] = interval.operand;
        draft.valids[1] = interval.valid;
        draft.immediate = unit.per_day();
        if minus {
            draft.flags |= FLAG_OPTION;
        }
        Ok(self.strict(draft, a.kind))
    }
}
