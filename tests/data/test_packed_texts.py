"""Packed texts: a sequence of texts like any other."""

import pytest

from fedprime.data.packed_texts import PackedTexts

TEXTS = ["fresh", "", "k\u00e4se \U0001f600", "half of a pair \ud83d", "last"]


def test_texts_come_back_as_they_were():
    packed = PackedTexts(iter(TEXTS))
    assert list(packed) == TEXTS
    assert [packed[index] for index in (0, 1, -1, -5)] == ["fresh", "", "last", "fresh"]
    assert packed[1:4:2] == TEXTS[1:4:2]
    assert packed.index("last") == 4
    assert "fres" not in packed


@pytest.mark.parametrize("index", [5, -6])
def test_there_is_no_text_beyond_the_ends(index: int):
    with pytest.raises(IndexError, match="there is no text"):
        PackedTexts(TEXTS)[index]
