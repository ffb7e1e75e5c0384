from leap import days_in_year, is_leap


def test_1999():
    assert not is_leap(1999)


def test_2024():
    assert is_leap(2024)


def test_2000():
    assert is_leap(2000)


def test_1900():
    assert not is_leap(1900)


def test_days_in_year():
    assert [days_in_year(year) for year in (2023, 2024)] == [365, 366]
