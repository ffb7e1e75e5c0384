import pytest

from leap import day_of_year, days_in_month


def test_february():
    assert [days_in_month(year, 2) for year in (2023, 2024)] == [28, 29]


def test_months_of_a_year():
    assert sum(days_in_month(2023, month) for month in range(1, 13)) == 365


def test_no_thirteenth_month():
    with pytest.raises(ValueError, match="13"):
        days_in_month(2024, 13)


def test_day_of_year():
    assert day_of_year(2024, 12, 31) == 366


def test_no_thirtieth_of_february():
    with pytest.raises(ValueError, match="30"):
        day_of_year(2024, 2, 30)
