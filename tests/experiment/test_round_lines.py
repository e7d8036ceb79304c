"""Files that grow by a line: what is whole is read, what was cut off is not, and what is lost is an error."""

import hashlib
from pathlib import Path

import pytest

from fedprime.experiment.round_lines import (
    append_line,
    digest_of_lines,
    drop_lines,
    lines_before,
    read_rounds,
    whole_lines,
)
from fedprime.experiment.saved_states import RunError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two rounds of the start, and two after it."""
    for number in (-2, -1, 0, 1):
        append_line(tmp_path / "metrics.jsonl", {"round": number})
    return tmp_path / "metrics.jsonl"


def test_lines_come_back_but_for_one_that_was_cut_off(path: Path):
    with path.open("a") as file:
        file.write('{"round": 2')
    assert read_rounds(path) == [{"round": -2}, {"round": -1}, {"round": 0}, {"round": 1}]
    assert lines_before(path, 0) == ['{"round": -2}\n', '{"round": -1}\n']


def test_rounds_that_did_not_come_to_their_end_are_dropped_and_the_rest_stays_to_the_byte(path: Path):
    before = path.read_bytes()
    drop_lines(path, 2, 2)
    assert path.read_bytes() == before
    drop_lines(path, 1, 2)
    assert path.read_text() == '{"round": -2}\n{"round": -1}\n{"round": 0}\n'


@pytest.mark.parametrize(
    "content", [b'{"round": 0}\n', b'{"round": "0"}\n', b"{}\n", b"[]\n", b"half\n", b"\xff\xfe\n"]
)
def test_a_lost_or_broken_line_is_an_error_that_names_the_file(content: bytes, path: Path):
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"metrics\.jsonl"):
        drop_lines(path, 1, 2)


def test_the_digest_is_that_of_the_bytes(path: Path):
    assert digest_of_lines(whole_lines(path)) == hashlib.sha256(path.read_bytes()).hexdigest()
