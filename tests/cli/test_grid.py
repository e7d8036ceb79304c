"""The verb `grid`, called in this process: what it prints, its exit codes, its errors."""

import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import exit_code
from fedprime.settings.settings import Settings

RESULTS = {"rounds": 2, "scenarios": {"like train": {"accuracy": 0.0, "bayes_accuracy": 0.0}}}


@pytest.fixture
def plan(small_flags: tuple[str, ...], tmp_path: Path) -> Path:
    """A plan of two small runs, one of each method, of one round each."""
    path = tmp_path / "small.toml"
    sections: dict[str, list[str]] = {}
    for flag in small_flags:
        name, _, value = flag.removeprefix("--").partition("=")
        section, _, name = name.partition(".")
        sections.setdefault(section, []).append(f"{name} = {1 if name == 'rounds' else value}")
    lines = ["seeds = [0]"]
    for section, entries in sections.items():
        lines += [f"[settings.{section}]", *entries]
    lines += ["[axes.method]", "fedprime = {}", 'fedavg-p.method.name = "fedavg-p"']
    path.write_text("\n".join(lines))
    return path


def test_a_grid_is_a_line_for_each_run_and_the_same_command_finds_nothing_left_to_do(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert exit_code("grid", plan, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == [
        "not started       method fedprime, seed 0",
        "not started       method fedavg-p, seed 0",
        "0 of 2 runs finished already in runs/small",
    ]
    assert not Path("runs").exists()
    command = ("grid", plan, "--processes", "1")
    assert exit_code(*command, "--only", "method=fedavg-p") == 0
    first, last = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\[1/1\] method fedavg-p, seed 0: \d+ s, like train \d+\.\d of \d+\.\d %", first)
    assert last == "1 run finished in runs/small; tables and plots: fedprime report runs/small"
    assert exit_code(*command) == 0
    first, second, last = capsys.readouterr().out.splitlines()
    assert first == "1 of 2 runs finished already in runs/small"
    assert second.startswith("[2/2] method fedprime, seed 0: ")
    assert last == "2 runs finished in runs/small; tables and plots: fedprime report runs/small"
    assert exit_code(*command) == 0
    assert capsys.readouterr().out == f"{last}\n"
    assert exit_code("grid", plan, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines()[0] == "finished          method fedprime, seed 0"


def test_a_grid_with_a_broken_run_ends_with_1_and_names_it(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("fedprime.runs.processes.complete_run", lambda *_, **__: RESULTS)
    broken = tmp_path / "grid" / "runs" / "fedprime" / "seed-0"
    command = ("grid", plan, "--processes=1", "--output", tmp_path / "grid")
    assert exit_code(*command) == 0
    broken.mkdir(parents=True)
    capsys.readouterr()
    assert exit_code(*command) == 1
    shown, said = capsys.readouterr()
    assert shown.splitlines() == ["[2/2] method fedavg-p, seed 0: 0 s, like train 0.0 of 0.0 %"]
    first, second, *_ = said.splitlines()
    assert first == "fedprime: 1 run not finished:"
    assert second.startswith(
        f"  method fedprime, seed 0 ({broken}): {broken} is not a run folder: settings.toml is not"
    )
    assert exit_code(*command, "--dry-run") == 0
    assert capsys.readouterr().out.startswith(
        f"failed            method fedprime, seed 0: {broken} is not a run folder"
    )


def test_ctrl_c_stops_a_grid_and_says_how_to_go_on(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(_: Settings, folder: Path, **__: object) -> dict[str, Any]:
        if "fedavg-p" in folder.parts:
            signal.raise_signal(signal.SIGINT)
        folder.mkdir(parents=True)
        (folder / "results.json").touch()
        return RESULTS

    monkeypatch.setattr("fedprime.runs.processes.complete_run", interrupted)
    assert exit_code("grid", plan, "--processes=1", "--output", tmp_path / "a grid") == 130
    assert capsys.readouterr().err.strip() == (
        "stopped; 1 of 2 runs finished, the others keep their rounds. Go on with: "
        f"fedprime grid {plan} --processes=1 --output '{tmp_path / 'a grid'}'"
    )


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["--sedes", "3"],
            "--sedes is neither a flag of fedprime grid (--output, --processes, --seeds, --only, --track, --dry-",
        ),
        (["--training.round", "3"], "--training.round is not a setting; did you mean training.rounds?"),
        (["--seed", "3"], "--seed has no effect on a plan, which has several; name seeds with --seeds"),
        (["--method.name", "pfpt"], "--method.name has no effect: every label of the axis method sets it"),
        (["--seeds"], "--seeds has no value; expected for example --seeds 0 1 2"),
        (["--seeds", "one"], "--seeds has one; expected whole numbers from 0"),
        (["--processes", "0"], "--processes has 0; expected whole numbers from 1"),
        (["--processes", "1", "2"], "--processes has 2 values; expected one"),
        (["--only", "method"], "'method' names no labels; expected AXIS=LABEL,LABEL"),
        (["--only", "mehtod=fedprime"], "'mehtod' is not an axis of the plan: method; did you mean method?"),
        (["--only", "method=fedprim"], "'fedprim' is not a label of the axis method: fedprime, fedavg-p; did you mean"),
        (["--output", "small.toml"], "small.toml is not a folder; name another one with --output"),
        (["--output", "."], ". is not the folder of a grid: plan.toml is not there"),
        (["more"], "'more' stands before any flag"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_grid_that_cannot_be_made_says_why_and_makes_nothing(
    words: list[str],
    problem: str,
    plan: Path,
    complaint: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    # In this plan every label says which method it is.
    plan.write_text(plan.read_text().replace("fedprime = {}", 'fedprime.method.name = "fedprime"'))
    said = complaint("grid", "small.toml", *words)
    assert said.startswith(f"fedprime: {problem}")
    assert said.strip().count("\n") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


def test_help_explains_the_flags_by_an_example(capsys: pytest.CaptureFixture[str]):
    for words in (["--help"], ["main", "-h"]):
        assert exit_code("grid", *words) == 0
        shown = capsys.readouterr().out
        assert "For example: fedprime grid main --only method=fedprime,fedavg-p" in shown
        for flag in ("--output FOLDER", "--processes N", "--seeds N", "--only AXIS=LABEL", "--dry-run", "--SETTING"):
            assert f"\n  {flag}" in shown


def test_a_plan_where_a_recipe_should_be_is_told_the_verb_for_plans(plan: Path, complaint: Callable[..., str]):
    assert complaint("run", plan).endswith(f"fedprime grid {plan}\n")


def test_a_grid_from_another_recipe_has_a_folder_of_its_own(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert exit_code("grid", plan, "--recipe", "food101/study", "--dry-run", "--data.path", "photos") == 0
    assert capsys.readouterr().out.endswith("0 of 2 runs finished already in runs/small-food101-study\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recipe", "food101/studdy"), "there is no recipe food101/studdy"),
        (("--recipe", "builtin/study", "food101/study"), "--recipe has 2 values; expected one"),
        (("--recipe",), "--recipe has no value; expected for example --recipe food101/study"),
    ],
)
def test_a_recipe_that_cannot_be_started_from_is_told(
    words: tuple[str, ...], message: str, plan: Path, complaint: Callable[..., str]
):
    assert message in complaint("grid", plan, *words)
