"""Years: which of them are leap years, and how long they are."""


def is_leap(year: int) -> bool:
    """Whether a year has a 29th of February."""
    return year % 4 == 0


def days_in_year(year: int) -> int:
    """Number of days in a year."""
    return 366 if is_leap(year) else 365
