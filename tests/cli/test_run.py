"""The verb run: what it prints, where it stops, what it refuses."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from command_line import exit_code
from fedprime.experiment.run_folder import RunFolder
from fedprime.methods.method import ServerState, Update
from fedprime.runtime.in_process import InProcessClients
from fedprime.settings.reading import read_settings
from fedprime.settings.settings import Settings

COMMAND = (sys.executable, "-m", "fedprime")


@pytest.fixture(scope="module")
def made(small_flags: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a run shows where there is no terminal, and the folder in which it was started; only for reading."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "recipe.toml").write_text("seed = 0\n")
    flags = [word for flag in small_flags for word in flag.split("=")]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as shown:
        patch.chdir(folder)
        assert exit_code("run", "recipe.toml", *flags) == 0
    return shown.getvalue(), folder


def test_a_run_shows_plain_lines_where_there_is_no_terminal(made: tuple[str, Path]):
    shown, _ = made
    rounds = [line for line in shown.splitlines() if line.startswith("round ")]
    assert [line.split()[1] for line in rounds] == ["1/3", "2/3", "3/3"]
    assert all("loss " in line and " MB sent" in line and line.endswith("left") for line in rounds)
    assert "accuracy not measured yet" in rounds[0]
    assert "\x1b" not in shown
    assert "\r" not in shown
    for scenario in ("like train", "miss both", "full", "image only", "text only"):
        assert scenario in shown


def test_a_run_without_a_folder_gets_one_named_by_recipe_and_time(made: tuple[str, Path]):
    shown, place = made
    (folder,) = (place / "runs").iterdir()
    assert folder.name.startswith("recipe-2")
    assert (folder / "results.json").exists()
    where = folder.relative_to(place)
    assert shown.splitlines()[-1] == f"run folder: {where} (open first: {where / 'scenarios.png'}, then results.json)"


def test_flags_reach_the_run(made: tuple[str, Path], small_settings: Settings):
    (folder,) = (made[1] / "runs").iterdir()
    # What is automatic is written down as it was chosen.
    assert read_settings(folder / "settings.toml") == replace(small_settings, backbone="tiny")


def test_a_run_shows_a_live_line_on_a_terminal(
    recipe: Path, small_flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert exit_code("run", recipe, *small_flags, "--output", tmp_path / "run") == 0
    shown = sys.stdout.getvalue()
    assert "\nround 1/3  loss" not in shown
    assert "3/3" in shown
    assert "\x1b[" in shown


def test_a_stopped_run_is_continued(stopped_run: Path, finished_run: Path, capsys: pytest.CaptureFixture[str]):
    (stopped_run / "live.html").write_text("1 of 3 rounds")
    assert exit_code("run", "--resume", stopped_run) == 0
    rounds = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("round ")]
    assert rounds == ["2/3", "3/3"]
    ours = load_file(stopped_run / "model" / "model.safetensors")
    theirs = load_file(finished_run / "model" / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert "1 of 3" not in (stopped_run / "live.html").read_text()  # which goes on with the run


def test_a_finished_run_is_shown_again(finished_copy: Path, capsys: pytest.CaptureFixture[str]):
    assert exit_code("run", f"--resume={finished_copy}") == 0
    shown = capsys.readouterr().out
    assert "round 1/3" not in shown
    assert "like train" in shown


class Interrupting(io.StringIO):
    """An output during whose first line of some progress somebody presses Ctrl-C."""

    def __init__(self, beginning: str) -> None:
        super().__init__()
        self.beginning = beginning

    def write(self, text: str) -> int:
        if text.startswith(self.beginning):
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


@pytest.mark.parametrize(
    ("beginning", "saved", "next_round"), [("start 1/", "0 rounds", -4), ("round 1/", "1 round", 1)]
)
def test_ctrl_c_stops_after_saving_and_says_how_to_go_on(
    beginning: str,
    saved: str,
    next_round: int,
    recipe: Path,
    small_flags: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Interrupting(beginning))
    monkeypatch.setattr(sys, "stderr", said)
    with_start = ("--method.readout=blocks", "--method.start=closed-form")
    assert exit_code("run", recipe, *small_flags, *with_start, "--output", tmp_path / "run") == 130
    assert said.getvalue().strip() == (f"stopped; {saved} saved. Go on with: fedprime run --resume {tmp_path / 'run'}")
    assert RunFolder(tmp_path / "run").load_checkpoint().next_round == next_round


def test_ctrl_c_before_the_first_round_says_that_nothing_was_saved(
    recipe: Path,
    small_flags: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("fedprime.runs.run.build_experiment", interrupted)
    assert exit_code("run", recipe, *small_flags, "--output", tmp_path / "run") == 130
    assert "nothing was saved" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow  # for what it is about, a process that imports everything
def test_the_same_seed_gives_the_same_weights_to_the_bit_in_another_process(
    small_flags: tuple[str, ...], recipe: Path, finished_run: Path, tmp_path: Path
):
    words = (*COMMAND, "run", recipe, *small_flags, "--output", tmp_path / "run")
    # Another order of hashes must not matter.
    done = subprocess.run(
        words, env={**os.environ, "PYTHONHASHSEED": "4242"}, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    ours = load_file(tmp_path / "run" / "model" / "model.safetensors")
    theirs = load_file(finished_run / "model" / "model.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    here, there = (json.loads((folder / "results.json").read_text()) for folder in (tmp_path / "run", finished_run))
    assert here["scenarios"] == there["scenarios"]


def test_every_wrong_setting_is_reported_at_once_and_nothing_is_made(
    recipe: Path, tmp_path: Path, complaint: Callable[..., str]
):
    recipe.write_text("sede = 1\n")
    said = complaint("run", recipe, "--training.round", "3", "--missing.rate=7", "--output", tmp_path / "run")
    assert said.startswith("fedprime: 3 settings are wrong:")
    for part in ("did you mean seed?", "did you mean training.rounds?", "missing.rate is '7'"):
        assert part in said
    assert not (tmp_path / "run").exists()


def test_an_existing_run_folder_is_named_and_left_alone(
    recipe: Path, finished_copy: Path, small_flags: tuple[str, ...], complaint: Callable[..., str]
):
    before = (finished_copy / "results.json").read_bytes()
    said = complaint("run", recipe, *small_flags, "--output", finished_copy)
    assert said.strip().count("\n") == 0
    assert f"continue it with `fedprime run --resume {finished_copy}`" in said
    assert (finished_copy / "results.json").read_bytes() == before


@pytest.mark.parametrize("inside", ["run", "deeper/run"])
def test_a_run_folder_inside_a_file_is_refused(
    inside: str, recipe: Path, small_flags: tuple[str, ...], complaint: Callable[..., str]
):
    assert "recipe.toml" in complaint("run", recipe, *small_flags, "--output", recipe / inside)


def test_a_run_in_use_is_refused(stopped_run: Path, complaint: Callable[..., str]):
    with RunFolder(stopped_run).locked():
        assert f"another process is running {stopped_run}" in complaint("run", "--resume", stopped_run)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "masks.safetensors", "metrics.jsonl", "settings.toml"])
@pytest.mark.parametrize("damage", [b"", b"\xff\x00broken\n", None], ids=["empty", "noise", "gone"])
def test_a_broken_run_gives_one_clear_error(
    name: str, damage: bytes | None, stopped_run: Path, complaint: Callable[..., str]
):
    if damage is None:
        (stopped_run / name).unlink()
    else:
        (stopped_run / name).write_bytes(damage)
    said = complaint("run", "--resume", stopped_run)
    # An empty file of settings is right as TOML; the run then turns out to be another.
    assert name in said or (name == "settings.toml" and damage == b"")


def test_settings_of_the_method_are_judged_when_all_others_are_right(complaint: Callable[..., str]):
    said = complaint("run", "builtin/quickstart", "--method.pool_sise", "3", "--method.standardised_queries")
    assert "method.pool_sise: fedprime has no such setting" in said
    assert "did you mean method.pool_size?" in said


# Clients that never answer


def test_a_run_in_which_a_client_never_answers_ends_with_another_exit_code_unless_that_may_be(
    recipe: Path,
    small_flags: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    train_one = InProcessClients._train_one

    def fail_at_first(clients: InProcessClients, round_number: int, client: int, state: ServerState) -> Update:
        if client == 0:
            raise OSError("no disk")
        return train_one(clients, round_number, client, state)

    monkeypatch.setattr(InProcessClients, "_train_one", fail_at_first)
    flags = (*small_flags, "--runtime.stacked_clients=1")
    assert exit_code("run", recipe, *flags, "--output", tmp_path / "run") == 3
    said = capsys.readouterr()
    assert "client 0 answered 0 of" in said.out
    assert "client 0 never answered" in said.err
    assert exit_code("run", recipe, *flags, "--output", tmp_path / "may", "--runtime.allow_absent") == 0
