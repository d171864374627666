// Instructions on dates, timestamps and intervals. Timestamps have no time zone (or UTC).
//
// A timestamp's unit comes as units a day in the immediate, which a date's 1 makes the same code. Rules:
// arrow-arith `temporal.rs` and `numeric.rs`, chrono 0.4, DataFusion's date_part and date_trunc.
#pragma once

#include "staffa/expression/calendar.cuh"
#include "staffa/expression/dispatch.cuh"

namespace staffa::expression {

// date_part's and truncate_date's field, in the immediate's top byte.
enum class field : u8 {
    year = 1,
    quarter = 2,
    month = 3,
    week = 4,
    day = 5,
    day_of_year = 6,
    weekday_from_sunday = 7,   // 0: Sunday
    weekday_from_monday = 8,   // 0: Monday
    iso_year = 9,
    hour = 10,
    minute = 11,
    second = 12,
    nanosecond = 13,           // of the second
};

STAFFA_DEVICE i64 read_time(const tile& t, const instruction& i, u16 offset, bool constant, unsigned row) {
    return i.kind == static_cast<u8>(type::i32) ? t.read<i32>(offset, constant)[row]
                                                : t.read<i64>(offset, constant)[row];
}
STAFFA_DEVICE void write_time(const tile& t, const instruction& i, unsigned row, i64 value) {
    if (i.kind == static_cast<u8>(type::i32)) t.destination<i32>(i.dst)[row] = static_cast<i32>(value);
    else t.destination<i64>(i.dst)[row] = value;
}
STAFFA_DEVICE i64 units_a_day(const instruction& i) {
    return static_cast<i64>(i.immediate & 0x00ff'ffff'ffff'ffffull);
}
STAFFA_DEVICE field field_of(const instruction& i) { return static_cast<field>(i.immediate >> 56); }

STAFFA_DEVICE i32 part_of_day(field f, i32 day, i64 rest, i64 units) {
    switch (f) {
        case field::year: return civil_from_days(day).year;
        case field::quarter: return (civil_from_days(day).month - 1) / 3 + 1;
        case field::month: return civil_from_days(day).month;
        case field::week: return iso_week(day);
        case field::day: return civil_from_days(day).day;
        case field::day_of_year: return day - days_from_civil(civil_from_days(day).year, 1, 1) + 1;
        case field::weekday_from_sunday: return (weekday(day) + 1) % 7;
        case field::weekday_from_monday: return weekday(day);
        case field::iso_year: return iso_thursday(day).year;
        default: break;
    }
    if (units == 1) return 0;
    const i64 a_second = units / 86400;
    const i64 second = rest / a_second;
    switch (f) {
        case field::hour: return static_cast<i32>(second / 3600);
        case field::minute: return static_cast<i32>(second / 60 % 60);
        case field::second: return static_cast<i32>(second % 60);
        default: return static_cast<i32>((rest - second * a_second) * (1000000000 / a_second));
    }
}

// date_part: kind i32 (Date32) or i64; the result is i32. Days that the calendar lacks are the host's.
STAFFA_DEVICE void date_part_rows(const tile& t, const instruction& i, unsigned live, unsigned& host) {
    const i64 units = units_a_day(i);
    i32* dst = t.destination<i32>(i.dst);
    const bool constant = (i.flags & flag_constant_a) != 0;
    host = failing_rows_rolled(t, live, [&](unsigned row) {
        const i64 value = read_time(t, i, i.a, constant, row);
        const i64 day = floor_divide(value, units);
        if (!is_calendar_day(day)) return false;
        dst[row] = part_of_day(field_of(i), static_cast<i32>(day), value - day * units, units);
        return true;
    });
}

// truncate_date: the first instant of the year, quarter, month or ISO week.
STAFFA_DEVICE void truncate_rows(const tile& t, const instruction& i, unsigned live, unsigned& host) {
    const i64 units = units_a_day(i);
    const bool constant = (i.flags & flag_constant_a) != 0;
    host = failing_rows_rolled(t, live, [&](unsigned row) {
        const i64 day = floor_divide(read_time(t, i, i.a, constant, row), units);
        // DataFusion goes through nanoseconds: what does not fit them is an error there. 292 years.
        if (!is_calendar_day(day) || day < -106000 || day > 106000) return false;
        const i32 d = static_cast<i32>(day);
        const civil c = civil_from_days(d);
        i32 first = d - weekday(d);
        switch (field_of(i)) {
            case field::year: first = days_from_civil(c.year, 1, 1); break;
            case field::quarter: first = days_from_civil(c.year, (c.month - 1) / 3 * 3 + 1, 1); break;
            case field::month: first = days_from_civil(c.year, c.month, 1); break;
            default: break;
        }
        write_time(t, i, row, static_cast<i64>(first) * units);
        return true;
    });
}

struct interval {
    i32 months;
    i32 days;
    i64 nanoseconds;
};
STAFFA_DEVICE interval interval_of(i128 bits) {
    const u64 bottom = low(static_cast<u128>(bits));
    return {static_cast<i32>(bottom), static_cast<i32>(bottom >> 32),
            static_cast<i64>(high(static_cast<u128>(bits)))};
}
STAFFA_DEVICE i128 interval_bits(const interval& v) {
    const u64 bottom = static_cast<u32>(v.months) | static_cast<u64>(static_cast<u32>(v.days)) << 32;
    return static_cast<i128>(static_cast<u128>(static_cast<u64>(v.nanoseconds)) << 64 | bottom);
}

// add_interval: a (i32 days or i64 units) plus b (month-day-nano), minus with flag_option. Months first,
// the day clamped to the month's last; then days; then nanoseconds. Whatever leaves the calendar is the
// host's. A date drops the time that nanoseconds leave: chrono adds their whole days, truncated.
STAFFA_DEVICE void add_interval_rows(const tile& t, const instruction& i, unsigned live, unsigned& host) {
    const i64 units = units_a_day(i);
    const bool constant = (i.flags & flag_constant_a) != 0;
    const auto b = t.b<i128>(i);
    const bool minus = (i.flags & flag_option) != 0;
    constexpr i64 day_nanoseconds = 86400000000000;
    host = failing_rows_rolled(t, live, [&](unsigned row) {
        const i64 value = read_time(t, i, i.a, constant, row);
        interval v = interval_of(b[row]);
        if (minus) {
            // The minimum has no opposite.
            if (v.months == static_cast<i32>(1u << 31) || v.days == static_cast<i32>(1u << 31) ||
                v.nanoseconds == static_cast<i64>(1ull << 63)) {
                return false;
            }
            v = {-v.months, -v.days, -v.nanoseconds};
        }
        i64 day = floor_divide(value, units);
        const i64 rest = value - day * units;
        if (!is_calendar_day(day)) return false;
        if (v.months != 0) {
            const civil c = civil_from_days(static_cast<i32>(day));
            const i64 month = static_cast<i64>(c.year) * 12 + (c.month - 1) + v.months;
            const i64 year = floor_divide(month, 12);
            if (year < 1 || year > 9999) return false;
            const i32 y = static_cast<i32>(year);
            const i32 m = static_cast<i32>(month - year * 12) + 1;
            day = days_from_civil(y, m, smaller(c.day, days_of_month(y, m)));
        }
        day += v.days;
        if (!is_calendar_day(day)) return false;
        if (units == 1) {
            day += v.nanoseconds / day_nanoseconds;
            if (!is_calendar_day(day)) return false;
            write_time(t, i, row, day);
            return true;
        }
        // day * units + rest fits: the nanosecond unit is the largest, and then the range is checked.
        const i128 per_unit = day_nanoseconds / units;
        const i128 sum = (static_cast<i128>(day) * units + rest) * per_unit + v.nanoseconds;
        const i64 sum_days = floor_divide(static_cast<i64>(sum >> 20), day_nanoseconds >> 20);
        if (sum_days < first_day + 2 || sum_days > last_day - 2) return false;
        // A finer time than the unit is dropped downwards, as timestamp() and its kin round.
        i128 quotient = sum;
        if (per_unit != 1) {
            i128 remainder;
            divide_signed(sum, per_unit, quotient, remainder);
            if (remainder < 0) quotient -= 1;
        }
        if (quotient != static_cast<i64>(quotient)) return false;
        write_time(t, i, row, static_cast<i64>(quotient));
        return true;
    });
}

}  // namespace staffa::expression
