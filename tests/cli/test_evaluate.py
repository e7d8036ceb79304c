"""The verb evaluate: a finished run measured again."""

import json
from pathlib import Path

import pytest

from command_line import exit_code


def test_evaluation_gives_the_results_of_the_run_again(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("evaluate", finished_run, "--json") == 0
    assert json.loads(capsys.readouterr().out) == json.loads((finished_run / "results.json").read_text())


def test_evaluation_shows_a_table(finished_run: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("evaluate", finished_run) == 0
    shown = capsys.readouterr().out
    accuracy = json.loads((finished_run / "results.json").read_text())["scenarios"]["text only"]["accuracy"]
    (line,) = [line for line in shown.splitlines() if "text only" in line]
    assert f"{100 * accuracy:.1f}" in line


def test_evaluation_leaves_the_run_as_it_is(finished_copy: Path):
    before = {path: path.read_bytes() for path in finished_copy.rglob("*") if path.is_file()}
    assert exit_code("evaluate", finished_copy) == 0
    assert {path: path.read_bytes() for path in finished_copy.rglob("*") if path.is_file()} == before
