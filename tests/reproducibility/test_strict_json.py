"""JSON of any shape, depth and length: what is right is read, all else is one line."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedprime.reproducibility.strict_json import JsonError, dump_json, parse_json, read_json

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(plain)
def test_what_is_written_comes_back(value: object):
    assert parse_json(dump_json(value)) == value


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1,]", "NaN", '{"a": Infinity}', "-Infinity", "1e999", "[-1e400]", "9" * 5000, b"\xff\xfe"),
        *("[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, "[" * 40 + "]" * 40, "\0"),
    ],
)
def test_what_nobody_here_would_have_written_is_one_short_line(text: str | bytes):
    with pytest.raises(JsonError) as caught:
        parse_json(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@given(st.text() | st.binary())
def test_any_text_is_read_or_refused_and_nothing_else(text: str | bytes):
    with contextlib.suppress(JsonError):
        parse_json(text)


def test_numbers_that_are_none_are_written_as_null():
    assert json.loads(dump_json({"loss": float("inf"), "of": [float("nan"), 1.0], "at": (2,)})) == {
        "loss": None,
        "of": [None, 1.0],
        "at": [2],
    }


def test_a_file_of_something_else_is_named(tmp_path: Path):
    (tmp_path / "job.json").write_text("[]")
    with pytest.raises(JsonError, match=r"job\.json is broken \(it holds list, expected dict\)"):
        read_json(tmp_path / "job.json")
