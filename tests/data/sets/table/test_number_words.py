"""Numbers as people write them, read by one way for a whole column."""

import pytest

from fedprime.data.sets.table.number_words import number_style


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["3.5", "-2", "1e3"], [3.5, -2, 1000]),
        (["3,50", "1.234,5", "2"], [3.5, 1234.5, 2]),
        (["1,234", "1,234,567.5"], [1234, 1234567.5]),
        (["1 234", "12"], [1234, 12]),
        (["1'234.5", "7"], [1234.5, 7]),
        (["1 234,5", "0,5"], [1234.5, 0.5]),
    ],
)
def test_a_column_of_numbers_is_read_as_its_writer_meant_it(words: list[str], numbers: list[float]):
    style = number_style(words)
    assert style is not None
    assert [style.parse(word) for word in words] == numbers


def test_words_are_no_numbers():
    assert number_style(["red", "blue", "3"]) is None
    assert number_style([]) is None


def test_a_whole_number_stays_one():
    style = number_style(["12345678901234567890"])
    assert style is not None
    assert style.parse("12345678901234567890") == 12345678901234567890
