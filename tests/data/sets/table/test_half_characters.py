"""Half of a character costs itself, and is told by file and line."""

import json
import logging
from pathlib import Path

import pytest

from fedprime.data.sets.table.files import open_parts

ROWS = [{"text": "fresh \U0001f600", "label": "a"}, {"text": "cut \ud83d", "label": "b"}]
ROWS += [{"text": "\\ud83d stays, \ude00 not", "label": "a"}]
READ = ["fresh \U0001f600", "cut \N{REPLACEMENT CHARACTER}", "\\ud83d stays, \N{REPLACEMENT CHARACTER} not"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("metadata.jsonl", "\n".join(map(json.dumps, ROWS))), ("metadata.json", json.dumps(ROWS, indent=1))],
)
def test_half_of_a_character_costs_that_character_and_is_told(
    name: str, text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        (part,) = open_parts(str(tmp_path))
    assert part.column("text").to_pylist() == READ
    line = 2 if name.endswith("l") else 7
    assert f"{name}, line {line}, has half of a character, \\ud83d, as of a text that was cut off" in caplog.text
    assert "in 2 lines" in caplog.text


def test_whole_characters_are_told_nothing_of(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "metadata.jsonl").write_text(json.dumps(ROWS[0]), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        open_parts(str(tmp_path))
    assert not caplog.records
