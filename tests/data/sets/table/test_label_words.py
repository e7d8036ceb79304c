"""Words of label columns."""

import pytest

from fedprime.data.sets.table.label_words import labels_in, listed_words, without_zeros, word_of


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        (None, None),
        ("", None),
        ("red", ["red"]),
        ("red | warm|", ["red", "warm"]),
        ('["red", "warm"]', ["red", "warm"]),
        ("[]", []),
        ("{}", []),
        (["red", None, 2.0], ["red", "2"]),
        ("[red, warm]", ["red", "warm"]),  # of Spark
        ("{red,warm}", ["red", "warm"]),  # of Postgres
        ("[1 2]", ["1", "2"]),  # of NumPy
        ("[1. 2.]", ["1", "2"]),
        ("['a' 'b']", ["a", "b"]),
    ],
)
def test_a_cell_has_any_number_of_labels(cell: object, labels: list[str] | None):
    assert labels_in(cell, "|") == labels


@pytest.mark.parametrize("word", ["red", "[", "[[1]]", "{'a': 1}", "(", "[1, "])
def test_what_is_no_list_of_words_is_none(word: str):
    assert listed_words(word) is None


def test_whole_numbers_are_called_so_only_among_numbers():
    assert without_zeros(["1.0", None, "2"]) == ["1", None, "2"]
    assert without_zeros(["1,0", "2,00"]) == ["1", "2"]
    assert without_zeros(["1.0", "high"]) == ["1.0", "high"]
    assert without_zeros(["1.50", "1.5", "1e0", "+1", "1", "-1", "\u22121"]) == [
        "1.5",
        "1.5",
        "1",
        "1",
        "1",
        "-1",
        "-1",
    ]
    assert without_zeros(["1.50", "007", "7", "+1"]) == ["1.50", "007", "7", "+1"]
    assert word_of(3.0) == "3"
    assert word_of("a\x1b[31m\tb") == "a [31m b"
