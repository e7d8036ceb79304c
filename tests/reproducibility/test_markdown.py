"""Markdown shows what it is given, in text and in tables."""

import pytest

from fedprime.reproducibility.markdown import markdown_escaped, markdown_rows


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", r"a\|b"),
        ("*a* _b_ `c`", r"\*a\* \_b\_ \`c\`"),
        ("<b>", r"\<b\>"),
        ("[a](b)", r"\[a\](b)"),
        ("two\nlines", "two lines"),
        ("83.1 ± 0.5", "83.1 ± 0.5"),
    ],
)
def test_markdown_shows_text_as_it_is(text: str, escaped: str):
    assert markdown_escaped(text) == escaped


def test_columns_of_words_are_set_flush_left():
    assert markdown_rows(["a", "b", "c"], [["x", "y", "1"]], num_left=2).splitlines()[1] == "| :-- | :-- | --: |"
