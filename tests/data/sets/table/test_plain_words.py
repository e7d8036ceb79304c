"""Words that say that nothing is there, and yes and no."""

import pytest

from fedprime.data.sets.table.plain_words import cleaned, is_blank, is_empty, kept_words, truth


@pytest.mark.parametrize(
    "unseen", [" ", "\t", "\u00a0", "\ufeff", "\u200b", "\u202e", "\x00", "\x1a", "\u2060", "\u3000"]
)
def test_what_nobody_sees_is_no_word(unseen: str):
    assert cleaned(f"{unseen}red wine{unseen}") == "red wine"
    assert is_empty(unseen)


@pytest.mark.parametrize(
    "word",
    [
        "NA",
        "n/a",
        "N.A.",
        "-",
        "?",
        "null",
        "#N/A",
        "#DIV/0!",
        "#REF!",
        "<NA>",
        ".",
        "..",
        "\\N",
        "(null)",
        "NaT",
        "0000-00-00",
        "---",
        "\u2014",
    ],
)
def test_a_word_that_says_that_nothing_is_there_is_blank_but_not_empty(word: str):
    assert is_blank(f" {word} ")
    assert not is_empty(word)
    assert not is_blank(word, kept=[word])


@pytest.mark.parametrize("cell", ["none", "no", "0", 0, False, "nanny", "+", "NAM", "None", "NAT"])
def test_what_may_be_an_answer_is_not_blank(cell: object):
    assert not is_blank(cell)


def test_a_minus_is_a_word_beside_a_plus():
    assert kept_words(["a", None, "+ "]) == ("-",)
    assert kept_words(["1", "-"]) == ()


def test_yes_and_no_have_several_spellings_and_no_single_letters():
    assert [truth(word) for word in ("TRUE", "1", " ja ", "False", "0", "non")] == ["yes"] * 3 + ["no"] * 3
    for word in ("y", "n", "t", "f", "maybe", "2"):
        with pytest.raises(ValueError, match="neither yes nor no"):
            truth(word)
