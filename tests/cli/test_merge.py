"""The verb `merge`: saved models of sites become one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from command_line import exit_code


@pytest.fixture
def two_models(finished_run: Path, tmp_path: Path) -> tuple[Path, Path]:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        shutil.copytree(finished_run / "model", folder)
    values = load_file(theirs / "model.safetensors")
    save_file({name: 1.01 * value for name, value in values.items()}, theirs / "model.safetensors")
    config = json.loads((theirs / "config.json").read_text())
    del config["sha256"]  # as an earlier version wrote it
    (theirs / "config.json").write_text(json.dumps(config))
    return ours, theirs


def test_what_was_merged_is_told_and_predicts(
    finished_run: Path, two_models: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    merged = tmp_path / "merged"
    assert exit_code("merge", *two_models, "--output", merged, "--prompts", "average") == 0
    said = capsys.readouterr()
    assert f"2 models of 80 samples merged in {merged}" in said.out
    assert "the heads read no blocks" in said.err
    assert exit_code("predict", merged, "--text", "soup") == 0
    assert exit_code("evaluate", finished_run, "--model", merged) == 0


def test_what_cannot_be_merged_is_told_in_a_line(
    two_models: tuple[Path, Path], tmp_path: Path, complaint: Callable[..., str]
):
    ours, theirs = two_models
    assert "named twice" in complaint("merge", ours, ours, "--output", tmp_path / "merged")
    assert "exists already" in complaint("merge", ours, theirs, "--output", ours)
    assert "nowhere is not a saved model" in complaint("merge", ours, tmp_path / "nowhere", "--output", tmp_path / "m")
    assert "at least two" in complaint("merge", ours, "--output", tmp_path / "merged")
