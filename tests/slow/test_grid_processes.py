"""Grids in real processes: several workers, killed ones, Ctrl-C, two grids in one folder, a parent that vanishes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from command_line import exit_code
from fedprime.runs.grid import GridProgress, inspect_grid, run_grid
from fedprime.settings.plans import Plan, choose_runs, read_plan
from run_files import metrics_of, results_of

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "fedprime", "grid")
ROUNDS = 20
PLAN = """
seeds = [0, 1]
[axes.method]
fedprox-p.method.name = "fedprox-p"
fedavg-p.method.name = "fedavg-p"
"""


@pytest.fixture(scope="module")
def flags(small_flags: tuple[str, ...]) -> tuple[str, ...]:
    """Runs of many short rounds, so that there is time to interrupt them."""
    kept = [flag for flag in small_flags if not flag.startswith(("--training.rounds=", "--evaluation.every="))]
    return (*kept, f"--training.rounds={ROUNDS}", "--training.fraction=0.5", "--evaluation.every=10")


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "small.toml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def plan(plan_file: Path, flags: tuple[str, ...]) -> Plan:
    """Four runs: two methods, two seeds."""
    return read_plan(plan_file, flags)


@pytest.fixture(scope="module")
def made_here(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the grid as one process makes it that nobody interrupts."""
    folder = tmp_path_factory.mktemp("grids") / "whole"
    ended = run_grid(plan, folder, num_processes=1)
    assert [entry.reason for entry in ended if entry.state != "finished"] == []
    return folder


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A grid in a process group of its own, as in a terminal; none of its processes outlives the block."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if members(process):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def members(process: subprocess.Popen[str]) -> list[int]:
    """The processes of a group that are alive."""
    alive: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(group) == process.pid and state != "Z":
                alive.append(int(entry.name))
    return alive


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def rounds_of(plan: Plan, folder: Path) -> list[int]:
    return [entry.rounds for entry in inspect_grid(plan, folder)]


def assert_same_grid(plan: Plan, here: Path, there: Path) -> None:
    """All runs ended with the same weights to the byte, the same metrics and the same files."""
    for run in plan.runs:
        ours, theirs = here / "runs" / run.folder, there / "runs" / run.folder
        name = "model/model.safetensors"
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
        assert metrics_of(ours) == metrics_of(theirs)
        assert results_of(ours) == results_of(theirs)
    names = [
        {path.relative_to(folder).as_posix() for path in (folder / "runs").rglob("*") if path.name != ".lock"}
        for folder in (here, there)
    ]
    assert names[0] == names[1]


def test_a_killed_worker_takes_only_its_own_run_along_and_the_others_are_as_this_process_makes_them(
    plan: Plan, made_here: Path, tmp_path: Path
):
    together: list[int] = []
    killed: list[int] = []

    def kill_one(progress: GridProgress) -> None:
        together.append(len(progress.running))
        if not killed and any(entry.rounds >= 3 for entry in progress.running):
            (victim, *_) = multiprocessing.active_children()
            os.kill(victim.pid or 0, signal.SIGKILL)
            killed.append(victim.pid or 0)

    folder = tmp_path / "grid"
    ended = run_grid(plan, folder, num_processes=2, watch=kill_one)
    assert max(together) == 2
    assert multiprocessing.active_children() == []
    (failed,) = [entry for entry in ended if entry.state == "failed"]
    assert "the process that made it was killed by SIGKILL; if memory ran out, use fewer --processes" in failed.reason
    assert [entry.state for entry in ended if entry is not failed] == ["finished"] * 3
    report = folder / "failures" / failed.planned.folder.with_name(f"{failed.planned.folder.name}.txt")
    assert "SIGKILL" in report.read_text()
    assert sorted(rounds_of(plan, folder))[1:] == [ROUNDS] * 3
    assert {entry.state for entry in run_grid(plan, folder, num_processes=1)} == {"finished"}
    assert not report.exists()
    assert_same_grid(plan, folder, made_here)


def test_after_ctrl_c_and_after_a_kill_the_same_command_goes_on_and_no_worker_is_left(
    plan: Plan,
    plan_file: Path,
    flags: tuple[str, ...],
    made_here: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    folder = tmp_path / "grid"
    words = (plan_file, *flags, "--output", folder, "--processes")
    with started(*words, 2) as process:
        wait_until(lambda: folder.exists() and max(rounds_of(plan, folder)) > 2)
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all
        _, said = process.communicate(timeout=60)
        wait_until(lambda: not members(process))
    assert process.returncode == 130
    assert said.count("\n") == 2
    assert said.startswith("\nstopped; ")
    assert f"runs finished, the others keep their rounds. Go on with: fedprime grid {plan_file} " in said
    done = sum(rounds_of(plan, folder))
    assert 2 < done < 4 * ROUNDS
    with started(*words, 2) as process:
        wait_until(lambda: sum(rounds_of(plan, folder)) > done + 2)
        process.kill()
        _, said = process.communicate(timeout=60)
        wait_until(lambda: not members(process))
    assert "Traceback" not in said
    assert min(rounds_of(plan, folder)) < ROUNDS
    assert exit_code("grid", *words, 1) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"4 runs finished in {folder}" in shown.out
    assert_same_grid(plan, folder, made_here)


@pytest.mark.parametrize("delay", [0.0, 2.0])
def test_ctrl_c_while_workers_start_is_as_quiet(delay: float, plan_file: Path, flags: tuple[str, ...], tmp_path: Path):
    with started(plan_file, *flags, "--processes", "2", "--output", tmp_path / "grid") as process:
        wait_until(lambda: len(members(process)) > 2)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
        wait_until(lambda: not members(process))
    assert process.returncode == 130
    assert said.startswith("\nstopped; 0 of 4 runs finished")
    assert said.count("\n") == 2
    assert list((tmp_path / "grid").rglob("*.tmp")) == []


def test_two_grids_in_one_folder_share_the_work(
    plan: Plan, plan_file: Path, flags: tuple[str, ...], made_here: Path, tmp_path: Path
):
    folder = tmp_path / "grid"
    words = (plan_file, *flags, "--processes", "1", "--output", folder)
    with started(*words) as first, started(*words) as second:
        (shown, said), (also_shown, also_said) = first.communicate(timeout=300), second.communicate(timeout=300)
    assert {first.returncode, second.returncode} <= {0, 1}
    assert "failed" not in shown + also_shown
    assert "Traceback" not in said + also_said
    # Whichever was last has seen everything finished.
    assert 0 in (first.returncode, second.returncode)
    assert_same_grid(plan, folder, made_here)


def test_what_workers_log_says_which_run_it_is_about(
    plan_file: Path, flags: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    overflowing = ("--training.optimizer=sgd", "--training.lr=1e6", "--training.weight_decay=1e36")
    plan = read_plan(plan_file, (*flags, *overflowing, "--training.rounds=2"))
    ended = run_grid(plan, tmp_path / "grid", choose_runs(plan, ["method=fedavg-p"]), num_processes=2)
    assert {entry.state for entry in ended} == {"finished"}
    for seed in (0, 1):
        assert any(line.startswith(f"method fedavg-p, seed {seed}: round 0: client ") for line in caplog.messages)
