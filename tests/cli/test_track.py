"""The verb `track` and the flag `run --track`: what they refuse, say and send."""

from collections.abc import Callable
from pathlib import Path

import pytest

from command_line import exit_code
from fedprime.runs.tracker import Line, TrackedRun, TrackedTable
from made_runs import make_grid

SENT: list[tuple[str, str, int]] = []


class Notebook:
    """A tracker that remembers the names and groups of runs, and how many of their lines it has."""

    def __init__(self, run: TrackedRun, key: str, going_on: Line | None) -> None:
        self.key, self._run, self._lines = key, run, 0

    @staticmethod
    def place(run: TrackedRun) -> str:
        del run
        return "here"

    def log_line(self, line: Line) -> None:
        if self._run.name.endswith("seed 13"):
            raise OSError("no space left")
        self._lines += 1

    def log_end(self, last: Line, table: TrackedTable, model: Path | None) -> None:
        SENT.append((self._run.name, self._run.group, self._lines))

    def close(self, *, is_finished: bool) -> None: ...


@pytest.fixture(autouse=True)
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedprime.runs.tracking.TRACKERS", {"wandb": Notebook})
    monkeypatch.setattr("fedprime.runs.trackers.find_spec", lambda name: None if name == "mlflow" else name)
    SENT.clear()


PLAN = """
seeds = [3, {seed}]
[axes.method]
fedprime = {{}}
fedavg-p.method.name = "fedavg-p"
"""
ROWS = [{"seconds": 1.0}] * 3


def test_a_whole_grid_is_sent_by_the_labels_of_its_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    grid = make_grid(tmp_path / "main", PLAN.format(seed=4), rows=ROWS)
    assert exit_code("track", grid, "--to", "wandb") == 0
    assert capsys.readouterr().out == "4 runs sent to wandb\n"
    names = [f"method {method}, seed {seed}" for seed in (3, 4) for method in ("fedprime", "fedavg-p")]
    assert [(name, "main", 3) for name in names] == SENT
    assert exit_code("track", grid, "--to=wandb") == 0
    assert len(SENT) == 4


def test_what_cannot_be_sent_is_named_and_the_rest_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    grid = make_grid(tmp_path / "main", PLAN.format(seed=13), rows=ROWS)
    assert exit_code("track", grid, tmp_path / "none", "--to", "wandb") == 1
    said, told = capsys.readouterr()
    assert said == "2 runs sent to wandb\n"
    assert f"fedprime: left out: {grid}/runs/fedprime/seed-13: wandb failed" in told
    assert f"fedprime: left out: {tmp_path / 'none'} is not there" in told
    assert "OSError: no space left" in told
    assert exit_code("track", tmp_path / "none", "--to", "wandb") == 2


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["track"], "name runs and trackers, for example: fedprime track runs/main --to tensorboard"),
        (["track", "runs"], "name runs and trackers"),
        (["track", "runs", "--to"], "--to has no value; expected for example --to tensorboard"),
        (["track", "runs", "--with", "wandb"], "--with is not a flag of fedprime track (--to)"),
        (["track", "runs", "--to", "wandb", "mlflow"], 'install with: pip install "fedprime[mlflow]"'),
        (["run", "builtin/quickstart", "--track", "mlflow"], 'install with: pip install "fedprime[mlflow]"'),
        (["run", "builtin/quickstart", "--track", "wandbb"], "'wandbb' is not a tracker"),
        (["grid", "main", "--track", "mlflow"], 'install with: pip install "fedprime[mlflow]"'),
        (["run", "--resume", "none", "--track", "mlflow"], 'install with: pip install "fedprime[mlflow]"'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_told_before_anything_is_done(words: list[str], problem: str, complaint: Callable[..., str]):
    assert problem in complaint(*words)


def test_a_run_is_tracked_while_it_is_made(small_flags: tuple[str, ...], tmp_path: Path):
    command = ("run", "builtin/quickstart", "--output", tmp_path / "run", "--track", "wandb")
    assert exit_code(*command, *small_flags, "--training.rounds=1") == 0
    assert SENT == [("run", "", 1)]


def test_a_grid_is_tracked_while_it_is_made(small_flags: tuple[str, ...], tmp_path: Path):
    plan = tmp_path / "main.toml"
    plan.write_text('seeds = [3]\n[axes.method]\nfedavg-p.method.name = "fedavg-p"')
    flags = (*small_flags, "--training.rounds=1", "--processes=1", "--output", tmp_path / "main")
    sent = [("method fedavg-p, seed 3", "main", 1)]
    assert exit_code("grid", plan, *flags, "--track", "wandb") == 0
    assert sent == SENT
    # Nothing is sent twice, in whatever way: the names and the place are the same.
    assert exit_code("grid", plan, *flags, "--track", "wandb") == 0
    assert exit_code("track", tmp_path / "main", "--to", "wandb") == 0
    assert sent == SENT
