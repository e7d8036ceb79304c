"""Dates as people write them, in one order for a whole column."""

from datetime import datetime

import pytest

from fedprime.data.sets.table.date_words import DAY_FIRST, MONTH_FIRST, YEAR_FIRST, date_order, hours, years


def years_of(*parts: int) -> float:
    return (datetime(*parts) - datetime(2000, 1, 1)).total_seconds() / 86400 / 365.2425  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "order", "first"),
    [
        (["2024-01-31", "2023-2-1"], YEAR_FIRST, (2024, 1, 31)),
        (["2024/01/31"], YEAR_FIRST, (2024, 1, 31)),
        (["20240131", "20230201"], YEAR_FIRST, (2024, 1, 31)),
        (["31.1.2024", "1.2.2024"], DAY_FIRST, (2024, 1, 31)),
        (["31.1.69", "1.2.68"], DAY_FIRST, (1969, 1, 31)),
        (["31/1/2024", "1/2/2024"], DAY_FIRST, (2024, 1, 31)),
        (["1/31/2024", "1/2/2024"], MONTH_FIRST, (2024, 1, 31)),
        (["2024-02", "2023-12"], YEAR_FIRST, (2024, 2, 1)),
        (["2 Jan 2024"], YEAR_FIRST, (2024, 1, 2)),
        (["January 2, 2024"], YEAR_FIRST, (2024, 1, 2)),
        (["2024-01-31T13:30:00Z"], YEAR_FIRST, (2024, 1, 31, 13, 30)),
        (["2024-01-31 13:30:00+02:00"], YEAR_FIRST, (2024, 1, 31, 11, 30)),
        (["2024-01-31 13:30:00+02"], YEAR_FIRST, (2024, 1, 31, 11, 30)),  # of Postgres
        (["Wed, 31 Jan 2024 13:30:00 GMT"], YEAR_FIRST, (2024, 1, 31, 13, 30)),
        (["31JAN2024", "01feb2024"], YEAR_FIRST, (2024, 1, 31)),  # of SAS
        (["31JAN2024:13:30:00"], YEAR_FIRST, (2024, 1, 31, 13, 30)),
        (["2024年1月31日", "2024年02月01日"], YEAR_FIRST, (2024, 1, 31)),
        (["2024년 1월 31일"], YEAR_FIRST, (2024, 1, 31)),
        (["31.1.2024 1:30 pm"], DAY_FIRST, (2024, 1, 31, 13, 30)),
        (["1.2.2024", "2024-03-31", "31.3.2024"], DAY_FIRST, (2024, 2, 1)),
    ],
)
def test_the_order_of_a_column_is_found_out_and_read_as_years(words: list[str], order: str, first: tuple[int, ...]):
    assert date_order(words) == (order, False)
    assert years(words[0], order) == pytest.approx(years_of(*first), abs=1e-9)


@pytest.mark.parametrize(
    ("word", "order"), [("1/2/2024", MONTH_FIRST), ("1.2.2024", DAY_FIRST), ("1-2-2024", DAY_FIRST)]
)
def test_where_two_orders_fit_the_mark_decides_and_it_is_told(word: str, order: str):
    assert date_order([word]) == (order, True)


@pytest.mark.parametrize(
    "words",
    [[], ["red"], ["2024"], ["20240131"], ["1.2.3"], ["2024-02-30"], ["31/1/2024", "1/31/2024"], ["99999999"] * 3],
)
def test_what_is_no_column_of_dates(words: list[str]):
    assert date_order(words) is None


@pytest.mark.parametrize(
    ("word", "expected"), [("0:30", 0.5), ("12:30 am", 0.5), ("1:30 PM", 13.5), ("23:59:60", 24.0)]
)
def test_a_time_of_day_is_hours(word: str, expected: float):
    assert hours(word) == pytest.approx(expected)


@pytest.mark.parametrize("word", ["25:00", "12:60", "13:00 pm", "noon", "12"])
def test_what_is_no_time_of_day(word: str):
    with pytest.raises(ValueError):  # noqa: PT011 - a protocol of parsers
        hours(word)
