"""Months, and days within a year."""

from leap.years import is_leap

_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def days_in_month(year: int, month: int) -> int:
    """Number of days in a month (1 to 12) of a year."""
    if not 1 <= month <= 12:
        raise ValueError(f"there is no month {month}: months are 1 to 12")
    return 29 if month == 2 and is_leap(year) else _DAYS[month - 1]


def day_of_year(year: int, month: int, day: int) -> int:
    """Number of a day within its year; 1 is the first of January."""
    if not 1 <= day <= days_in_month(year, month):
        raise ValueError(f"month {month} of {year} has no day {day}")
    return sum(days_in_month(year, earlier) for earlier in range(1, month)) + day
