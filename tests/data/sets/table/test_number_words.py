"""Numbers as people write them, read by one way for a whole column."""

from datetime import date, datetime

import numpy as np
import pytest

from fedprime.data.images import InputError
from fedprime.data.sets.table.number_words import PLAIN, decimal_marks, named_style, number_style, read_row, trained_row


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["3.5", "-2", "1e3"], [3.5, -2, 1000]),
        (["3,50", "1.234,5", "2"], [3.5, 1234.5, 2]),
        (["1,234", "1,234,567.5"], [1234, 1234567.5]),
        (["1 234", "12"], [1234, 12]),
        (["1'234.5", "7"], [1234.5, 7]),
        (["1 234,5", "0,5"], [1234.5, 0.5]),
        (["\u22123.5", "(2)"], [-3.5, -2]),
        (["\u22123,50", "(1.234,5)", "2,5"], [-3.5, -1234.5, 2.5]),
        (["(1,234.50)", "\u20132,000"], [-1234.5, -2000]),
        (["\u2212$5", "($1,234.50)", "$4"], [-5, -1234.5, 4]),
        (["12 kr", "13,50 kr"], [12, 13.5]),
        (["R$ 12,50", "R$ 1.234,00"], [12.5, 1234]),
        (["1,23,456", "12,34,567.5"], [123456, 1234567.5]),
        (["0,125", "1,234", "2,500"], [0.125, 1.234, 2.5]),  # no thousand begins with a zero
        (["0.125", "1,5", "1.500"], [0.125, 1.5, 1500]),
        (["1\u2009234,50", "12\u202f000,25"], [1234.5, 12000.25]),
        (["3"] * 30 + ["2,5"], [3] * 30 + [2.5]),
        (["3.512"] * 30 + ["1,234.5"], [3.512] * 30 + [1234.5]),
        (["1.234,50-", "2,50"], [-1234.5, 2.5]),  # of SAP
        (["1,234.50-", "2.50"], [-1234.5, 2.5]),
    ],
)
def test_a_column_of_numbers_is_read_as_its_writer_meant_it(words: list[str], numbers: list[float]):
    style = number_style(words)
    assert style is not None
    assert [style.parse(word) for word in words] == numbers


def test_a_single_comma_does_not_make_thousands_of_decimals():
    style = number_style(["3.512"] * 30 + ["2,5"])
    assert style is not None
    assert style.parse("3.512") == 3.512
    assert not style.fits("2,5")  # a hole, which is told


@pytest.mark.parametrize(
    ("words", "is_told"),
    [
        (["1.234", "94"], True),
        (["1.234 €", "94 €"], True),
        (["1.234", "2.500"], True),
        (["1.234", "9.5", "94"], False),
        (["0.125", "1"], False),
        (["1,234", "94"], True),
        (["1.234 €", "12.500 €"], True),
        (["1.234", "12345"], False),
        (["1,234", "1,234,567"], False),
        (["3,50", "1.234"], False),
        (["12.5"] * 8 + ["3,50"] * 4 + ["1.234"], True),
        (["0.125", "3,50", "1.234"], True),
        (["3,50", "1.234,5", "1.234.567"], False),
    ],
)
def test_what_may_be_thousands_or_decimals_is_told(words: list[str], is_told: bool):
    style = number_style(words)
    assert style is not None
    assert ("may be meant as" in style.doubt) == is_told


@pytest.mark.parametrize(
    ("word", "marks"),
    [
        ("3,50", {","}),
        ("€ 1.234,50", {","}),
        ("$1,234.50", {"."}),
        ("1.234.567,5", {","}),
        *((word, set[str]()) for word in ("1,234", "1.234", "1.234.567", "1.234,567", "31.12.2024", "12,34,567")),
    ],
)
def test_a_mark_is_of_decimals_where_it_can_be_no_other(word: str, marks: set[str]):
    assert decimal_marks([word]) == marks


def test_numbers_of_countries_are_what_they_were_written_from():
    """Right, or told to be doubtful."""
    places = {"en": (",", "."), "de": (".", ","), "fr": ("\u202f", ","), "ch": ("'", "."), "fi": ("\u00a0", ",")}
    random = np.random.default_rng(0)
    num_right = 0
    for number in range(1000):
        thousands, decimal = places[list(places)[number % 5]]
        values = np.round(random.normal(size=8) * 10 ** random.uniform(0, 6), digits := int(random.integers(0, 4)))
        plain = [f"{value:,.{digits}f}".translate({44: thousands, 46: decimal}) for value in values.tolist()]
        words = [word + " €" * (number % 3 == 0) for word in plain]
        style = number_style(words)
        assert style is not None
        is_right = [style.fits(word) for word in words] == [True] * 8 and np.allclose(
            [float(style.parse(word)) for word in words], values, rtol=1e-9
        )
        num_right += is_right
        assert is_right or style.doubt, words
    assert num_right > 900


def test_words_are_no_numbers():
    assert number_style(["red", "blue", "3"]) is None
    assert number_style(["2-", "3", "1-"]) is None  # marks of schools
    assert number_style([]) is None


def test_a_whole_number_stays_one():
    style = number_style(["12345678901234567890"])
    assert style is not None
    assert style.parse("12345678901234567890") == 12345678901234567890


@pytest.mark.parametrize("word", ["inf", "nan", "1_000", "9" * 400, "1e999", "0x1F", "١٢ ", ""])
def test_what_is_no_number_or_too_large_is_none(word: str):
    assert not PLAIN.fits(word)


@pytest.mark.parametrize(
    "words", [["3.5"], ["3,50", "1,5"], ["1,234"], ["3 %"], ["3,5 €"], ["31.1.2024"], ["12:30"], ["2024-01-02"]]
)
def test_a_style_is_known_again_by_its_title(words: list[str]):
    style = number_style(words)
    assert style is not None
    known = named_style(style.title)
    assert known is not None
    assert known.parse(words[0]) == style.parse(words[0])


def test_a_row_is_read_as_in_training():
    titles = {"price": "numbers with decimal comma", "day": "dates (day, month, year), read as years since 2000"}
    row = {"price": "1,234", "day": "1.1.2000", "colour": "red", "size": 3}
    assert read_row(row, titles) == {"price": 1.234, "day": 0.0, "colour": "red", "size": 3}
    assert read_row({"price": "n/a", "day": 7.5}, titles) == {"day": 7.5}
    with pytest.raises(InputError, match="day is 'soon'; expected dates \\(day, month, year\\), as in training"):
        read_row({"day": "soon"}, titles)


@pytest.mark.parametrize("day", ["2001-01-01", date(2001, 1, 1), datetime(2001, 1, 1), np.datetime64("2001-01-01")])
def test_a_date_is_read_whatever_type_it_has(day: object):
    titles = {"day": "dates (year, month, day), read as years since 2000"}
    assert read_row({"day": day}, titles, {"day": "number"})["day"] == pytest.approx(1, abs=0.01)


def test_a_column_of_another_modality_is_none_of_a_row():
    about = {
        "columns": ["text:text=note", "facts:table=age+ward"],
        "forms": {"note": "text", "age": "number", "ward": "category"},
    }
    assert trained_row({"age": 3, "ward": "A"}, "facts", about) == {"age": 3, "ward": "A"}
    with pytest.raises(InputError, match=r"note is no column that the model was trained on: age, ward$"):
        trained_row({"note": "fever"}, "facts", about)


@pytest.mark.parametrize("room", ["12", " 12", 12, 12.0, np.int64(12), np.float32(12)])
def test_a_number_of_a_category_is_its_name(room: object):
    assert read_row({"room": room}, {}, {"room": "category"}) == {"room": "12"}


@pytest.mark.parametrize("flag", [True, 1, 1.0, np.True_])
def test_yes_in_a_column_of_numbers_is_one(flag: object):
    (read,) = read_row({"flag": flag}, {"flag": PLAIN.title}, {"flag": "number"}).values()
    assert read == 1
    assert not isinstance(read, bool)


@pytest.mark.parametrize("age", [[30], {"years": 30}, (30, 40), b"30", date(2001, 1, 1)])
def test_what_is_no_number_is_refused_in_a_column_of_numbers(age: object):
    with pytest.raises(InputError, match="expected numbers, as in training"):
        read_row({"age": age}, {"age": PLAIN.title}, {"age": "number"})
