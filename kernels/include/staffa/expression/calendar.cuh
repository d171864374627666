// Days and dates of the proleptic Gregorian calendar.
//
// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": civil_from_days and days_from_civil.
// Dates that chrono has no NaiveDate for are outside of [first_day, last_day] and left to the host.
#pragma once

#include "staffa/launch.cuh"

namespace staffa::expression {

// 0001-01-01 and 9999-12-31 as days since 1970-01-01. chrono reaches from year -262143 to 262142; what
// lies between is so rare that the host may have it.
constexpr i64 first_day = -719162;
constexpr i64 last_day = 2932896;

struct civil {
    i32 year;
    i32 month;  // 1 to 12
    i32 day;    // 1 to 31
};

STAFFA_DEVICE bool is_calendar_day(i64 day) { return day >= first_day && day <= last_day; }

// For days in the range above 32 bits suffice.
STAFFA_DEVICE civil civil_from_days(i32 days) {
    const i32 z = days + 719468;  // days since 0000-03-01, not negative here
    const i32 era = z / 146097;
    const i32 day_of_era = z - era * 146097;
    const i32 year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const i32 day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const i32 shifted = (5 * day_of_year + 2) / 153;  // March is 0
    civil c;
    c.day = day_of_year - (153 * shifted + 2) / 5 + 1;
    c.month = shifted < 10 ? shifted + 3 : shifted - 9;
    c.year = year_of_era + era * 400 + (c.month <= 2 ? 1 : 0);
    return c;
}

STAFFA_DEVICE i32 days_from_civil(i32 year, i32 month, i32 day) {  // year >= 0
    const i32 y = month <= 2 ? year - 1 : year;
    const i32 era = (y >= 0 ? y : y - 399) / 400;
    const i32 year_of_era = y - era * 400;
    const i32 day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    const i32 day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

STAFFA_DEVICE bool is_leap(i32 year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }
STAFFA_DEVICE i32 days_of_month(i32 year, i32 month) {
    if (month == 2) return is_leap(year) ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// 0 is Monday.
STAFFA_DEVICE i32 weekday(i32 days) {
    const i32 r = (days + 3) % 7;
    return r < 0 ? r + 7 : r;
}

// ISO 8601: the week of a date is that of its Thursday.
STAFFA_DEVICE civil iso_thursday(i32 days) { return civil_from_days(days - weekday(days) + 3); }
STAFFA_DEVICE i32 iso_week(i32 days) {
    const i32 thursday = days - weekday(days) + 3;
    const civil c = civil_from_days(thursday);
    return (thursday - days_from_civil(c.year, 1, 1)) / 7 + 1;
}

STAFFA_DEVICE i64 floor_divide(i64 a, i64 b) {  // b > 0
    const i64 q = a / b;
    return a - q * b < 0 ? q - 1 : q;
}

}  // namespace staffa::expression
