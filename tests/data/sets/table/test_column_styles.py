"""What the words of a column stand for."""

import pyarrow as pa

from fedprime.data.sets.table.column_styles import column_style, kept_in, misfits
from fedprime.data.sets.table.columns import Form
from fedprime.data.sets.table.number_words import PLAIN


def titled(form: Form, *cells: object, known: str | None = None) -> str | None:
    style = column_style(form, [pa.chunked_array([pa.array(cells)])], known)
    return style and style.title


def test_numbers_have_a_style_and_words_that_stand_for_themselves_have_none():
    assert titled("number", "3,5", "1,25") == "numbers with decimal comma"
    assert titled("category", "yes", "True", "no") == "yes or no"
    assert titled("category", "yes", "no") is titled("text", "3,5") is None


def test_typed_numbers_are_no_dates():
    assert titled("number", 20240131, 20240201) == "numbers"
    assert titled("number", "20240131", "20240201") == "dates (year, month, day), read as years since 2000"


def test_the_style_of_training_is_taken_where_it_fits():
    assert titled("number", "1,234", known="numbers with decimal comma") == "numbers with decimal comma"
    assert titled("number", "1,234") == "numbers with marks between thousands"
    assert titled("number", "3,5", known="numbers") == "numbers with decimal comma"
    assert (
        titled("number", "3,5 €", "dear", known="numbers with decimal comma, in €")
        == "numbers with decimal comma, in €"
    )
    assert titled("number", "1,234", known="what a later version knows") == "numbers with marks between thousands"


def test_categories_stay_what_they_were_in_training():
    assert titled("category", "True", "TRUE", "False") == "yes or no"
    assert titled("category", "True", "TRUE", "False", known="") is None  # there they were called True and False
    assert titled("category", "True", "False", known="yes or no") == "yes or no"


def test_what_counts_something_else_than_in_training_is_not_read_as_if_it_were_the_same():
    assert titled("number", "2024-01-31", known="numbers with decimal comma") == "numbers with decimal comma"
    assert titled("number", "2024-01-31", known="numbers") == "numbers"
    assert titled("number", "12:30", known="numbers") == "numbers"
    assert titled("number", "3 lb", "4 lb", known="numbers, in kg") == "numbers, in kg"
    assert titled("number", "3 kg", "4 kg", known="numbers") == "numbers, in kg"


def test_what_does_not_fit_is_found_in_all_rows_and_holes_are_no_misfits():
    column = [pa.chunked_array([pa.array(["1"] * 2000 + ["n/a", "-", "dear", "inf"])])]
    assert misfits(PLAIN, column, kept_in(column)) == ["dear", "inf"]
    assert kept_in(column) == ()
