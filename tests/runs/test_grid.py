"""Grids: what is left to do is done, what is there is kept, and what is wrong with one run is its own matter."""

import functools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedprime.experiment.run_folder import RunFolder
from fedprime.runs import processes as workers
from fedprime.runs.callbacks import Callback
from fedprime.runs.grid import GridError, GridProgress, default_processes, inspect_grid, run_grid, run_path
from fedprime.runs.metrics import Progress
from fedprime.runs.run import start_run
from fedprime.settings.plans import Plan, PlannedRun, choose_runs, read_plan
from fedprime.settings.problems import SettingsError
from fedprime.settings.settings import Settings
from run_files import metrics_of, results_of

PLAN = """
seeds = [0, 1]
[axes.method]
fedprime = {}
fedavg-p.method.name = "fedavg-p"
"""


@pytest.fixture
def read(small_flags: tuple[str, ...], tmp_path: Path) -> Callable[..., Plan]:
    """Reads a plan of small runs, four if nothing is said: two methods, two seeds."""

    def read_small(text: str = PLAN, *flags: str, seeds: tuple[int, ...] = ()) -> Plan:
        path = tmp_path / "small.toml"
        path.write_text(text)
        return read_plan(path, (*small_flags, *flags), seeds)

    return read_small


@pytest.fixture
def plan(read: Callable[..., Plan]) -> Plan:
    return read()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "grid"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that were begun, of which none is really made."""
    begun: list[str] = []

    def complete(settings: Settings, *_: object, **__: object) -> dict[str, Any]:
        begun.append(f"{settings.method.name} {settings.seed}")
        return {"rounds": 3}

    monkeypatch.setattr(workers, "complete_run", complete)
    return begun


run_here = functools.partial(run_grid, num_processes=1)


def states(plan: Plan, folder: Path) -> list[tuple[str, int]]:
    return [(entry.state, entry.rounds) for entry in inspect_grid(plan, folder)]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def put(run: Path, folder: Path, planned: PlannedRun) -> Path:
    """Puts a run folder where one of a grid belongs."""
    return Path(shutil.copytree(run, run_path(folder, planned)))


@contextmanager
def stopping_after_rounds(count: int) -> Iterator[Callable[[GridProgress], None]]:
    """Somebody who presses Ctrl-C after so many rounds."""
    seen: list[int] = []

    def watch(progress: GridProgress) -> None:
        seen.extend(entry.rounds for entry in progress.running if entry.rounds)
        if len(seen) == count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        yield watch


def assert_same_run(here: Path, there: Path) -> None:
    """Two runs ended with the same weights to the byte, the same metrics and the same results."""
    name = "model/model.safetensors"
    assert (here / name).read_bytes() == (there / name).read_bytes()
    assert metrics_of(here) == metrics_of(there)
    assert results_of(here) == results_of(there)


def test_every_run_of_a_plan_is_that_which_its_settings_give_alone(plan: Plan, folder: Path, tmp_path: Path):
    (ended,) = run_here(plan, folder, plan.runs[3:])
    there = folder / "runs" / "fedavg-p" / "seed-1"
    start_run(plan.runs[3].settings, tmp_path / "alone")
    assert_same_run(there, tmp_path / "alone")
    assert (ended.state, ended.rounds, ended.results) == ("finished", 3, RunFolder(there).results())


def test_a_stopped_grid_goes_on_where_it_was(plan: Plan, folder: Path, finished_run: Path):
    first = choose_runs(plan, ["method=fedprime"])[:1]
    with stopping_after_rounds(2) as watch:
        run_here(plan, folder, first, watch=watch)
    assert states(plan, folder)[0] == ("started", 2)
    rounds: list[int] = []
    run_here(plan, folder, first, watch=lambda progress: rounds.extend(entry.rounds for entry in progress.running))
    assert rounds == [2, 3]
    assert_same_run(folder / "runs" / "fedprime" / "seed-0", finished_run)


def test_a_run_that_was_stopped_in_its_start_has_made_no_round(read: Callable[..., Plan], folder: Path):
    plan = read(PLAN, "--method.readout=blocks", "--method.start=closed-form")

    def stop(_: object) -> None:
        if run_path(folder, plan.runs[0]).exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here(plan, folder, plan.runs[:1], watch=stop)
    assert states(plan, folder)[0] == ("started", 0)


def test_a_finished_run_is_left_as_it_is(plan: Plan, folder: Path, finished_run: Path, made: list[str]):
    run_here(plan, folder, [])
    there = put(finished_run, folder, plan.runs[0])
    before = contents(there)
    ended = run_here(plan, folder)
    assert made == ["fedavg-p 0", "fedprime 1", "fedavg-p 1"]
    assert [entry.state for entry in ended] == ["finished"] * 4
    assert contents(there) == before


def test_progress_counts_what_was_finished_before(plan: Plan, folder: Path, finished_run: Path, made: list[str]):
    run_here(plan, folder, [])
    put(finished_run, folder, plan.runs[0])
    seen: list[GridProgress] = []
    run_here(plan, folder, watch=seen.append)
    assert [progress.num_ended for progress in seen if progress.ended] == [2, 3, 4]
    assert {progress.num_runs for progress in seen} == {4}
    begun = [progress.running[0].planned.name for progress in seen if not progress.ended]
    assert begun == ["method fedavg-p, seed 0", "method fedprime, seed 1", "method fedavg-p, seed 1"]
    assert len(made) == 3


def test_the_time_that_is_left_follows_from_the_rounds_that_were_made(
    plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    # A clock on which every round takes 10 seconds; 4 runs of 3 rounds each.
    clock = [0.0]
    monkeypatch.setattr("fedprime.runs.grid.time.perf_counter", lambda: clock[0])

    def complete(_: Settings, __: Path, callbacks: Sequence[Callback]) -> dict[str, Any]:
        for number in (1, 2, 3):
            clock[0] += 10
            callbacks[0].round_finished(Progress(number, 3, 0.0, None, None, 0, 0.0))
        return {"rounds": 3}

    monkeypatch.setattr(workers, "complete_run", complete)
    left: list[float | None] = []
    run_here(plan, folder, watch=lambda progress: left.append(progress.seconds_left))
    assert left[:6] == [None, 110.0, 100.0, 90.0, 90.0, 90.0]
    assert left[-1] == 0


def test_a_run_that_fails_leaves_its_traceback_until_it_succeeds(
    plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    wrong = ["fedavg-p"]

    def complete(settings: Settings, *_: object, **__: object) -> dict[str, Any]:
        if settings.method.name in wrong:
            raise ZeroDivisionError("division by zero")
        return {"rounds": 3}

    monkeypatch.setattr(workers, "complete_run", complete)
    ended = run_here(plan, folder)
    assert [entry.state for entry in ended] == ["finished", "failed", "finished", "failed"]
    assert ended[1].reason == "ZeroDivisionError: division by zero"
    names = sorted(path.relative_to(folder).as_posix() for path in (folder / "failures").rglob("*.txt"))
    assert names == ["failures/fedavg-p/seed-0.txt", "failures/fedavg-p/seed-1.txt"]
    text = (folder / names[0]).read_text()
    assert text.startswith("method fedavg-p, seed 0\n\nTraceback")
    assert "ZeroDivisionError: division by zero" in text
    wrong.clear()
    assert {entry.state for entry in run_here(plan, folder)} == {"finished"}
    assert [path for path in (folder / "failures").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: (run / "settings.toml").unlink(), "settings.toml is not there"),
        (lambda run: (run / "settings.toml").write_bytes(b"\xff"), "is not a readable TOML file"),
        (lambda run: (run / "checkpoint.safetensors").write_bytes(b"broken"), "checkpoint.safetensors is broken"),
        (lambda run: (run / "checkpoint.safetensors").unlink(), "checkpoint.safetensors is not there"),
        (lambda run: (run / "results.json").write_text("{"), "results.json is broken"),
        (lambda run: shutil.rmtree(run) or run.write_text("a file"), "is not a run folder"),
        (
            lambda run: (run / "settings.toml").write_text((run / "settings.toml").read_text().replace("0.7", "0.6")),
            "has other settings: missing.rate is 0.6 there, 0.7 here; evaluation.rate is 0.6 there, 0.7 here",
        ),
    ],
    ids=["no settings", "noise", "broken checkpoint", "no checkpoint", "broken results", "file", "other settings"],
)
def test_a_broken_run_folder_is_named_and_left_alone_and_the_others_are_made(
    damage: Callable[[Path], object], reason: str, plan: Plan, folder: Path, stopped_run: Path, made: list[str]
):
    run_here(plan, folder, [])
    broken = put(stopped_run, folder, plan.runs[0])
    damage(broken)
    before = contents(broken.parent)
    ended = run_here(plan, folder)
    assert [entry.state for entry in ended] == ["failed", "finished", "finished", "finished"]
    assert reason in ended[0].reason
    assert str(broken) in ended[0].reason
    assert "\n" not in ended[0].reason
    assert made == ["fedavg-p 0", "fedprime 1", "fedavg-p 1"]
    assert contents(broken.parent) == before


def test_a_run_in_use_is_left_to_the_other_process(plan: Plan, folder: Path, stopped_run: Path):
    run_here(plan, folder, [])
    there = put(stopped_run, folder, plan.runs[0])
    with RunFolder(there).locked():
        (ended,) = run_here(plan, folder, plan.runs[:1])
    assert ended.state == "in use"
    assert f"another process is running {there}" in ended.reason
    assert not (folder / "failures").exists()
    assert states(plan, folder)[0] == ("started", 1)


def test_a_run_that_another_process_finishes_meanwhile_is_finished(
    plan: Plan, folder: Path, stopped_run: Path, finished_run: Path
):
    run_here(plan, folder, [])
    there = put(stopped_run, folder, plan.runs[0])

    def finish(progress: GridProgress) -> None:
        if progress.ended:
            shutil.copytree(finished_run, there, dirs_exist_ok=True)

    with RunFolder(there).locked():
        (ended,) = run_here(plan, folder, plan.runs[:1], watch=finish)
    assert ended.state == "finished"
    assert ended.results == RunFolder(finished_run).results()


def test_looking_at_a_grid_tells_how_far_it_is_and_changes_nothing(
    plan: Plan, folder: Path, stopped_run: Path, finished_run: Path
):
    assert states(plan, folder) == [("not started", 0)] * 4
    assert not folder.exists()
    run_here(plan, folder, [])
    put(finished_run, folder, plan.runs[0])
    put(stopped_run, folder, plan.runs[2])  # of another seed
    put(stopped_run, folder, plan.runs[3]).joinpath("settings.toml").unlink()
    before = contents(folder)
    assert states(plan, folder) == [("finished", 3), ("not started", 0), ("failed", 0), ("failed", 0)]
    assert contents(folder) == before


def test_the_plan_is_written_down_whole_even_if_a_part_of_it_is_run(plan: Plan, folder: Path, made: list[str]):
    run_here(plan, folder, choose_runs(plan, ["method=fedavg-p"]))
    assert made == ["fedavg-p 0", "fedavg-p 1"]
    assert read_plan(folder / "plan.toml").runs == plan.runs


def test_the_same_plan_leaves_what_is_written_down_as_it_is(read: Callable[..., Plan], folder: Path):
    run_here(read(), folder, [])
    before = (folder / "plan.toml").read_bytes()
    run_here(read(PLAN.replace("fedprime = {}", 'fedprime.method.name = "fedprime"')), folder, [])
    run_here(read(seeds=(1,)), folder, [])
    assert (folder / "plan.toml").read_bytes() == before


def test_seeds_can_be_added_to_a_grid(read: Callable[..., Plan], folder: Path, made: list[str]):
    run_here(read(seeds=(1,)), folder)
    run_here(read(seeds=(7, 1)), folder)
    assert read_plan(folder / "plan.toml").seeds == (1, 7)
    assert made == ["fedprime 1", "fedavg-p 1", "fedprime 7", "fedavg-p 7", "fedprime 1", "fedavg-p 1"]


def test_labels_can_be_added_to_a_grid(read: Callable[..., Plan], folder: Path):
    run_here(read(seeds=(5,)), folder, [])
    longer = read(PLAN + 'pfpt.method.name = "pfpt"\n')
    run_here(longer, folder, [])
    written = read_plan(folder / "plan.toml")
    assert written.axes == {"method": ("fedprime", "fedavg-p", "pfpt")}
    assert written.seeds == (5, 0, 1)


@pytest.mark.parametrize(
    ("text", "flags", "difference"),
    [
        (PLAN, ("--training.rounds=4",), "training.rounds is 3 there, 4 here"),
        (
            PLAN.replace("fedprime = {}", "fedprime.missing.rate = 0.5"),
            (),
            "missing.rate is 0.7 there, 0.5 here",
        ),
        (PLAN.replace("fedavg-p", "pfpt"), (), "the axis method has 'fedavg-p' there, not here"),
        (PLAN.replace("axes.method", "axes.way"), (), "its axes are method there, way here"),
        ("seeds = [0]", (), "its axes are method there, none here"),
    ],
)
def test_a_folder_of_another_plan_is_refused_and_left_alone(
    text: str, flags: tuple[str, ...], difference: str, read: Callable[..., Plan], folder: Path
):
    run_here(read(), folder, [])
    before = contents(folder)
    for look in (run_here, inspect_grid):
        with pytest.raises(GridError) as caught:
            look(read(text, *flags), folder)
        expected = f"{folder} holds the runs of another plan: {difference}; name another folder with --output"
        assert str(caught.value) == expected
    assert contents(folder) == before


def test_a_folder_with_something_else_in_it_is_refused(plan: Plan, folder: Path, finished_copy: Path):
    for other in (finished_copy, finished_copy.parent):
        before = contents(other)
        with pytest.raises(
            GridError, match=r"is not the folder of a grid: plan\.toml is not there; put it back, or na"
        ):
            run_here(plan, other)
        assert contents(other) == before
    folder.write_text("a file")
    with pytest.raises(GridError, match="grid is not a folder; name another one with --output"):
        run_here(plan, folder)


def test_a_folder_that_a_killed_process_began_is_no_hindrance(plan: Plan, folder: Path, made: list[str]):
    folder.mkdir()
    (folder / ".lock").touch()
    (folder / ".plan.toml.123.tmp").write_text("see")
    run_here(plan, folder)
    assert len(made) == 4


def test_a_broken_plan_in_the_folder_is_named(plan: Plan, folder: Path):
    run_here(plan, folder, [])
    (folder / "plan.toml").write_text("seeds = [")
    with pytest.raises(SettingsError, match=r"grid/plan\.toml is not a readable TOML file"):
        run_here(plan, folder)


@pytest.mark.parametrize(
    ("cores", "threads", "num_runs", "expected"), [(8, 1, 4, 4), (2, 1, 4, 2), (8, 4, 4, 2), (2, 4, 4, 1), (8, 3, 1, 1)]
)
def test_as_many_runs_at_once_as_have_cores_of_their_own(
    cores: int, threads: int, num_runs: int, expected: int, plan: Plan, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    runs = [replace(run, settings=replace(run.settings, threads=threads)) for run in plan.runs]
    assert default_processes(runs[:num_runs]) == expected
