"""JSON that is nested without end."""

from pathlib import Path

import pytest

from fedprime.data.sets.table.files import open_parts
from fedprime.data.sets.table.json_depth import refuse_odd_json
from fedprime.data.sources import DataError


def test_a_cell_that_is_nested_without_end_is_one_line_that_names_its_line(tmp_path: Path):
    file = tmp_path / "metadata.jsonl"
    file.write_text('{"text": "a"}\n{"text": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    with pytest.raises(DataError, match=r"metadata.jsonl, line 2 has lists or objects that lie too deep"):
        open_parts(str(tmp_path))


def test_many_cells_beside_each_other_are_not_deep(tmp_path: Path):
    file = tmp_path / "metadata.jsonl"
    file.write_text('{"readings": [' + ", ".join("[1]" for _ in range(1000)) + "]}\n")
    refuse_odd_json([file])


def test_what_stands_first_in_a_late_row_does_not_have_to_be_there_before(tmp_path: Path):
    filled = ['{"text": "a", "note": null, "pad": "' + "x" * 3000 + '"}'] * 4000
    (tmp_path / "metadata.jsonl").write_text("\n".join([*filled, '{"text": "b", "note": "words", "pad": ""}']) + "\n")
    (part,) = open_parts(str(tmp_path))
    assert part.column("note").to_pylist()[-1] == "words"
