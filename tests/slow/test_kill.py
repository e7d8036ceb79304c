"""Real processes: killed again and again, interrupted, two on one run, a reader that goes away."""

import multiprocessing
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedprime.cli.main import main
from fedprime.experiment.run_folder import RunFolder
from fedprime.reproducibility.errors import counted
from fedprime.runs.run import start_run
from fedprime.settings.reading import read_settings
from run_files import metrics_of, results_of

pytestmark = pytest.mark.slow

COMMAND = (sys.executable, "-m", "fedprime")
ROUNDS = 40
KILLS = 8
#: Processes that begin where everything is imported already: what is killed is a run, not the seconds before it.
WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["fedprime.runs.run", "fedprime.backbones.vilt_checkpoint", "torch._dynamo"])


@pytest.fixture(scope="module")
def flags(small_flags: tuple[str, ...]) -> tuple[str, ...]:
    """A run of short rounds, of which part of the clients take part in each."""
    kept = [flag for flag in small_flags if not flag.startswith(("--training.rounds=", "--evaluation.every="))]
    return (*kept, "--training.fraction=0.5", "--evaluation.every=5")


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A process of the command line; it does not outlive the block."""
    process = subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_rounds(process: subprocess.Popen[str], count: int) -> int:
    """Waits for some lines of progress; returns how many came before the process ended."""
    assert process.stdout is not None
    for seen in range(count):
        if not process.stdout.readline().startswith("round "):
            return seen
    return count


def assert_same_run(here: Path, there: Path) -> None:
    """Two runs ended with the same weights to the bit, the same metrics and the same files."""
    ours, theirs = (load_file(folder / "model" / "model.safetensors") for folder in (here, there))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert metrics_of(here) == metrics_of(there)
    assert results_of(here) == results_of(there)
    names = [{path.relative_to(folder).as_posix() for path in folder.rglob("*")} for folder in (here, there)]
    assert names[0] == names[1]


def rounds_of(run: Path) -> int:
    return (run / "metrics.jsonl").read_text().count("\n") if (run / "metrics.jsonl").exists() else 0


def test_a_run_killed_many_times_ends_as_if_it_had_not_been(flags: tuple[str, ...], recipe: Path, tmp_path: Path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    flags = (*flags, f"--training.rounds={ROUNDS}")
    start_run(read_settings(recipe, flags), whole)
    rng, advances = random.Random(0), set[int]()
    for life in range(KILLS + 1):
        words = ["--resume", killed] if killed.exists() else [recipe, *flags, "--output", killed]
        process = WARM.Process(target=main, args=(["run", *map(str, words)],), daemon=True)
        process.start()
        if life == KILLS:
            process.join()
            assert process.exitcode == 0
            break
        # 0 to 3 rounds, then a moment in which more rounds begin, are measured, are saved. The first life may end
        # while its folder is being made.
        num_rounds = rng.randrange(4) if life else 0
        until = rounds_of(killed) + num_rounds
        while rounds_of(killed) < until and process.is_alive():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.15) if num_rounds else rng.uniform(0.1, 1.5))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        if killed.exists():
            advances.add(RunFolder(killed).load_checkpoint().next_round)
    assert len(advances) >= 4
    assert_same_run(killed, whole)


def test_a_second_process_is_refused_and_ctrl_c_stops_the_first_after_saving(
    flags: tuple[str, ...], recipe: Path, complaint: Callable[..., str], tmp_path: Path
):
    folder = tmp_path / "run"
    with started("run", recipe, *flags, "--training.rounds=10000", "--output", folder) as process:
        assert read_rounds(process, 1) == 1
        # Somebody has to read what it says, or it waits; for as long as a refusal takes, there is room for it.
        said = complaint("run", "--resume", folder)
        assert said.strip() == f"fedprime: another process is running {folder}; wait for it or stop it"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert f"Go on with: fedprime run --resume {folder}" in said
    run = RunFolder(folder)
    finished = run.load_checkpoint().next_round
    assert finished >= 1
    assert f"stopped; {counted(finished, 'round')} saved" in said
    run.drop_unfinished(run.load_checkpoint())
    assert [line["round"] for line in run.metrics()] == list(range(finished))


def test_a_reader_that_goes_away_is_no_error():
    with started("recipes", "list") as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == ""


def test_a_run_whose_reader_goes_away_stops_and_says_how_to_go_on(flags: tuple[str, ...], recipe: Path, tmp_path: Path):
    folder = tmp_path / "run"
    with started("run", recipe, *flags, "--training.rounds=10000", "--output", folder) as process:
        assert read_rounds(process, 1) == 1
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGPIPE
    assert "Traceback" not in said
    assert f"Go on with: fedprime run --resume {folder}" in said
    assert RunFolder(folder).load_checkpoint().next_round >= 1
